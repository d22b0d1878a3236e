"""What one end encodes, the other end reads as the same post."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from modq.errors import InvalidPost
from modq.post import MAX_ENTRY_BYTES, MAX_TEXT_CHARS, Post, decode, encode

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=200)
NAMES = st.text(min_size=1, max_size=200).filter(lambda name: name.isprintable() and bool(name.strip()))
SOURCES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}", fullmatch=True)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT
POSTS = st.builds(
    Post,
    id=NAMES,
    text=ANY_TEXT.map(lambda text: f"a{text}"),
    source=SOURCES,
    author=st.none() | NAMES,
    conversation=st.none() | NAMES,
    parent_text=st.none() | ANY_TEXT,
    created_at=st.none() | st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES),
    language=st.none() | st.from_regex(r"[a-z]{2}(-[A-Z]{2})?", fullmatch=True),
    metadata=st.dictionaries(ANY_TEXT, SCALARS, max_size=5),
)


@given(POSTS)
def test_every_post_is_read_back_as_it_was(post: Post) -> None:
    again = decode(encode(post))

    assert again == post
    assert (again.key, again.content_hash) == (post.key, post.content_hash)


@given(st.binary(max_size=400))
def test_whatever_the_bytes_reading_them_gives_a_post_or_a_reason(raw: bytes) -> None:
    # Any other error fails the test.
    with contextlib.suppress(InvalidPost):
        decode(raw)


JSON = st.recursive(
    SCALARS | st.just(float("nan")), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3), max_leaves=6
)


@given(st.dictionaries(st.sampled_from(["id", "text", "source", "author", "created_at", "metadata", "v", "__type__", "other"]), JSON))
def test_whatever_the_fields_reading_them_gives_a_post_or_a_reason(fields: dict[str, object]) -> None:
    with contextlib.suppress(InvalidPost):
        decode(json.dumps(fields).encode())


def test_the_largest_post_fits_into_an_entry() -> None:
    # A control character takes six bytes of JSON, more than any other character.
    largest = Post(
        id="€" * 200,
        text="\x01" * (MAX_TEXT_CHARS - 1) + "a",
        parent_text="\x01" * MAX_TEXT_CHARS,
        author="€" * 200,
        conversation="€" * 200,
        metadata={"note": "a" * 16_000},
    )

    assert len(encode(largest)) <= MAX_ENTRY_BYTES
    assert decode(encode(largest)) == largest


def test_a_text_that_no_database_stores_is_mended_and_still_judged() -> None:
    post = Post(id="1", text="you \x00 and \ud800 you", metadata={"a\x00": "b\udfff"})

    assert post.text == "you � and � you"
    assert post.metadata == {"a�": "b�"}


def test_the_same_instant_in_two_time_zones_is_the_same_post() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    elsewhere = noon.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert encode(Post(id="1", text="a", created_at=noon)) == encode(Post(id="1", text="a", created_at=elsewhere))


def test_a_verdict_is_keyed_by_source_id_and_text_alone() -> None:
    post = Post(id="1", text="a", source="forum")

    assert post.key == Post(id="1", text="a", source="forum", author="ada", metadata={"b": 1}).key
    assert len({post.key, Post(id="1", text="b", source="forum").key, Post(id="2", text="a", source="forum").key, Post(id="1", text="a").key}) == 4


def test_the_names_of_a_key_cannot_run_into_each_other() -> None:
    assert Post(id="b1", text="a", source="a").key != Post(id="1", text="a", source="ab").key
