"""Secrets of endpoints rotate with an overlap, and rest encrypted under a key that the store never sees."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine
from tests.store.conftest import Query
from tests.store.making import verdict
from tests.store.receivers import Receiver, receiving
from tests.store.test_notifier import Notifying, settled

from modq.signature import new_secret
from modq_worker.endpoint_address import EndpointRules
from modq_worker.endpoints import Endpoints
from modq_worker.secret_box import InvalidSecretKey, SecretBox, SecretUnopened, new_key
from modq_worker.settings import settings
from modq_worker.verdict_store import VerdictStore

Modq = Callable[..., int]
Keyed = Callable[[str], None]


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> Keyed:
    """Give the command line these keys from now on."""

    def set_keys(keys: str) -> None:
        monkeypatch.setenv("MODQ_SECRET_KEY", keys)
        settings.cache_clear()

    return set_keys


# Rotation


def test_while_a_rotation_lasts_the_old_secret_and_the_new_one_both_verify(
    modq: Modq, endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiving() as receiver, notifying():
        number = endpoints.add(receiver.url, receiver.secret)
        assert modq("endpoints", "rotate", number, "--overlap", "1h") == 0
        new = capsys.readouterr().out.strip()
        store.save([verdict("told under both")])
        receiver.wait_for(1)
        receiver.secret = new
        store.save([verdict("told under both, and read by the new one")])
        receiver.wait_for(2)
        settled(query, "delivered", 2)
    assert receiver.refused == []


@pytest.mark.parametrize("end", ["the overlap is over", "the operator says so"])
def test_after_it_only_the_new_one_does(
    end: str, modq: Modq, endpoints: Endpoints, store: VerdictStore, notifying: Notifying, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiving() as receiver, notifying():
        number = endpoints.add(receiver.url, receiver.secret)
        modq("endpoints", "rotate", number)
        new = capsys.readouterr().out.strip()
        if end == "the overlap is over":
            query("UPDATE endpoints SET old_secrets_until = now() - interval '1 second'")
        else:
            assert modq("endpoints", "drop-old", number) == 0
        assert list(endpoints.get(number).secrets) == [new]
        store.save([verdict("1")])
        _wait_for_refusal(receiver)
        receiver.secret = new
        query("UPDATE deliveries SET next_attempt_at = now()")
        receiver.wait_for(1)


def _wait_for_refusal(receiver: Receiver) -> None:
    with pytest.raises(AssertionError, match="0 of 1"):
        receiver.wait_for(1, seconds=1)
    assert receiver.refused


# At rest


def test_with_a_key_no_secret_is_readable_in_the_store(modq: Modq, keyed: Keyed, query: Query, capsys: pytest.CaptureFixture[str]) -> None:
    keyed(new_key())
    modq("endpoints", "add", "http://forum.test/hook")
    secret = capsys.readouterr().out.strip()
    [(kept,)] = query("SELECT secrets FROM endpoints")
    assert kept[0].startswith("fernet:")
    assert secret not in str(kept)


def test_without_a_key_the_operator_is_warned(modq: Modq, capsys: pytest.CaptureFixture[str]) -> None:
    modq("endpoints", "add", "http://forum.test/hook")
    assert "without MODQ_SECRET_KEY its secret is kept in the store as it is" in capsys.readouterr().err


def test_a_webhook_is_signed_with_the_secret_and_not_with_what_is_kept(
    modq: Modq, keyed: Keyed, store: VerdictStore, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    keyed(new_key())
    with receiving() as receiver:
        modq("endpoints", "add", receiver.url)
        receiver.secret = capsys.readouterr().out.strip()
        assert modq("endpoints", "test", Endpoints(engine, EndpointRules(allow_private=True)).all()[0].id) == 0
        assert receiver.refused == []


def test_sealing_encrypts_what_was_kept_as_it_is_and_moves_to_the_newest_key(modq: Modq, endpoints: Endpoints, keyed: Keyed, query: Query) -> None:
    secret, old, new = new_secret(), new_key(), new_key()
    endpoints.add("http://forum.test/hook", secret)
    keyed(old)
    assert modq("endpoints", "seal") == 0
    assert SecretBox(old).open(query("SELECT secrets[1] FROM endpoints")[0][0]) == secret
    keyed(f"{new},{old}")
    assert modq("endpoints", "seal") == 0
    kept = query("SELECT secrets[1] FROM endpoints")[0][0]
    assert SecretBox(new).open(kept) == secret
    with pytest.raises(SecretUnopened):
        SecretBox(old).open(kept)


def test_sealing_without_the_key_that_opens_changes_nothing(modq: Modq, endpoints: Endpoints, keyed: Keyed, query: Query) -> None:
    endpoints.add("http://forum.test/hook", new_secret())
    keyed(new_key())
    modq("endpoints", "seal")
    before = query("SELECT secrets FROM endpoints")
    keyed(new_key())
    assert modq("endpoints", "seal") == 1
    assert query("SELECT secrets FROM endpoints") == before


def test_a_secret_that_cannot_be_opened_fails_the_attempt_and_waits(
    endpoints: Endpoints, engine: Engine, store: VerdictStore, notifying: Notifying, query: Query
) -> None:
    with receiving() as receiver, notifying():
        Endpoints(engine, EndpointRules(allow_private=True), SecretBox(new_key())).add(receiver.url, receiver.secret)
        store.save([verdict("1")])
        until_tried = "SELECT last_error, state FROM deliveries WHERE last_error IS NOT NULL"
        for _ in range(500):
            if rows := query(until_tried):
                break
        assert rows == [("The endpoint's secret is encrypted under a key that is not in MODQ_SECRET_KEY.", "pending")]
        assert receiver.received == []


def test_what_is_no_key_is_refused_in_words_that_do_not_repeat_it() -> None:
    with pytest.raises(InvalidSecretKey) as caught:
        SecretBox("hunter2")
    assert "hunter2" not in str(caught.value)
