"""Everything at once, in an order that chance makes and a seed repeats."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable

import pytest
from tests.faults.proxy import FaultProxy
from tests.faults.targets import AFTER_A_SILENT_STALL
from tests.faults.world import World

from modq import Post

pytestmark = [pytest.mark.faults, pytest.mark.faults_long, pytest.mark.timeout(600)]


def test_a_random_mix_of_everything(make_world, balance, seed: int) -> None:
    chance = random.Random(seed)
    ordered, poison = 0, 0
    with make_world() as world:
        producers = [world.produce(20_000, 200), world.produce(20_000, 200, "backlog")]
        done = threading.Event()
        threading.Thread(target=lambda: ([producer.wait() for producer in producers], done.set()), daemon=True).start()
        while not done.wait(chance.uniform(2, 5)):
            chance.choice(faults(world, chance))()
            ordered += 1
            if not ordered % 10:
                world.send(Post(f"raises-{poison}", "please RAISE"))
                poison += 1
        # Several in a row hit the same post: their durations add up.
        fault = f"a random mix of {ordered} faults (--faults-seed={seed})"
        balance(world, fault=fault, outage=30, within=AFTER_A_SILENT_STALL, dead_letters=poison)


def faults(world: World, chance: random.Random) -> list[Callable[[], object]]:
    """All that may happen."""
    return [
        lambda: world.kill_workers(chance.randrange(2)),
        world.kill_workers,
        lambda: world.signal(chance.choice(world.workers), signal.SIGTERM),
        lambda: _freeze(world, chance.choice(world.workers)),
        lambda: (world.valkey.kill9(), world.valkey.start()),
        lambda: (world.postgres.kill9(), world.postgres.start()),
        world.to_valkey.reset,
        world.to_postgres.reset,
        lambda: world.signal("notifier", signal.SIGKILL),
        lambda: _for_a_while(world.to_valkey),
        lambda: _for_a_while(world.to_postgres),
        world.to_valkey.abandon_open_connections,
        lambda: _swallow(world.to_valkey_for_producers),
        lambda: world.redis.xgroup_destroy("modq:posts:live", "modq"),
    ]


def _freeze(world: World, name: str) -> None:
    world.signal(name, signal.SIGSTOP)
    time.sleep(4)
    world.signal(name, signal.SIGCONT)


def _for_a_while(proxy: FaultProxy) -> None:
    proxy.become("stall")
    time.sleep(4)
    proxy.become("pass")


def _swallow(proxy: FaultProxy) -> None:
    proxy.become("swallow")
    time.sleep(1)
    proxy.become("pass")
    proxy.reset()
