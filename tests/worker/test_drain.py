"""From entries to outcomes: a real queue and a real store, and a judge that does what the test says."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from redis import Redis
from sqlalchemy import Engine, func, select, text

from modq.post import LANES, Lane, Post, encode, stream_of
from modq_worker import tasks
from modq_worker.dead_letters import DeadLetters
from modq_worker.policy import Policy
from modq_worker.stream import ALIVE, Inbox, connect
from modq_worker.tables import DeadLetterRow, PostRow, VerdictRow
from modq_worker.tasks import Drain
from modq_worker.verdict import Score
from modq_worker.verdict_store import VerdictStore
from modq_worker.watchdog import Pulse


class ScriptedJudge:
    """Four texts a pass, two in a short one; toxic if the text says so, and trouble if it asks for it."""

    def __init__(self) -> None:
        self.passes: list[list[str]] = []

    def during_pass(self) -> None:
        """Nothing, unless a test replaces it."""

    def score(self, texts: Sequence[str], before_pass: Callable[[], bool | None] = lambda: None) -> list[Score]:
        scores: list[Score] = []
        while len(scores) < len(texts):
            size = 2 if before_pass() else 4
            batch = list(texts[len(scores) : len(scores) + size])
            self.passes.append(batch)
            self.during_pass()
            if any("RAISE" in text for text in batch):
                raise RuntimeError("as the test asked")
            scores += [Score(float("nan") if "NAN" in text else 0.9 if "toxic" in text else 0.1) for text in batch]
        return scores


@pytest.fixture
def judge() -> ScriptedJudge:
    return ScriptedJudge()


@pytest.fixture
def make_drain(redis: Redis, redis_url: str, engine: Engine, judge: ScriptedJudge) -> Callable[[str], Drain]:
    def make(consumer: str, max_attempts: int = 3) -> Drain:
        inbox = Inbox(connect(redis_url), consumer)
        inbox.renew_heartbeat(60)
        pulse = Pulse(inbox, heartbeat_seconds=3, stall_seconds=20)
        store, letters = VerdictStore(engine), DeadLetters(engine)
        return Drain(inbox, judge, store, letters, Policy(0.5), pulse, adapter="scripted", batch_posts=64, max_attempts=max_attempts)

    return make


@pytest.fixture
def drain(make_drain: Callable[[str], Drain]) -> Drain:
    return make_drain("ada")


@pytest.fixture
def publish(redis: Redis) -> Callable[..., None]:
    def publish(*posts: Post, lane: Lane = "live") -> None:
        for post in posts:
            redis.xadd(stream_of(lane), {"post": encode(post)})

    return publish


def posts(count: int, text: str = "text") -> list[Post]:
    return [Post(f"{text}-{number}", f"{text} {number}") for number in range(count)]


def labels(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        rows = connection.execute(select(PostRow.post_id, VerdictRow.label).join(VerdictRow, VerdictRow.post_key == PostRow.key))
        return {str(id): str(label) for id, label in rows}


def letters(engine: Engine) -> dict[str | None, str]:
    with engine.connect() as connection:
        return dict(connection.execute(select(DeadLetterRow.post_id, DeadLetterRow.reason)).all())


def left_on_queue(redis: Redis) -> int:
    return sum(redis.xlen(stream_of(lane)) for lane in LANES)


def test_every_post_gets_a_verdict_and_leaves_the_queue(drain: Drain, publish: Callable[..., None], redis: Redis, engine: Engine) -> None:
    publish(*posts(100), *posts(3, "toxic"))
    publish(*posts(70, "old"), lane="backlog")
    assert drain.run() == 173
    found = labels(engine)
    assert len(found) == 173
    assert {id for id, label in found.items() if label == "toxic"} == {"toxic-0", "toxic-1", "toxic-2"}
    assert left_on_queue(redis) == 0


def test_a_post_sent_twice_is_judged_once_and_an_edited_one_again(drain: Drain, publish: Callable[..., None], redis: Redis, engine: Engine) -> None:
    publish(Post("1", "first"), Post("1", "first"))
    drain.run()
    publish(Post("1", "first"), Post("1", "edited"))
    drain.run()
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(VerdictRow)) == 2
    assert left_on_queue(redis) == 0


@pytest.fixture
def during_pass(judge: ScriptedJudge) -> Callable[[int, Callable[[], object]], None]:
    """Does something in the middle of the pass of this number, the first one being 1."""

    def plan(number: int, do: Callable[[], object]) -> None:
        doing[number] = do

    doing: dict[int, Callable[[], object]] = {}
    judge.during_pass = lambda: doing.get(len(judge.passes), lambda: None)()  # type: ignore[method-assign]
    return plan


def before_the_first_pass(judge: ScriptedJudge, act: Callable[[], object]) -> None:
    """Have ``act`` called when the judge has its first texts, and none of them has had a pass."""
    judged = judge.score

    def act_and_score(texts: Sequence[str], before_pass: Callable[[], bool | None] = lambda: None) -> list[Score]:
        if not judge.passes:
            act()
        return judged(texts, before_pass)

    judge.score = act_and_score  # type: ignore[method-assign]


def test_a_live_post_waits_for_the_pass_in_progress_and_not_for_the_batch(
    drain: Drain, publish: Callable[..., None], judge: ScriptedJudge, during_pass: Callable[..., None]
) -> None:
    publish(*posts(40, "old"), lane="backlog")
    during_pass(3, lambda: publish(Post("1", "urgent")))
    assert drain.run() == 41
    assert judge.passes[3] == ["urgent"]


def test_a_live_post_that_comes_while_a_batch_of_the_backlog_is_made_ready_waits_for_no_pass_of_it(
    drain: Drain, publish: Callable[..., None], judge: ScriptedJudge
) -> None:
    publish(*posts(40, "old"), lane="backlog")
    before_the_first_pass(judge, lambda: publish(Post("1", "urgent")))
    drain.run()
    assert judge.passes[0] == ["urgent"]


def test_a_live_post_waits_for_no_more_than_a_portion_of_long_posts_to_be_made_ready(
    drain: Drain, publish: Callable[..., None], judge: ScriptedJudge, engine: Engine
) -> None:
    publish(*(Post(f"{number}", f"{number} " * 40_000) for number in range(5)), *posts(3), lane="backlog")
    assert drain.run() == 8
    assert [len(judged) for judged in judge.passes] == [3, 4, 1]
    assert len(labels(engine)) == 8


def test_a_live_post_that_comes_while_another_is_judged_waits_for_no_pass_of_the_backlog(
    drain: Drain, publish: Callable[..., None], judge: ScriptedJudge, during_pass: Callable[..., None]
) -> None:
    publish(*posts(40, "old"), lane="backlog")
    during_pass(1, lambda: publish(Post("1", "urgent")))
    during_pass(2, lambda: publish(Post("2", "urgent too")))
    drain.run()
    assert judge.passes[1:3] == [["urgent"], ["urgent too"]]


def test_passes_of_the_backlog_are_short_while_live_posts_keep_coming(
    drain: Drain, publish: Callable[..., None], judge: ScriptedJudge, during_pass: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_LIVELY_SECONDS", 0.2)
    publish(*posts(20, "old"), lane="backlog")
    during_pass(1, lambda: publish(Post("1", "urgent")))
    during_pass(4, lambda: time.sleep(0.25))
    drain.run()
    assert [len(judged) for judged in judge.passes] == [4, 1, 2, 2, 4, 4, 4]


def test_more_live_posts_than_can_be_judged_do_not_stop_the_backlog(
    drain: Drain, publish: Callable[..., None], judge: ScriptedJudge, during_pass: Callable[..., None]
) -> None:
    publish(*posts(8, "old"), lane="backlog")
    for number in (1, 2, 3):
        during_pass(number, lambda: publish(*posts(64, "flood")))
    drain.run()
    backlog = [number for number, judged in enumerate(judge.passes) if judged[0].startswith("old")]
    assert backlog == [0, 1 + 64 // 4], "one batch of the flood, then the backlog's next pass, which is a full one"


def test_unreadable_entries_become_dead_letters_and_their_neighbours_do_not(
    drain: Drain, publish: Callable[..., None], redis: Redis, engine: Engine
) -> None:
    publish(Post("1", "fine"))
    for raw in (b"not json", b"\xff\xfe", b'{"id": "2"}', b"[1]"):
        redis.xadd(stream_of("live"), {"post": raw})
    redis.xadd(stream_of("live"), {"id": "3", "text": "flat"})
    publish(Post("4", "fine too"))
    drain.run()
    assert labels(engine).keys() == {"1", "4"}
    with engine.connect() as connection:
        found = connection.execute(select(DeadLetterRow.reason, DeadLetterRow.raw).order_by(DeadLetterRow.id)).all()
    assert [reason for reason, _ in found] == ["not_json", "not_utf8", "missing_field", "not_an_object", "not_an_entry"]
    assert found[1].raw == b"\xff\xfe"
    assert left_on_queue(redis) == 0


def test_an_entry_with_a_made_up_id_is_judged_like_any_other(drain: Drain, redis: Redis, engine: Engine) -> None:
    redis.xadd(stream_of("live"), {"post": encode(Post("past", "hello"))}, id="0-1")
    redis.xadd(stream_of("live"), {"post": encode(Post("future", "hello"))}, id=f"{2**64 - 1}-0")
    drain.run()
    assert labels(engine) == {"past": "safe", "future": "safe"}
    assert left_on_queue(redis) == 0


@pytest.mark.parametrize("trouble", ["RAISE", "NAN"])
def test_a_post_that_breaks_the_classifier_is_found_and_parked_alone(
    trouble: str, drain: Drain, publish: Callable[..., None], redis: Redis, engine: Engine
) -> None:
    publish(*posts(30), Post("bad", f"please {trouble}"), *posts(30, "more"))
    drain.run()
    assert len(labels(engine)) == 60
    assert letters(engine) == {"bad": "classifier_error"}
    assert left_on_queue(redis) == 0


def test_a_broken_model_ends_the_process_and_parks_nothing(
    drain: Drain, publish: Callable[..., None], judge: ScriptedJudge, redis: Redis, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(BaseException):
        pass

    def end(why: str) -> None:
        raise Ended(why)

    def broken(texts: Sequence[str], before_pass: Callable[[], bool | None] = lambda: None) -> list[Score]:
        raise RuntimeError("out of order")

    monkeypatch.setattr(tasks, "end_process", end)
    judge.score = broken  # type: ignore[method-assign]
    publish(*posts(5))
    with pytest.raises(Ended, match="the model is broken"):
        drain.run()
    assert letters(engine) == {}
    assert left_on_queue(redis) == 5
    assert redis.get(ALIVE + "ada") == b"left"


def test_a_suspect_that_keeps_killing_is_parked_after_three_attempts_and_its_neighbours_are_judged(
    make_drain: Callable[..., Drain], publish: Callable[..., None], redis: Redis, redis_url: str, engine: Engine
) -> None:
    publish(Post("killer", "kills"), Post("neighbour", "fine"))
    victim = Inbox(connect(redis_url), "victim")
    killer, _ = victim.read_new("live", 10)
    for _ in range(3):
        victim.count_attempt(killer)
    time.sleep(1.05)
    make_drain("rescuer").run()
    assert letters(engine) == {None: "kills_the_worker"}
    assert labels(engine).keys() == {"neighbour"}
    assert left_on_queue(redis) == 0


def test_a_suspect_whose_verdict_was_committed_before_each_death_is_not_parked_as_well(
    make_drain: Callable[..., Drain], publish: Callable[..., None], redis: Redis, redis_url: str, engine: Engine
) -> None:
    publish(Post("1", "fine"))
    victim = make_drain("victim")
    victim._inbox.acknowledge = lambda entries: end_of_process()  # type: ignore[method-assign]
    with pytest.raises(EndOfProcess):
        victim.run()
    redis.delete(ALIVE + "victim")
    redis.hset("modq:attempts", f"live/{redis.xrange(stream_of('live'))[0][0].decode()}", 3)
    time.sleep(1.05)
    make_drain("rescuer").run()
    assert labels(engine) == {"1": "safe"}
    assert letters(engine) == {}
    assert left_on_queue(redis) == 0


def test_live_posts_go_before_the_next_suspect_and_none_is_under_way_while_it_is_judged(
    make_drain: Callable[..., Drain], publish: Callable[..., None], judge: ScriptedJudge, during_pass: Callable[..., None], redis: Redis, redis_url: str
) -> None:
    publish(*posts(2, "suspect"), lane="backlog")
    Inbox(connect(redis_url), "victim").read_new("backlog", 10)
    time.sleep(1.05)
    under_way: list[int] = []
    before_the_first_pass(judge, lambda: publish(Post("1", "urgent")))
    during_pass(3, lambda: under_way.append(left_on_queue(redis) - 1))
    make_drain("rescuer").run()
    assert judge.passes == [["suspect 0"], ["urgent"], ["suspect 1"]]
    assert under_way == [0]


class EndOfProcess(BaseException):
    pass


def end_of_process() -> None:
    raise EndOfProcess


def test_the_batch_is_held_while_the_store_is_away_and_counts_against_no_post(
    drain: Drain, publish: Callable[..., None], redis: Redis, engine: Engine
) -> None:
    publish(*posts(10))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE verdicts RENAME TO hidden"))
    thread = threading.Thread(target=drain.run)
    thread.start()
    time.sleep(0.7)
    assert left_on_queue(redis) == 10
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE hidden RENAME TO verdicts"))
    thread.join(timeout=10)
    assert len(labels(engine)) == 10
    assert letters(engine) == {}
    assert left_on_queue(redis) == 0


def test_a_drain_that_is_told_to_stop_leaves_the_rest_to_others(
    make_drain: Callable[..., Drain], publish: Callable[..., None], judge: ScriptedJudge, redis: Redis, engine: Engine
) -> None:
    publish(*posts(40))
    first, second = make_drain("first"), make_drain("second")
    judged = judge.score

    def score_then_stop(texts: Sequence[str], before_pass: Callable[[], bool | None] = lambda: None) -> list[Score]:
        first.stop()
        return judged(texts, before_pass)

    judge.score = score_then_stop  # type: ignore[method-assign]
    first.run()
    assert labels(engine) == {}
    first._inbox.leave()
    judge.score = judged  # type: ignore[method-assign]
    second.run()
    assert len(labels(engine)) == 40
    assert left_on_queue(redis) == 0


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() <= before, os.getpid()
