"""Erase posts, their verdicts and all else that is kept of them, and print a receipt."""

from __future__ import annotations

import argparse
import json
import sys

from redis import RedisError

from modq.errors import ModqError
from modq.queue_errors import explain
from modq.queue_url import place
from modq_worker.database import create_engine
from modq_worker.erasure import Erasure, Receipt
from modq_worker.settings import settings
from modq_worker.stream import connect
from modq_worker.whose import InvalidSelector, Selector


class NotConfirmed(ModqError):
    """Nobody said yes, so nothing was erased."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--author", help="posts by this author, of every source unless --source is given too")
    parser.add_argument("--post", metavar="ID", help="every content of this post, of --source (default: default)")
    parser.add_argument("--source", help="posts of this source; alone: all of them")
    parser.add_argument("--dry-run", action="store_true", help="count what would be erased, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask; needed where there is no terminal to ask on")
    parser.add_argument("--json", action="store_true", help="print the receipt as one JSON object")
    parser.add_argument("--hash-selector", action="store_true", help="name the selector in the receipt by its SHA-256 only")
    parser.add_argument("--wait", type=float, default=30.0, metavar="SECONDS", help="for posts a worker has in hand (default: %(default)g)")
    parser.add_argument("--unreadable", action="store_true", help="also erase entries and dead letters that cannot be read but hold the names given")
    parser.add_argument("--keep-quotations", action="store_true", help="leave the parent_text of other posts that quotes an erased one")
    parser.add_argument(
        "--rewrite-aof",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="have Redis rewrite its append-only file, and Postgres VACUUM, where permitted (default: yes)",
    )
    parser.add_argument("--vacuum-full", action="store_true", help="rewrite the tables' files too; locks the tables meanwhile")


def run(arguments: argparse.Namespace) -> int:
    """Erase, and print the receipt; 1 where something is left that only another run can erase."""
    try:
        selector = Selector(arguments.author, arguments.post, arguments.source)
    except InvalidSelector as error:
        print(f"modq erase: {error}", file=sys.stderr)
        return 2
    url = settings().redis()
    # A look through a large table takes longer than a worker would ever wait.
    engine = create_engine(settings().database(), session={"statement_timeout": "10min"})
    redis = connect(url)
    try:
        return _erase(Erasure(redis, engine, selector, unreadable=arguments.unreadable, quotations=not arguments.keep_quotations), arguments)
    except (RedisError, OSError) as error:
        raise explain(error, place(url)) from None
    finally:
        redis.close()
        engine.dispose()


def _erase(erasure: Erasure, arguments: argparse.Namespace) -> int:
    if arguments.dry_run:
        _print(erasure.preview(), arguments)
        return 0
    if not arguments.yes:
        _confirm(erasure.preview())
    receipt = erasure.erase(wait_seconds=arguments.wait, rewrite_files=arguments.rewrite_aof, vacuum_full=arguments.vacuum_full)
    _print(receipt, arguments)
    if not receipt.complete:
        print("Not all is erased: a worker still had some of it, or more arrived. Run the same command again.", file=sys.stderr)
    return 0 if receipt.complete else 1


def _confirm(preview: Receipt) -> None:
    if not sys.stdin.isatty():
        raise NotConfirmed("there is no terminal to ask on: repeat it with --yes, or look first with --dry-run")
    counts = ", ".join(f"{count} {name}" for name, count in preview.counts.items() if count) or "nothing found so far"
    names = ", ".join(f"{name} {value!r}" for name, value in preview.selector.given.items())
    print(f"This erases for good all posts with {names}: {counts}.", file=sys.stderr)
    print("Type yes to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise NotConfirmed("nothing was erased")


def _print(receipt: Receipt, arguments: argparse.Namespace) -> None:
    selector = {"sha256": receipt.selector.sha256} if arguments.hash_selector else receipt.selector.given
    facts: dict[str, object] = {
        "at": receipt.at.isoformat(timespec="seconds"),
        "dry_run": receipt.dry_run,
        "selector": selector,
        "erased": receipt.counts,
        "held": receipt.held,
        "unreadable": receipt.unreadable,
        "complete": receipt.complete,
        "scores": receipt.scores,
        "redis_files": receipt.redis_files,
        "postgres_files": receipt.postgres_files,
    }
    if arguments.json:
        print(json.dumps(facts))
        return
    facts["selector"] = ", ".join(f"{name} {value!r}" for name, value in selector.items())
    facts["erased"] = ""
    for name, value in facts.items():
        print(f"{name + ':':<16}{str(value).lower() if isinstance(value, bool) else value}".rstrip())
        if name == "erased":
            for where, count in receipt.counts.items():
                print(f"  {where + ':':<16}{count}")
