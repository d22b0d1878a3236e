"""Texts expire by their age; what was decided of them stays."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from redis import Redis
from sqlalchemy import Engine
from tests.store.conftest import Query
from tests.store.making import safe, verdict

from modq_worker.dead_letters import DeadLetter, DeadLetters
from modq_worker.expiry import Expiry
from modq_worker.settings import settings
from modq_worker.verdict_store import VerdictStore

TEXTS = "SELECT post_id, text, parent_text FROM posts ORDER BY post_id"


@pytest.fixture
def aged(store: VerdictStore, engine: Engine, query: Query) -> None:
    """An old post and a young one, each with what it answers, and an old dead letter and a young one."""
    store.save([verdict("old", "an old text", parent_text="a question"), safe("young", "a young text", parent_text="a question")])
    DeadLetters(engine).park([DeadLetter("live", f"{n}-1", b'{"text": 1}', "wrong_type", "text must be a string", None, None) for n in (1, 2)])
    query("UPDATE posts SET published_at = now() - interval '31 days' WHERE post_id = 'old'")
    query("UPDATE dead_letters SET parked_at = now() - interval '31 days' WHERE entry_id = '1-1'")


@pytest.mark.usefixtures("aged")
def test_a_text_is_dropped_when_it_is_old_enough_and_its_verdict_stays(engine: Engine, query: Query) -> None:
    expired = Expiry(engine, 30).expire()
    assert (expired.posts, expired.dead_letters) == (1, 1)
    assert query(TEXTS) == [("old", None, None), ("young", "a young text", "a question")]
    assert query("SELECT raw, reason FROM dead_letters ORDER BY id") == [(b"", "wrong_type"), (b'{"text": 1}', "wrong_type")]
    assert query("SELECT count(*) FROM verdicts") == [(2,)]
    again = Expiry(engine, 30).expire()
    assert (again.posts, again.dead_letters) == (0, 0)


@pytest.mark.usefixtures("aged")
def test_a_row_that_somebody_holds_is_left_for_the_next_time(engine: Engine, query: Query) -> None:
    with engine.begin() as other:
        other.exec_driver_sql("SELECT 1 FROM posts FOR UPDATE")
        assert Expiry(engine, 30).expire().posts == 0
    assert Expiry(engine, 30).expire().posts == 1


def test_any_number_expires_in_small_steps(store: VerdictStore, engine: Engine, query: Query) -> None:
    store.save([safe(str(number), f"text {number}") for number in range(2300)])
    assert Expiry(engine, 0).expire().posts == 2300
    assert query("SELECT count(*) FROM posts WHERE text IS NOT NULL") == [(0,)]


@pytest.mark.usefixtures("aged")
def test_a_letter_that_has_expired_is_not_published_again(
    engine: Engine, redis: Redis, modq: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    Expiry(engine, 30).expire()
    letters = DeadLetters(engine)
    ids = {letter.entry_id: letter.id for letter in letters.find()}
    assert letters.waiting() == [ids["2-1"]]
    assert modq("dead-letters", "replay", *ids.values()) == 0
    assert "expired" in capsys.readouterr().err
    assert redis.xlen("modq:posts:live") == 1


@pytest.mark.usefixtures("aged")
def test_the_command_takes_the_time_from_the_setting_and_can_look_first(
    modq: Callable[..., int], query: Query, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert modq("expire") == 1
    assert "MODQ_TEXT_DAYS" in capsys.readouterr().err
    monkeypatch.setenv("MODQ_TEXT_DAYS", "30")
    settings.cache_clear()
    assert modq("expire", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["posts"] == 1
    assert query(TEXTS)[0] == ("old", "an old text", "a question")
    assert modq("expire") == 0
    assert "1 posts and 1 dead letters" in capsys.readouterr().out
    assert query(TEXTS)[0] == ("old", None, None)
    assert modq("expire", "--days", "0", "--json") == 0
    assert json.loads(capsys.readouterr().out)["posts"] == 1
