"""An error of the store says whether the world failed or the data was refused, and never what was in a post."""

from __future__ import annotations

import threading
import traceback
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text
from tests.store.conftest import Query
from tests.store.making import verdict

from modq.signature import new_secret
from modq_worker.database import InvalidDatabaseUrl, create_engine
from modq_worker.endpoints import Endpoints
from modq_worker.store_errors import StoreRefused, StoreUnavailable
from modq_worker.verdict_store import VerdictStore

SECRET_WORDS = "nobody may read this"


def test_a_locked_table_is_the_worlds_fault(engine: Engine, database_url: str) -> None:
    impatient = create_engine(database_url, session={"lock_timeout": "200ms"})
    with engine.begin() as other:
        other.execute(text("LOCK TABLE verdicts IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(StoreUnavailable, match="lock"):
            VerdictStore(impatient).save([verdict("1")])
    assert VerdictStore(impatient).save([verdict("1")]) == 1, "nothing was kept of the first try"
    impatient.dispose()


def test_a_statement_that_takes_too_long_is_the_worlds_fault(engine: Engine, database_url: str) -> None:
    impatient = create_engine(database_url, session={"statement_timeout": "200ms"})
    with engine.begin() as other:
        other.execute(text("LOCK TABLE verdicts IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(StoreUnavailable, match="too long"):
            VerdictStore(impatient).save([verdict("1")])
    impatient.dispose()


def test_a_read_only_store_is_the_worlds_fault(database_url: str) -> None:
    standby = create_engine(database_url, session={"default_transaction_read_only": "on"})
    with pytest.raises(StoreUnavailable, match="read-only"):
        VerdictStore(standby).save([verdict("1")])
    standby.dispose()


def test_a_backend_that_is_terminated_is_the_worlds_fault(store: VerdictStore, engine: Engine, query: Query) -> None:
    with engine.begin() as blocker:
        blocker.execute(text("LOCK TABLE verdicts IN ACCESS EXCLUSIVE MODE"))
        threading.Timer(0.5, _terminate_waiting, [engine]).start()
        with pytest.raises(StoreUnavailable):
            store.save([verdict("1")])
    assert store.save([verdict("1")]) == 1, "the pool recovers by itself"


def test_connections_that_died_while_idle_are_replaced_unseen(store: VerdictStore, engine: Engine, database_url: str) -> None:
    store.save([verdict("1")])
    admin = create_engine(database_url)
    with admin.begin() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        )
    admin.dispose()
    assert store.save([verdict("2")]) == 1


def test_a_user_without_rights_is_the_worlds_fault_and_told_which(database_url: str) -> None:
    humble = create_engine(database_url, session={"role": "pg_read_all_data"})
    with pytest.raises(StoreUnavailable, match="permission denied for table"):
        VerdictStore(humble).save([verdict("1")])
    humble.dispose()


def test_a_server_that_is_not_there_is_the_worlds_fault() -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        VerdictStore(create_engine("postgresql://modq:s3cret@127.0.0.1:9/modq")).save([verdict("1")])


def test_an_endpoint_that_is_removed_meanwhile_refuses_no_verdict(store: VerdictStore, endpoints: Endpoints, engine: Engine, query: Query) -> None:
    removed = endpoints.add("http://127.0.0.1/a", new_secret())
    with engine.begin() as remover:
        remover.execute(text("DELETE FROM endpoints WHERE id = :id"), {"id": removed})
        saver = threading.Thread(target=store.save, args=[[verdict("1")]])
        saver.start()
        saver.join(0.5)
        assert saver.is_alive(), "the save waits for the removal"
    saver.join(10)
    assert query("SELECT (SELECT count(*) FROM verdicts), (SELECT count(*) FROM deliveries)") == [(1, 0)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": float("nan")},
        {"score": 1.5},
        {"rules": {"insult": float("nan")}},
        {"severity": "grave"},
        {"label": "odd"},
        {"adapter": "nul \x00"},
        {"adapter": "surrogate \ud800"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_data_that_no_retry_mends_is_refused_and_nothing_of_its_batch_is_kept(store: VerdictStore, query: Query, wrong: dict[str, object]) -> None:
    poison = replace(verdict("2", SECRET_WORDS), **wrong)  # type: ignore[arg-type]
    with pytest.raises(StoreRefused) as caught:
        store.save([verdict("1"), poison])
    assert query("SELECT count(*) FROM posts") == [(0,)]
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET_WORDS not in told
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "url", ["mysql://me:s3cret@host/db", "s3cret", "postgresql+nope://me:s3cret@host/db", "postgresql://host:s3cret/db", "sqlite:///s3cret"]
)
def test_a_url_that_is_not_of_postgres_is_an_error_that_does_not_repeat_it(url: str) -> None:
    with pytest.raises(InvalidDatabaseUrl) as caught:
        create_engine(url)
    assert "s3cret" not in str(caught.value)


def test_what_the_url_says_of_the_session_wins(database_url: str) -> None:
    engine = create_engine(f"{database_url}?options=-c%20statement_timeout%3D1234ms&application_name=mine")
    with engine.connect() as connection:
        told = connection.execute(
            text("SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('application_name')")
        )
        assert tuple(told.one()) == ("1234ms", "5s", "mine")
    engine.dispose()


def _terminate_waiting(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
        )
