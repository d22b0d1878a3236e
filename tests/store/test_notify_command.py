"""The notifier's process survives what happens to processes and databases."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest
from tests.store.conftest import Query
from tests.store.making import verdict
from tests.store.receivers import receiving, silence, status
from tests.store.test_notifier import settled

from modq_worker.embedded import PostgresServer
from modq_worker.endpoints import Endpoints
from modq_worker.migrate import migrate
from modq_worker.verdict_store import VerdictStore

Process = subprocess.Popen[str]
Starting = Callable[..., AbstractContextManager[Process]]


@pytest.fixture
def notify(database_url: str) -> Starting:
    """`modq notify`, as a process of its own."""

    @contextmanager
    def start(**environment: str) -> Iterator[Process]:
        given = {**os.environ, "MODQ_DATABASE_URL": database_url, "MODQ_ALLOW_PRIVATE_ENDPOINTS": "true", **environment}
        with subprocess.Popen([sys.executable, "-m", "modq", "notify"], env=given, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    return start


def test_it_delivers_until_it_is_asked_to_stop(notify: Starting, endpoints: Endpoints, store: VerdictStore, query: Query) -> None:
    with receiving() as receiver, notify() as process:
        endpoints.add(receiver.url, receiver.secret)
        store.save([verdict(str(number)) for number in range(30)])
        settled(query, "delivered", 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def test_it_stops_in_time_though_an_endpoint_hangs(notify: Starting, endpoints: Endpoints, store: VerdictStore) -> None:
    with receiving(silence()) as receiver, notify(MODQ_WEBHOOK_DEADLINE_SECONDS="30") as process:
        endpoints.add(receiver.url, receiver.secret)
        store.save([verdict("1")])
        receiver.wait_for(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5.5) == 0


def test_a_notifier_that_dies_between_sending_and_recording_sends_the_same_again(
    notify: Starting, endpoints: Endpoints, store: VerdictStore, query: Query
) -> None:
    with receiving(lambda handler, count: (silence() if count == 1 else status(204))(handler, count)) as receiver:
        endpoints.add(receiver.url, receiver.secret)
        store.save([verdict("1")])
        with notify() as process:
            receiver.wait_for(1)
            process.kill()
            process.wait()
        query("UPDATE deliveries SET locked_until = now()")  # what the end of the lease would do
        with notify():
            first, second = receiver.wait_for(2)
            settled(query, "delivered", 1)
    assert (first.id, first.body) == (second.id, second.body)


def test_it_outlives_a_database_that_is_away(
    notify: Starting, endpoints: Endpoints, store: VerdictStore, query: Query, database_url: str, postgres: PostgresServer
) -> None:
    name = database_url.rpartition("/")[2]
    with receiving() as receiver, notify() as process, psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        endpoints.add(receiver.url, receiver.secret)
        store.save([verdict("1")])
        settled(query, "delivered", 1)
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        time.sleep(3)
        assert process.poll() is None
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        store.save([verdict("2")])
        settled(query, "delivered", 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert process.stderr is not None
        told = process.stderr.read()
    assert "waiting" in told
    assert "Traceback" not in told


def test_started_before_the_tables_are_there_it_waits_for_them(notify: Starting, empty_database_url: str) -> None:
    with notify(MODQ_DATABASE_URL=empty_database_url) as process:
        assert process.stderr is not None
        while "modq migrate" not in (line := process.stderr.readline()):
            assert line, "it ended"
        migrate(empty_database_url)
        time.sleep(0.5)
        assert process.poll() is None
