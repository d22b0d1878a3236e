"""More posts than can be judged wait on the queue, and not in the workers' memory."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.faults_long, pytest.mark.timeout(600)]


def test_a_flood_of_100000_posts_needs_bounded_memory(make_world, balance) -> None:
    with make_world() as world:
        before = max(_memory(world.process(name).pid) for name in world.workers)
        for name in world.workers:
            world.signal(name, signal.SIGSTOP)
        for producer in [world.produce(50_000, 100_000, "backlog") for _ in range(2)]:
            producer.wait()
        world.kill_workers()
        balance(world, fault="a flood of 100,000 posts while no worker works", within=300)
        after = max(_memory(world.process(name).pid) for name in world.workers)
        # Seen to fail when a batch takes all that waits.
        assert after - before < 30, f"grew by {after - before:.0f} MB"


def _memory(pid: int) -> float:
    """The most memory that the process has ever had, in MB."""
    with Path(f"/proc/{pid}/status").open() as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
