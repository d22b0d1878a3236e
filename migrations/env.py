"""How Alembic reaches the store: one migrator at a time, and no migration that waits long for a lock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from sqlalchemy import Connection, Engine, text

from modq_worker.database import create_engine
from modq_worker.settings import settings
from modq_worker.tables import Table

MIGRATING = 0x6D6F6471
"""The advisory lock of whoever migrates."""


def run_online(url: str) -> None:
    """Bring the database at ``url`` to where Alembic was told, each migration in a transaction of its own."""
    # A migration may work for hours, but it must not queue for a lock: everything else would queue behind it.
    engine = create_engine(url, session={"statement_timeout": "0", "lock_timeout": "5s", "application_name": "modq-migrate"})
    try:
        with _alone(engine), engine.connect() as connection:
            context.configure(connection=connection, target_metadata=Table.metadata, transaction_per_migration=True, compare_server_default=True)
            with context.begin_transaction():
                context.run_migrations()
    finally:
        engine.dispose()


def run_offline() -> None:
    """Write the SQL instead of running it, for whoever may not or will not let a program change the database."""
    context.configure(dialect_name="postgresql", target_metadata=Table.metadata, literal_binds=True, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Wait until no other migrator is at work; the lock ends with its connection, however we end."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Not pg_advisory_lock: a statement that waits would itself hold up CREATE INDEX CONCURRENTLY.
        while not _try_lock(connection):
            time.sleep(0.2)
        yield
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": MIGRATING})


def _try_lock(connection: Connection) -> bool:
    return bool(connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": MIGRATING}))


if context.is_offline_mode():
    run_offline()
else:
    run_online(context.config.attributes.get("database_url") or settings().database())
