"""What an erasure finds, what it waits for, and what it leaves alone, on a real queue and a real store."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from redis import Redis
from sqlalchemy import Engine, select, text

from modq import cli
from modq.post import Post, encode, stream_of
from modq_worker.dead_letters import DeadLetter, DeadLetters
from modq_worker.erasure import Erasure, Receipt
from modq_worker.policy import Policy
from modq_worker.score_cache import CachingJudge
from modq_worker.settings import settings
from modq_worker.stream import ALIVE, ATTEMPTS, GROUP, Inbox, connect
from modq_worker.tables import DeadLetterRow, PostRow
from modq_worker.tasks import Drain
from modq_worker.verdict import Score
from modq_worker.verdict_store import VerdictStore
from modq_worker.watchdog import Pulse
from modq_worker.whose import InvalidSelector, Selector

LIVE = stream_of("live")


class SlowJudge:
    """Judges nothing before it is let go."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()

    def score(self, texts: Sequence[str], before_pass: Callable[[], bool | None] = lambda: None) -> list[Score]:
        self.began.set()
        assert self.go_on.wait(20)
        return [Score(0.1) for _ in texts]


class Hasty:
    """Judges everything alike."""

    def score(self, texts: Sequence[str], before_pass: Callable[[], bool | None] = lambda: None) -> list[Score]:
        return [Score(0.1) for _ in texts]


@pytest.fixture
def erase(redis: Redis, redis_url: str, engine: Engine) -> Callable[..., Receipt]:
    def erase(*, wait_seconds: float = 10, unreadable: bool = False, quotations: bool = True, **names: str) -> Receipt:
        erasure = Erasure(connect(redis_url), engine, Selector(**names), unreadable=unreadable, quotations=quotations)
        return erasure.erase(wait_seconds=wait_seconds)

    return erase


@pytest.fixture
def judge() -> SlowJudge:
    return SlowJudge()


@pytest.fixture
def drain(redis: Redis, redis_url: str, engine: Engine, judge: SlowJudge) -> Drain:
    inbox = Inbox(connect(redis_url), "worker")
    inbox.renew_heartbeat(60)
    pulse = Pulse(inbox, heartbeat_seconds=3, stall_seconds=20)
    return Drain(inbox, judge, VerdictStore(engine), DeadLetters(engine), Policy(0.5), pulse, adapter="slow", batch_posts=64, max_attempts=3)


@pytest.fixture
def judged(drain: Drain, judge: SlowJudge, redis: Redis) -> Callable[..., None]:
    """Posts that are in the store."""

    def judged(*posts: Post) -> None:
        publish(redis, *posts)
        judge.go_on.set()
        drain.run()

    return judged


def publish(redis: Redis, *posts: Post) -> None:
    for post in posts:
        redis.xadd(LIVE, {"post": encode(post)})


def kept(engine: Engine) -> set[tuple[str, str]]:
    with engine.connect() as connection:
        return {(row.source, row.post_id) for row in connection.execute(select(PostRow))}


def letters(engine: Engine) -> set[int]:
    with engine.connect() as connection:
        return set(connection.scalars(select(DeadLetterRow.id)))


def waiting(redis: Redis) -> list[str]:
    return [json.loads(fields[b"post"])["id"] for _, fields in redis.xrange(LIVE)]


@pytest.mark.parametrize(
    ("names", "left"),
    [
        ({"author": "ada"}, {("default", "2"), ("game", "1"), ("game", "4")}),
        ({"author": "ada", "source": "game"}, {("default", "1"), ("default", "2"), ("game", "1"), ("game", "4")}),
        ({"post_id": "1"}, {("default", "2"), ("game", "1"), ("game", "3"), ("game", "4")}),
        ({"post_id": "1", "source": "game"}, {("default", "1"), ("default", "2"), ("game", "3"), ("game", "4")}),
        ({"source": "game"}, {("default", "1"), ("default", "2")}),
        ({"post_id": "1", "author": "bob"}, {("default", "1"), ("default", "2"), ("game", "1"), ("game", "3"), ("game", "4")}),
        ({"author": "%"}, {("default", "1"), ("default", "2"), ("game", "1"), ("game", "3"), ("game", "4")}),
    ],
)
def test_what_fits_every_name_is_erased_from_queue_and_store_and_nothing_else(
    names: dict[str, str], left: set[tuple[str, str]], erase: Callable[..., Receipt], judged: Callable[..., None], redis: Redis, engine: Engine
) -> None:
    posts = [
        Post("1", "first", author="ada"),
        Post("1", "edited", author="ada"),
        Post("2", "a"),
        Post("1", "a", source="game", author="bob"),
        Post("3", "a", source="game", author="ada"),
        Post("4", "a", source="game"),
    ]
    judged(*posts)
    publish(redis, *posts)
    receipt = erase(**names)
    assert kept(engine) == left
    assert {(json.loads(fields[b"post"]).get("source", "default"), json.loads(fields[b"post"])["id"]) for _, fields in redis.xrange(LIVE)} == left
    assert receipt.complete
    assert receipt.counts["posts"] == receipt.counts["verdicts"] == receipt.counts["stream_live"] == 6 - len(left) - (("default", "1") in left)
    assert sum(erase(**names).counts.values()) == 0


