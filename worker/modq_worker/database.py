"""Connections to the store, every one of which gives up in time instead of hanging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy
from sqlalchemy import Engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from modq_worker.store_errors import StoreError

_SESSION: Final[Mapping[str, str]] = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
    "timezone": "UTC",
}


class InvalidDatabaseUrl(StoreError, ValueError):
    """The store's URL is not one of Postgres."""


def create_engine(url: str, *, pool_size: int = 2, session: Mapping[str, str] | None = None) -> Engine:
    """An engine on the store; it connects when it is first used.

    A connection that cannot be had within 5 s, a statement that takes 15 s, a lock that takes 5 s and a peer that
    does not acknowledge for 15 s are errors. ``session`` overrides those of Postgres's settings that are made here.

    Raises:
        InvalidDatabaseUrl: the URL is not one of Postgres; the message does not repeat it.
    """
    address = _postgres_url(url)
    return sqlalchemy.create_engine(
        address,
        connect_args=connect_arguments(address, session),
        pool_size=pool_size,
        max_overflow=2,
        pool_timeout=10,
        pool_pre_ping=True,
        pool_recycle=1800,
        # An error must not print the rows of its statement.
        hide_parameters=True,
    )


@contextmanager
def connected(url: str) -> Iterator[Engine]:
    """An engine whose connections are closed at the end of the ``with`` block."""
    engine = create_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def connect_arguments(url: URL, session: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What libpq is told besides the URL; what the URL itself says of the session's settings comes last, and wins."""
    settings = " ".join(f"-c {name}={value}" for name, value in {**_SESSION, **(session or {})}.items())
    own = url.query.get("options", "")
    arguments: dict[str, Any] = {
        "connect_timeout": 5,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        "application_name": "modq",
    }
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    return {**arguments, "options": f"{settings} {own if isinstance(own, str) else ' '.join(own)}".strip()}


def conninfo(engine: Engine) -> dict[str, Any]:
    """What psycopg itself needs to connect as ``engine`` does."""
    _, arguments = engine.dialect.create_connect_args(engine.url)
    return {**arguments, **connect_arguments(engine.url)}


def _postgres_url(url: str) -> URL:
    try:
        address = make_url(url)
        if address.drivername in ("postgres", "postgresql"):
            address = address.set(drivername="postgresql+psycopg")
        if address.get_dialect().name == "postgresql" and address.get_driver_name() == "psycopg":
            return address
    except (ArgumentError, NoSuchModuleError, ValueError):
        pass
    # The URL may hold a password, so the error shows none of it.
    raise InvalidDatabaseUrl("The store's URL must look like postgresql://user:password@host:5432/name")
