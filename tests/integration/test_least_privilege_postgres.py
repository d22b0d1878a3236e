"""The store's roles of deploy/postgres-roles.sql: everything of modq runs as its own, and none can do anything else."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet
from redis import Redis
from sqlalchemy.engine import make_url
from tests.store.receivers import Receiver, receiving, status

from modq import Post, Producer
from modq.post import stream_of
from modq_worker.embedded import PostgresServer
from modq_worker.migrate import migrate
from modq_worker.reader import VerdictReader

ROLES = Path(__file__).parents[2] / "deploy/postgres-roles.sql"
NAMES = ("migrate", "worker", "notifier", "operator", "read")
ENDPOINT_ACTIONS = ("list", "test 1", "disable 1", "enable 1", "replay 1", "rotate 1", "drop-old 1", "seal")
NASTY = "You are a worthless idiot and everybody here hates you"


class Store:
    """A database whose roles are those of the file."""

    def __init__(self, url: str, server: PostgresServer) -> None:
        self._url = make_url(url).set(drivername="postgresql")
        self._password = secrets.token_hex(16)
        self.log = server.log

    def as_superuser(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self._url.render_as_string(hide_password=False), autocommit=True)

    def url(self, role: str) -> str:
        return self._url.set(username=f"modq_{role}", password=self._password).render_as_string(hide_password=False)

    def make_roles(self) -> None:
        with self.as_superuser() as connection:
            connection.execute(ROLES.read_text())
            for name in NAMES:
                connection.execute(f"ALTER ROLE modq_{name} PASSWORD '{self._password}'")

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with self.as_superuser() as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def store(empty_database_url: str, postgres: PostgresServer) -> Store:
    """As the file says: run it, migrate as modq_migrate, run it again."""
    store = Store(empty_database_url, postgres)
    store.make_roles()
    migrate(store.url("migrate"))
    store.make_roles()
    return store


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    # The first failure is recorded, and taken back by the second attempt.
    with receiving(status(500, 204)) as receiver:
        yield receiver


def test_everything_of_modq_runs_as_its_own_role_and_none_is_ever_denied(
    store: Store, start, redis: Redis, redis_url: str, receiver: Receiver, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    before = store.log.stat().st_size
    webhooks = {"MODQ_ALLOW_PRIVATE_ENDPOINTS": "true", "MODQ_SECRET_KEY": Fernet.generate_key().decode()}

    def modq(role: str, *words: str) -> str:
        process = start(*words, MODQ_DATABASE_URL=store.url(role), MODQ_LOG_LEVEL="WARNING", **webhooks)
        assert process.popen.wait(60) == 0, process.log.read_text()
        return process.log.read_text()

    (tmp_path / "secret").write_text(receiver.secret)
    modq("operator", "endpoints", "add", receiver.url, "--secret-file", str(tmp_path / "secret"))
    worker = start("work", MODQ_DATABASE_URL=store.url("worker"))
    notifier = start("notify", MODQ_DATABASE_URL=store.url("notifier"), **webhooks)
    with Producer(redis_url) as producer:
        producer.submit(Post("nasty", NASTY, author="bob"))
        producer.submit(Post("nice", "Thanks a lot", author="ada"))
    redis.xadd(stream_of("live"), {"post": "{"})

    with VerdictReader(store.url("read")) as reader:
        assert reader.wait("nasty", 60).label == "toxic"
        assert reader.wait("nice", 60).label == "safe"
    assert {json.loads(line)["post_id"] for line in modq("read", "verdicts", "--json").splitlines()} == {"nasty", "nice"}
    wait_for(lambda: store.rows("SELECT state FROM deliveries") == [("delivered",)])
    assert store.rows("SELECT failing_since FROM endpoints") == [(None,)]
    wait_for(lambda: store.rows("SELECT count(*) FROM dead_letters") == [(1,)])
    assert worker.stop() == 0
    assert notifier.stop() == 0

    assert "not_json" in modq("operator", "dead-letters", "list")
    modq("operator", "dead-letters", "show", "1")
    modq("operator", "dead-letters", "replay", "--all")
    assert "delivered" in modq("operator", "verdicts", "show", "nasty")
    for action in ENDPOINT_ACTIONS:
        modq("operator", "endpoints", *action.split())
    modq("operator", "expire", "--days", "0")
    assert store.rows("SELECT count(text) FROM posts") == [(0,)]
    modq("operator", "erase", "--author", "bob", "--yes")
    assert store.rows("SELECT post_id FROM posts") == [("nice",)]
    modq("operator", "endpoints", "remove", "1")
    modq("migrate", "migrate")

    with store.log.open() as log:
        log.seek(before)
        assert "permission denied" not in log.read()


DENIED = {
    "worker": [
        "SELECT text FROM posts",
        "SELECT author FROM posts",
        "SELECT score FROM verdicts",
        "SELECT raw FROM dead_letters",
        "SELECT * FROM verdicts_in_force",
        "SELECT secrets FROM endpoints",
        "SELECT url FROM endpoints",
        "SELECT webhook_id FROM deliveries",
        "UPDATE endpoints SET url = 'https://attacker.example'",
        "UPDATE endpoints SET disabled_at = now()",
        "UPDATE verdicts SET label = 'safe'",
        "UPDATE posts SET text = ''",
        "UPDATE deliveries SET state = 'delivered'",
        "INSERT INTO deliveries (post_key, revision, endpoint_id, webhook_id, event, state) VALUES (gen_random_uuid(), 0, 1, 'm', 'e', 'delivered')",
        "INSERT INTO endpoints (url, secrets, events) VALUES ('https://attacker.example', '{}', '{}')",
        "DELETE FROM verdicts",
        "DELETE FROM dead_letters",
    ],
    "notifier": [
        "SELECT text FROM posts",
        "SELECT parent_text FROM posts",
        "SELECT * FROM verdicts_in_force",
        "SELECT raw FROM dead_letters",
        "UPDATE endpoints SET url = 'https://attacker.example'",
        "UPDATE endpoints SET secrets = '{}'",
        "UPDATE deliveries SET webhook_id = 'm'",
        "UPDATE deliveries SET endpoint_id = 1",
        "UPDATE verdicts SET label = 'safe'",
        "INSERT INTO verdicts (post_key, label) VALUES (gen_random_uuid(), 'toxic')",
        "INSERT INTO deliveries (post_key) VALUES (gen_random_uuid())",
        "DELETE FROM deliveries",
        "DELETE FROM endpoints",
    ],
    "operator": [
        "INSERT INTO verdicts (post_key, label) VALUES (gen_random_uuid(), 'toxic')",
        "INSERT INTO posts (key) VALUES (gen_random_uuid())",
        "UPDATE verdicts SET label = 'safe'",
        "UPDATE posts SET author = 'somebody else'",
        "UPDATE deliveries SET webhook_id = 'm'",
    ],
    "read": [
        "SELECT * FROM posts",
        "SELECT * FROM verdicts",
        "SELECT * FROM deliveries",
        "SELECT * FROM dead_letters",
        "SELECT secrets FROM endpoints",
        "SELECT url FROM endpoints",
        "SELECT * FROM alembic_version",
        "SELECT * FROM verdicts_in_force FOR UPDATE",
    ],
}
DENIED_TO_ALL = [
    "DROP TABLE posts",
    "TRUNCATE verdicts",
    "ALTER TABLE endpoints ADD COLUMN leak text",
    "CREATE TABLE mine (x int)",
    "CREATE TEMPORARY TABLE mine (x int)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "CREATE VIEW leak AS SELECT secrets FROM endpoints",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SET ROLE modq_migrate",
    "COPY posts TO PROGRAM 'cat'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT rolpassword FROM pg_authid",
    "ALTER SYSTEM SET log_statement = 'all'",
]


@pytest.mark.parametrize("role", DENIED)
def test_a_role_can_do_nothing_but_its_own(store: Store, role: str) -> None:
    allowed = []
    with psycopg.connect(store.url(role), autocommit=True) as connection:
        for statement in (*DENIED[role], *DENIED_TO_ALL):
            try:
                connection.execute(statement)
                allowed.append(statement)
            except psycopg.errors.InsufficientPrivilege:
                pass
            except psycopg.Error as error:
                allowed.append(f"{statement}: refused for another reason, {error}")
    assert allowed == []


def test_the_role_of_migrations_is_no_superuser(store: Store) -> None:
    with psycopg.connect(store.url("migrate"), autocommit=True) as connection:
        for statement in ("COPY posts TO PROGRAM 'cat'", "CREATE ROLE mine", "CREATE DATABASE mine", "SELECT pg_read_file('/etc/passwd')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_a_role_without_a_password_cannot_log_in_and_the_file_gives_none(store: Store) -> None:
    assert "password '" not in ROLES.read_text().lower()
    with store.as_superuser() as connection:
        connection.execute("ALTER ROLE modq_read PASSWORD NULL")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(store.url("read"))


def test_a_store_that_another_role_migrated_is_taken_over_and_rights_given_by_hand_are_taken_back(
    database_url: str, postgres: PostgresServer
) -> None:
    store = Store(database_url, postgres)
    store.make_roles()
    with store.as_superuser() as connection:
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO modq_read")
        connection.execute("GRANT SELECT (secrets) ON endpoints TO modq_worker")
    store.make_roles()
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public' UNION SELECT viewowner FROM pg_views WHERE schemaname = 'public'"
    assert store.rows(owners) == [("modq_migrate",)]
    assert migrate(store.url("migrate")).equal
    for role, query in (("read", "SELECT secrets FROM endpoints"), ("worker", "SELECT secrets FROM endpoints")):
        with psycopg.connect(store.url(role)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(query)


def test_a_reader_that_asks_for_more_is_told_in_a_sentence(store: Store, start) -> None:
    process = start("endpoints", "list", MODQ_DATABASE_URL=store.url("read"))
    assert process.popen.wait(60) == 1
    assert process.log.read_text() == "modq endpoints: The store failed (42501): permission denied for table endpoints\n"
