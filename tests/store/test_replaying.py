"""What failed, or what a receiver lost, is sent again: by webhook id, by time, by endpoint."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.store.conftest import Query
from tests.store.making import verdict
from tests.store.receivers import receiving
from tests.store.test_notifier import Notifying, settled

from modq.signature import new_secret
from modq_worker.endpoints import Endpoints
from modq_worker.verdict_store import VerdictStore

Modq = Callable[..., int]
Due = Callable[[], list[tuple[int, str]]]


@pytest.fixture
def due(endpoints: Endpoints, store: VerdictStore, query: Query) -> Due:
    """Two endpoints, and posts that failed hours or days ago, that arrived, and that are being sent; tells which are due again, by endpoint and post."""
    for _ in range(2):
        endpoints.add("http://forum.test/hook", new_secret())
    store.save([verdict("hours"), verdict("days"), verdict("delivered"), verdict("flying")])
    query("UPDATE deliveries SET state = 'failed', attempts = 10, created_at = now() - interval '3 hours', next_attempt_at = now() + interval '1 day'")
    of = "FROM posts WHERE post_key = key AND post_id"
    query(f"UPDATE deliveries SET created_at = now() - interval '3 days' {of} = 'days'")
    query(f"UPDATE deliveries SET state = 'delivered', delivered_at = now() {of} = 'delivered'")
    query(f"UPDATE deliveries SET state = 'pending', attempts = 2, locked_until = now() + interval '1 minute' {of} = 'flying'")
    first = query("SELECT min(id) FROM endpoints")[0][0]
    pending = (
        "SELECT endpoint_id - :first + 1, post_id FROM deliveries JOIN posts ON key = post_key "
        "WHERE state = 'pending' AND attempts = 0 AND next_attempt_at <= now() ORDER BY 1, 2"
    )
    return lambda: query(pending, first=first)


def number(endpoints: Endpoints, place: int) -> int:
    return endpoints.all()[place - 1].id


def webhook_id(query: Query, post: str) -> str:
    return str(query("SELECT DISTINCT webhook_id FROM deliveries JOIN posts ON key = post_key WHERE post_id = :post", post=post)[0][0])


def test_by_endpoint(modq: Modq, endpoints: Endpoints, due: Due) -> None:
    assert modq("endpoints", "replay", number(endpoints, 2)) == 0
    assert due() == [(2, "days"), (2, "hours")]


def test_by_webhook_id(modq: Modq, due: Due, query: Query, capsys: pytest.CaptureFixture[str]) -> None:
    assert modq("endpoints", "replay", "--webhook-id", webhook_id(query, "days")) == 0
    assert due() == [(1, "days"), (2, "days")]
    assert "2 deliveries are due again" in capsys.readouterr().out


def test_by_time(modq: Modq, due: Due) -> None:
    assert modq("endpoints", "replay", "--since", "1d") == 0
    assert due() == [(1, "hours"), (2, "hours")]


def test_by_time_with_both_ends(modq: Modq, due: Due) -> None:
    assert modq("endpoints", "replay", "--since", "7d", "--until", "1d") == 0
    assert due() == [(1, "days"), (2, "days")]


def test_what_waits_for_another_attempt_goes_now(modq: Modq, due: Due, query: Query) -> None:
    query("UPDATE deliveries SET state = 'pending', attempts = 3, locked_until = now() - interval '1 minute' WHERE state = 'failed'")
    assert due() == []
    assert modq("endpoints", "replay", "--since", "1d") == 0
    assert due() == [(1, "hours"), (2, "hours")]


def test_what_was_delivered_goes_again_only_if_asked(modq: Modq, endpoints: Endpoints, due: Due) -> None:
    assert modq("endpoints", "replay", number(endpoints, 1), "--since", "1d", "--delivered") == 0
    assert due() == [(1, "delivered"), (1, "hours")]


def test_everything_there_ever_was_is_not_replayed_by_mistake(modq: Modq, due: Due, capsys: pytest.CaptureFixture[str]) -> None:
    assert modq("endpoints", "replay") == 1
    assert modq("endpoints", "replay", "--until", "1d") == 1
    assert due() == []
    assert "Say what to send again" in capsys.readouterr().err


def test_what_is_replayed_comes_under_the_same_id(
    modq: Modq, endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query
) -> None:
    with receiving() as receiver, notifying():
        added = endpoints.add(receiver.url, receiver.secret)
        store.save([verdict("1")])
        settled(query, "delivered", 1)
        assert modq("endpoints", "replay", added, "--delivered") == 0
        first, second = receiver.wait_for(2)
    assert (first.id, first.body) == (second.id, second.body)
