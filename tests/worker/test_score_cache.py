"""A text that was judged lately is not judged again, and a cache that fails is no reason not to judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from redis import Redis

from modq_worker import score_cache
from modq_worker.score_cache import NEW, OLD, CachingJudge
from modq_worker.stream import connect
from modq_worker.verdict import Score


class Recorder:
    """Scores a text by its length, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.broken = False

    def score(self, texts: Sequence[str], before_pass: Callable[[], bool | None] = lambda: None) -> list[Score]:
        self.asked.append(list(texts))
        before_pass()
        if self.broken:
            raise RuntimeError("out of order")
        return [Score(math.nan if text == "nan" else len(text) / 100, truncated=len(text) > 50) for text in texts]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def worker(redis: Redis, redis_url: str, recorder: Recorder) -> Callable[..., CachingJudge]:
    def worker(adapter: str = "tiny@1", size: int = 1000) -> CachingJudge:
        return CachingJudge(recorder, connect(redis_url), adapter=adapter, size=size)

    return worker


def test_a_text_is_judged_once_whichever_worker_meets_it_again(worker: Callable[..., CachingJudge], recorder: Recorder) -> None:
    texts = ["buy now", "hello", "buy now", "x" * 60]
    first = worker().score(texts)
    assert first == Recorder().score(texts)
    assert worker().score([*texts, "new"]) == [*first, Score(0.03)]
    assert recorder.asked == [["buy now", "hello", "x" * 60], ["new"]]


def test_what_rules_a_text_breaks_is_remembered_too(redis: Redis, redis_url: str) -> None:
    class Strict(Recorder):
        def score(self, texts: Sequence[str], before_pass: Callable[[], bool | None] = lambda: None) -> list[Score]:
            super().score(texts, before_pass)
            return [Score(0.9, rules={"insult": 0.7}, severity="low") for _ in texts]

    strict = Strict()
    first, again = (CachingJudge(strict, connect(redis_url), adapter="tiny@1", size=10).score(["you"]) for _ in range(2))
    assert first == again == [Score(0.9, rules={"insult": 0.7}, severity="low")]
    assert len(strict.asked) == 1


def test_another_adapter_judges_for_itself(worker: Callable[..., CachingJudge], recorder: Recorder) -> None:
    worker("tiny@1").score(["hello"])
    worker("tiny@2").score(["hello"])
    assert recorder.asked == [["hello"], ["hello"]]


def test_it_never_grows_beyond_its_size_and_keeps_what_is_recent(worker: Callable[..., CachingJudge], recorder: Recorder, redis: Redis) -> None:
    judge = worker(size=100)
    for batch in range(50):
        judge.score([f"{batch}/{number}" for number in range(10)])
        assert redis.hlen(NEW) + redis.hlen(OLD) <= 100
    judge.score([f"{batch}/{number}" for batch in range(46, 50) for number in range(10)])
    assert len(recorder.asked) == 50


def test_it_forgets_after_a_day_at_the_latest(worker: Callable[..., CachingJudge], redis: Redis) -> None:
    judge = worker(size=4)
    judge.score(["a", "b"])
    judge.score(["c"])
    for key in (NEW, OLD):
        assert 0 < redis.ttl(key) <= 86_400
    before = redis.pttl(NEW)
    judge.score(["d"])
    assert redis.pttl(OLD) <= before, "a later text does not prolong it"


def test_it_holds_no_text(worker: Callable[..., CachingJudge], redis: Redis) -> None:
    worker().score(["my secret"])
    assert b"secret" not in b"".join(part for pair in redis.hgetall(NEW).items() for part in pair)


@pytest.mark.parametrize("junk", [b"", b"x", b"[]", b"[2, false, {}]", b'["a", false, {}]', b"[NaN, false, {}]", b"{}", b"0.5", b"\xff"])
def test_what_is_no_score_is_judged(worker: Callable[..., CachingJudge], recorder: Recorder, redis: Redis, junk: bytes) -> None:
    worker().score(["hello"])
    redis.hset(NEW, mapping=dict.fromkeys(redis.hgetall(NEW), junk))
    assert worker().score(["hello"]) == [Score(0.05)]
    assert len(recorder.asked) == 2


def test_a_score_that_is_none_is_not_remembered(worker: Callable[..., CachingJudge], recorder: Recorder) -> None:
    worker().score(["nan"])
    [score] = worker().score(["nan"])
    assert math.isnan(score.toxic)
    assert len(recorder.asked) == 2


def test_a_classifier_that_failed_is_asked_itself_until_it_works(worker: Callable[..., CachingJudge], recorder: Recorder) -> None:
    """Or a broken one would look sound to the drain, which then takes posts for poison."""
    judge = worker()
    judge.score(["Good morning."])
    recorder.broken = True
    for text in ("poison", "Good morning."):
        with pytest.raises(RuntimeError):
            judge.score([text])
    recorder.broken = False
    judge.score(["Good morning."])
    asked = len(recorder.asked)
    judge.score(["Good morning."])
    assert len(recorder.asked) == asked


def test_what_goes_before_a_pass_is_answered_from_memory_too(worker: Callable[..., CachingJudge], recorder: Recorder) -> None:
    worker().score(["live"])
    judge = worker()
    judge.score(["backlog"], before_pass=lambda: judge.score(["live"]) and None)
    assert recorder.asked == [["live"], ["backlog"]]


def test_a_classifier_that_fails_after_what_went_before_the_pass_did_not_is_asked_itself(worker: Callable[..., CachingJudge], recorder: Recorder) -> None:
    judge = worker()
    judge.score(["Good morning."])

    def live_first() -> None:
        if not recorder.broken and len(recorder.asked) == 2:
            judge.score(["live"])
            recorder.broken = True

    with pytest.raises(RuntimeError):
        judge.score(["backlog"], before_pass=live_first)
    with pytest.raises(RuntimeError):
        judge.score(["Good morning."])


def test_without_the_server_everything_is_judged(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = CachingJudge(recorder, connect("redis://127.0.0.1:1/0"), adapter="tiny@1", size=10)
    assert judge.score(["hello"]) == judge.score(["hello"]) == [Score(0.05)]
    assert len(recorder.asked) == 2


def test_a_full_server_refuses_the_cache_and_no_post(worker: Callable[..., CachingJudge], recorder: Recorder, redis: Redis) -> None:
    redis.config_set("maxmemory", 1)
    try:
        assert worker().score(["hello"]) == [Score(0.05)]
    finally:
        redis.config_set("maxmemory", 0)
    assert redis.keys() == []


def test_it_asks_again_when_the_server_is_back(worker: Callable[..., CachingJudge], recorder: Recorder, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_cache, "_REST_SECONDS", 0.0)
    judge = worker()
    redis.set(NEW, "no hash")
    judge.score(["hello"])
    redis.delete(NEW)
    judge.score(["hello"])
    judge.score(["hello"])
    assert len(recorder.asked) == 2


def test_before_each_pass_the_caller_is_called(worker: Callable[..., CachingJudge]) -> None:
    passes: list[int] = []
    worker().score(["hello"], before_pass=lambda: passes.append(1))
    assert passes == [1]
