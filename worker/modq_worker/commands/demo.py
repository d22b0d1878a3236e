"""See the whole of modq at work: a few hundred posts, from the queue to a forum that hides the toxic ones."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console

from modq_worker.database import create_engine
from modq_worker.demo import POSTS, Run, read_posts
from modq_worker.demo_display import Following, show_report
from modq_worker.forum_endpoint import forum_is_told
from modq_worker.hints import called_as, home_prefix
from modq_worker.interruption import interrupted_by_signals
from modq_worker.settings import settings
from modq_worker.stack import Stack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--posts", type=_count, metavar="N", help="how many posts to publish (default: all of the file)")
    parser.add_argument("--data", type=Path, default=POSTS, metavar="FILE", help="a JSONL file of posts, one object a line with id and text (default: posts of our own)")
    parser.add_argument("--keep", action="store_true", help="keep everything running afterwards, to look around, until Ctrl-C")
    parser.epilog = "The demo runs on servers of its own, whatever MODQ_REDIS_URL and MODQ_DATABASE_URL say; its data stays in MODQ_HOME/demo (.modq/demo)."


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 1 if the posts do not add up."""
    console = Console(highlight=False)
    # Every run is a source of its own: a post that was judged before is not judged again.
    source = f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    posts = read_posts(arguments.data, arguments.posts, source)
    began = time.monotonic()
    with interrupted_by_signals():
        console.print("Starting a queue (Valkey), a store (Postgres), a worker, the notifier and a pretend forum ...", soft_wrap=True)
        with Stack(settings().home / "demo", partial(console.print, markup=False, soft_wrap=True), forum=True) as stack:
            with console.status("Loading the model ..."):
                stack.wait_until_ready()
            console.print(f"Ready after {time.monotonic() - began:.1f} s.")
            engine = create_engine(stack.database_url)
            try:
                with forum_is_told(stack, source):
                    with Following(console, len(posts)) as following:
                        report = Run(stack, engine, posts, source).follow(following.show)
                    show_report(console, report)
                    console.print(f"\n{_next_steps(stack, source, arguments.keep)}", markup=False, soft_wrap=True)
                    if arguments.keep:
                        _keep_running(stack)
            finally:
                engine.dispose()
    return 1 if report.faults else 0


def _keep_running(stack: Stack) -> None:
    with suppress(KeyboardInterrupt):
        while True:
            stack.look_after()
            time.sleep(0.2)


def _next_steps(stack: Stack, source: str, keep: bool) -> str:
    modq = home_prefix(stack.home) + called_as()
    steps = [
        f"  {modq} verdicts --source {source} --label toxic",
        f"  {modq} verdicts show p001 --source {source}",
        f'  {modq} submit "a post of your own"',
    ]
    if keep:
        return "\n".join([f"All of it keeps running, the forum at {stack.forum_url}. In a second terminal:", *steps, "Ctrl-C ends it."])
    return "\n".join(
        [f"The data stays in {stack.home}. To look around, start the stack again with", f"  {modq} up", "and in a second terminal:", *steps]
    )


def _count(word: str) -> int:
    if not word.isdecimal() or not 1 <= int(word) <= 1_000_000:
        raise argparse.ArgumentTypeError("from 1 to 1,000,000")
    return int(word)
