"""Build or update the tables of the store; safe to repeat."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from modq_worker.migrate import migrate, revisions
from modq_worker.settings import NotConfigured, settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 when the tables are not up to date")


def run(arguments: argparse.Namespace) -> int:
    """Migrate the configured store, or the one that ``modq up`` uses in this folder."""
    with _database_url() as url:
        return _check(url) if arguments.check else _migrate(url)


def _migrate(url: str) -> int:
    before = migrate(url)
    if before.equal:
        print(f"The store is up to date, at revision {before.wanted}.")
    else:
        print(f"The store was at {_named(before.present)} and is now at revision {before.wanted}.")
    return 0


def _check(url: str) -> int:
    found = revisions(url)
    if found.equal:
        print(f"The store is up to date, at revision {found.wanted}.")
        return 0
    print(f"The store is at {_named(found.present)}; this modq needs revision {found.wanted}. Run: modq migrate", file=sys.stderr)
    return 1


def _named(revision: str | None) -> str:
    return f"revision {revision}" if revision else "no revision (empty)"


@contextmanager
def _database_url() -> Iterator[str]:
    """The store's URL; where none is configured, that of this folder's own Postgres, running for as long as needed."""
    try:
        url = settings().database()
    except NotConfigured:
        from modq_worker.embedded import EmbeddedServers

        home = settings().home
        print(f"MODQ_DATABASE_URL is not set and no stack runs here: starting this folder's own Postgres ({home}) meanwhile.", file=sys.stderr)
        with EmbeddedServers(home) as servers:
            yield servers.database_url
        return
    yield url
