"""The hot path: from entries on the queue to verdicts in the store.

Read ``Drain.run`` first; what follows it is in the order of a post's life.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import structlog
from redis import RedisError

from modq.errors import InvalidPost
from modq.post import LANES, Post, decode
from modq_worker.committer import Committer, Outcome, Patience, Stopping, halves, letter
from modq_worker.dead_letters import DeadLetters
from modq_worker.hung import end_process
from modq_worker.judge import Judge
from modq_worker.policy import Policy
from modq_worker.stream import Entry, Inbox
from modq_worker.verdict import Verdict, decide
from modq_worker.verdict_store import StoreUnavailable, VerdictStore
from modq_worker.watchdog import Pulse

_HARMLESS: Final = "Good morning, everyone."
_TURN_SECONDS: Final = 10.0
"""A drain that has run for so long goes back to Celery, which has its own things to see to, as soon as nothing waits."""
_LIVELY_SECONDS: Final = 1.0
"""For so long after a live post the passes of the backlog are short: where one came, another may."""
_PORTION_BYTES: Final = 262_144
"""Posts are made ready for the model so many bytes at a time, some 50 ms on a CPU, since live posts wait for that as well."""

log = structlog.get_logger(__name__)


class Readable(NamedTuple):
    """A post that could be read, with the entry that brought it."""

    entry: Entry
    post: Post


class FailedElsewhere(Exception):
    """Something failed before a pass, for which none of the posts in it is to blame."""


class Drain:
    """Judges what waits in the lanes, live before backlog, and returns when nothing waits any more."""

    def __init__(
        self,
        inbox: Inbox,
        judge: Judge,
        store: VerdictStore,
        dead_letters: DeadLetters,
        policy: Policy,
        pulse: Pulse,
        *,
        adapter: str,
        batch_posts: int,
        max_attempts: int,
        linger_seconds: float = 0.0,
    ) -> None:
        self._inbox = inbox
        self._judge = judge
        self._store = store
        self._policy = policy
        self._pulse = pulse
        self._adapter = adapter
        self._batch_posts = batch_posts
        self._max_attempts = max_attempts
        self._linger_seconds = linger_seconds
        self._stopping = threading.Event()
        self._patience = Patience(self._stopping)
        self._committer = Committer(inbox, store, dead_letters, self._patience, pulse)
        self._finished = 0
        self._linger_until = 0.0
        self._lively_until = 0.0
        self._cut_short = True
        """Whether this consumer may hold entries of a batch that it did not finish."""

    def stop(self) -> None:
        """Ask a running drain to end after the present forward pass."""
        self._stopping.set()

    def run(self) -> int:
        """Judge until nothing has come for ``linger_seconds``, or until asked to stop.

        Returns:
            How many entries got an outcome.
        """
        self._finished = 0
        self._linger_until = time.monotonic() + _TURN_SECONDS
        with self._pulse.working(), suppress(Stopping), self._committer.working():
            while self._step():
                pass
        return self._finished

    def _step(self) -> bool:
        """Judge one batch; False when nothing waits and all is committed."""
        self._go_on()
        try:
            if batch := self._next_batch():
                self._finish(batch)
                return True
            self._committer.settle()
            return False
        except RedisError as error:
            self._cut_short = True
            self._wait("the queue", error, 0.5)
            return True
        except BaseException:
            self._cut_short = True
            raise

    def _go_on(self) -> None:
        """The work has come a step further, and goes on unless it was asked to stop."""
        self._pulse.beat()
        if self._stopping.is_set():
            raise Stopping

    def _wait(self, whom: str, error: Exception, seconds: float) -> None:
        self._patience.wait(whom, error, seconds)
        self._pulse.beat()

    # Reading

    def _next_batch(self) -> list[Entry]:
        if abandoned := self._inbox.claim_abandoned(self._batch_posts):
            return abandoned
        if self._cut_short:
            # Only now is what is still pending really left over.
            self._committer.settle()
            if own := self._inbox.read_own(self._batch_posts):
                return own
            self._cut_short = False
        for lane in self._inbox.lanes:
            if new := self._inbox.read_new(lane, self._batch_posts):
                return new
        # A post that comes soon after another needs no doorbell, nor need it wait until that one is committed.
        if self._linger_seconds and time.monotonic() < self._linger_until:
            return self._inbox.read_soon(self._batch_posts, self._linger_seconds)
        return []

    def _finish(self, entries: list[Entry]) -> None:
        """Bring every entry to its outcome, suspects one by one."""
        for lane in LANES:
            for together in _portions(entry for entry in entries if entry.lane == lane and not entry.suspect):
                self._judge_batch(together)
        for entry in entries:
            if entry.suspect:
                # A suspect of the live lane has waited longer than any that come now.
                if entry.lane != "live":
                    self._live_first()
                # If it kills the worker, it is to be the only one that had not come to its end.
                self._committer.settle()
                self._judge_suspect(entry)
        self._finished += len(entries)

    def _judge_suspect(self, entry: Entry) -> None:
        """Judge alone what a dead worker held: if it kills this one too, its neighbours are not with it."""
        if (attempts := self._inbox.count_attempt(entry)) <= self._max_attempts:
            self._judge_batch([entry])
            return
        if self._has_verdict(entry):
            self._inbox.acknowledge([entry])
            return
        killer = letter(entry, "kills_the_worker", f"the worker died in each of {attempts - 1} attempts at it alone")
        self._committer.commit(Outcome(letters=[killer]), [entry])

    def _has_verdict(self, entry: Entry) -> bool:
        """Whether those who died with it had committed its verdict already, which must stay its only outcome."""
        for readable in _read([entry], Outcome()):
            while True:
                try:
                    return self._store.holds(readable.post.key)
                except StoreUnavailable as error:
                    self._wait("the store", error, 1.0)
        return False

    # Judging

    def _judge_batch(self, entries: list[Entry]) -> None:
        started = time.perf_counter()
        outcome = Outcome()
        self._classify(_read(entries, outcome), outcome)
        log.debug(
            "judged",
            lane=entries[0].lane,
            posts=len(entries),
            toxic=sum(verdict.label == "toxic" for _, verdict in outcome.judged),
            classify_ms=round((time.perf_counter() - started) * 1000, 1),
        )
        self._committer.commit(outcome, entries)

    def _classify(self, posts: list[Readable], outcome: Outcome) -> None:
        """Score the posts together; where that fails, halve until the poison is alone."""
        if not posts:
            return
        try:
            outcome.judged.extend(self._decide(posts))
        except (Stopping, RedisError, FailedElsewhere):
            raise
        except Exception as error:
            # Whatever a model may raise: the post that makes it raise must be found, and only that one parked.
            self._check_model(posts, error)
            if len(posts) == 1:
                entry, post = posts[0]
                outcome.letters.append(letter(entry, "classifier_error", f"the classifier raised {type(error).__name__}", post))
                return
            for half in halves(posts):
                self._classify(half, outcome)

    def _decide(self, posts: list[Readable]) -> list[tuple[Entry, Verdict]]:
        entry = posts[0].entry
        before_pass = self._go_on if entry.lane == "live" or entry.suspect else self._live_first
        scores = self._judge.score([post.text for _, post in posts], before_pass=before_pass)
        judged = []
        for (entry, post), score in zip(posts, scores, strict=True):
            verdict = decide(post, score, self._policy, adapter=self._adapter, lane=entry.lane, published_at=entry.published_at)
            judged.append((entry, verdict))
        return judged

    def _live_first(self) -> bool:
        """Before a pass of the backlog: a live post waits for one of these at most, and for a short one where others came just before.

        Returns:
            Whether the pass is to be a short one.
        """
        self._go_on()
        while "live" in self._inbox.lanes and (live := self._inbox.read_new("live", self._batch_posts)):
            self._finish_in_between(live)
            if len(live) == self._batch_posts:
                # More come than can be judged: no pass is short enough to help them, and the backlog is to go on at all.
                return False
            self._lively_until = time.monotonic() + _LIVELY_SECONDS
        return time.monotonic() < self._lively_until

    def _finish_in_between(self, live: list[Entry]) -> None:
        try:
            self._finish(live)
        except (Stopping, RedisError):
            raise
        except Exception as error:
            raise FailedElsewhere from error

    def _check_model(self, posts: list[Readable], error: Exception) -> None:
        """A model that cannot judge a harmless text either is broken, and no post is to blame."""
        try:
            score = self._judge.score([_HARMLESS])[0].toxic
            if 0 <= score <= 1:
                return
        except Exception as second:
            # Any failure at all says the same.
            error = second
        self._inbox.forgive(entry for entry, _ in posts)
        self._inbox.leave()
        end_process(f"the model is broken: {type(error).__name__}")


def _portions(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """The entries in order, in lists of at most ``_PORTION_BYTES`` each, or of one entry."""
    portion: list[Entry] = []
    size = 0
    for entry in entries:
        size += len(entry.raw)
        if portion and size > _PORTION_BYTES:
            yield portion
            portion, size = [], len(entry.raw)
        portion.append(entry)
    if portion:
        yield portion


def _read(entries: Sequence[Entry], outcome: Outcome) -> list[Readable]:
    """Understand the entries; those that cannot be read become dead letters."""
    posts = []
    for entry in entries:
        try:
            if entry.malformed:
                raise InvalidPost("not_an_entry", "the entry must have just one field, named post")
            posts.append(Readable(entry, decode(entry.raw)))
        except InvalidPost as error:
            outcome.letters.append(letter(entry, error.reason, error.detail))
    return posts
