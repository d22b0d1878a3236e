"""Workers are killed, stopped and restarted; every post still ends in one outcome."""

from __future__ import annotations

import signal
import time

import pytest
from tests.faults.harmful_worker import MarkJudge

RATE = 200
POSTS = 2000
AFTER_A_WORKER_DIED = 5.0


def test_a_worker_is_killed(make_world, balance) -> None:
    with make_world() as world:
        producer = world.produce(POSTS, RATE)
        for number in (0, 1, 0):
            time.sleep(2)
            world.kill_workers(number)
        producer.wait()
        balance(world, fault="kill -9 of one worker, three times", within=AFTER_A_WORKER_DIED)
        # Seen to fail with claim_abandoned returning nothing: the dead worker's posts stay pending.
        assert world.restarts.total() >= 3


@pytest.mark.faults_long
def test_all_workers_are_killed(make_world, balance) -> None:
    with make_world() as world:
        producer = world.produce(POSTS, RATE)
        time.sleep(3)
        world.kill_workers()
        producer.wait()
        # The new ones must start first: that is the supervisor's and the machine's time, some seconds.
        balance(world, fault="kill -9 of all workers", outage=5, within=AFTER_A_WORKER_DIED)


@pytest.mark.parametrize(
    "point",
    [
        "after_read",
        pytest.param("after_classify", marks=pytest.mark.faults_long),
        pytest.param("after_insert", marks=pytest.mark.faults_long),
        "after_commit",
        pytest.param("after_acknowledge", marks=pytest.mark.faults_long),
    ],
)
def test_a_worker_dies_at_a_point_of_the_code(point: str, make_world, balance) -> None:
    with make_world(fault_at=point) as world:
        world.produce(POSTS, RATE).wait()
        balance(world, fault=f"kill -9 {point.replace('_', ' ')}", within=AFTER_A_WORKER_DIED)
        # Seen to fail with acknowledge before commit: after_read to after_insert lose posts. And it did die:
        assert (world.folder / f"died-{point}").exists()


@pytest.mark.faults_long
def test_the_rescuer_of_a_dead_workers_posts_dies_too(make_world, balance) -> None:
    with make_world(fault_at="after_read during_recovery") as world:
        world.produce(POSTS, RATE).wait()
        balance(world, fault="kill -9 after read, and of its rescuer during recovery", within=2 * AFTER_A_WORKER_DIED)
        assert (world.folder / "died-during_recovery").exists()


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
        balance(world, fault="SIGTERM, a rolling restart of both workers, twice", within=AFTER_A_WORKER_DIED)


def test_posts_that_make_the_model_raise_are_parked_and_their_neighbours_judged(make_world, balance) -> None:
    with make_world() as world:
        producer = world.produce(500, RATE)
        for n in range(20):
            world.send(f"raises-{n}", "please RAISE")
        producer.wait()
        balance(world, fault="20 posts that make the model raise", within=AFTER_A_WORKER_DIED, dead_letters=20)
        assert world.restarts.total() == 0
        assert {row[0] for row in world._all("SELECT reason FROM dead_letters")} == {"classifier_error"}


@pytest.mark.faults_long
def test_posts_that_kill_the_process_are_parked_and_their_neighbours_judged(make_world, balance) -> None:
    with make_world() as world:
        producer = world.produce(POSTS, RATE)
        for n in range(2):
            world.send(f"kills-{n}", "please KILL", lane="backlog")
        producer.wait()
        # Each post kills four times, and each time the others wait until it is noticed.
        balance(world, fault="2 posts that kill the process", outage=30, within=AFTER_A_WORKER_DIED * 8, dead_letters=2)
        # Seen to fail when suspects run together: their neighbours are parked with them.
        assert {row[0] for row in world._all("SELECT reason FROM dead_letters")} == {"kills_the_worker"}


@pytest.mark.faults_long
def test_a_post_that_hangs_the_model_is_parked_and_the_hung_worker_ends_itself(make_world, balance, monkeypatch) -> None:
    monkeypatch.setenv("MODQ_STALL_SECONDS", "5")
    with make_world() as world:
        producer = world.produce(POSTS, RATE)
        world.send("hangs", "please HANG", lane="backlog")
        producer.wait()
        # Seen to fail without the watchdog: the hung worker keeps its posts for ever.
        balance(world, fault="1 post that hangs the model for an hour", outage=5, within=30, dead_letters=1)


def test_the_marks_do_what_they_say() -> None:
    """The judge of this suite is no part of modq, so it is tested here."""
    with pytest.raises(RuntimeError):
        MarkJudge().score(["RAISE"])
    assert [score.toxic > 0.5 for score in MarkJudge().score(["kind", "toxic"])] == [False, True]
