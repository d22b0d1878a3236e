"""Signatures are those of Standard Webhooks, and nothing else passes."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from modq.errors import InvalidFlag, InvalidSecret
from modq.signature import new_secret, sign, verify

SECRET = new_secret()
NOW = 1_769_860_800
BODY = b'{"type":"post.flagged"}'


def headers(signature: str, *, webhook_id: str = "msg_1", timestamp: object = NOW) -> dict[str, str]:
    return {"webhook-id": webhook_id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


@given(st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True), st.text(max_size=200))
def test_our_signature_is_that_of_the_specifications_library(webhook_id: str, text: str) -> None:
    theirs = Webhook(SECRET).sign(webhook_id, datetime.fromtimestamp(NOW, UTC), text.encode("utf-8", "replace").decode())

    assert sign(SECRET, webhook_id, NOW, text.encode("utf-8", "replace")) == theirs


def test_the_specifications_library_accepts_what_we_sign() -> None:
    now = int(time.time())

    assert Webhook(SECRET).verify(BODY, headers(sign(SECRET, "msg_1", now, BODY), timestamp=now)) == {"type": "post.flagged"}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers(sign(SECRET, "msg_1", now, BODY), timestamp=now))


def test_we_accept_what_the_specifications_library_signs() -> None:
    theirs = Webhook(SECRET).sign("msg_1", datetime.fromtimestamp(NOW, UTC), BODY.decode())

    assert verify(SECRET, headers(theirs), BODY, now=NOW) == "msg_1"


def test_the_example_of_the_specification_holds() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    assert sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}') == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_during_a_rotation_one_right_signature_of_several_is_enough() -> None:
    old, new = new_secret(), new_secret()
    both = f"{sign(new, 'msg_1', NOW, BODY)} {sign(old, 'msg_1', NOW, BODY)}"

    for accepted in (old, new, [new, old], [new_secret(), old]):
        assert verify(accepted, headers(both), BODY, now=NOW) == "msg_1"
    with pytest.raises(InvalidFlag):
        verify([new_secret(), new_secret()], headers(both), BODY, now=NOW)
    with pytest.raises(InvalidFlag):
        verify([], headers(both), BODY, now=NOW)


def test_signatures_of_other_versions_are_passed_over() -> None:
    ours = sign(SECRET, "msg_1", NOW, BODY)

    assert verify(SECRET, headers(f"v1a,abc v2,{ours[3:]} {ours}"), BODY, now=NOW)
    for other in (f"v2,{ours[3:]}", ours[3:], f"v1 {ours[3:]}", "v1,", ","):
        with pytest.raises(InvalidFlag):
            verify(SECRET, headers(other), BODY, now=NOW)


def test_whatever_is_altered_the_signature_no_longer_fits() -> None:
    ours = sign(SECRET, "msg_1", NOW, BODY)

    for altered, body in (
        (headers(ours, webhook_id="msg_2"), BODY),
        (headers(ours, timestamp=NOW + 1), BODY),
        (headers(ours, timestamp=f"0{NOW}"), BODY),
        (headers(ours), BODY + b" "),
        (headers(ours.swapcase()), BODY),
    ):
        with pytest.raises(InvalidFlag):
            verify(SECRET, altered, body, now=NOW)


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_a_webhook_may_be_five_minutes_off(age: int) -> None:
    assert verify(SECRET, headers(sign(SECRET, "msg_1", NOW, BODY)), BODY, now=NOW + age)


@pytest.mark.parametrize("age", [-301, 301, 86_400])
def test_an_old_or_a_future_webhook_is_refused_although_it_is_signed(age: int) -> None:
    with pytest.raises(InvalidFlag, match=r"old|future"):
        verify(SECRET, headers(sign(SECRET, "msg_1", NOW, BODY)), BODY, now=NOW + age)


def test_without_a_given_time_the_clock_counts() -> None:
    now = int(time.time())

    assert verify(SECRET, headers(sign(SECRET, "msg_1", now, BODY), timestamp=now), BODY)
    with pytest.raises(InvalidFlag):
        verify(SECRET, headers(sign(SECRET, "msg_1", now - 400, BODY), timestamp=now - 400), BODY)


@pytest.mark.parametrize("timestamp", ["", "now", "1e9", "-5", "１７６９８６０８００", "9" * 5000, f" {NOW}", f"{NOW}.0"])
def test_a_timestamp_that_is_no_number_of_seconds_is_refused(timestamp: str) -> None:
    with pytest.raises(InvalidFlag):
        verify(SECRET, headers(sign(SECRET, "msg_1", NOW, BODY), timestamp=timestamp), BODY, now=NOW)


def test_secrets_are_random_and_of_the_right_form() -> None:
    assert new_secret() != new_secret()
    assert len(base64.b64decode(new_secret().removeprefix("whsec_"))) == 32


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "secret",
        "whsec_!!!",
        "whsec_YWJj",
        base64.b64encode(b"a" * 32).decode(),
        "whsec_" + base64.b64encode(b"a" * 65).decode(),
        None,
        b"whsec_",
    ],
)
def test_a_malformed_secret_of_ours_is_told_as_such_and_not_shown(secret: str) -> None:
    with pytest.raises(InvalidSecret) as told:
        sign(secret, "msg_1", NOW, BODY)
    with pytest.raises(InvalidSecret):
        verify([SECRET, secret], headers("v1,abc"), BODY, now=NOW)
    assert not secret or len(secret) < 7 or str(secret)[6:] not in str(told.value)


def test_an_id_with_a_dot_is_not_signed() -> None:
    with pytest.raises(ValueError, match="dot"):
        sign(SECRET, "msg.1", NOW, BODY)


@given(st.binary(max_size=300), st.integers(0, 10**10), st.data())
def test_what_we_sign_we_verify_and_with_any_bit_of_it_changed_we_do_not(body: bytes, now: int, data: st.DataObject) -> None:
    ours = sign(SECRET, "msg_1", now, body)
    assert verify(SECRET, headers(ours, timestamp=now), body, now=now) == "msg_1"

    signature = bytearray(base64.b64decode(ours.removeprefix("v1,")))
    bit = data.draw(st.integers(0, 8 * (len(signature) + len(body)) - 1))
    altered = signature + body
    altered[bit // 8] ^= 1 << bit % 8
    forged = "v1," + base64.b64encode(altered[: len(signature)]).decode()
    with pytest.raises(InvalidFlag):
        verify(SECRET, headers(forged, timestamp=now), bytes(altered[len(signature) :]), now=now)


@given(st.text(max_size=200))
def test_whatever_the_signature_header_holds_it_is_refused_in_a_word(header: str) -> None:
    with pytest.raises(InvalidFlag):
        verify(SECRET, headers(header), BODY, now=NOW)
