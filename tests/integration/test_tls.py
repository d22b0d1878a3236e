"""Queue and store over TLS: what is not certified for its name by whom we trust is never spoken to, by no part of modq."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis as redis_py
from sqlalchemy import func, select

from modq import AsyncProducer, Post, Producer, QueueUnavailable
from modq_worker.child import open_to_nobody, run_unprivileged, start_child, stop_child
from modq_worker.database import create_engine
from modq_worker.migrate import migrate
from modq_worker.ports import free_port
from modq_worker.private_files import private_folder
from modq_worker.stream import ALIVE
from modq_worker.tables import VerdictRow

pytestmark = pytest.mark.tls


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    def certify(self, name: str) -> tuple[Path, Path]:
        """A certificate and key for the host ``name``."""
        key, request, certificate = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        names = self.folder / f"{name}.names"
        names.write_text(f"subjectAltName=DNS:{name}\n")
        by_us = ("-CA", self.certificate, "-CAkey", self.folder / "ca.key", "-CAcreateserial", "-days", "2", "-extfile", names)
        openssl("x509", "-req", "-in", request, "-out", certificate, *by_us)
        return certificate, key


def openssl(*words: str | Path) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return private_folder(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return _authority(folder / "authority")


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Authority:
    """Another authority, of the same name, whom nobody trusts."""
    return _authority(folder / "stranger")


def _authority(folder: Path) -> Authority:
    folder.mkdir()
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=modq test")
    openssl(*new, "-keyout", folder / "ca.key", "-out", folder / "ca.pem")
    return Authority(folder)


@dataclass(frozen=True)
class TlsServer:
    """A server that speaks nothing but TLS."""

    port: int
    password: str

    def redis_url(self, host: str = "localhost", query: str = "") -> str:
        return f"rediss://:{self.password}@{host}:{self.port}/0{query}"

    def database_url(self, query: str, host: str = "localhost") -> str:
        return f"postgresql://modq:{self.password}@{host}:{self.port}/postgres?{query}"


@pytest.fixture(scope="module")
def queue(folder: Path, authority: Authority) -> Iterator[TlsServer]:
    """The system's redis-server, certified for localhost, and not for 127.0.0.1."""
    certificate, key = authority.certify("localhost")
    server = TlsServer(free_port(), secrets.token_hex(16))
    home = private_folder(folder / "redis")
    lines = [
        "port 0",
        f"tls-port {server.port}",
        "bind 127.0.0.1 ::1",
        f"tls-cert-file {certificate}",
        f"tls-key-file {key}",
        f"tls-ca-cert-file {authority.certificate}",
        "tls-auth-clients no",
        f"requirepass {server.password}",
        'save ""',
    ]
    (home / "redis.conf").write_text("\n".join(lines) + "\n")
    process = start_child([_found("redis-server"), "redis.conf"], death_signal=signal.SIGTERM, log=home / "log", folder=home)
    try:
        with redis_py.Redis.from_url(server.redis_url(query=f"?ssl_ca_certs={authority.certificate}")) as client:
            _until(client.ping, redis_py.ConnectionError, home / "log")
        yield server
    finally:
        stop_child(process, signal.SIGTERM)


