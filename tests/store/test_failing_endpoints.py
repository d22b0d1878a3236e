"""An endpoint that fails for days is disabled with a reason, and nothing that it should have been told is lost."""

from __future__ import annotations

from sqlalchemy import Engine
from tests.store.conftest import Query
from tests.store.making import verdict
from tests.store.receivers import receiving, status
from tests.store.test_notifier import Notifying, recorded, settled

from modq.signature import new_secret
from modq_worker.delivery_outcome import DAY, PATIENCE
from modq_worker.endpoints import Endpoints
from modq_worker.outbox import Outbox
from modq_worker.verdict_store import VerdictStore

SIX_DAYS = "UPDATE endpoints SET failing_since = now() - interval '6 days'"


def test_the_patience_is_five_days() -> None:
    assert PATIENCE == 5 * DAY


def test_an_endpoint_that_has_failed_for_days_is_disabled_and_its_events_are_kept(
    endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query
) -> None:
    with receiving(status(500, 500, 204)) as receiver, notifying():
        number = endpoints.add(receiver.url, receiver.secret)
        store.save([verdict("1")])
        recorded(query, 1)
        assert endpoints.get(number).failing_since is not None
        assert endpoints.get(number).disabled_at is None
        query(SIX_DAYS)
        query("UPDATE deliveries SET next_attempt_at = now()")
        recorded(query, 2)
        reason = endpoints.get(number).disabled_reason or ""
        assert reason.startswith("every webhook since ")
        assert reason.endswith("has failed, at last: the endpoint answered 500")

        store.save([verdict("2"), verdict("3")])
        query("UPDATE deliveries SET next_attempt_at = now()")
        assert query("SELECT state, count(*) FROM deliveries GROUP BY state") == [("pending", 3)]
        endpoints.enable(number)
        settled(query, "delivered", 3)
    assert len({webhook.id for webhook in receiver.received}) == 3


def test_one_webhook_that_arrives_ends_the_count_of_days(endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query) -> None:
    with receiving(status(500, 204, 500)) as receiver, notifying(per_endpoint=1):
        number = endpoints.add(receiver.url, receiver.secret)
        store.save([verdict("1")])
        recorded(query, 1)
        query(SIX_DAYS)
        query("UPDATE deliveries SET next_attempt_at = now()")
        settled(query, "delivered", 1)
        assert endpoints.get(number).failing_since is None
        store.save([verdict("2")])
        receiver.wait_for(3)
    assert endpoints.get(number).disabled_at is None


def test_an_endpoint_disabled_by_hand_misses_what_is_stored_meanwhile(endpoints: Endpoints, store: VerdictStore, query: Query) -> None:
    number = endpoints.add("http://forum.test/hook", new_secret())
    store.save([verdict("1")])
    endpoints.disable(number, "disabled by hand")
    store.save([verdict("2")])
    assert query("SELECT count(*) FROM deliveries") == [(1,)]


def test_nothing_is_leased_of_a_disabled_endpoint(endpoints: Endpoints, store: VerdictStore, engine: Engine) -> None:
    number = endpoints.add("http://forum.test/hook", new_secret())
    store.save([verdict("1")])
    endpoints.disable(number, "disabled by hand")
    assert Outbox(engine, lease_seconds=1).lease(10, 4, {}) == []
