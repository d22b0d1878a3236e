"""Real servers for every test: one Valkey and one Postgres a session, a clean queue and a fresh database a test."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator

import psycopg
import pytest
import redis as redis_py
from sqlalchemy import Engine

from modq_worker.database import create_engine
from modq_worker.embedded import PostgresServer, ValkeyServer
from modq_worker.migrate import migrate

_NUMBERS = itertools.count()
_WITHOUT_NODE = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of tests/faults; pytest hears of them here, whichever folder is run."""
    parser.addoption("--write-faults", action="store_true", help="write docs/faults.md from this run of -m faults")
    parser.addoption("--faults-seed", type=int, metavar="SEED", help="repeat the random mix of faults that printed this seed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need Node where there is none; missing servers are errors, never a reason to leave a test out."""
    needing = [] if shutil.which("node") else [item for item in items if item.get_closest_marker("node")]
    config.stash[_WITHOUT_NODE] = len(needing)
    if needing:
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    if count := config.stash.get(_WITHOUT_NODE, 0):
        return [f"{count} test(s) marked node are left out: there is no node on the PATH"]
    return []


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path_factory.mktemp("valkey"), appendonly=False) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(valkey: ValkeyServer) -> str:
    """The session's server; a test that writes to it asks for `redis` as well, which empties it first."""
    return valkey.url


@pytest.fixture
def redis(redis_url: str) -> Iterator[redis_py.Redis]:
    """A client of an empty server that answers in bytes."""
    with redis_py.Redis.from_url(redis_url, decode_responses=False, socket_timeout=10) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres"), fast=True) as server:
        yield server


@pytest.fixture(scope="session")
def migrated(postgres: PostgresServer) -> str:
    """The name of the database that the migrations built, from which each test's is cloned."""
    migrate(_url(postgres, "modq"))
    return "modq"


@pytest.fixture
def empty_database_url(postgres: PostgresServer) -> Iterator[str]:
    """A database of the test's own without any table, for tests of the migrations themselves."""
    yield from _database(postgres, "template0")


@pytest.fixture
def database_url(postgres: PostgresServer, migrated: str) -> Iterator[str]:
    """A migrated database of the test's own, as `settings().database()` would give it."""
    yield from _database(postgres, migrated)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


def _database(postgres: PostgresServer, template: str) -> Iterator[str]:
    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        yield _url(postgres, name)
        # A test that lost its server on purpose has closed this connection.
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _url(postgres: PostgresServer, database: str) -> str:
    return postgres.url(database).replace("postgresql://", "postgresql+psycopg://", 1)
