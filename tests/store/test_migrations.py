"""The migrations build the tables that the code reads and writes."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import uuid
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
    assert revisions(database_url).present == "0002", "a migration that fails leaves nothing half done"


OLD_SAVE = """
    WITH kept AS (
        INSERT INTO posts (key, source, post_id, content_hash, lane, published_at)
        VALUES (:key, 'default', CAST(:key AS text), '', 'live', now())
    )
    INSERT INTO verdicts (post_key, revision, label, score, rules, truncated, adapter, policy)
    VALUES (:key, 0, 'toxic', 0.9, NULL, false, 'tiny@1', 'threshold=0.5')
"""
"""What a worker of the time before severities writes."""


def test_a_worker_of_before_severities_writes_while_they_come_and_after(engine: Engine, database_url: str) -> None:
    config = Config(attributes={"database_url": database_url})
    config.set_main_option("script_location", str(migrations_folder()))
    command.downgrade(config, "0002")
    failed, done, written = [], threading.Event(), itertools.count()

    def write() -> None:
        while not done.is_set():
            try:
                with engine.begin() as connection:
                    connection.execute(text(OLD_SAVE), {"key": uuid.uuid4()})
                next(written)
            except Exception as error:
                failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    migrate(database_url)
    done.set()
    writer.join()
    write_once = {"key": uuid.uuid4()}
    with engine.begin() as connection:
        connection.execute(text(OLD_SAVE), write_once)
        assert connection.scalar(text("SELECT severity FROM verdicts_in_force WHERE key = :key"), write_once) is None
        assert connection.scalar(text("SELECT count(*) FROM verdicts")) == next(written) + 1
    assert failed == []


def test_severities_come_without_writing_a_row_anew_or_reading_all_of_them_behind_a_lock(engine: Engine, database_url: str) -> None:
    config = Config(attributes={"database_url": database_url})
    config.set_main_option("script_location", str(migrations_folder()))
    command.downgrade(config, "0002")
    before = _file_of_verdicts(engine)
    command.upgrade(config, "0003")
    assert _validated(engine) is False, "the rows were read in the transaction that holds the lock"
    with engine.connect() as worker:
        worker.execute(text(OLD_SAVE), {"key": uuid.uuid4()})
        command.upgrade(config, "0004")
        worker.commit()
    assert _validated(engine) is True
    assert _file_of_verdicts(engine) == before


def test_whoever_may_read_the_view_may_read_it_after_any_migration(engine: Engine, database_url: str) -> None:
    config = Config(attributes={"database_url": database_url})
    config.set_main_option("script_location", str(migrations_folder()))
    role = f"reader_{uuid.uuid4().hex}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role}"))
        connection.execute(text(f"GRANT SELECT ON verdicts_in_force TO {role}"))
        connection.execute(text("CREATE VIEW of_the_site AS SELECT post_id, label FROM verdicts_in_force"))
    for move, revision in ((command.downgrade, "0002"), (command.upgrade, "head")):
        move(config, revision)
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL ROLE {role}"))
            connection.execute(text("SELECT * FROM verdicts_in_force"))
    with engine.begin() as connection:
        connection.execute(text("SELECT * FROM of_the_site"))
        connection.execute(text("DROP VIEW of_the_site"))
        connection.execute(text(f"DROP OWNED BY {role}; DROP ROLE {role}"))


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
    assert "now at revision 0004" in capsys.readouterr().out
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
    assert "now at revision 0004" in told.out
    assert "this folder's own Postgres" in told.err
    assert cli.main(["migrate", "--check"]) == 0
    settings.cache_clear()


def test_an_unreachable_store_is_one_sentence_without_its_password() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        migrate("postgresql://modq:s3cret@127.0.0.1:9/modq")
    assert "s3cret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def _file_of_verdicts(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT pg_relation_filenode('verdicts')")) or 0)


def _validated(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(text("SELECT convalidated FROM pg_constraint WHERE conname = 'ck_verdicts_severity'")))


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
