"""After `modq erase`, a text of the erased author is nowhere: not in a table, a key, a log, nor in the servers' data files."""

from __future__ import annotations

import http.server
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Engine, inspect, text

from modq import Post, Producer
from modq_worker.embedded import PostgresServer, ValkeyServer
from modq_worker.stream import GROUP

MARKER = "zq" + secrets.token_hex(12)
KEPT = "kq" + secrets.token_hex(12)
NASTY = "You are a worthless idiot and everybody here hates you"
PLACES = ["stream_live", "stream_backlog", "posts", "verdicts", "deliveries", "dead_letters"]

Modq = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A server with an append-only file, as in production; `redis_url` is this one's."""
    with ValkeyServer(tmp_path_factory.mktemp("valkey-aof"), appendonly=True) as server:
        with Redis.from_url(server.url) as client:
            # Plain commands in the rewritten file, not a compressed dump in which a search might overlook a text.
            client.config_set("aof-use-rdb-preamble", "no")
        yield server


@pytest.fixture(scope="module")
def redis_url(valkey: ValkeyServer) -> str:
    return valkey.url


@pytest.fixture
def modq(redis_url: str, database_url: str) -> Modq:
    """The command line, as a process."""

    def modq(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        given = os.environ | {"MODQ_REDIS_URL": redis_url, "MODQ_DATABASE_URL": database_url, "MODQ_ALLOW_PRIVATE_ENDPOINTS": "true"} | settings
        return subprocess.run(
            [sys.executable, "-m", "modq", *words], env=given, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=90, check=False
        )

    return modq


@pytest.fixture
def site() -> Iterator[str]:
    """Answers every webhook with 204."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()
        thread.join()


def tables_with(engine: Engine, needle: str) -> set[str]:
    """The tables that hold it in any column, as text or as bytes."""
    with engine.connect() as connection:
        names = inspect(engine).get_table_names()
        query = "SELECT count(*) FROM {} AS t WHERE position(:plain IN t::text) > 0 OR position(:hex IN t::text) > 0"
        needles = {"plain": needle, "hex": needle.encode().hex()}
        return {name for name in names if connection.scalar(text(query.format(name)), needles)}


def keys_with(redis: Redis, needle: str) -> set[bytes]:
    """The Redis keys that hold it."""
    contents = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"stream": redis.xrange,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1),
    }
    return {key for key in redis.keys("*") if needle.encode() in repr(contents[redis.type(key)](key)).encode()}


def files_with(folder: Path, needle: str) -> set[str]:
    """The files below it that hold it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in files if needle.encode() in path.read_bytes()}


def test_nothing_of_an_author_is_left_anywhere_and_everything_of_the_others_is(
    modq: Modq, start, start_worker, wait_for, redis: Redis, valkey: ValkeyServer, postgres: PostgresServer, engine: Engine, site: str, tmp_path: Path
) -> None:
    def count(query: str) -> int:
        with engine.connect() as connection:
            return connection.scalar(text(query)) or 0

    assert modq("endpoints", "add", site).returncode == 0
    start("notify", MODQ_ALLOW_PRIVATE_ENDPOINTS="true")
    worker = start_worker()
    with Producer(valkey.url) as producer:
        producer.submit(Post("1", f"{NASTY} {MARKER}", author="ada"))
        producer.submit(Post("2", f"Good morning {MARKER}", author="ada", source="game", parent_text=f"Hello {MARKER}"))
        producer.submit(Post("3", f"I disagree {KEPT}", author="bob", parent_text=f"{NASTY} {MARKER}"))
        producer.submit(Post("4", f"{NASTY} {KEPT}", author="bob"))
        redis.xadd("modq:posts:live", {"post": json.dumps({"id": "5", "author": "ada", "txt": MARKER})})
        redis.xadd("modq:posts:live", {"id": "6", "author": "ada", "text": MARKER})
        redis.xadd("modq:posts:live", {"post": json.dumps({"id": "7", "author": "bob", "txt": KEPT})})
        wait_for(lambda: count("SELECT count(*) FROM deliveries WHERE state = 'delivered'") >= 2)
        wait_for(lambda: (count("SELECT count(*) FROM verdicts"), count("SELECT count(*) FROM dead_letters")) == (4, 3))
        worker.kill()
        producer.submit(Post("8", f"Taken by a worker that died {MARKER}", author="ada"))
        redis.xreadgroup(GROUP, "dead", {"modq:posts:live": ">"})
        producer.submit(Post("9", f"Waiting {MARKER}", author="ada"))
        producer.submit(Post("10", f"Waiting {MARKER}", author="ada"), lane="backlog")
        producer.submit(Post("11", f"Waiting {KEPT}", author="bob"))
        producer.submit(Post("12", f"Waiting {KEPT}", author="bob", parent_text=f"Waiting {MARKER}"))

    # What is searched for below can be found, by the same search.
    assert tables_with(engine, MARKER) == {"posts", "dead_letters"}
    assert keys_with(redis, MARKER) == {b"modq:posts:live", b"modq:posts:backlog"}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CHECKPOINT"))
    assert files_with(postgres.folder / "data/base", MARKER)
    wait_for(lambda: files_with(valkey.folder / "appendonlydir", MARKER))

    looked = json.loads(modq("erase", "--author", "ada", "--dry-run", "--json").stdout)
    erased = modq("erase", "--author", "ada", "--yes", "--json", "--vacuum-full")

    assert erased.returncode == 0, erased.stderr
    receipt = json.loads(erased.stdout)
    assert {place: receipt["erased"][place] for place in PLACES} == dict(zip(PLACES, [2, 1, 2, 2, 1, 2], strict=True))
    assert {place: looked["erased"][place] for place in PLACES} == {place: receipt["erased"][place] for place in PLACES}
    assert receipt["erased"]["quotations"] == 2
    assert (receipt["complete"], receipt["redis_files"], receipt["postgres_files"]) == (True, "rewritten", "vacuumed")
    assert MARKER not in erased.stdout + erased.stderr

    assert tables_with(engine, MARKER) == set()
    assert keys_with(redis, MARKER) == set()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CHECKPOINT"))
    assert files_with(postgres.folder / "data/base", MARKER) == set()
    wait_for(lambda: files_with(valkey.folder / "appendonlydir", MARKER) == set())
    assert files_with(valkey.folder / "appendonlydir", KEPT)
    assert files_with(tmp_path, MARKER) == files_with(tmp_path, KEPT) == set()
    assert MARKER not in valkey.log.read_text() + postgres.log.read_text()

    # The others' posts and letters are untouched, and a worker still judges what waits.
    assert count("SELECT count(*) FROM posts") == 2
    assert count("SELECT count(*) FROM dead_letters") == 1
    start_worker()
    wait_for(lambda: count("SELECT count(*) FROM verdicts") == 4)
    again = json.loads(modq("erase", "--author", "ada", "--yes", "--json", "--hash-selector").stdout)
    assert set(again["erased"].values()) == {0}
    assert again["complete"]
    assert again["selector"].keys() == {"sha256"}
    assert tables_with(engine, MARKER) == set()
