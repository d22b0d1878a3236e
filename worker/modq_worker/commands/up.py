"""Run the whole stack in this folder, for development: servers, tables, workers and notifier, until Ctrl-C."""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from pathlib import Path

from modq_worker.demo_forum import SOURCE
from modq_worker.forum_endpoint import forum_is_told
from modq_worker.hints import called_as, home_prefix, masked
from modq_worker.interruption import interrupted_by_signals
from modq_worker.settings import settings
from modq_worker.stack import Stack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--workers", type=_some, default=1, metavar="N", help="workers, each a process with its own model (default: %(default)s)")
    parser.add_argument("--forum", action="store_true", help="run a pretend forum as well, to post to in a browser")
    parser.epilog = "Where MODQ_REDIS_URL or MODQ_DATABASE_URL is set, that server is used instead of an embedded one. Data stays in MODQ_HOME (.modq)."


def run(arguments: argparse.Namespace) -> int:
    """Keep the stack running until it is interrupted."""
    chosen = settings()
    queue = chosen.redis_url.get_secret_value() if chosen.redis_url else None
    store = chosen.database_url.get_secret_value() if chosen.database_url else None
    stack = Stack(chosen.home, _say, workers=arguments.workers, forum=arguments.forum, redis_url=queue, database_url=store)
    with interrupted_by_signals():
        try:
            with stack:
                _keep_running(stack)
        except KeyboardInterrupt:
            _say("Stopped. The data stays in " + str(stack.home))
    return 0


def _keep_running(stack: Stack) -> None:
    _say(f"Queue   {masked(stack.redis_url)}\nStore   {masked(stack.database_url)}\nLogs    {stack.home / 'logs'}")
    _say("Loading the model ...")
    stack.wait_until_ready()
    with forum_is_told(stack, SOURCE) if stack.forum_url else nullcontext():
        if stack.forum_url:
            _say(f"Forum   {stack.forum_url}")
        _say(_next_steps(stack.home))
        while True:
            stack.look_after()
            time.sleep(0.2)


def _next_steps(home: Path) -> str:
    modq = home_prefix(home) + called_as()
    return f"""Ready. In a second terminal, in this folder:
  {modq} submit "have a nice day"      publish a post
  {modq} verdicts                      see how posts were judged
  {modq} endpoints --help              have a site told by webhooks
The passwords are in {home / "running.json"}. Ctrl-C stops everything; posts that wait are judged the next time."""


def _say(text: str) -> None:
    print(text, flush=True)


def _some(word: str) -> int:
    if not word.isdecimal() or not 1 <= int(word) <= 64:
        raise argparse.ArgumentTypeError("from 1 to 64")
    return int(word)
