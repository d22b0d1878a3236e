"""Real worker and notifier processes on the test's own queue and database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from modq_worker.stream import ALIVE


@dataclass
class Process:
    """A process of modq, and where its log is."""

    popen: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def stop(self) -> int:
        """SIGTERM, as every supervisor sends it."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(timeout=20)


Start = Callable[..., Process]


@pytest.fixture
def start(redis: Redis, redis_url: str, database_url: str, tmp_path: Path) -> Iterator[Start]:
    """Start ``modq`` with the words given, on this test's servers; all are gone when the test ends."""
    started: list[Process] = []

    def start(*words: str, command: tuple[str, ...] = (sys.executable, "-m", "modq"), **settings: str) -> Process:
        log = tmp_path / f"{len(started)}-{words[0]}.log"
        environment = os.environ | {"MODQ_REDIS_URL": redis_url, "MODQ_DATABASE_URL": database_url, "MODQ_LOG_LEVEL": "DEBUG"} | settings
        with log.open("wb") as output:
            process = Process(subprocess.Popen([*command, *words], stdout=output, stderr=subprocess.STDOUT, env=environment), log)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.popen.poll() is None:
            process.kill()


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Wait until a condition holds, and fail if it does not in time."""

    def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)

    return wait_for


@pytest.fixture
def start_worker(start: Start, redis: Redis, wait_for: Callable[..., None]) -> Start:
    """Start a worker and wait until it is ready."""

    def start_worker(*words: str, **settings: str) -> Process:
        before = set(redis.keys(ALIVE + "*"))
        process = start("work", *words, **settings)
        wait_for(lambda: set(redis.keys(ALIVE + "*")) - before or process.popen.poll() is not None, 60)
        assert process.popen.poll() is None, process.log.read_text()
        return process

    return start_worker
