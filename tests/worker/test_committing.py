"""A batch is stored while the next is judged, one of each lane at most, and a store that hangs is not taken for one that is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from redis import Redis
from sqlalchemy import Engine, func, select

from modq.post import LANES, Lane, Post, encode, stream_of
from modq_worker.dead_letters import DeadLetters
from modq_worker.policy import Policy
from modq_worker.stream import Inbox, connect
from modq_worker.tables import DeadLetterRow, VerdictRow
from modq_worker.tasks import Drain, FailedElsewhere
from modq_worker.verdict import Score, Verdict
from modq_worker.verdict_store import StoreUnavailable, VerdictStore
from modq_worker.watchdog import Pulse

BATCH = 4


class Judge:
    """Tells which batches it has judged."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.judged = threading.Condition()

    def score(self, texts: Sequence[str], before_pass: Callable[[], bool | None] = lambda: None) -> list[Score]:
        before_pass()
        with self.judged:
            self.batches.append(list(texts))
            self.judged.notify_all()
        return [Score(0.1)] * len(texts)

    def has_judged(self, batches: int) -> bool:
        with self.judged:
            return self.judged.wait_for(lambda: len(self.batches) >= batches, timeout=5)


class SlowStore(VerdictStore):
    """The real store, once ``before_save`` lets it."""

    def before_save(self) -> None:
        """Nothing, unless a test replaces it."""

    def save(self, verdicts: Sequence[Verdict]) -> int:
        self.before_save()
        return super().save(verdicts)


class CountingPulse(Pulse):
    """Counts the beats."""

    beats = 0

    def beat(self) -> None:
        super().beat()
        self.beats += 1


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def store(engine: Engine) -> SlowStore:
    return SlowStore(engine)


@pytest.fixture
def pulse(redis: Redis, redis_url: str) -> CountingPulse:
    return CountingPulse(Inbox(connect(redis_url), "ada"), heartbeat_seconds=3, stall_seconds=20)


@pytest.fixture
def make_drain(redis: Redis, redis_url: str, engine: Engine, judge: Judge, store: SlowStore, pulse: CountingPulse) -> Callable[..., Drain]:
    def make(**options: float) -> Drain:
        inbox = Inbox(connect(redis_url), "ada")
        letters = DeadLetters(engine)
        return Drain(inbox, judge, store, letters, Policy(0.5), pulse, adapter="quiet", batch_posts=BATCH, max_attempts=3, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def publish(redis: Redis) -> Callable[..., None]:
    def publish(count: int, tag: str = "post", lane: Lane = "live") -> None:
        for number in range(count):
            redis.xadd(stream_of(lane), {"post": encode(Post(f"{tag}-{number}", f"{tag} {number}"))})

    return publish


@contextmanager
def running(drain: Drain) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=drain.run)
    thread.start()
    yield thread
    thread.join(timeout=10)
    assert not thread.is_alive()


def left_on_queue(redis: Redis) -> int:
    return sum(redis.xlen(stream_of(lane)) for lane in LANES)


def verdicts(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(VerdictRow)) or 0)


def test_the_next_batch_is_judged_while_one_is_being_stored(
    make_drain: Callable[..., Drain], publish: Callable[..., None], judge: Judge, store: SlowStore, redis: Redis, engine: Engine
) -> None:
    publish(2 * BATCH)
    overlapped: list[bool] = []
    store.before_save = lambda: overlapped.append(judge.has_judged(2))  # type: ignore[method-assign]
    assert make_drain().run() == 2 * BATCH
    assert overlapped == [True, True]
    assert (verdicts(engine), left_on_queue(redis)) == (2 * BATCH, 0)


def test_one_batch_at_most_is_on_its_way_to_a_store_that_is_away_and_nothing_is_acknowledged(
    make_drain: Callable[..., Drain], publish: Callable[..., None], judge: Judge, store: SlowStore, redis: Redis, engine: Engine
) -> None:
    publish(5 * BATCH)
    away = threading.Event()

    def be_away() -> None:
        if not away.is_set():
            raise StoreUnavailable("as the test asked")

    store.before_save = be_away  # type: ignore[method-assign]
    with running(make_drain()):
        assert judge.has_judged(2)
        time.sleep(0.5)
        assert len(judge.batches) == 2
        assert left_on_queue(redis) == 5 * BATCH
        away.set()
    assert (verdicts(engine), left_on_queue(redis)) == (5 * BATCH, 0)


