"""The errors of the store: whether the world failed, and the same call may be tried again, or the data was refused.

::

    StoreError
    ├── StoreUnavailable     the world: hold what you have and try the same again
    │   └── StoreNotMigrated the tables are missing or old: run `modq migrate`, then try the same again
    └── StoreRefused         the data: it will be refused for ever

None of them ever holds a value of a row, so all are safe to log: what Postgres says of a row it refuses
("Failing row contains ...") would hold the text of a post.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import StatementError, TimeoutError

from modq.errors import ModqError


class StoreError(ModqError):
    """Base of what can go wrong between modq and its store."""


class StoreUnavailable(StoreError):
    """The store cannot do it now. Nothing was written, or it was written whole: trying the same again is safe."""

    retryable = True


class StoreNotMigrated(StoreUnavailable):
    """The store's tables are missing, or older than this modq."""


class StoreRefused(StoreError):
    """The store will never take this data. Nothing of the call was written."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what SQLAlchemy and psycopg raise within into one of the errors above.

    Anything else passes: a mistake in modq must not look like an outage.
    """
    try:
        yield
    except TimeoutError:
        raise StoreUnavailable("All connections to the store are in use.") from None
    except StatementError as error:
        raise _told(error.orig) from None
    except (psycopg.Error, UnicodeEncodeError) as error:
        raise _told(error) from None


# By class of SQLSTATE (its first two characters), or whole: what no retry mends. All else is the world's.
_DATA_CLASSES = frozenset({"21", "22", "23", "44", "54"})
_WORLDLY = {
    # A row that ours refers to was deleted a moment ago (an endpoint, or a post that expired).
    "23503": "A row that was referred to has just been deleted.",
    "25006": "The store is read-only: it may be a standby, or just failing over.",
    "40P01": "Postgres ended a deadlock at our cost.",
    "53100": "The store's disk is full.",
    "53300": "The store has no connection left to give.",
    "55P03": "Another transaction holds a lock for too long.",
    "57014": "The store took too long to answer.",
    "57P01": "The store is shutting down.",
    "57P03": "The store is starting up or shutting down.",
}
_SCHEMA = frozenset({"42P01", "42703", "3F000"})


def _told(error: BaseException | None) -> StoreError:
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return _told_by_server(error, error.sqlstate)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError):
        return StoreUnavailable(f"The store cannot be reached: {_first_line(error)}")
    # Refused before it was sent: NUL characters, lone surrogates, types that no column takes.
    return StoreRefused(f"The store cannot hold this value ({type(error).__name__}).")


def _told_by_server(error: psycopg.Error, state: str) -> StoreError:
    if state in _SCHEMA:
        return StoreNotMigrated("The store's tables are missing or out of date; run: modq migrate")
    if state in _WORLDLY:
        return StoreUnavailable(_WORLDLY[state])
    if state[:2] in _DATA_CLASSES:
        constraint = f", {error.diag.constraint_name}" if error.diag.constraint_name else ""
        return StoreRefused(f"The store refused a row ({type(error).__name__}{constraint}).")
    # Postgres names objects and rights in its first line, never values: it puts those in DETAIL.
    return StoreUnavailable(f"The store failed ({state}): {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    # A password in a URL, in a connection string, and the tail of one whose "@" was not escaped.
    return re.sub(r"(://[^:/@\s]*):\S*@|(password=)\S+|(')[^'\s]*@", r"\1\2\3***", line)
