"""The migrations build the tables that the code reads and writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text
from tests.store.making import verdict

from modq import cli
from modq_worker.database import create_engine
from modq_worker.migrate import MigrationFailed, migrate, migrations_folder, revisions
from modq_worker.settings import settings
from modq_worker.store_errors import StoreNotMigrated, StoreUnavailable
from modq_worker.tables import Table
from modq_worker.verdict_store import VerdictStore


def test_the_migrations_build_just_the_tables_of_the_code(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Table.metadata) == []


def test_constraints_that_alembic_does_not_compare_are_there_too(engine: Engine, empty_database_url: str) -> None:
    made = create_engine(empty_database_url)
    Table.metadata.create_all(made)
    assert _catalogue(engine) == _catalogue(made)
    made.dispose()


def test_a_migration_can_be_undone_and_made_again(database_url: str) -> None:
    config = Config(attributes={"database_url": database_url})
    config.set_main_option("script_location", str(migrations_folder()))
    command.downgrade(config, "base")
    assert revisions(database_url).present is None
    migrate(database_url)
    assert revisions(database_url).equal


def test_migrating_twice_is_safe(empty_database_url: str) -> None:
    assert migrate(empty_database_url).present is None
    assert migrate(empty_database_url).equal


def test_two_migrators_at_once_take_turns(empty_database_url: str) -> None:
    # Alembic keeps its state in globals, so the rivals are processes.
    code = "import sys; from modq_worker.migrate import migrate; migrate(sys.argv[1])"
    racers = [subprocess.Popen([sys.executable, "-c", code, empty_database_url]) for _ in range(3)]
    assert [racer.wait(60) for racer in racers] == [0, 0, 0]
    assert revisions(empty_database_url).equal


def test_a_migrator_does_not_queue_for_a_table_that_is_in_use(engine: Engine, database_url: str) -> None:
    config = Config(attributes={"database_url": database_url})
    config.set_main_option("script_location", str(migrations_folder()))
    with engine.connect() as user:
        user.execute(text("SELECT * FROM endpoints"))
        with pytest.raises(Exception, match="lock timeout"):
            command.downgrade(config, "base")
    assert revisions(database_url).equal, "a migration that fails leaves nothing half done"


def test_a_store_of_a_newer_modq_is_left_alone(engine: Engine, database_url: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(MigrationFailed, match="9999"):
        migrate(database_url)


def test_a_store_without_tables_says_what_to_do(empty_database_url: str) -> None:
    engine = create_engine(empty_database_url)
    with pytest.raises(StoreNotMigrated, match="modq migrate"):
        VerdictStore(engine).save([verdict("1")])
    engine.dispose()


def test_the_command_checks_and_migrates(empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MODQ_DATABASE_URL", empty_database_url)
    settings.cache_clear()
    assert cli.main(["migrate", "--check"]) == 1
    assert "Run: modq migrate" in capsys.readouterr().err
    assert cli.main(["migrate"]) == 0
    assert "now at revision 0002" in capsys.readouterr().out
    assert cli.main(["migrate", "--check"]) == 0
    settings.cache_clear()


def test_without_a_configured_store_the_folders_own_postgres_is_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODQ_HOME", str(tmp_path / "a home"))
    monkeypatch.delenv("MODQ_DATABASE_URL", raising=False)
    settings.cache_clear()
    assert cli.main(["migrate"]) == 0
    told = capsys.readouterr()
    assert "now at revision 0002" in told.out
    assert "this folder's own Postgres" in told.err
    assert cli.main(["migrate", "--check"]) == 0
    settings.cache_clear()


def test_an_unreachable_store_is_one_sentence_without_its_password() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        migrate("postgresql://modq:s3cret@127.0.0.1:9/modq")
    assert "s3cret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def _catalogue(engine: Engine) -> list[tuple[str, str]]:
    constraints = """
        SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid <> coalesce(to_regclass('alembic_version'), 0)
        UNION ALL
        SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
        ORDER BY 1, 2
    """
    with engine.connect() as connection:
        return [(row[0], row[1]) for row in connection.execute(text(constraints))]
