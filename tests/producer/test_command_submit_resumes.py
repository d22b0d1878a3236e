"""An interrupted modq submit goes on where it stopped, in a real process that is really killed."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from threading import Timer

import pytest
from redis import Redis

from modq import Post
from modq.bulk import BATCH_ROWS
from modq.cli import main

Queued = Callable[..., list[Post]]
POSTS = 30_000
BAD_ROWS = 3
BOOKMARK = "posts.jsonl.gz.modq-submit.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [json.dumps({"text": f"text {i}"}) for i in range(POSTS)]
    rows[10] = rows[15_000] = rows[29_999] = "no post"
    (tmp_path / "posts.jsonl.gz").write_bytes(gzip.compress("\n".join(rows).encode(), 1))
    return tmp_path


def start(folder: Path, redis_url: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "modq", "submit", "--file", "posts.jsonl.gz", *words],
        cwd=folder,
        env=os.environ | {"MODQ_REDIS_URL": redis_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_posts(redis: Redis, count: int) -> None:
    deadline = time.monotonic() + 30
    while redis.xlen("modq:posts:live") < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def check_everything_arrived(folder: Path, queued: Queued, *, at_most_twice: int) -> None:
    ids = [post.id for post in queued()]
    assert set(ids) == {f"posts:{line}" for line in range(1, POSTS + 1) if line not in (11, 15_001, 30_000)}
    assert len(ids) <= POSTS - BAD_ROWS + at_most_twice
    rejected = (folder / "posts.jsonl.gz.rejected.jsonl").read_text().splitlines()
    assert [json.loads(row)["line"] for row in rejected] == [11, 15_001, 30_000]
    assert not (folder / BOOKMARK).exists()


@pytest.mark.parametrize("deadly", [signal.SIGINT, signal.SIGKILL], ids=lambda deadly: deadly.name)
def test_an_interrupted_run_goes_on_where_it_stopped(deadly: signal.Signals, folder: Path, redis: Redis, redis_url: str, queued: Queued) -> None:
    first = start(folder, redis_url)
    wait_for_posts(redis, 8000)
    first.send_signal(deadly)
    _, told = first.communicate(timeout=30)

    assert first.returncode == (130 if deadly == signal.SIGINT else -deadly)
    stopped_at = redis.xlen("modq:posts:live")
    assert stopped_at < POSTS - BAD_ROWS
    if deadly == signal.SIGINT:
        assert "the same command goes on from there" in told
        assert "Traceback" not in told

    second = start(folder, redis_url)
    out, told = second.communicate(timeout=60)

    assert second.returncode == 1
    assert "going on after row" in told
    assert "3 rows rejected" in out
    check_everything_arrived(folder, queued, at_most_twice=BATCH_ROWS)


def test_a_queue_that_gets_room_in_time_is_waited_for(folder: Path, redis: Redis, redis_url: str, queued: Queued) -> None:
    full_at = []

    def make_room() -> None:
        full_at.append(redis.xlen("modq:posts:live"))
        redis.config_set("maxmemory", 0)

    redis.config_set("maxmemory", redis.info("memory")["used_memory"] + 700_000)
    room = Timer(2.5, make_room)
    room.start()
    try:
        run = start(folder, redis_url)
        run.communicate(timeout=60)
    finally:
        room.join()

    assert full_at[0] < POSTS - BAD_ROWS
    assert run.returncode == 1
    # What a full queue takes after the first post that it refused is sent again.
    check_everything_arrived(folder, queued, at_most_twice=5 * BATCH_ROWS)


LONG_POSTS = 2000


@pytest.fixture
def half_done(tmp_path: Path, redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A file of which a queue that filled up took about the half."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODQ_REDIS_URL", redis_url)
    path = tmp_path / "long.jsonl"
    path.write_text("\n".join(json.dumps({"text": f"{i} {'long ' * 1000}"}) for i in range(LONG_POSTS)))
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] + 6_000_000)
    try:
        assert main(["submit", "--file", "long.jsonl", "--patience", "0"]) == 1
    finally:
        redis.config_set("maxmemory", 0)
    told = capsys.readouterr()
    assert "is full" in told.err
    assert "the same command goes on from there" in told.err
    assert "submitted" not in told.out
    redis.delete("modq:posts:live")
    return path


def test_a_queue_that_stays_full_stops_the_run_and_the_next_goes_on(half_done: Path, redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    reached = json.loads((half_done.parent / "long.jsonl.modq-submit.json").read_text())["reached"]["rows"]
    assert 0 < reached < LONG_POSTS

    assert main(["submit", "--file", "long.jsonl"]) == 0
    assert redis.xlen("modq:posts:live") == LONG_POSTS - reached
    assert f"going on after row {reached:,}" in capsys.readouterr().err
    assert [path.name for path in half_done.parent.iterdir()] == ["long.jsonl"]


def test_restart_begins_anew(half_done: Path, redis: Redis) -> None:
    assert main(["submit", "--file", "long.jsonl", "--restart"]) == 0
    assert redis.xlen("modq:posts:live") == LONG_POSTS


def test_a_file_that_was_changed_begins_anew(half_done: Path, redis: Redis) -> None:
    os.utime(half_done, (1, 1))

    assert main(["submit", "--file", "long.jsonl"]) == 0
    assert redis.xlen("modq:posts:live") == LONG_POSTS


def test_the_same_file_with_other_options_begins_anew(half_done: Path, redis: Redis) -> None:
    assert main(["submit", "--file", "long.jsonl", "--lane", "backlog"]) == 0
    assert redis.xlen("modq:posts:backlog") == LONG_POSTS


def test_a_broken_bookmark_begins_anew(half_done: Path, redis: Redis) -> None:
    (half_done.parent / "long.jsonl.modq-submit.json").write_text("{")

    assert main(["submit", "--file", "long.jsonl"]) == 0
    assert redis.xlen("modq:posts:live") == LONG_POSTS


def test_a_terminal_sees_progress_and_a_pipe_does_not(folder: Path, redis: Redis, redis_url: str) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
    command = [sys.executable, "-m", "modq", "submit", "--file", "posts.jsonl.gz"]
    run = subprocess.Popen(command, cwd=folder, env=os.environ | {"MODQ_REDIS_URL": redis_url}, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    run.wait(timeout=60)
    os.close(ours)

    lines = [line for line in seen.decode().split("\r\x1b[K") if line.strip()]
    assert len(lines) >= 2
    assert all("posts.jsonl.gz" in line and "posts" in line and "/s" in line for line in lines)
    assert any("left" in line for line in lines)
    assert seen.endswith(b"\r\x1b[K")

    piped = start(folder, redis_url)
    assert piped.communicate(timeout=60)[1] == ""
