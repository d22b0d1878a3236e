"""Where the queue is looked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modq.errors import SecretUnreadable
from modq.queue_url import place, queue_url, with_verified_tls

GIVEN, SET, RUNNING = "redis://given:1/0", "redis://set:2/0", "redis://:secret@127.0.0.1:3/0"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODQ_REDIS_URL", raising=False)
    for name in ("MODQ_REDIS_URL_FILE", "MODQ_REDIS_CA_FILE", "MODQ_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def running(home: Path, content: str | None = None) -> None:
    home.mkdir()
    (home / "running.json").write_text(content or json.dumps({"redis_url": RUNNING, "database_url": "postgresql://"}))


def test_the_order_is_given_then_set_then_running_then_localhost(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert queue_url() == "redis://localhost:6379/0"
    running(folder / ".modq")
    assert queue_url() == RUNNING
    monkeypatch.setenv("MODQ_REDIS_URL", SET)
    assert queue_url() == SET
    assert queue_url(GIVEN) == GIVEN


def test_an_empty_setting_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODQ_REDIS_URL", "")
    running(folder / ".modq")
    assert queue_url() == RUNNING


def test_the_home_folder_may_be_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running(folder / "elsewhere")
    monkeypatch.setenv("MODQ_HOME", "elsewhere")
    assert queue_url() == RUNNING


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", "\udcff"])
def test_a_broken_note_of_a_running_stack_is_passed_over(folder: Path, content: str) -> None:
    (folder / ".modq").mkdir()
    (folder / ".modq" / "running.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert queue_url() == "redis://localhost:6379/0"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://ada:secret@queue.example:6380/2?socket_timeout=1", "queue.example:6380/2"),
        ("redis://:secret@queue.example", "queue.example:6379"),
        ("rediss://ada:secret@[::1]:7000/0", "[::1]:7000/0"),
        ("unix://ada:secret@/run/redis.sock?password=secret", "/run/redis.sock"),
        ("redis://ada:secret@host:port/0", "an unreadable address"),
    ],
)
def test_the_place_is_told_without_its_password(url: str, told: str) -> None:
    assert place(url) == told


def test_the_url_may_lie_in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "secret").write_text(f"{SET}\n")
    monkeypatch.setenv("MODQ_REDIS_URL_FILE", "secret")
    assert queue_url() == SET
    assert queue_url(GIVEN) == GIVEN


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_url_is_told_and_not_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    if content is not None:
        (folder / "secret").write_bytes(content)
    running(folder / ".modq")
    monkeypatch.setenv("MODQ_REDIS_URL_FILE", "secret")
    with pytest.raises(SecretUnreadable, match="MODQ_REDIS_URL_FILE"):
        queue_url()


@pytest.mark.parametrize(
    ("url", "ca", "becomes"),
    [
        ("redis://queue/0", "ca.pem", "redis://queue/0"),
        ("unix:///run/redis.sock?db=1", "ca.pem", "unix:///run/redis.sock?db=1"),
        ("rediss://queue/0", None, "rediss://queue/0?ssl_cert_reqs=required"),
        ("REDISS://queue/0", None, "REDISS://queue/0?ssl_cert_reqs=required"),
        ("rediss://queue/0?socket_timeout=1", "my ca.pem", "rediss://queue/0?socket_timeout=1&ssl_cert_reqs=required&ssl_ca_certs=my+ca.pem"),
        ("rediss://queue/0?ssl_cert_reqs=none", None, "rediss://queue/0?ssl_cert_reqs=none"),
        ("rediss://queue/0?ssl_ca_certs=own.pem", "ca.pem", "rediss://queue/0?ssl_ca_certs=own.pem&ssl_cert_reqs=required"),
    ],
)
def test_a_tls_url_says_that_the_certificate_is_verified(url: str, ca: str | None, becomes: str) -> None:
    assert with_verified_tls(url, ca) == becomes
