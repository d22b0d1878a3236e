"""A dead letter is kept once, can be looked at, and can be published again."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest
from redis import Redis
from sqlalchemy import Engine
from tests.store.conftest import Query

from modq.post import FIELD, Post, encode, stream_of
from modq_worker.database import connected
from modq_worker.dead_letters import DeadLetter, DeadLetters
from modq_worker.settings import settings
from modq_worker.store_errors import StoreUnavailable

SECRET_WORDS = "nobody may read this"
Modq = Callable[..., int]


@pytest.fixture
def letters(engine: Engine) -> DeadLetters:
    return DeadLetters(engine)


def letter(entry_id: str = "1-0", raw: bytes = b"{nonsense", **fields: str) -> DeadLetter:
    return DeadLetter(**{"lane": "live", "entry_id": entry_id, "raw": raw, "reason": "not_json", "detail": "the entry is not JSON", **fields})  # type: ignore[arg-type]


def test_parking_twice_keeps_one(letters: DeadLetters) -> None:
    letters.park([letter(), letter()])
    letters.park([letter(), letter("2-0"), letter(lane="backlog")])
    assert sorted((each.lane, each.entry_id) for each in letters.find()) == [("backlog", "1-0"), ("live", "1-0"), ("live", "2-0")]


def test_the_raw_entry_is_kept_byte_for_byte_whatever_it_holds(letters: DeadLetters) -> None:
    raw = bytes(range(256)) * 40_000
    letters.park([letter(raw=raw)])
    [kept] = letters.find()
    assert letters.raw(kept.id) == raw
    assert kept.size == len(raw)


def test_no_letter_is_ever_refused(letters: DeadLetters) -> None:
    letters.park([letter(detail="nul \x00 and \ud800", source="\x00", post_id="\udfff")])
    assert letters.find()[0].detail == "nul \ufffd and \ufffd"


def test_nothing_of_the_entry_is_in_what_is_printed_of_a_letter() -> None:
    assert "nonsense" not in repr(letter())


def test_replaying_publishes_the_same_bytes_on_the_lane_they_came_from(letters: DeadLetters, modq: Modq, redis: Redis) -> None:
    raw = encode(Post("1", "hello"))
    letters.park([letter(raw=raw, lane="backlog", reason="kills_the_worker"), letter()])
    [to_replay] = letters.find(reason="kills_the_worker")
    assert modq("dead-letters", "replay", to_replay.id) == 0
    assert [fields for _, fields in redis.xrange(stream_of("backlog"))] == [{FIELD.encode(): raw}]
    assert redis.xlen(stream_of("live")) == 0
    assert [each.reason for each in letters.find(replayed=False)] == ["not_json"]


def test_replaying_all_leaves_out_what_was_replayed(letters: DeadLetters, modq: Modq, redis: Redis) -> None:
    letters.park([letter(f"{number}-0", raw=str(number).encode()) for number in range(45)])
    assert modq("dead-letters", "replay", "--all") == 0
    assert modq("dead-letters", "replay", "--all") == 0
    assert [int(fields[b"post"]) for _, fields in redis.xrange(stream_of("live"))] == list(range(45))


def test_replaying_by_reason(letters: DeadLetters, modq: Modq, redis: Redis) -> None:
    letters.park([letter("1-0"), letter("2-0", reason="store_refused")])
    assert modq("dead-letters", "replay", "--reason", "store_refused") == 0
    assert redis.xlen(stream_of("live")) == 1


def test_an_entry_with_other_fields_is_published_again_as_it_was(letters: DeadLetters, modq: Modq, redis: Redis) -> None:
    letters.park([letter(raw=b'{"dGV4dA==": "aGVsbG8="}', reason="not_an_entry")])
    assert modq("dead-letters", "replay", "--all") == 0
    assert [fields for _, fields in redis.xrange(stream_of("live"))] == [{b"text": b"hello"}]


def test_a_letter_whose_replay_was_not_noted_is_published_again(letters: DeadLetters, redis: Redis) -> None:
    letters.park([letter()])
    [parked] = letters.find()

    class Crash(Exception):
        pass

    class DyingAfterPublishing:
        def xadd(self, *entry: object) -> None:
            redis.xadd(*entry)  # type: ignore[arg-type]
            raise Crash

    with pytest.raises(Crash):
        list(letters.replay([parked.id], DyingAfterPublishing()))  # type: ignore[arg-type]
    assert list(letters.replay(letters.waiting(), redis)) == [parked.id]
    assert redis.xlen(stream_of("live")) == 2
    assert letters.waiting() == []


def test_a_queue_that_is_down_is_one_sentence(
    letters: DeadLetters, modq: Modq, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    letters.park([letter()])
    monkeypatch.setenv("MODQ_REDIS_URL", "redis://:s3cret@127.0.0.1:9/0")
    settings.cache_clear()
    assert modq("dead-letters", "replay", "--all") == 1
    told = capsys.readouterr().err
    assert "cannot be reached" in told
    assert "s3cret" not in told
    assert len(letters.waiting()) == 1


def test_listing_shows_the_reason_and_never_the_entry(letters: DeadLetters, modq: Modq, capsys: pytest.CaptureFixture[str]) -> None:
    letters.park([letter(source="forum", post_id="a\x1b[2Jb")])
    assert modq("dead-letters", "list", "--reason", "not_json") == 0
    told = capsys.readouterr().out
    assert "not_json" in told
    assert "nonsense" not in told
    assert "\x1b" not in told
    assert modq("dead-letters", "list", "--reason", "other") == 0
    assert "No dead letters" in capsys.readouterr().err


def test_showing_a_letter_gives_the_very_bytes(letters: DeadLetters, modq: Modq, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    letters.park([letter(raw=b"\xff\x00raw")])
    [parked] = letters.find()
    assert modq("dead-letters", "show", parked.id) == 0
    assert capfdbinary.readouterr().out.endswith(b"\n\n\xff\x00raw\n")


def test_a_letter_that_is_not_there_is_one_sentence(modq: Modq, redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    assert modq("dead-letters", "show", 99) == 1
    assert modq("dead-letters", "replay", 99) == 1
    assert "There is no dead letter 99." in capsys.readouterr().err


def test_a_store_that_is_down_says_so_and_not_what_it_was_given() -> None:
    raw = SECRET_WORDS.encode()
    with connected("postgresql://modq@127.0.0.1:9/modq") as engine, pytest.raises(StoreUnavailable) as caught:
        DeadLetters(engine).park([letter(raw=raw)])
    assert SECRET_WORDS not in "".join(traceback.format_exception(caught.value))


def test_letters_that_are_gone_meanwhile_are_passed_over(letters: DeadLetters, redis: Redis, query: Query) -> None:
    letters.park([letter("1-0"), letter("2-0")])
    ids = letters.waiting()
    query("DELETE FROM dead_letters WHERE entry_id = '1-0'")
    assert list(letters.replay(ids, redis)) == ids[1:]
