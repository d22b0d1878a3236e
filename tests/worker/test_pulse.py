"""A worker that hangs ends itself; one that is only slow, or idle, does not."""

from __future__ import annotations

import subprocess
import sys
import time

from redis import Redis

from modq_worker.hung import HUNG
from modq_worker.stream import ALIVE, Inbox, connect
from modq_worker.watchdog import Pulse

WORK = """
import sys, time
from modq_worker.hung import HUNG
from modq_worker.stream import Inbox, connect
from modq_worker.watchdog import Pulse
pulse = Pulse(Inbox(connect(sys.argv[1]), "ada"), heartbeat_seconds=0.3, stall_seconds=0.6)
pulse.start()
with pulse.working():
    for _ in range(int(sys.argv[2])):
        time.sleep(0.2)
        pulse.beat()
    time.sleep(float(sys.argv[3]))
pulse.stop()
"""


def work(redis_url: str, beats: int, then_sleep: float) -> int:
    return subprocess.run([sys.executable, "-c", WORK, redis_url, str(beats), str(then_sleep)], timeout=30, check=False).returncode


def test_a_hung_worker_ends_itself(redis: Redis, redis_url: str) -> None:
    assert work(redis_url, beats=1, then_sleep=20) == HUNG


def test_a_slow_worker_that_makes_progress_does_not(redis: Redis, redis_url: str) -> None:
    assert work(redis_url, beats=8, then_sleep=0) == 0


def test_an_idle_worker_stays_alive_and_says_goodbye(redis: Redis, redis_url: str) -> None:
    pulse = Pulse(Inbox(connect(redis_url), "ada"), heartbeat_seconds=0.3, stall_seconds=0.5)
    pulse.start()
    time.sleep(1)
    assert redis.get(ALIVE + "ada") == b"alive"
    pulse.stop()
    assert redis.get(ALIVE + "ada") == b"left"


def test_a_worker_is_alive_from_the_start(redis: Redis, redis_url: str) -> None:
    pulse = Pulse(Inbox(connect(redis_url), "ada"), heartbeat_seconds=30, stall_seconds=5)
    pulse.start()
    time.sleep(1)
    assert redis.get(ALIVE + "ada") == b"alive"
    pulse.stop()


def test_a_dead_workers_heartbeat_is_soon_gone(redis: Redis, redis_url: str) -> None:
    Inbox(connect(redis_url), "ada").renew_heartbeat(0.2)
    time.sleep(0.3)
    assert redis.get(ALIVE + "ada") is None