def test_what_a_living_worker_has_in_hand_is_waited_for_and_then_erased(
    erase: Callable[..., Receipt], drain: Drain, judge: SlowJudge, redis: Redis, engine: Engine
) -> None:
    publish(redis, Post("1", "in hand", author="ada"), Post("2", "in hand", author="bob"))
    work = threading.Thread(target=drain.run)
    work.start()
    assert judge.began.wait(10)
    threading.Timer(1.0, judge.go_on.set).start()
    receipt = erase(author="ada")
    work.join()
    assert receipt.complete
    assert (receipt.counts["stream_live"], receipt.counts["posts"]) == (0, 1)
    assert kept(engine) == {("default", "2")}


def test_no_score_is_remembered_either_not_even_of_what_was_in_hand(
    erase: Callable[..., Receipt], drain: Drain, judge: SlowJudge, redis: Redis, redis_url: str
) -> None:
    drain._judge = CachingJudge(judge, connect(redis_url), adapter="slow", size=100)
    CachingJudge(Hasty(), connect(redis_url), adapter="slow", size=1).score(["said", "long ago"])
    publish(redis, Post("1", "in hand", author="ada"))
    work = threading.Thread(target=drain.run)
    work.start()
    assert judge.began.wait(10)
    threading.Timer(0.5, judge.go_on.set).start()
    receipt = erase(author="ada")
    work.join()
    assert (receipt.complete, receipt.scores) == (True, "forgotten")
    assert redis.keys("modq:scores:*") == []


def test_what_a_worker_does_not_let_go_of_in_time_is_said_to_be_left(
    erase: Callable[..., Receipt], drain: Drain, judge: SlowJudge, redis: Redis, engine: Engine
) -> None:
    publish(redis, Post("1", "in hand", author="ada"))
    work = threading.Thread(target=drain.run)
    work.start()
    assert judge.began.wait(10)
    receipt = erase(author="ada", wait_seconds=0.3)
    judge.go_on.set()
    work.join()
    assert (receipt.complete, receipt.held) == (False, 1)
    assert erase(author="ada").complete
    assert kept(engine) == set()


def test_what_a_dead_worker_held_is_erased_with_its_count_of_attempts(erase: Callable[..., Receipt], redis: Redis, redis_url: str) -> None:
    publish(redis, Post("1", "held", author="ada"), Post("2", "held", author="bob"))
    dead = Inbox(connect(redis_url), "dead")
    dead.renew_heartbeat(60)
    for entry in dead.read_new("live", 10):
        dead.count_attempt(entry)
    redis.delete(ALIVE + "dead")
    assert erase(author="ada").counts["stream_live"] == 1
    assert waiting(redis) == ["2"]
    assert redis.xpending(LIVE, GROUP)["pending"] == redis.hlen(ATTEMPTS) == 1


def test_a_quotation_of_an_erased_text_goes_and_the_post_that_quotes_stays(
    erase: Callable[..., Receipt], judged: Callable[..., None], redis: Redis, engine: Engine
) -> None:
    quoting = Post("2", "no", author="bob", parent_text="what ada said", metadata={"a": 1})
    elsewhere = Post("3", "no", author="bob", parent_text="what ada said", source="game")
    judged(Post("1", "what ada said", author="ada"), quoting, elsewhere)
    publish(redis, quoting, elsewhere)
    DeadLetters(engine).park([DeadLetter("live", "1-1", encode(quoting), "classifier_error", "it raised", "default", "2")])
    assert erase(author="ada").counts["quotations"] == 3
    with engine.connect() as connection:
        assert dict(connection.execute(select(PostRow.post_id, PostRow.parent_text)).all()) == {"2": None, "3": "what ada said"}
        assert b"said" not in connection.scalar(select(DeadLetterRow.raw))
    entries = [json.loads(fields[b"post"]) for _, fields in redis.xrange(LIVE)]
    assert sorted(entries, key=lambda entry: entry["id"]) == [
        {"id": "2", "text": "no", "author": "bob", "metadata": {"a": 1}},
        json.loads(encode(elsewhere)),
    ]


def test_quotations_can_be_kept(erase: Callable[..., Receipt], judged: Callable[..., None], engine: Engine) -> None:
    judged(Post("1", "said", author="ada"), Post("2", "no", author="bob", parent_text="said"))
    assert erase(author="ada", quotations=False).counts["quotations"] == 0
    with engine.connect() as connection:
        assert connection.scalars(select(PostRow.parent_text)).all() == ["said"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"id": 7, "author": "ada"}', "wrong_type"),
        (b'{"id": "7", "author": "ada", "text": NaN}', "not_json"),
        (b'{"id": "7", "author": "ada", "text": "\xff"}', "not_utf8"),
        (b'{"id": "7", "author": "\\u0061da", "v": 9}', "unknown_version"),
        (b'{"aWQ=": "Nw==", "YXV0aG9y": "YWRh"}', "not_an_entry"),
    ],
)
def test_dead_letters_are_erased_however_broken_they_are(raw: bytes, reason: str, erase: Callable[..., Receipt], engine: Engine) -> None:
    DeadLetters(engine).park([DeadLetter("live", "1-1", raw, reason, "broken"), DeadLetter("live", "1-2", b'{"id": "8"}', reason, "broken")])
    assert erase(author="ada", post_id="7").counts["dead_letters"] == 1
    assert len(letters(engine)) == 1


