"""Deliveries reach their endpoints, in time, however other endpoints behave."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from sqlalchemy import Engine
from tests.store.conftest import Query
from tests.store.making import safe, verdict
from tests.store.receivers import Receiver, receiving, silence, status

from modq.flag import open_flag
from modq.signature import sign
from modq_worker.endpoints import Endpoints
from modq_worker.outbox import Outbox
from modq_worker.replay import Selection
from modq_worker.verdict_store import VerdictStore

Notifying = Callable[..., AbstractContextManager[None]]
BOTH = ("post.flagged", "post.passed")


def settled(query: Query, state: str, count: int, seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while (found := query("SELECT count(*) FROM deliveries WHERE state = :state", state=state)[0][0]) < count and time.monotonic() < until:
        time.sleep(0.02)
    assert found == count


def recorded(query: Query, attempts: int, seconds: float = 10) -> tuple[object, ...]:
    """State, status, error, and seconds to the next attempt, once so many attempts are recorded."""
    until = time.monotonic() + seconds
    ended = "SELECT state, last_status, last_error, extract(epoch FROM next_attempt_at - now())::int FROM deliveries WHERE attempts = :n AND locked_until IS NULL"
    while not (rows := query(ended, n=attempts)) and time.monotonic() < until:
        time.sleep(0.02)
    assert rows, f"attempt {attempts} was not recorded"
    return rows[0]


def test_a_flag_tells_the_whole_verdict_but_the_text(endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query) -> None:
    saved = verdict("7", "you idiot", source="forum", author="ada", conversation="t1", metadata={"board": "a"}, severity="high")
    with receiving() as receiver, notifying():
        endpoints.add(receiver.url, receiver.secret)
        store.save([saved])
        [webhook] = receiver.wait_for(1)
        settled(query, "delivered", 1)
    headers = {"Webhook-Id": webhook.id, "Webhook-Timestamp": webhook.timestamp}
    headers["Webhook-Signature"] = sign(receiver.secret, webhook.id, int(webhook.timestamp), webhook.body)
    flag = open_flag(receiver.secret, headers, webhook.body)
    assert webhook.id == flag.webhook_id == f"msg_{saved.key.hex}"
    assert (flag.type, flag.source, flag.post_id, flag.label, flag.score, flag.severity) == ("post.flagged", "forum", "7", "toxic", 0.9, "high")
    assert (flag.author, flag.conversation, flag.metadata) == ("ada", "t1", {"board": "a"})
    assert flag.content_sha256 == saved.post.content_hash.hex()
    assert flag.published_at == saved.published_at
    assert b"idiot" not in webhook.body


def test_a_delivery_starts_within_a_moment_of_the_verdict(endpoints: Endpoints, store: VerdictStore, notifying: Notifying) -> None:
    with receiving() as receiver, notifying():
        endpoints.add(receiver.url, receiver.secret)
        store.save([verdict("warm-up")])
        receiver.wait_for(1)
        delays = []
        for number in range(10):
            stored = time.monotonic()
            store.save([verdict(str(number))])
            delays.append(receiver.wait_for(number + 2)[-1].at - stored)
    assert sorted(delays)[5] < 0.15, "woken by the store, not by the next poll"


def test_nothing_is_missed_while_nobody_listens(endpoints: Endpoints, store: VerdictStore, notifying: Notifying) -> None:
    with receiving() as receiver:
        endpoints.add(receiver.url, receiver.secret)
        store.save([verdict("1")])
        with notifying(listening=False):
            receiver.wait_for(1)
            store.save([verdict("2")])
            receiver.wait_for(2)


def test_every_event_is_delivered_once_to_each_endpoint(endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query) -> None:
    saved = [verdict(str(number)) if number % 3 else safe(str(number)) for number in range(200)]
    with receiving() as one, receiving() as other, notifying(), notifying():
        endpoints.add(one.url, one.secret)
        endpoints.add(other.url, other.secret, events=BOTH)
        for start in range(0, 200, 50):
            store.save(saved[start : start + 50])
        settled(query, "delivered", 133 + 200)
    assert sorted(webhook.id for webhook in one.received) == sorted(f"msg_{each.key.hex}" for each in saved if each.label == "toxic")
    assert sorted(webhook.id for webhook in other.received) == sorted(f"msg_{each.key.hex}" for each in saved)


def test_every_attempt_sends_the_same_bytes_under_the_same_id_signed_anew(
    endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query
) -> None:
    with receiving(status(500, 503, 204)) as receiver, notifying():
        endpoints.add(receiver.url, receiver.secret)
        store.save([verdict("1", metadata={"b": 1, "a": "x"})])
        for attempt in (1, 2):
            assert recorded(query, attempt)[0] == "pending"
            time.sleep(1)
            query("UPDATE deliveries SET next_attempt_at = now()")
        webhooks = receiver.wait_for(3)
        settled(query, "delivered", 1)
    assert len({webhook.body for webhook in webhooks}) == 1
    assert len({webhook.id for webhook in webhooks}) == 1
    assert len({webhook.timestamp for webhook in webhooks}) == 3


def test_a_failed_attempt_is_recorded_and_due_again_by_the_schedule(
    endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query
) -> None:
    with receiving(status(500)) as receiver, notifying():
        endpoints.add(receiver.url, receiver.secret)
        store.save([verdict("1")])
        state, code, error, wait = recorded(query, 1)
        assert (state, code, error) == ("pending", 500, "the endpoint answered 500")
        assert wait in (4, 5, 6)
        query("UPDATE deliveries SET next_attempt_at = now(), attempts = 9")
        assert recorded(query, 10)[0] == "failed"
        endpoints.replay(Selection(endpoints.all()[0].id))
        assert recorded(query, 1)[0] == "pending"


def test_gone_disables_the_endpoint_and_enabling_it_goes_on(endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query) -> None:
    with receiving(status(410, 204)) as receiver, notifying():
        number = endpoints.add(receiver.url, receiver.secret)
        store.save([verdict("1")])
        recorded(query, 1)
        assert endpoints.get(number).disabled_reason == "the endpoint answered 410 Gone"
        query("UPDATE deliveries SET next_attempt_at = now()")
        time.sleep(1)
        assert len(receiver.received) == 1
        endpoints.enable(number)
        receiver.wait_for(2)
        settled(query, "delivered", 1)


def test_an_endpoint_that_asks_for_quiet_gets_none_of_its_deliveries(
    endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query
) -> None:
    with receiving(status(429, retry_after="60")) as receiver, notifying(per_endpoint=1):
        endpoints.add(receiver.url, receiver.secret)
        store.save([verdict("1")])
        assert recorded(query, 1)[3] in range(55, 75)
        store.save([verdict(str(number)) for number in range(2, 12)])
        time.sleep(1)
        assert len(receiver.received) == 1


def test_endpoints_that_hang_delay_no_other(endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query) -> None:
    with ExitStack() as stack:
        hanging = [stack.enter_context(receiving(silence())) for _ in range(3)]
        healthy = stack.enter_context(receiving())
        for receiver in (*hanging, healthy):
            endpoints.add(receiver.url, receiver.secret)
        # Thousands that are due, and older than those of the healthy one.
        store.save([verdict(str(number)) for number in range(1500)])
        query("DELETE FROM deliveries WHERE endpoint_id = (SELECT max(id) FROM endpoints)")
        with notifying(deadline=5, in_flight=20, per_endpoint=4):
            time.sleep(1)
            delays = []
            for number in range(20):
                stored = time.monotonic()
                store.save([verdict(f"late-{number}")])
                delays.append(healthy.wait_for(number + 1)[-1].at - stored)
    assert max(delays) < 1, "a healthy endpoint waits for no other"
    assert all(0 < len(receiver.received) <= 8 for receiver in hanging)


def test_no_more_are_in_flight_than_the_settings_allow(endpoints: Endpoints, store: VerdictStore, notifying: Notifying) -> None:
    with ExitStack() as stack:
        receivers = [stack.enter_context(receiving(silence())) for _ in range(5)]
        for receiver in receivers:
            endpoints.add(receiver.url, receiver.secret)
        store.save([verdict(str(number)) for number in range(20)])
        with notifying(deadline=3, in_flight=10, per_endpoint=4):
            time.sleep(1.5)
            arrived = [len(receiver.received) for receiver in receivers]
    assert sum(arrived) == 10
    assert arrived == [2, 2, 2, 2, 2], "every endpoint gets its first before any gets its second, and so on"


def test_an_endpoint_that_fails_has_one_slot_until_it_recovers(endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query) -> None:
    with receiving(silence(0.4)) as receiver, notifying(deadline=0.2, per_endpoint=4):
        endpoints.add(receiver.url, receiver.secret)
        store.save([verdict(str(number)) for number in range(30)])
        time.sleep(1.2)
        first = query("SELECT count(*) FROM deliveries WHERE attempts > 0")[0][0]
    assert 4 < first < 13, "four at once before the first failure, one at a time after it"


def test_a_lease_keeps_others_away_until_it_ends(endpoints: Endpoints, store: VerdictStore, engine: Engine) -> None:
    endpoints.add("http://127.0.0.1:9/", Receiver().secret)
    store.save([verdict("1")])
    outbox = Outbox(engine, lease_seconds=0.5)
    [leased] = outbox.lease(10, 4, {})
    assert Outbox(engine, lease_seconds=0.5).lease(10, 4, {}) == []
    time.sleep(0.6)
    [again] = outbox.lease(10, 4, {})
    assert (again.id, again.webhook_id, again.body, again.attempts) == (leased.id, leased.webhook_id, leased.body, 2)


def test_a_delivery_shows_neither_secret_nor_body_when_printed(endpoints: Endpoints, store: VerdictStore, engine: Engine) -> None:
    secret = Receiver().secret
    endpoints.add("http://127.0.0.1:9/", secret)
    store.save([verdict("1")])
    [leased] = Outbox(engine, lease_seconds=1).lease(10, 4, {})
    assert secret not in repr(leased)
    assert "sequence" not in repr(leased)


def test_stopping_takes_less_than_five_seconds_and_what_was_broken_off_is_due_at_once(
    endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query
) -> None:
    with receiving(silence()) as receiver:
        endpoints.add(receiver.url, receiver.secret)
        store.save([verdict("1")])
        with notifying(deadline=20):
            receiver.wait_for(1)
            asked = time.monotonic()
        assert time.monotonic() - asked < 5
    assert query("SELECT state, locked_until, next_attempt_at <= now() FROM deliveries") == [("pending", None, True)]
