"""The embedded servers keep what they confirmed, and their passwords, wherever their folder is."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis

from modq_worker.child import ChildFailed
from modq_worker.embedded import EmbeddedServers, PostgresServer, ValkeyServer
from modq_worker.folder_lock import FolderInUse


def _write(servers: EmbeddedServers) -> None:
    with redis.Redis.from_url(servers.redis_url) as client:
        client.set("kept", "yes")
    with psycopg.connect(servers.database_url) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('yes')")


def _read(servers: EmbeddedServers) -> tuple[bytes | None, str | None]:
    with redis.Redis.from_url(servers.redis_url) as client, psycopg.connect(servers.database_url) as connection:
        row = connection.execute("SELECT word FROM kept").fetchone()
        return client.get("kept"), row[0] if row else None


@pytest.mark.parametrize("folder", ["plain", "with a space and 'quotes'", "long/" + "/".join(["a-long-name-of-a-folder"] * 9)])
def test_data_is_there_again_in_any_folder(tmp_path: Path, folder: str) -> None:
    with EmbeddedServers(tmp_path / folder, fast=True) as servers:
        _write(servers)
    with EmbeddedServers(tmp_path / folder) as servers:
        assert _read(servers) == (b"yes", "yes")


def test_data_outlives_kill_9_of_the_servers_and_they_come_back_on_their_ports(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, fast=True) as servers:
        _write(servers)
        urls = servers.redis_url, servers.database_url
        servers.valkey.kill9()
        servers.postgres.kill9()
        servers.valkey.start()
        servers.postgres.start()
        assert (servers.redis_url, servers.database_url) == urls
        assert _read(servers) == (b"yes", "yes")


def test_nobody_enters_without_the_password(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, fast=True) as servers:
        with redis.Redis(port=servers.valkey.port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://modq@127.0.0.1:{servers.postgres.port}/modq", connect_timeout=5)


def test_passwords_are_on_no_command_line_and_in_no_readable_file(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, fast=True) as servers:
        passwords = [servers.redis_url.split(":")[2].split("@")[0], servers.database_url.split(":")[2].split("@")[0]]
        lines = [path.read_bytes().decode(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        assert not [line for line in lines for password in passwords if password in line]
        holders = [path for path in tmp_path.rglob("*") if path.is_file() and any(p.encode() in path.read_bytes() for p in passwords)]
        assert holders
        assert {path.stat().st_mode & 0o077 for path in [*holders, servers.home]} == {0}


def test_the_queue_never_throws_posts_away_and_writes_them_to_disk(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path) as server, redis.Redis.from_url(server.url, decode_responses=True) as client:
        wanted = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "always"}
        assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_a_second_stack_in_the_same_folder_is_told_who_is_there(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, fast=True), pytest.raises(FolderInUse, match=f"process {os.getpid()}"):
        EmbeddedServers(tmp_path).__enter__()


def test_a_cluster_that_was_left_half_made_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "data.new" / "base").mkdir(parents=True)
    (tmp_path / "data.new" / "PG_VERSION").write_text("18\n")
    with PostgresServer(tmp_path, fast=True) as server, psycopg.connect(server.url()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_pid_file_whose_number_another_process_bears_is_no_obstacle(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path, fast=True)
    server.start()
    pid_file = tmp_path / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.kill9()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    server.start()
    server.stop()


def test_data_of_another_major_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with PostgresServer(tmp_path, fast=True):
        pass
    (tmp_path / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(ChildFailed, match="was made by Postgres 12"):
        PostgresServer(tmp_path, fast=True).start()


def test_children_are_not_started_from_threads_that_may_end(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path)
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="main thread"):
        pool.submit(server.start).result()


def test_the_log_of_the_store_does_not_repeat_what_a_statement_failed_on(tmp_path: Path) -> None:
    with PostgresServer(tmp_path, fast=True) as server, psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE words (word text NOT NULL UNIQUE, other text)")
        connection.execute("INSERT INTO words VALUES ('sekrit-one')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO words VALUES ('sekrit-one')")
        with pytest.raises(psycopg.errors.NotNullViolation):
            connection.execute("INSERT INTO words VALUES (NULL, 'sekrit-two')")
        log = server.log.read_text()
    assert "violates" in log
    assert "sekrit" not in log
