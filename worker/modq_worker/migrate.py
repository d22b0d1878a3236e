"""Brings the tables of the store to the shape that this modq needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from modq_worker.database import connected
from modq_worker.store_errors import StoreError, store_errors

_HERE = Path(__file__).parent


class MigrationFailed(StoreError):
    """The store's revision is none that this modq knows: it was migrated by a newer one."""


@dataclass(frozen=True, slots=True)
class Revisions:
    """Where the store is, and where this modq wants it."""

    present: str | None
    """None: no table was ever made."""
    wanted: str

    @property
    def equal(self) -> bool:
        """Whether there is nothing to migrate."""
        return self.present == self.wanted


def migrate(database_url: str) -> Revisions:
    """Bring the store to the newest revision; what is there already stays, so it is safe to repeat.

    Of two migrators at once, the second waits for the first. A migration that fails leaves the store at the one before.

    Returns:
        The revision before, and the one now.

    Raises:
        StoreUnavailable: the store cannot be reached, or something holds a table for longer than 5 s.
        MigrationFailed: the store is newer than this modq.
    """
    before = revisions(database_url)
    with store_errors():
        try:
            command.upgrade(_config(database_url), "head")
        except CommandError as error:
            raise MigrationFailed(f"The store cannot be migrated: {error}") from error
    return before


def revisions(database_url: str) -> Revisions:
    """Where the store is and where ``migrate`` would bring it; changes nothing.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    with connected(database_url) as engine, store_errors(), engine.connect() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    head = ScriptDirectory.from_config(_config(database_url)).get_current_head()
    assert head is not None, "modq comes with at least one migration"
    return Revisions(present, head)


def migrations_folder() -> Path:
    """The Alembic folder: inside the installed package, or at the root of a checkout."""
    shipped = _HERE / "shipped" / "migrations"
    return shipped if shipped.is_dir() else _HERE.parents[1] / "migrations"


def _config(database_url: str) -> Config:
    config = Config()
    # Alembic's own interpolation must not meet a % in the path.
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["database_url"] = database_url
    return config