def test_a_worker_beats_while_its_store_is_away_and_not_while_its_store_hangs(
    make_drain: Callable[..., Drain], publish: Callable[..., None], store: SlowStore, pulse: CountingPulse
) -> None:
    back, hangs = threading.Event(), threading.Event()

    def be_away_then_hang() -> None:
        if not back.is_set():
            raise StoreUnavailable("as the test asked")
        hangs.set()
        time.sleep(2.5)

    store.before_save = be_away_then_hang  # type: ignore[method-assign]
    publish(BATCH)
    with running(make_drain()):
        before = pulse.beats
        time.sleep(2.5)
        assert pulse.beats > before, "the watchdog would end a worker whose store is away"
        back.set()
        assert hangs.wait(5)
        time.sleep(1.1)
        before = pulse.beats
        time.sleep(1.2)
        assert pulse.beats == before, "the watchdog would never end a worker whose store hangs"


def test_a_worker_that_is_told_to_stop_while_its_store_is_away_stops_at_once_and_keeps_the_posts_on_the_queue(
    make_drain: Callable[..., Drain], publish: Callable[..., None], judge: Judge, store: SlowStore, redis: Redis
) -> None:
    def be_away() -> None:
        raise StoreUnavailable("as the test asked")

    store.before_save = be_away  # type: ignore[method-assign]
    publish(3 * BATCH)
    drain = make_drain()
    with running(drain) as thread:
        assert judge.has_judged(2)
        drain.stop()
        thread.join(timeout=1)
        assert not thread.is_alive()
    assert left_on_queue(redis) == 3 * BATCH


@pytest.mark.parametrize("lane", LANES)
def test_a_post_that_comes_soon_after_another_needs_no_doorbell(
    lane: Lane, make_drain: Callable[..., Drain], publish: Callable[..., None], judge: Judge, redis: Redis
) -> None:
    publish(1, "first")
    with running(make_drain(linger_seconds=1.0)):
        assert judge.has_judged(1)
        time.sleep(0.2)
        publish(1, "second", lane)
        assert judge.has_judged(2)
    assert judge.batches == [["first 0"], ["second 0"]]
    assert left_on_queue(redis) == 0


def test_a_post_is_judged_while_the_one_before_it_is_still_being_stored(
    make_drain: Callable[..., Drain], publish: Callable[..., None], judge: Judge, store: SlowStore
) -> None:
    publish(1, "first")
    overlapped: list[bool] = []

    def publish_and_wait() -> None:
        if not overlapped:
            publish(1, "second")
        overlapped.append(judge.has_judged(2))

    store.before_save = publish_and_wait  # type: ignore[method-assign]
    make_drain(linger_seconds=0.5).run()
    assert overlapped == [True, True]


def test_a_live_post_is_committed_while_a_batch_of_the_backlog_is_still_being_stored(
    make_drain: Callable[..., Drain], publish: Callable[..., None], judge: Judge, store: SlowStore, redis: Redis
) -> None:
    publish(BATCH, "old", "backlog")
    left: list[int] = []

    def publish_live_and_wait() -> None:
        if not left:
            left.append(-1)
            publish(1, "urgent")
            deadline = time.monotonic() + 5
            while len(judge.batches) < 2 or redis.xlen(stream_of("live")):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            left.append(left_on_queue(redis))

    store.before_save = publish_live_and_wait  # type: ignore[method-assign]
    assert make_drain(linger_seconds=1.0).run() == BATCH + 1
    assert left == [-1, BATCH]


def test_a_mistake_in_storing_one_batch_is_not_blamed_on_the_posts_being_judged(
    make_drain: Callable[..., Drain], publish: Callable[..., None], judge: Judge, store: SlowStore, redis: Redis, engine: Engine
) -> None:
    publish(1, "old", "backlog")
    judged = judge.score

    def publish_live(texts: Sequence[str], before_pass: Callable[[], bool | None] = lambda: None) -> list[Score]:
        if texts == ["old 0"]:
            publish(2 * BATCH)

            def be_mistaken() -> None:
                raise TypeError("as the test asked")

            store.before_save = be_mistaken  # type: ignore[method-assign]
            before_pass()
        return judged(texts, before_pass)

    judge.score = publish_live  # type: ignore[method-assign]
    with pytest.raises(FailedElsewhere):
        make_drain().run()
    assert left_on_queue(redis) == 2 * BATCH + 1
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(DeadLetterRow)) == 0
