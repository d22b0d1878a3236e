"""What is no post is refused with a stable reason, and never told with its text."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import modq.post
from modq.errors import InvalidPost
from modq.post import MAX_ENTRY_BYTES, Post, decode, stream_of

SECRET = "the words of the user"

CONSTRUCTED: list[tuple[str, dict[str, Any]]] = [
    ("wrong_type", {"id": 42}),
    ("wrong_type", {"text": None}),
    ("wrong_type", {"text": 12.5}),
    ("wrong_type", {"text": b"bytes"}),
    ("wrong_type", {"author": 7}),
    ("wrong_type", {"parent_text": ["a"]}),
    ("invalid_id", {"id": ""}),
    ("invalid_id", {"id": "   "}),
    ("invalid_id", {"id": "a\nb"}),
    ("invalid_id", {"id": "a\x00"}),
    ("invalid_id", {"id": "\ud800"}),
    ("invalid_id", {"id": "a" * 201}),
    ("empty_text", {"text": ""}),
    ("empty_text", {"text": " \n\t\u3000"}),
    ("empty_text", {"text": "\u200b\u2060\ufeff\x00"}),
    ("text_too_long", {"text": SECRET * 10_000}),
    ("invalid_source", {"source": ""}),
    ("invalid_source", {"source": "a b"}),
    ("invalid_source", {"source": "a" * 101}),
    ("invalid_source", {"source": None}),
    ("invalid_source", {"source": "forum\n"}),
    ("invalid_field", {"author": ""}),
    ("invalid_field", {"conversation": "a" * 201}),
    ("invalid_field", {"language": "a" * 36}),
    ("invalid_field", {"created_at": datetime(2026, 1, 1)}),
    ("invalid_field", {"created_at": "2026-01-01T00:00:00Z"}),
    ("invalid_field", {"created_at": datetime.fromisoformat("0001-01-01T00:00:00+14:00")}),
    ("invalid_metadata", {"metadata": [1]}),
    ("invalid_metadata", {"metadata": {1: "a"}}),
    ("invalid_metadata", {"metadata": {"a": {"b": 1}}}),
    ("invalid_metadata", {"metadata": {"a": float("nan")}}),
    ("invalid_metadata", {"metadata": {"a": float("inf")}}),
    ("invalid_metadata", {"metadata": {"a": "b" * 16_384}}),
]


@pytest.mark.parametrize(("reason", "fields"), CONSTRUCTED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_post_that_cannot_be_judged_is_refused_when_it_is_made(reason: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidPost) as refused:
        Post(**({"id": "1", "text": SECRET} | fields))

    assert refused.value.reason == reason


READ: list[tuple[str, bytes]] = [
    ("entry_too_large", b" " * (MAX_ENTRY_BYTES + 1)),
    ("not_utf8", b'{"id":"1","text":"\xff"}'),
    ("not_json", b""),
    ("not_json", b"hello"),
    ("not_json", b'\xef\xbb\xbf{"id":"1","text":"a"}'),
    ("not_json", b'{"id":"1","text":"a","metadata":{"a":NaN}}'),
    ("not_json", b'{"id":"1","text":"a"} {}'),
    ("not_json", b"[" * 100_000),
    ("not_json", b'{"id":"1","text":"a","metadata":{"a":' + b"1" * 5000 + b"}}"),
    ("not_an_object", b'["id","text"]'),
    ("not_an_object", b"null"),
    ("unknown_version", b'{"v":2,"id":"1","text":"a"}'),
    ("unknown_version", b'{"v":true,"id":"1","text":"a"}'),
    ("unknown_version", b'{"v":"1","id":"1","text":"a"}'),
    ("unknown_field", b'{"id":"1","text":"a","autor":"ada"}'),
    ("unknown_field", b'{"__type__":"x","__value__":"y"}'),
    ("missing_field", b"{}"),
    ("missing_field", b'{"id":"1"}'),
    ("missing_field", b'{"text":"a"}'),
    ("wrong_type", b'{"id":1,"text":"a"}'),
    ("wrong_type", b'{"id":null,"text":"a"}'),
    ("wrong_type", b'{"id":"1","text":["a"]}'),
    ("wrong_type", b'{"id":"1","text":"a","created_at":1769860800}'),
    ("invalid_field", b'{"id":"1","text":"a","created_at":"yesterday"}'),
    ("invalid_field", b'{"id":"1","text":"a","created_at":"2026-01-31"}'),
    ("invalid_metadata", b'{"id":"1","text":"a","metadata":{"a":1e400}}'),
    ("invalid_metadata", b'{"id":"1","text":"a","metadata":{"a":[]}}'),
]


@pytest.mark.parametrize(("reason", "raw"), READ, ids=lambda value: value if isinstance(value, str) else "")
def test_an_entry_that_is_no_post_is_refused_with_a_reason(reason: str, raw: bytes) -> None:
    with pytest.raises(InvalidPost) as refused:
        decode(raw)

    assert refused.value.reason == reason


def test_no_refusal_tells_what_the_user_wrote() -> None:
    for raw in (
        json.dumps({"id": SECRET * 20, "text": SECRET}),
        json.dumps({"id": "1", "text": SECRET, SECRET: SECRET}),
        json.dumps({"id": "1", "text": SECRET, "created_at": SECRET}),
        json.dumps({"id": "1", "text": SECRET, "metadata": {SECRET: [SECRET]}}),
        json.dumps({"id": "1", "text": SECRET * 10_000}),
        SECRET,
    ):
        with pytest.raises(InvalidPost) as refused:
            decode(raw.encode())
        assert SECRET not in f"{refused.value!r} {refused.value.detail}"


def test_null_means_absent_so_that_a_publisher_may_send_every_field() -> None:
    raw = b'{"id":"1","text":"a","source":null,"author":null,"metadata":null,"created_at":null,"v":1}'

    assert decode(raw) == Post(id="1", text="a")


def test_there_are_two_lanes_and_no_other() -> None:
    assert stream_of("live") == "modq:posts:live"
    with pytest.raises(InvalidPost) as refused:
        stream_of("fast")  # type: ignore[arg-type]
    assert refused.value.reason == "unknown_lane"


def test_every_reason_in_the_code_is_tried_here() -> None:
    code = Path(modq.post.__file__).read_text()
    reasons = set(re.findall(r'InvalidPost\("(\w+)"', code)) | {"invalid_id", "invalid_field"}

    assert reasons - {"unknown_lane"} == {reason for reason, _ in CONSTRUCTED} | {reason for reason, _ in READ}


def test_the_time_of_a_post_is_kept_in_utc() -> None:
    post = decode(b'{"id":"1","text":"a","created_at":"2026-01-31T12:00:00+05:30"}')

    assert post.created_at == datetime(2026, 1, 31, 6, 30, tzinfo=UTC)
