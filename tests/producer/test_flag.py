"""A webhook is opened into a flag, or refused by one named error."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import Message
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modq import Flag, InvalidFlag, open_flag
from modq.flag import encode_flag
from modq.signature import new_secret, sign

SECRET = new_secret()
NOW = 1_769_860_800
FLAG = Flag(
    type="post.flagged",
    timestamp=datetime(2026, 1, 31, 12, 0, 1, 500_000, tzinfo=UTC),
    sequence=17,
    source="forum",
    post_id="42",
    content_sha256="ab" * 32,
    label="toxic",
    score=0.9731,
    adapter="default-1",
    policy="threshold=0.5",
    lane="live",
    published_at=datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC),
    rules={"harassment": 0.97},
    severity="high",
    truncated=True,
    conversation="thread 7",
    author="ada",
    metadata={"board": "news", "karma": -3, "pinned": None, "größe": "ü"},
    webhook_id="msg_1",
)


def signed(body: bytes, webhook_id: str = "msg_1") -> dict[str, str]:
    return {"webhook-id": webhook_id, "webhook-timestamp": str(NOW), "webhook-signature": sign(SECRET, webhook_id, NOW, body)}


def opened(body: bytes) -> Flag:
    return open_flag(SECRET, signed(body), body, now=NOW)


def test_what_is_sent_is_what_is_opened() -> None:
    assert opened(encode_flag(FLAG)) == FLAG


def test_the_body_has_the_documented_form() -> None:
    assert json.loads(encode_flag(FLAG)) == {
        "type": "post.flagged",
        "timestamp": "2026-01-31T12:00:01.500000Z",
        "data": {
            "sequence": 17,
            "source": "forum",
            "post_id": "42",
            "content_sha256": "ab" * 32,
            "label": "toxic",
            "score": 0.9731,
            "rules": {"harassment": 0.97},
            "severity": "high",
            "truncated": True,
            "adapter": "default-1",
            "policy": "threshold=0.5",
            "revision": 0,
            "lane": "live",
            "conversation": "thread 7",
            "author": "ada",
            "published_at": "2026-01-31T12:00:01Z",
            "metadata": {"board": "news", "karma": -3, "pinned": None, "größe": "ü"},
        },
    }


@pytest.mark.parametrize(
    "spelt",
    [
        lambda headers: {name.title(): value for name, value in headers.items()},
        lambda headers: {name.upper(): value for name, value in headers.items()},
        lambda headers: {name.encode(): value.encode() for name, value in headers.items()},
        lambda headers: headers | {"content-length": "10", "x-strange": None, 7: 8},
    ],
    ids=["Title", "UPPER", "bytes", "others"],
)
def test_headers_come_in_any_spelling(spelt: Any) -> None:
    body = encode_flag(FLAG)

    assert open_flag(SECRET, spelt(signed(body)), body, now=NOW) == FLAG


def test_the_headers_of_the_standard_librarys_server_will_do() -> None:
    body = encode_flag(FLAG)
    message = Message()
    for name, value in signed(body).items():
        message[name] = value

    assert open_flag(SECRET, message, memoryview(body), now=NOW) == FLAG  # type: ignore[arg-type]


def test_a_field_that_a_newer_modq_sends_is_passed_over() -> None:
    event = json.loads(encode_flag(FLAG))
    event["data"]["new"] = {"a": 1}
    event["new"] = True

    assert opened(json.dumps(event).encode()) == FLAG


def test_what_an_older_modq_does_not_tell_has_its_default() -> None:
    event = json.loads(encode_flag(FLAG))
    del event["data"]["severity"], event["data"]["rules"]

    flag = opened(json.dumps(event).encode())
    assert (flag.severity, flag.rules) == (None, {})


def test_a_signed_body_that_is_no_flag_is_refused() -> None:
    event = json.loads(encode_flag(FLAG))
    bodies: list[object] = [
        None,
        [],
        {},
        {"type": "post.flagged"},
        event | {"type": "post.loved"},
        event | {"data": []},
        event | {"timestamp": "now"},
    ]
    for name, wrong in {
        "sequence": -1,
        "score": 1.5,
        "label": "rude",
        "source": None,
        "published_at": "2026-01-31T12:00:01",
        "rules": {"a": "b"},
        "severity": "grave",
        "truncated": 1,
        "metadata": [],
        "revision": True,
    }.items():
        bodies.append(event | {"data": event["data"] | {name: wrong}})
    for name in ("sequence", "post_id", "label", "score", "published_at"):
        bodies.append(event | {"data": {key: value for key, value in event["data"].items() if key != name}})

    for body in bodies:
        with pytest.raises(InvalidFlag):
            opened(json.dumps(body).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
WRONG_DATA = st.dictionaries(st.sampled_from([*json.loads(encode_flag(FLAG))["data"], "other"]), JSON | st.just(10**4000), max_size=4)


@given(WRONG_DATA, st.dictionaries(st.sampled_from(["type", "timestamp", "data"]), JSON, max_size=1))
def test_whatever_a_signed_body_holds_the_one_error_is_invalid_flag(data: dict[str, Any], fields: dict[str, Any]) -> None:
    event = json.loads(encode_flag(FLAG))
    event["data"] |= data
    with contextlib.suppress(InvalidFlag):
        opened(json.dumps(event | fields).encode())


@given(st.binary(max_size=200))
def test_whatever_the_signed_bytes_the_one_error_is_invalid_flag(body: bytes) -> None:
    with pytest.raises(InvalidFlag):
        opened(body)


NAMES = st.sampled_from(["webhook-id", "Webhook-Timestamp", "webhook-signature", b"webhook-signature"]) | st.text(max_size=5)
VALUES = (
    st.none() | st.integers() | st.binary(max_size=20) | st.text(st.characters(codec=None, exclude_categories=()), max_size=20) | st.just(str(NOW))
)


@given(st.dictionaries(NAMES, VALUES), st.none() | st.text(max_size=5) | st.binary(max_size=5))
def test_whatever_headers_and_body_are_the_one_error_is_invalid_flag(headers: Mapping[Any, Any], body: Any) -> None:
    with pytest.raises(InvalidFlag):
        open_flag(SECRET, headers, body, now=NOW)


def test_a_deeply_nested_body_is_refused() -> None:
    with pytest.raises(InvalidFlag):
        opened(b"[" * 100_000)


def test_the_largest_webhook_stays_under_twenty_kilobytes() -> None:
    from modq import Post

    post = Post(
        id="\U0001f600" * 200, text="a", source="a" * 100, author="\U0001f600" * 200, conversation="\U0001f600" * 200, metadata={"a": "b" * 16_370}
    )
    flag = Flag(
        type="post.flagged",
        timestamp=FLAG.timestamp,
        sequence=2**63,
        source=post.source,
        post_id=post.id,
        content_sha256="ab" * 32,
        label="toxic",
        score=0.1234567890123456,
        adapter="a" * 64,
        policy="threshold=0.1234",
        lane="backlog",
        published_at=FLAG.published_at,
        author=post.author,
        conversation=post.conversation,
        metadata=post.metadata,
    )

    assert len(encode_flag(flag)) < 20_000
