"""The store is killed, read-only, locked, deadlocked, crowded or out of disk; batches are held, and workers say what they wait for."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from tests.faults.targets import AFTER_AN_OUTAGE, FEWER_POSTS
from tests.faults.world import World

from modq import Post

pytestmark = pytest.mark.faults


def test_postgres_is_killed(busy_world) -> None:
    # Seen to fail when a batch is acknowledged although the store was away.
    with busy_world("kill -9 of Postgres", posts=FEWER_POSTS, outage=1) as world:
        world.postgres.kill9()
        time.sleep(1)
        world.postgres.start()


@contextmanager
def patient(world: World, sentence: str) -> Iterator[None]:
    """Within, the workers wait: each says for what, in its log, and takes next to no processor time; none dies."""
    began, before = time.monotonic(), {name: world.cpu_seconds(name) for name in world.workers}
    yield
    waited = time.monotonic() - began
    for name in world.workers:
        assert world.restarts[name] == 0
        assert sentence in world.log_of(name)
        # Seen to fail without the pause between two tries.
        assert world.cpu_seconds(name) - before[name] < 0.25 * waited, f"{name} spins"
        assert world.log_of(name).count("waiting") <= 2 + waited / 5, "it says so now and then, not at every try"


@pytest.mark.faults_long
def test_postgres_is_down_for_10_seconds(busy_world) -> None:
    with busy_world("Postgres down for 10 s", outage=10) as world:
        with patient(world, "The store cannot be reached"):
            world.postgres.stop()
            time.sleep(10)
        world.postgres.start()


@pytest.mark.faults_long
def test_postgres_is_read_only(busy_world) -> None:
    # Seen to fail, like the next four, when this error counts as data that was refused.
    with busy_world("Postgres read-only for 8 s", outage=8) as world:
        with patient(world, "The store is read-only"):
            _alter(world, "on")
            time.sleep(8)
        _alter(world, "off")


def _alter(world: World, read_only: str) -> None:
    with psycopg.connect(world.postgres.url(), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {read_only}")
        connection.execute("SELECT pg_reload_conf()")


@pytest.mark.faults_long
def test_a_table_is_locked_for_10_seconds(busy_world) -> None:
    with (
        busy_world("the table of verdicts locked for 10 s", outage=10) as world,
        patient(world, "Another transaction holds a lock for too long"),
        psycopg.connect(world.postgres.url()) as connection,
    ):
        connection.execute("LOCK TABLE verdicts IN ACCESS EXCLUSIVE MODE")
        time.sleep(10)


@pytest.mark.faults_long
def test_a_worker_is_the_victim_of_a_deadlock(make_world, balance) -> None:
    posts = sorted((Post(f"deadlock-{number}", f"words {number}") for number in range(50)), key=lambda post: post.key)
    with make_world(workers=1) as world, psycopg.connect(world.postgres.url()) as other:
        # Ours never looks for deadlocks, so that it is the worker whom Postgres ends.
        other.execute("SET deadlock_timeout = '1h'")
        _insert(other, posts[-1])
        # The worker takes the first that comes, and then, since it looks when they are all there, the others in one batch.
        world.signal("worker-0", signal.SIGSTOP)
        world.send(*posts[1:], posts[0])
        world.signal("worker-0", signal.SIGCONT)
        world.wait_for(lambda: world.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'modq'"), 5)
        _insert(other, posts[0])
        other.rollback()
        balance(world, fault="a deadlock, at a worker's cost", within=AFTER_AN_OUTAGE)
        assert "Postgres ended a deadlock at our cost" in world.log_of("worker-0")


def _insert(connection: psycopg.Connection, post: Post) -> None:
    connection.execute(
        "INSERT INTO posts (key, source, post_id, content_hash, lane, published_at) VALUES (%s, 'default', %s, %s, 'live', now())",
        [post.key, post.id, post.content_hash],
    )


@pytest.mark.faults_long
def test_postgres_has_no_connection_left(busy_world) -> None:
    with busy_world("all connections of Postgres taken for 12 s", outage=13) as world:
        taken = list(_all_connections(world))
        with patient(world, "too many clients already"):
            # Longer than they keep silent about why they wait.
            time.sleep(12)
        for connection in taken:
            connection.close()


def _all_connections(world: World) -> Iterator[psycopg.Connection]:
    """Cut everybody's, and take every one that there is."""
    first = psycopg.connect(world.postgres.url(), autocommit=True)
    yield first
    for _ in range(5):
        first.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'modq%'")
        try:
            while True:
                yield psycopg.connect(world.postgres.url())
        except psycopg.OperationalError:
            time.sleep(0.1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 150 MB of memory, that can really be full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150m,mode=755", "tmpfs", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk is mounted for this test, which takes root: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.faults_long
def test_the_disk_of_postgres_is_full(busy_world, small_disk: Path) -> None:
    with busy_world("the disk of Postgres full for 8 s", outage=8, disk=small_disk) as world:
        # The log of transactions gets its room for what comes first; with none, Postgres ends itself, which is another test.
        with psycopg.connect(world.postgres.url(), autocommit=True) as connection:
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CREATE TABLE ballast ()")
        with patient(world, "The store's disk is full"):
            _fill(small_disk / "ballast")
            time.sleep(8)
        (small_disk / "ballast").unlink()


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
