"""List, show and replay the entries that could not become verdicts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import astuple

from redis import RedisError

from modq.queue_errors import explain
from modq.queue_url import place
from modq_worker.database import connected
from modq_worker.dead_letters import DeadLetters
from modq_worker.listing import print_rows
from modq_worker.settings import settings
from modq_worker.stream import connect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="list|show|replay", required=True)
    lister = actions.add_parser("list", help="list the letters, newest first")
    lister.add_argument("--reason", help="only those parked for this reason, such as not_json")
    lister.add_argument("--replayed", action=argparse.BooleanOptionalAction, help="only those that were, or were not, replayed")
    lister.add_argument("--limit", type=int, default=100, help="at most so many (default: %(default)s)")
    lister.set_defaults(does=_list)
    shower = actions.add_parser("show", help="show one letter with its raw entry, which may hold the text of a post")
    shower.add_argument("id", type=int, metavar="ID", help="the letter's number in the list")
    shower.set_defaults(does=_show)
    replayer = actions.add_parser("replay", help="publish letters again on the lane they came from; safe to repeat")
    chosen = replayer.add_mutually_exclusive_group(required=True)
    chosen.add_argument("ids", type=int, metavar="ID", nargs="*", default=[], help="the letters' numbers in the list")
    chosen.add_argument("--all", action="store_true", help="all that were not replayed yet")
    chosen.add_argument("--reason", help="all of this reason that were not replayed yet")
    replayer.set_defaults(does=_replay)


def run(arguments: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    with connected(settings().database()) as engine:
        done: int = arguments.does(DeadLetters(engine), arguments)
    return done


def _list(letters: DeadLetters, arguments: argparse.Namespace) -> int:
    found = letters.find(reason=arguments.reason, replayed=arguments.replayed, limit=arguments.limit)
    headings = ("ID", "LANE", "ENTRY", "BYTES", "REASON", "DETAIL", "SOURCE", "POST", "PARKED", "REPLAYED")
    print_rows(headings, map(astuple, found), none="No dead letters.")
    return 0


def _show(letters: DeadLetters, arguments: argparse.Namespace) -> int:
    letter, raw = letters.get(arguments.id), letters.raw(arguments.id)
    for name in letter.__slots__:
        print(f"{name + ':':<13}{getattr(letter, name)}")
    print()
    sys.stdout.flush()
    if sys.stdout.isatty():
        # A terminal obeys what it is shown; a pipe gets the very bytes.
        print(raw.decode("utf-8", "backslashreplace").translate(_VISIBLE))
    else:
        sys.stdout.buffer.write(raw + b"\n")
    return 0


_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)}


def _replay(letters: DeadLetters, arguments: argparse.Namespace) -> int:
    ids: Sequence[int] = [letters.get(id).id for id in arguments.ids] or letters.waiting(arguments.reason)
    url = settings().redis()
    redis = connect(url)
    done = 0
    try:
        for _ in letters.replay(ids, redis):
            done += 1
    except (RedisError, OSError) as error:
        print(f"{done} of {len(ids)} dead letters were published again; the same command goes on from there.", file=sys.stderr)
        raise explain(error, place(url)) from None
    finally:
        redis.close()
    print(f"{done} dead letters were published again.")
    if len(ids) > done:
        print(f"The content of {len(ids) - done} has expired: there is nothing to publish.", file=sys.stderr)
    return 0
