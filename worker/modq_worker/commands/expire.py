"""Drop the texts that have been kept for longer than MODQ_TEXT_DAYS; run it daily."""

from __future__ import annotations

import argparse
import json
import math

from modq.errors import ModqError
from modq_worker.database import create_engine
from modq_worker.expiry import Expiry
from modq_worker.settings import settings


class NoTimeSet(ModqError):
    """Nobody said how long texts are to be kept."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--days", type=_days, help="instead of MODQ_TEXT_DAYS; 0 drops every text")
    parser.add_argument("--dry-run", action="store_true", help="count what would be dropped, and change nothing")
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Drop them, and say how many."""
    days = settings().text_days if arguments.days is None else arguments.days
    if days is None:
        raise NoTimeSet("texts are kept for ever: set MODQ_TEXT_DAYS, or say --days")
    # A look through a large table takes longer than a worker would ever wait.
    engine = create_engine(settings().database(), session={"statement_timeout": "10min"})
    try:
        expiry = Expiry(engine, days)
        expired = expiry.preview() if arguments.dry_run else expiry.expire()
    finally:
        engine.dispose()
    if arguments.json:
        facts = {"dry_run": arguments.dry_run, "posts": expired.posts, "dead_letters": expired.dead_letters}
        print(json.dumps({**facts, "published_before": expired.published_before.isoformat(timespec="seconds")}))
    else:
        would = "would lose their text" if arguments.dry_run else "lost their text"
        print(f"{expired.posts} posts and {expired.dead_letters} dead letters from before {expired.published_before:%Y-%m-%d %H:%M} UTC {would}.")
    return 0


def _days(value: str) -> float:
    try:
        days = float(value)
    except ValueError:
        days = math.nan
    if not 0 <= days <= 36_500:
        raise argparse.ArgumentTypeError("must be a number of days, 0 to 36500")
    return days
