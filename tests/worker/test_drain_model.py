"""Whatever is submitted, delivered, crashed and acknowledged, in whatever order: in the end every post has one outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from redis import ConnectionError as LostConnection
from redis import Redis, ResponseError
from sqlalchemy import Engine, select, text

from modq.post import LANES, Lane, Post, encode, stream_of
from modq_worker.dead_letters import DeadLetters
from modq_worker.policy import Policy
from modq_worker.stream import ALIVE, ATTEMPTS, GROUP, Entry, Inbox, connect
from modq_worker.tables import DeadLetterRow, PostRow, VerdictRow
from modq_worker.tasks import Drain
from modq_worker.verdict import Score, Verdict
from modq_worker.verdict_store import VerdictStore
from modq_worker.watchdog import Pulse

ATTEMPTS_ALLOWED = 3
TROUBLES = [
    "crash when read",
    "crash when classified",
    "crash when saved",
    "crash when acknowledged",
    "frozen when read",
    "frozen when classified",
    "frozen when saved",
    "lost reply when acknowledged",
    "stopped when read",
]
KINDS = ["fine", "fine", "toxic", "RAISE", "KILL", "not json"]

Hook = Callable[[], None]


class Crash(BaseException):
    """The process is gone: nothing of it runs any more."""


class CrashingJudge:
    """Two texts a pass; some texts make it raise, or end the process, each time."""

    def __init__(self, at: Callable[[str], None]) -> None:
        self._at = at

    def score(self, texts: Sequence[str], before_pass: Hook = lambda: None) -> list[Score]:
        self._at("read")
        for start in range(0, len(texts), 2):
            before_pass()
            if any("KILL" in each for each in texts[start : start + 2]):
                raise Crash
            if any("RAISE" in each for each in texts[start : start + 2]):
                raise RuntimeError("as the text asked")
        self._at("classified")
        return [Score(0.9 if "toxic" in each else 0.1) for each in texts]


class CrashingStore(VerdictStore):
    """The real store, and what happens once it has committed."""

    at: Callable[[str], None]

    def save(self, verdicts: Sequence[Verdict]) -> int:
        new = super().save(verdicts)
        self.at("saved")
        return new


class CrashingInbox(Inbox):
    """The real queue, and what happens once it has removed the entries."""

    at: Callable[[str], None]

    def acknowledge(self, entries: Sequence[Entry]) -> None:  # type: ignore[override]
        super().acknowledge(entries)
        self.at("acknowledged")


class Worker:
    """One process: a real drain whose steps end it, or lose a reply, where the test says so."""

    def __init__(self, redis: Redis, engine: Engine, name: str, batch: int) -> None:
        self.hooks: dict[str, Hook] = {}
        self.inbox = CrashingInbox(redis, name)
        store = CrashingStore(engine)
        store.at = self.inbox.at = self._at
        self.inbox.renew_heartbeat(60)
        pulse = Pulse(self.inbox, heartbeat_seconds=3, stall_seconds=20)
        self.drain = Drain(
            self.inbox,
            CrashingJudge(self._at),
            store,
            DeadLetters(engine),
            Policy(0.5),
            pulse,
            adapter="scripted",
            batch_posts=batch,
            max_attempts=ATTEMPTS_ALLOWED,
        )
        # What it does after waiting is what matters here.
        self.drain._stopping.wait = lambda timeout=None: False  # type: ignore[method-assign]

    def _at(self, point: str) -> None:
        if hook := self.hooks.pop(point, None):
            hook()


@pytest.fixture
def seen() -> Counter[str]:
    """Which troubles really happened."""
    return Counter()


@pytest.fixture
def model(redis: Redis, redis_url: str, engine: Engine, seen: Counter[str]) -> type[RuleBasedStateMachine]:
    connection = connect(redis_url)

    class Queue(RuleBasedStateMachine):
        """Submissions, workers that come and go, and what must hold once a healthy one has run."""

        @initialize()
        def begin(self) -> None:
            redis.flushall()
            with engine.begin() as transaction:
                transaction.execute(text("TRUNCATE posts, dead_letters RESTART IDENTITY CASCADE"))
            self.submitted: dict[tuple[str, str], tuple[str, Post | None]] = {}
            self.crashes = 0
            self.frozen = 0
            self.workers = 0

        @rule(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=6), lane=st.sampled_from(LANES))
        def submit(self, kinds: list[str], lane: Lane) -> None:
            for kind in kinds:
                number = len(self.submitted)
                post = None if kind == "not json" else Post(f"{number}", f"{kind} {number}")
                self._publish(lane, kind, post)

        @rule(lane=st.sampled_from(LANES))
        def submit_again(self, lane: Lane) -> None:
            """As a producer does that lost the reply."""
            posts = [(kind, post) for kind, post in self.submitted.values() if kind == "fine"]
            if posts:
                self._publish(lane, *posts[-1])

        def _publish(self, lane: Lane, kind: str, post: Post | None) -> None:
            id = redis.xadd(stream_of(lane), {"post": encode(post) if post else b"not json"})
            self.submitted[lane, id.decode()] = (kind, post)

        @rule(
            kinds=st.lists(st.sampled_from(KINDS), max_size=6),
            lane=st.sampled_from(LANES),
            batch=st.integers(1, 8),
            trouble=st.sampled_from(TROUBLES),
        )
        def work(self, kinds: list[str], lane: Lane, batch: int, trouble: str) -> None:
            """One process runs until it has no more to do, or until its trouble."""
            self.submit(kinds, lane)
            worker = self._worker(batch)
            what, _, point = trouble.partition(" when ")
            happens = {"crash": self._crash, "lost reply": self._lose, "frozen": lambda: self._freeze(worker), "stopped": worker.drain.stop}

            def happen() -> None:
                seen[trouble] += 1
                happens[what]()

            worker.hooks[point] = happen
            self._run(worker)

        def _crash(self) -> None:
            raise Crash

        def _lose(self) -> None:
            raise LostConnection("as the test asked")

        def _freeze(self, worker: Worker) -> None:
            """It stands still until others have taken over, and then goes on as if nothing had happened."""
            self.frozen += 1
            self._bury(worker)
            self._run(self._worker(8))
            worker.inbox.renew_heartbeat(60)

        def _worker(self, batch: int) -> Worker:
            self.workers += 1
            return Worker(connection, engine, f"worker-{self.workers}", batch)

        def _run(self, worker: Worker) -> bool:
            """Whether it came to the end of its work alive."""
            try:
                worker.drain.run()
            except Crash:
                self.crashes += 1
                self._bury(worker)
                return False
            worker.inbox.leave()
            return True

        def _bury(self, worker: Worker) -> None:
            """Its heartbeat has ended, and so long ago that the others have noticed."""
            redis.delete(ALIVE + worker.inbox.consumer)
            for lane in LANES:
                try:
                    held = redis.xpending_range(stream_of(lane), GROUP, "-", "+", 100, worker.inbox.consumer)
                except ResponseError:
                    continue  # no group was made there yet
                for item in held:
                    redis.xclaim(stream_of(lane), GROUP, worker.inbox.consumer, 0, [item["message_id"]], idle=5000, justid=True)

        def teardown(self) -> None:
            if not hasattr(self, "submitted"):
                return
            # Each that kills takes at most one worker more than it is allowed, once alone and once among others.
            for _ in range(len(self.submitted) * (ATTEMPTS_ALLOWED + 2) + 1):
                if self._run(self._worker(8)):
                    break
            self._check()

        def _check(self) -> None:
            for lane in LANES:
                assert redis.xlen(stream_of(lane)) == 0
            # The count of an entry that a worker acknowledged after it was taken for dead goes with time.
            assert not redis.exists(ATTEMPTS) or (self.frozen and redis.ttl(ATTEMPTS) > 0)
            with engine.connect() as transaction:
                verdicts = set(transaction.scalars(select(PostRow.key).join(VerdictRow)))
                letters = {(row.lane, row.entry_id): row.reason for row in transaction.execute(select(DeadLetterRow))}
            assert letters.keys() <= self.submitted.keys()
            for entry, (kind, post) in self.submitted.items():
                judged, reason = post is not None and post.key in verdicts, letters.get(entry)
                assert judged or reason, f"a {kind} post was lost"
                assert reason in self._allowed(kind), f"a {kind} post became {reason}"
                twins = [other for other, (_, same) in self.submitted.items() if same == post]
                assert not (judged and reason) or len(twins) > 1, f"a {kind} post has two outcomes"
            assert len(verdicts) <= len({post.key for _, post in self.submitted.values() if post})

        def _allowed(self, kind: str) -> set[str | None]:
            # Who was there each time that a worker died, alone, cannot be told from who did it.
            unlucky = {"kills_the_worker"} if self.crashes > ATTEMPTS_ALLOWED else set()
            own = {"RAISE": "classifier_error", "KILL": "kills_the_worker", "not json": "not_json"}
            return {own.get(kind)} | unlucky

    return Queue


@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_post_has_exactly_one_outcome_after_each_trouble(trouble: str, model: Any, seen: Counter[str]) -> None:
    queue = model()
    queue.begin()
    queue.submit(KINDS, "backlog")
    queue.work(["fine", "toxic"], "live", 4, trouble)
    queue.teardown()
    assert seen[trouble] == 1


def test_every_post_has_exactly_one_outcome_whatever_happens_to_the_workers(model: type[RuleBasedStateMachine], seen: Counter[str]) -> None:
    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=60,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            database=None,
            # Each step runs real servers: to shrink a failure would take longer than to read it.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert len(seen) > 3
