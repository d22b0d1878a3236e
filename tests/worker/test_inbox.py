"""What a worker reads, claims and acknowledges, on a real server."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from modq.post import Lane, Post, encode, stream_of
from modq_worker.stream import ALIVE, GROUP, Inbox, connect


@pytest.fixture
def connection(redis: Redis, redis_url: str) -> Redis:
    return connect(redis_url)


def publish(redis: Redis, *ids: str, lane: Lane = "live") -> None:
    for id in ids:
        redis.xadd(stream_of(lane), {"post": encode(Post(id, f"text of {id}"))})


def inbox(redis: Redis, name: str) -> Inbox:
    made = Inbox(redis, name)
    made.renew_heartbeat(30)
    return made


def die(inbox: Inbox) -> None:
    """Its heartbeat stops, as after kill -9, long enough ago for others to notice."""
    inbox.redis.delete(ALIVE + inbox.consumer)
    time.sleep(1.05)


def test_an_entry_is_read_once(connection: Redis) -> None:
    publish(connection, "1", "2", "3")
    ada, bob = inbox(connection, "ada"), inbox(connection, "bob")
    assert len(ada.read_new("live", 2)) == 2
    assert len(bob.read_new("live", 2)) == 1
    assert ada.read_new("live", 2) == []


def test_what_is_not_acknowledged_can_be_read_again_by_its_reader(connection: Redis) -> None:
    publish(connection, "1", "2")
    ada = inbox(connection, "ada")
    first = ada.read_new("live", 10)
    assert ada.read_own(10) == first
    ada.acknowledge(first)
    assert ada.read_own(10) == []


def test_acknowledging_leaves_nothing_behind(connection: Redis) -> None:
    publish(connection, "1", "2", lane="backlog")
    ada = inbox(connection, "ada")
    entries = ada.read_new("backlog", 10)
    ada.acknowledge(entries)
    ada.acknowledge(entries)
    assert connection.xlen(stream_of("backlog")) == 0
    assert connection.xpending(stream_of("backlog"), GROUP)["pending"] == 0


def test_entries_of_a_living_consumer_are_left_alone(connection: Redis) -> None:
    publish(connection, "1")
    ada, bob = inbox(connection, "ada"), inbox(connection, "bob")
    ada.read_new("live", 10)
    time.sleep(1.05)
    assert bob.claim_abandoned(10, at_most_every=0) == []


def test_entries_of_a_dead_consumer_are_claimed_as_suspects(connection: Redis) -> None:
    publish(connection, "1", "2")
    ada, bob = inbox(connection, "ada"), inbox(connection, "bob")
    ada.read_new("live", 10)
    die(ada)
    claimed = bob.claim_abandoned(10, at_most_every=0)
    assert [entry.suspect for entry in claimed] == [True, True]


def test_two_rescuers_do_not_claim_the_same_entry(connection: Redis) -> None:
    publish(connection, *map(str, range(20)))
    ada, bob, eve = (inbox(connection, name) for name in ("ada", "bob", "eve"))
    ada.read_new("live", 20)
    die(ada)
    bobs, eves = bob.claim_abandoned(15, at_most_every=0), eve.claim_abandoned(20, at_most_every=0)
    assert len(bobs) == 15
    assert len(eves) == 5
    assert not {entry.id for entry in bobs} & {entry.id for entry in eves}


def test_entries_of_a_consumer_that_said_goodbye_are_no_suspects(connection: Redis) -> None:
    publish(connection, "1")
    ada, bob = inbox(connection, "ada"), inbox(connection, "bob")
    ada.read_new("live", 10)
    ada.leave()
    assert [entry.suspect for entry in bob.claim_abandoned(10, at_most_every=0)] == [False]


def test_a_consumer_that_left_with_nothing_is_forgotten_and_one_that_holds_entries_is_not(connection: Redis) -> None:
    publish(connection, "1")
    ada, bob = inbox(connection, "ada"), inbox(connection, "bob")
    ada.read_new("live", 10)
    bob.read_new("live", 10)
    ada.leave()
    bob.leave()
    assert [consumer["name"] for consumer in connection.xinfo_consumers(stream_of("live"), GROUP)] == [b"ada"]


def test_attempts_are_counted_until_they_are_forgiven(connection: Redis) -> None:
    publish(connection, "1")
    ada, bob = inbox(connection, "ada"), inbox(connection, "bob")
    ada.read_new("live", 10)
    die(ada)
    (suspect,) = bob.claim_abandoned(10, at_most_every=0)
    assert [bob.count_attempt(suspect), bob.count_attempt(suspect)] == [1, 2]
    bob.forgive([suspect])
    assert bob.count_attempt(suspect) == 1


def test_the_live_lane_rings_first(connection: Redis) -> None:
    ada = inbox(connection, "ada")
    assert ada.wait_for_entries(0.01) is None
    publish(connection, "1", lane="backlog")
    assert ada.wait_for_entries(0.01) == "backlog"
    publish(connection, "2", lane="live")
    assert ada.wait_for_entries(0.01) == "live"


def test_the_bell_hears_of_entries_of_a_dead_consumer(connection: Redis) -> None:
    publish(connection, "1", lane="backlog")
    ada, bob = inbox(connection, "ada"), inbox(connection, "bob")
    ada.read_new("backlog", 10)
    die(ada)
    assert bob.wait_for_entries(0.01) == "backlog"


def test_a_group_that_vanished_is_made_again_and_nothing_is_lost(connection: Redis) -> None:
    publish(connection, "1", "2")
    ada = inbox(connection, "ada")
    ada.acknowledge(ada.read_new("live", 1))
    connection.xgroup_destroy(stream_of("live"), GROUP)
    assert len(ada.read_new("live", 10)) == 1
    connection.flushall()
    publish(connection, "3")
    assert len(ada.read_new("live", 10)) == 1


def test_an_entry_with_other_fields_is_handed_on_as_malformed(connection: Redis) -> None:
    connection.xadd(stream_of("live"), {"text": "hello", "id": "1"})
    (entry,) = inbox(connection, "ada").read_new("live", 10)
    assert entry.malformed


def test_a_pending_entry_whose_content_was_deleted_is_cleared(connection: Redis) -> None:
    publish(connection, "1")
    ada = inbox(connection, "ada")
    (entry,) = ada.read_new("live", 10)
    connection.xdel(stream_of("live"), entry.id)
    assert ada.read_own(10) == []
    assert connection.xpending(stream_of("live"), GROUP)["pending"] == 0