def test_an_expired_dead_letter_is_erased_by_the_names_that_are_left(erase: Callable[..., Receipt], engine: Engine) -> None:
    DeadLetters(engine).park([DeadLetter("live", "1-1", b"", "classifier_error", "it raised", "game", "1")])
    assert erase(post_id="1").counts["dead_letters"] == 0
    assert erase(post_id="1", source="game").counts["dead_letters"] == 1


def test_what_nobody_can_read_is_reported_if_it_holds_the_name_and_erased_on_demand(
    erase: Callable[..., Receipt], redis: Redis, engine: Engine
) -> None:
    DeadLetters(engine).park([DeadLetter("live", "1-1", b'{"author": "ada"', "not_json", "x"), DeadLetter("live", "1-2", b"{", "not_json", "x")])
    redis.xadd(LIVE, {"post": b'[{"author": "ada"}'})
    first = erase(author="ada")
    assert (first.unreadable, sum(first.counts.values()), first.complete) == (2, 0, True)
    second = erase(author="ada", unreadable=True)
    assert (second.unreadable, second.counts["dead_letters"], second.counts["stream_live"]) == (0, 1, 1)
    assert len(letters(engine)) == 1


def test_an_erasure_needs_a_name() -> None:
    for names in ({}, {"author": ""}, {"author": "ada", "source": ""}):
        with pytest.raises(InvalidSelector):
            Selector(**names)


@pytest.fixture
def modq(database_url: str, redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    monkeypatch.setenv("MODQ_DATABASE_URL", database_url)
    monkeypatch.setenv("MODQ_REDIS_URL", redis_url)
    settings.cache_clear()
    yield lambda *words: cli.main(["erase", *words])
    settings.cache_clear()


def test_the_command_asks_first_and_without_a_terminal_erases_nothing(
    modq: Callable[..., int], judged: Callable[..., None], engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(Post("1", "said", author="ada"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert modq("--author", "ada") == 1
    assert "--yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: "no\n", raising=False)
    assert modq("--author", "ada") == 1
    assert "1 posts" in capsys.readouterr().err
    assert kept(engine) == {("default", "1")}
    monkeypatch.setattr("sys.stdin.readline", lambda: "yes\n", raising=False)
    assert modq("--author", "ada") == 0
    assert "posts:          1" in capsys.readouterr().out
    assert kept(engine) == set()


def test_who_may_not_vacuum_or_rewrite_is_told_and_the_rows_are_erased_all_the_same(
    modq: Callable[..., int],
    judged: Callable[..., None],
    engine: Engine,
    database_url: str,
    redis: Redis,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    judged(Post("1", "said", author="ada"))
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS clerk"))
        connection.execute(text("CREATE ROLE clerk"))
        connection.execute(text("GRANT SELECT, UPDATE, DELETE ON posts, verdicts, deliveries, dead_letters TO clerk"))
    monkeypatch.setenv("MODQ_DATABASE_URL", f"{database_url}?options=-c%20role%3Dclerk")
    redis.acl_setuser("clerk", enabled=True, passwords=["+pw"], keys=["modq:*"], commands=["+@all", "-info", "-bgrewriteaof", "-del"])
    monkeypatch.setenv("MODQ_REDIS_URL", f"redis://clerk:pw@{redis_url.partition('@')[2]}")
    try:
        assert modq("--author", "ada", "--yes", "--json") == 0
    finally:
        redis.acl_deluser("clerk")
        with engine.begin() as connection:
            connection.execute(text("DROP OWNED BY clerk"))
            connection.execute(text("DROP ROLE clerk"))
    receipt = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (receipt["scores"], receipt["redis_files"], receipt["postgres_files"]) == ("not_permitted", "not_permitted", "not_permitted")
    assert (receipt["erased"]["posts"], receipt["complete"]) == (1, True)


def test_a_thousand_posts_of_a_source_are_erased_while_a_worker_judges_the_others(
    erase: Callable[..., Receipt], judged: Callable[..., None], drain: Drain, redis: Redis, engine: Engine
) -> None:
    judged(*(Post(str(n), f"text {n}", source="game", author="ada") for n in range(1200)))
    publish(redis, *(Post(str(n), f"text {n}", source=("forum", "game")[n % 2]) for n in range(600)))
    work = threading.Thread(target=drain.run)
    work.start()
    receipt = erase(source="game", wait_seconds=20)
    work.join()
    assert receipt.complete
    assert {source for source, _ in kept(engine)} == {"forum"}
    assert len(kept(engine)) == 300
