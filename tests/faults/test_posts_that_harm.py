"""Posts that break, kill, hang or slow down the model: exactly those that must are parked, and every neighbour is judged."""

from __future__ import annotations

import signal
import time

import pytest
from tests.faults.harmful_worker import MarkJudge
from tests.faults.targets import AFTER_A_WORKER_DIED, POSTS, RATE

from modq import Post

pytestmark = pytest.mark.faults


def test_posts_that_make_the_model_raise_are_parked_and_their_neighbours_judged(make_world, balance) -> None:
    with make_world() as world:
        producer = world.produce(500, RATE)
        for n in range(20):
            world.send(Post(f"raises-{n}", "please RAISE"))
        producer.wait()
        # Seen to fail without the halving of a batch that fails: the neighbours go with the poison.
        balance(world, fault="20 posts that make the model raise", within=AFTER_A_WORKER_DIED, dead_letters=20)
        assert world.restarts.total() == 0
        assert world.parked() == {f"raises-{n}": "classifier_error" for n in range(20)}


@pytest.mark.faults_long
def test_posts_that_kill_the_process_are_parked_and_their_neighbours_judged(make_world, balance) -> None:
    with make_world() as world:
        producer = world.produce(POSTS, RATE)
        for n in range(2):
            world.send(Post(f"kills-{n}", "please KILL"), lane="backlog")
        producer.wait()
        # Each post kills four times, and each time the others wait until it is noticed.
        balance(world, fault="2 posts that kill the process", outage=30, within=AFTER_A_WORKER_DIED * 8, dead_letters=2)
        # Seen to fail when suspects run together: their neighbours are parked with them.
        assert world.parked() == {f"kills-{n}": "kills_the_worker" for n in range(2)}


@pytest.mark.faults_long
def test_a_post_that_hangs_the_model_is_parked_and_the_hung_worker_ends_itself(make_world, balance, monkeypatch) -> None:
    monkeypatch.setenv("MODQ_STALL_SECONDS", "5")
    with make_world() as world:
        producer = world.produce(POSTS, RATE)
        world.send(Post("hangs", "please HANG"), lane="backlog")
        producer.wait()
        # Seen to fail without the watchdog: the hung worker keeps its posts for ever.
        balance(world, fault="1 post that hangs the model for an hour", outage=5, within=30, dead_letters=1)


@pytest.mark.faults_long
def test_a_slow_model_is_not_taken_for_a_hung_one_and_sigterm_waits_for_one_pass_only(make_world, balance, monkeypatch) -> None:
    monkeypatch.setenv("MODQ_STALL_SECONDS", "3")
    with make_world() as world:
        # Two batches of 256, each of four passes of a second: longer than a worker may stand still.
        world.send(*(Post(f"slow-{n}", f"a SLOW text {n}") for n in range(512)), lane="backlog")
        world.wait_for(lambda: world.one("SELECT count(*) FROM verdicts") == 512, 30)
        # Seen to fail when only whole batches count as progress: both workers end themselves, again and again.
        assert not world.restarts
        world.send(*(Post(f"more-{n}", f"a SLOW text {n}") for n in range(512)), lane="backlog")
        time.sleep(1.5)
        stopped, began = world.process("worker-0"), time.monotonic()
        stopped.send_signal(signal.SIGTERM)
        world.wait_for(lambda: stopped.poll() is not None, 10)
        # Seen to fail when the drain looks at the request between batches only.
        assert time.monotonic() - began < 2.5
        balance(world, fault="a model that takes a second a pass, and SIGTERM of a worker", outage=20, within=AFTER_A_WORKER_DIED)


def test_the_marks_do_what_they_say() -> None:
    """The judge of this suite is no part of modq, so it is tested here."""
    with pytest.raises(RuntimeError):
        MarkJudge().score(["RAISE"])
    assert [score.toxic > 0.5 for score in MarkJudge().score(["kind", "toxic"])] == [False, True]
