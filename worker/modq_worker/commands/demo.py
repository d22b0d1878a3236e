"""See the whole of modq at work: a few hundred posts, from the queue to a forum that hides the toxic ones."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console

from modq.post import Post
from modq_worker.database import create_engine
from modq_worker.demo import POSTS, Report, Run, read_posts
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
    console = Console(highlight=False, soft_wrap=True)
    # Every run is a source of its own: a post that was judged before is not judged again.
    posts = read_posts(arguments.data, arguments.posts, source=f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    try:
        with interrupted_by_signals():
            return 1 if _show(console, posts, arguments.keep).faults else 0
    except KeyboardInterrupt:
        console.print("Stopped; nothing is left running.")
        return 130


def _show(console: Console, posts: Sequence[Post], keep: bool) -> Report:
    began = time.monotonic()
    console.print("Starting a queue (Valkey), a store (Postgres), a worker, the notifier and a pretend forum ...")
    with Stack(settings().home / "demo", partial(console.print, markup=False), forum=True) as stack:
        with console.status("Loading the model ..."):
            stack.wait_until_ready()
        console.print(f"Ready after {time.monotonic() - began:.1f} s.")
        with forum_is_told(stack, posts[0].source):
            report = _follow(console, stack, posts)
            show_report(console, report)
            shown = report.flagged[0].post if report.flagged else posts[0]
            console.print(f"\n{_next_steps(stack, shown, keep)}", markup=False)
            if keep:
                _keep_running(stack)
    return report


def _follow(console: Console, stack: Stack, posts: Sequence[Post]) -> Report:
    engine = create_engine(stack.database_url)
    try:
        with Following(console, len(posts)) as following:
            return Run(stack, engine, posts, posts[0].source).follow(following.show)
    finally:
        engine.dispose()


def _keep_running(stack: Stack) -> None:
    with suppress(KeyboardInterrupt):
        while True:
            stack.look_after()
            time.sleep(0.2)


def _next_steps(stack: Stack, post: Post, keep: bool) -> str:
    modq = home_prefix(stack.home) + called_as()
    steps = [
        f"  {modq} verdicts --source {post.source} --label toxic",
        f"  {modq} verdicts show {shlex.quote(post.id)} --source {post.source}",
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