@pytest.fixture(scope="module")
def store(folder: Path, authority: Authority) -> Iterator[TlsServer]:
    """The system's Postgres, certified for localhost, which takes no connection without TLS."""
    server = TlsServer(free_port(), secrets.token_hex(16))
    home = private_folder(folder / "postgres")
    binaries = _postgres_binaries()
    open_to_nobody(home)
    data = home / "data"
    data.mkdir(mode=0o700)
    (home / "password").write_text(server.password)
    for path, source in zip((home / "server.pem", home / "server.key"), authority.certify("localhost"), strict=True):
        shutil.copy(source, path)
        path.chmod(0o600)
    for path in (data, home / "password", home / "server.pem", home / "server.key"):
        os.chown(path, home.stat().st_uid, -1)
    options = ["--username", "modq", "--pwfile", "password", "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
    done = run_unprivileged([binaries / "initdb", "--pgdata", "data", *options], folder=home, environment=_environment())
    assert done.returncode == 0, done.stdout
    (data / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n")
    settings = {
        "port": server.port,
        "listen_addresses": "localhost",
        "unix_socket_directories": "",
        "ssl": "on",
        "ssl_cert_file": home / "server.pem",
        "ssl_key_file": home / "server.key",
        "fsync": "off",
    }
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = [binaries / "postgres", "-D", "data", *words]
    process = start_child(
        command, death_signal=signal.SIGQUIT, log=home / "log", folder=home, environment=_environment(), unprivileged=True
    )
    try:
        _until(lambda: psycopg.connect(server.database_url("sslmode=require")).close(), psycopg.OperationalError, home / "log")
        yield server
    finally:
        stop_child(process, signal.SIGINT)


def _found(program: str) -> str:
    found = shutil.which(program)
    assert found, f"these tests need {program}; on Debian: apt-get install redis-server postgresql"
    return found


def _postgres_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else Path(_found("initdb")).resolve().parent


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _until(answers: Callable[[], object], wrong: type[Exception], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            answers()
            return
        except wrong:
            time.sleep(0.05)
    pytest.fail(log.read_text())


# The whole of modq


def test_a_post_comes_to_its_verdict_over_tls_alone(
    queue: TlsServer, store: TlsServer, authority: Authority, start, wait_for: Callable[..., None]
) -> None:
    database_url = store.database_url(f"sslmode=verify-full&sslrootcert={authority.certificate}")
    over_tls = {"MODQ_REDIS_URL": queue.redis_url(), "MODQ_REDIS_CA_FILE": str(authority.certificate), "MODQ_DATABASE_URL": database_url}
    migrate(database_url)
    worker = start("work", **over_tls)
    with redis_py.Redis.from_url(queue.redis_url(query=f"?ssl_ca_certs={authority.certificate}")) as admin:
        wait_for(lambda: admin.keys(f"{ALIVE}*") or worker.popen.poll() is not None, 60)
        # Only once Celery listens: this post is to be announced by a doorbell.
        wait_for(lambda: "Connected" in worker.log.read_text() or worker.popen.poll() is not None, 30)
        assert start("submit", "hello", **over_tls).popen.wait(60) == 0
        engine = create_engine(database_url)
        with engine.connect() as connection:
            wait_for(lambda: connection.scalar(select(func.count()).select_from(VerdictRow)) == 1)
        engine.dispose()
        assert admin.exists("modq:celery:_kombu.binding.modq.live"), "Celery was not on this queue"
    notifier = start("notify", **over_tls)
    wait_for(lambda: "notifying" in notifier.log.read_text())
    with psycopg.connect(database_url, autocommit=True) as connection:
        encrypted = "SELECT count(*) FILTER (WHERE ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'modq'"
        wait_for(lambda: (connection.execute(encrypted).fetchone() or (0, 0))[1] >= 3)
        some, all_ = connection.execute(encrypted).fetchone() or (0, 1)
        assert some == all_
    assert worker.stop() == 0
    assert notifier.stop() == 0


# Whom we must not believe

CELERY = """
import sys
from modq_worker.celery_app import app
try:
    with app.connection() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def celery(start, **settings: str) -> tuple[int, str]:
    process = start("-c", CELERY, command=(sys.executable,), **settings)
    return process.popen.wait(60), process.log.read_text()


def test_celery_believes_who_is_certified(queue: TlsServer, authority: Authority, start) -> None:
    assert celery(start, MODQ_REDIS_URL=queue.redis_url(), MODQ_REDIS_CA_FILE=str(authority.certificate)) == (0, "")


@pytest.mark.parametrize("by", ["nobody", "a stranger", "another name"])
def test_a_queue_that_is_not_certified_gets_no_post_and_no_password(
    queue: TlsServer, authority: Authority, stranger: Authority, start, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    files = {"nobody": "", "a stranger": str(stranger.certificate), "another name": str(authority.certificate)}
    url = queue.redis_url(host="127.0.0.1" if by == "another name" else "localhost")
    monkeypatch.setenv("MODQ_REDIS_CA_FILE", files[by])
    with Producer(url, attempts=1) as producer, pytest.raises(QueueUnavailable):
        producer.submit(Post("1", "hello"))
    status, told = celery(start, MODQ_REDIS_URL=url, MODQ_REDIS_CA_FILE=files[by])
    assert status == 1
    assert "CERTIFICATE_VERIFY_FAILED" in told
    assert queue.password not in told
    with pytest.raises(redis_py.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        _connect_as_the_worker_does(url)


def _connect_as_the_worker_does(url: str) -> None:
    from modq_worker.settings import Settings
    from modq_worker.stream import connect

    connect(Settings(redis_url=url).redis()).ping()


async def _publish(url: str) -> str:
    async with AsyncProducer(url, attempts=1) as producer:
        return await producer.submit(Post("1", "hello"))


def test_asyncio_believes_who_is_certified_and_no_other(queue: TlsServer, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODQ_REDIS_CA_FILE", str(authority.certificate))
    assert asyncio.run(_publish(queue.redis_url()))
    with pytest.raises(QueueUnavailable):
        asyncio.run(_publish(queue.redis_url(host="127.0.0.1")))


def test_a_queue_that_wants_tls_is_not_spoken_to_in_the_clear(queue: TlsServer) -> None:
    with Producer(queue.redis_url().replace("rediss://", "redis://"), attempts=1) as producer, pytest.raises(QueueUnavailable):
        producer.submit(Post("1", "hello"))


@pytest.mark.parametrize(
    ("host", "mode", "told"),
    [
        ("localhost", "verify-full", "certificate"),
        ("127.0.0.1", "verify-full", "certificate"),
        ("localhost", "disable", "pg_hba.conf"),
    ],
)
def test_a_store_that_is_not_certified_or_not_encrypted_is_refused(
    store: TlsServer, authority: Authority, stranger: Authority, start, host: str, mode: str, told: str
) -> None:
    trusted = stranger if host == "localhost" else authority
    process = start("verdicts", MODQ_DATABASE_URL=store.database_url(f"sslmode={mode}&sslrootcert={trusted.certificate}", host=host))
    assert process.popen.wait(60) == 1
    log = process.log.read_text()
    assert told in log
    assert store.password not in log
