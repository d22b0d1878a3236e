"""Endpoints are added, listed, tested, disabled and removed from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.store.conftest import Query
from tests.store.making import verdict
from tests.store.receivers import receiving, status

from modq.errors import InvalidSecret
from modq.flag import open_flag
from modq.signature import new_secret
from modq_worker.endpoints import Endpoints, NoSuchEndpoint, UnknownEvent
from modq_worker.verdict_store import VerdictStore

Modq = Callable[..., int]


def test_adding_an_endpoint_prints_its_secret_and_nothing_else_to_standard_output(
    modq: Modq, endpoints: Endpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    assert modq("endpoints", "add", "http://forum.test/hook", "--source", "forum", "--events", "post.flagged, post.passed") == 0
    secret = capsys.readouterr().out.strip()
    [added] = endpoints.all()
    assert list(added.secrets) == [secret]
    assert (added.source, sorted(added.events)) == ("forum", ["post.flagged", "post.passed"])
    assert secret not in repr(added)
    modq("endpoints", "list")
    listed = capsys.readouterr().out
    assert secret not in listed
    assert "http://forum.test/hook" in listed


def test_a_secret_can_come_from_a_file(modq: Modq, endpoints: Endpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = new_secret()
    file = tmp_path / "secret"
    file.write_text(f"{secret}\n")
    assert modq("endpoints", "add", "http://forum.test/hook", "--secret-file", file) == 0
    assert list(endpoints.all()[0].secrets) == [secret]
    assert secret not in "".join(capsys.readouterr())
    assert modq("endpoints", "add", "http://forum.test/hook", "--secret-file", tmp_path / "none") == 1


def test_what_cannot_work_is_refused_when_it_is_added(endpoints: Endpoints) -> None:
    with pytest.raises(InvalidSecret):
        endpoints.add("http://forum.test/hook", "password1")
    with pytest.raises(UnknownEvent):
        endpoints.add("http://forum.test/hook", new_secret(), events=["post.flaged"])
    with pytest.raises(UnknownEvent):
        endpoints.add("http://forum.test/hook", new_secret(), events=[])
    assert endpoints.all() == []


def test_a_test_event_is_signed_and_can_be_read_by_the_light_client(modq: Modq, endpoints: Endpoints, capsys: pytest.CaptureFixture[str]) -> None:
    with receiving() as receiver:
        number = endpoints.add(receiver.url, receiver.secret)
        assert modq("endpoints", "test", number) == 0
        [webhook] = receiver.wait_for(1)
    assert webhook.event["type"] == "endpoint.test"
    assert "answered 204" in capsys.readouterr().out
    from modq.signature import sign

    headers = {
        "webhook-id": webhook.id,
        "webhook-timestamp": webhook.timestamp,
        "webhook-signature": sign(receiver.secret, webhook.id, int(webhook.timestamp), webhook.body),
    }
    assert open_flag(receiver.secret, headers, webhook.body).type == "endpoint.test"


def test_a_test_that_fails_says_why(modq: Modq, endpoints: Endpoints, capsys: pytest.CaptureFixture[str]) -> None:
    with receiving(status(403)) as receiver:
        assert modq("endpoints", "test", endpoints.add(receiver.url, receiver.secret)) == 1
        assert "answered 403" in capsys.readouterr().err
    assert modq("endpoints", "test", endpoints.add("http://127.0.0.1:9/", new_secret())) == 1
    assert "the connection failed" in capsys.readouterr().err


def test_an_endpoint_can_be_disabled_enabled_and_removed(
    modq: Modq, endpoints: Endpoints, store: VerdictStore, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    number = endpoints.add("http://forum.test/hook", new_secret())
    store.save([verdict("1")])
    assert modq("endpoints", "disable", number) == 0
    assert endpoints.get(number).disabled_reason == "disabled by hand"
    assert modq("endpoints", "enable", number) == 0
    assert endpoints.get(number).disabled_at is None
    assert modq("endpoints", "remove", number) == 0
    assert query("SELECT count(*) FROM deliveries") == [(0,)]
    assert modq("endpoints", "remove", number) == 1
    assert f"There is no endpoint {number}." in capsys.readouterr().err
    with pytest.raises(NoSuchEndpoint):
        endpoints.get(number)


def test_failed_deliveries_can_be_made_due_again(modq: Modq, endpoints: Endpoints, store: VerdictStore, query: Query) -> None:
    number = endpoints.add("http://forum.test/hook", new_secret())
    store.save([verdict("1"), verdict("2")])
    query("UPDATE deliveries SET state = 'failed', attempts = 10, next_attempt_at = now() + interval '1 day'")
    assert modq("endpoints", "replay", number) == 0
    assert query("SELECT DISTINCT state, attempts, next_attempt_at <= now() FROM deliveries") == [("pending", 0, True)]
