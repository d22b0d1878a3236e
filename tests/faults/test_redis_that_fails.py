"""The queue's server is killed, away, full or robbed; what producers saw confirmed is judged all the same."""

from __future__ import annotations

import time

import pytest
from tests.faults.targets import AFTER_AN_OUTAGE, FEWER_POSTS, RATE

pytestmark = pytest.mark.faults


def test_redis_is_killed(busy_world) -> None:
    # Seen to fail with appendonly off: what was confirmed and not yet judged is gone.
    with busy_world("kill -9 of Redis, twice", posts=FEWER_POSTS, lead=0) as world:
        for _ in range(2):
            time.sleep(2)
            world.valkey.kill9()
            world.valkey.start()


@pytest.mark.faults_long
def test_redis_is_down_for_30_seconds(busy_world) -> None:
    # Seen to fail when neither the drain nor the bell outlives an error of Redis.
    with busy_world("Redis down for 30 s", outage=30, lead=3) as world:
        world.valkey.stop()
        time.sleep(30)
        world.valkey.start()


@pytest.mark.faults_long
def test_redis_is_full(busy_world) -> None:
    # Seen to fail when maxmemory-policy is not noeviction: posts are thrown away.
    with busy_world("Redis full (noeviction) for 8 s, and a worker killed meanwhile", outage=8) as world:
        # Full for everybody, the workers that start anew included, until the operator gives it more memory.
        world.redis.config_set("maxmemory", int(world.redis.info("memory")["used_memory"]) - 100_000)
        world.kill_workers(0)
        time.sleep(8)
        refused = world.redis.info("errorstats")["errorstat_OOM"]["count"]
        world.redis.config_set("maxmemory", 0)
    assert refused > 10


@pytest.mark.faults_long
@pytest.mark.parametrize("what", ["group", "doorbells and heartbeats"])
def test_what_modq_keeps_on_redis_besides_the_posts_is_deleted(what: str, busy_world) -> None:
    # Seen to fail when a missing group is made at $: what it had not read yet is never read. Of the rest nothing is needed.
    with busy_world(f"the {what} deleted, three times", lead=0) as world:
        for _ in range(3):
            time.sleep(2)
            if what == "group":
                world.redis.xgroup_destroy("modq:posts:live", "modq")
            else:
                world.redis.delete(*(key for key in world.redis.keys("*") if not key.startswith(b"modq:posts:")))


@pytest.mark.faults_long
def test_everything_on_redis_is_deleted_and_later_posts_are_judged(make_world, balance) -> None:
    with make_world() as world:
        world.produce(500, RATE).wait()
        world.account()
        # What is on the stream when it is deleted goes with it, which no client can mend; so nothing is.
        world.redis.flushall()
        world.produce(500, RATE).wait()
        # Seen to fail when a missing group is an error like any other, and not made again.
        balance(world, fault="the stream deleted, with all else on Redis", within=AFTER_AN_OUTAGE)
