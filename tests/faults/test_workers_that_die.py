"""Workers are killed, stopped and restarted; every post still ends in one outcome."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from tests.faults.targets import AFTER_A_WORKER_DIED, FEWER_POSTS, POSTS, RATE

pytestmark = pytest.mark.faults


def test_a_worker_is_killed(make_world, balance) -> None:
    with make_world() as world:
        producer = world.produce(FEWER_POSTS, RATE)
        for number in (0, 1):
            time.sleep(2)
            world.kill_workers(number)
        producer.wait()
        balance(world, fault="kill -9 of one worker, twice", within=AFTER_A_WORKER_DIED)
        # Seen to fail with claim_abandoned returning nothing: the dead worker's posts stay pending.
        assert world.restarts.total() >= 2


@pytest.mark.faults_long
def test_all_workers_are_killed(make_world, balance) -> None:
    with make_world() as world:
        producer = world.produce(POSTS, RATE)
        time.sleep(3)
        world.kill_workers()
        producer.wait()
        # The new ones must start first: that is the supervisor's and the machine's time, some seconds.
        # Seen to fail with claim_abandoned returning nothing.
        balance(world, fault="kill -9 of all workers", outage=5, within=AFTER_A_WORKER_DIED)


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("after_read", marks=pytest.mark.faults_long),
        pytest.param("after_classify", marks=pytest.mark.faults_long),
        pytest.param("during_insert", marks=pytest.mark.faults_long),
        "after_commit",
        pytest.param("after_acknowledge", marks=pytest.mark.faults_long),
    ],
)
def test_a_worker_dies_at_a_point_of_the_code(point: str, make_world, balance) -> None:
    with make_world(fault_at=point) as world:
        world.produce(FEWER_POSTS, RATE).wait()
        balance(world, fault=f"kill -9 {point.replace('_', ' ')}", within=AFTER_A_WORKER_DIED)
        # Seen to fail with acknowledge before commit: after_read to during_insert lose posts. And it did die:
        assert (world.folder / f"died-{point}-0").exists()


@pytest.mark.faults_long
def test_the_rescuer_of_a_dead_workers_posts_dies_too(make_world, balance) -> None:
    with make_world(fault_at="after_read during_recovery") as world:
        world.produce(POSTS, RATE).wait()
        # Seen to fail with claim_abandoned returning nothing.
        balance(world, fault="kill -9 after read, and of its rescuer during recovery", within=2 * AFTER_A_WORKER_DIED)
        assert (world.folder / "died-during_recovery-0").exists()


@pytest.mark.faults_long
def test_a_stopped_worker_wakes_up_and_writes_nothing_twice(make_world, balance) -> None:
    with make_world() as world:
        producer = world.produce(POSTS, RATE)
        time.sleep(2)
        world.signal("worker-0", signal.SIGSTOP)
        time.sleep(5)
        world.signal("worker-0", signal.SIGCONT)
        producer.wait()
        # Seen to fail without ON CONFLICT DO NOTHING: the zombie's batch breaks on the key or doubles.
        balance(world, fault="SIGSTOP of a worker for 5 s, then wake it", outage=0, within=AFTER_A_WORKER_DIED)


@pytest.mark.faults_long
def test_workers_are_restarted_one_after_the_other(make_world, balance) -> None:
    with make_world() as world:
        producer = world.produce(POSTS * 2, RATE)
        for number in (0, 1, 0, 1):
            time.sleep(3)
            stopped = world.process(f"worker-{number}")
            stopped.send_signal(signal.SIGTERM)
            began = time.monotonic()
            world.wait_for(lambda stopped=stopped: stopped.poll() is not None, 10)
            assert time.monotonic() - began < 5
            assert stopped.returncode == 0
        producer.wait()
        # Seen to fail when the pulse is not told to end as well: the worker waits for its thread for ever.
        balance(world, fault="SIGTERM, a rolling restart of both workers, twice", within=AFTER_A_WORKER_DIED)


@pytest.mark.faults_long
def test_a_worker_that_is_stopped_while_it_loads_its_model_begins_no_work(make_world, balance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULT_LOAD_SECONDS", "2")
    with make_world() as world:
        producer = world.produce(FEWER_POSTS * 3, RATE)
        killed = world.process("worker-0")
        world.kill_workers(0)
        world.wait_for(lambda: world.process("worker-0") is not killed and _heeds_sigterm(world.process("worker-0").pid), 30)
        loading = world.process("worker-0")
        loading.send_signal(signal.SIGTERM)
        began = time.monotonic()
        world.wait_for(lambda: loading.poll() is not None, 10)
        # Seen to fail when only a drain that is there is told: as long as posts keep coming, the new one goes on.
        assert time.monotonic() - began < 5
        assert loading.returncode == 0
        producer.wait()
        balance(world, fault="SIGTERM of a worker that loads its model", within=AFTER_A_WORKER_DIED * 2)


def _heeds_sigterm(pid: int) -> bool:
    """Whether the process has a handler of its own for it, by the mask that Linux tells."""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
