"""Passwords come by file or environment, and are in no log, no error, no argument and no repr, least of all when something fails."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from modq import Producer
from modq_worker.settings import NotConfigured, Settings

PASSWORD = "correct-horse%2Fbattery"
DECODED = "correct-horse/battery"


def modq(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MODQ_")} | settings
    return subprocess.run([sys.executable, "-m", "modq", *words], env=environment, capture_output=True, text=True, timeout=60, check=False)


def assert_silent(told: str) -> None:
    assert told, "nothing was told, so nothing was tried"
    assert PASSWORD not in told
    assert DECODED not in told
    assert "correct-horse" not in told


def test_a_repr_of_the_settings_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODQ_REDIS_URL", f"redis://:{PASSWORD}@queue/0")
    monkeypatch.setenv("MODQ_DATABASE_URL", f"postgresql://modq:{PASSWORD}@store/modq")
    settings = Settings()
    for shown in (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()):
        assert_silent(shown)
    assert PASSWORD in settings.redis()
    assert PASSWORD in settings.database()


def test_a_password_in_the_wrong_setting_is_not_quoted(tmp_path: Path) -> None:
    done = modq("verdicts", MODQ_DATABASE_URL="postgresql://modq@nowhere/modq", MODQ_THREADS=f"redis://:{PASSWORD}@queue/0", MODQ_HOME=str(tmp_path))
    assert done.returncode != 0
    assert "threads" in done.stderr
    assert_silent(done.stderr)


def test_an_empty_setting_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODQ_HOME", str(tmp_path))
    monkeypatch.setenv("MODQ_REDIS_URL", "")
    monkeypatch.delenv("MODQ_REDIS_URL_FILE", raising=False)
    with pytest.raises(NotConfigured, match="MODQ_REDIS_URL_FILE"):
        Settings().redis()


def test_a_repr_of_a_producer_shows_no_password() -> None:
    assert_silent(repr(Producer(f"redis://ada:{PASSWORD}@queue/0")) + repr(vars(Producer(f"redis://ada:{PASSWORD}@queue/0")).keys()))


@pytest.mark.parametrize(
    "url",
    [
        f"redis://ada:{PASSWORD}@127.0.0.1:1/0",
        f"redis://ada:{PASSWORD}@no-such-host.invalid/0",
        f"redis://ada:{PASSWORD}@127.0.0.1:port/0",
        f"http://ada:{PASSWORD}@127.0.0.1/0",
        f"rediss://ada:{PASSWORD}@127.0.0.1:1/0?ssl_ca_certs=/nowhere",
    ],
)
def test_modq_submit_fails_without_telling_the_password(url: str) -> None:
    done = modq("submit", "hello", MODQ_REDIS_URL=url)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert_silent(done.stderr + done.stdout)


def test_a_wrong_password_of_the_queue_is_refused_in_a_sentence_without_it(redis: Redis, redis_url: str) -> None:
    place = redis_url.rpartition("@")[2]
    done = modq("submit", "hello", MODQ_REDIS_URL=f"redis://ada:{PASSWORD}@{place}")
    assert done.returncode == 1
    assert "password" in done.stderr
    assert_silent(done.stderr)


@pytest.mark.parametrize("words", [("verdicts",), ("migrate",), ("dead-letters", "list"), ("endpoints", "list")])
@pytest.mark.parametrize("where", ["127.0.0.1:1/modq", "no-such-host.invalid/modq", "127.0.0.1:port/modq", "a@b@127.0.0.1:1/modq"])
def test_a_command_fails_without_telling_the_password_of_the_store(words: tuple[str, ...], where: str) -> None:
    done = modq(*words, MODQ_DATABASE_URL=f"postgresql://modq:{PASSWORD}@{where}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert_silent(done.stderr + done.stdout)


@pytest.mark.parametrize("user", ["modq", "no_such_role"])
def test_a_store_that_refuses_the_role_or_its_password_is_told_without_it(database_url: str, user: str) -> None:
    url = make_url(database_url).set(username=user, password=DECODED).render_as_string(hide_password=False)
    done = modq("verdicts", MODQ_DATABASE_URL=url)
    assert done.returncode == 1
    assert user in done.stderr
    assert_silent(done.stderr)


def test_the_logs_of_processes_that_fail_hold_no_password(start: Callable[..., object], redis_url: str, database_url: str, wait_for) -> None:
    place = redis_url.rpartition("@")[2]
    wrong = make_url(database_url).set(password=DECODED).render_as_string(hide_password=False)
    worker = start("work", MODQ_REDIS_URL=f"redis://ada:{PASSWORD}@{place}", MODQ_DATABASE_URL=wrong)
    notifier = start("notify", MODQ_DATABASE_URL=wrong)
    for process in (worker, notifier):
        wait_for(lambda process=process: "waiting" in process.log.read_text() or process.popen.poll() is not None, 60)
        assert_silent(process.log.read_text())


def test_a_worker_whose_password_is_taken_away_tells_it_nowhere(start_worker, redis: Redis, redis_url: str, wait_for) -> None:
    place = redis_url.rpartition("@")[2]
    redis.acl_setuser("ada", enabled=True, passwords=[f"+{DECODED}"], keys=["*"], channels=["*"], commands=["+@all"])
    try:
        worker = start_worker(MODQ_REDIS_URL=f"redis://ada:{PASSWORD}@{place}")
        wait_for(lambda: "ready" in worker.log.read_text() and "Connected" in worker.log.read_text())
        redis.acl_setuser("ada", enabled=True, reset_passwords=True)
        redis.client_kill_filter(user="ada")
        wait_for(lambda: "Cannot connect" in worker.log.read_text() or worker.popen.poll() is not None)
        assert_silent(worker.log.read_text())
    finally:
        redis.acl_deluser("ada")


def test_a_worker_and_a_producer_that_get_their_urls_by_file_hold_them_nowhere_else(
    start, redis: Redis, redis_url: str, engine: Engine, database_url: str, tmp_path: Path, wait_for
) -> None:
    files = {"MODQ_REDIS_URL_FILE": redis_url, "MODQ_DATABASE_URL_FILE": database_url}
    for name, url in files.items():
        (tmp_path / name).write_text(f"{url}\n")
    by_file = {name: str(tmp_path / name) for name in files} | {"MODQ_REDIS_URL": "", "MODQ_DATABASE_URL": ""}
    worker = start("work", **by_file)
    assert modq("submit", "hello", **by_file).returncode == 0
    with engine.connect() as connection:
        wait_for(lambda: connection.exec_driver_sql("SELECT count(*) FROM verdicts").scalar() == 1, 60)
    secrets = [make_url(url).password for url in files.values()]
    for place in ("cmdline", "environ"):
        held = Path(f"/proc/{worker.popen.pid}/{place}").read_text()
        assert held
        assert not [secret for secret in secrets if secret in held]


def test_a_file_that_cannot_be_read_is_named_by_its_setting() -> None:
    done = modq("verdicts", MODQ_DATABASE_URL_FILE="/nowhere/at-all")
    assert (done.returncode, done.stderr) == (1, "modq verdicts: the file that MODQ_DATABASE_URL_FILE names cannot be read (FileNotFoundError)\n")
