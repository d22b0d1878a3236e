"""Stores what has become of one batch while the next is being judged, and acknowledges it once that is committed.

One batch of each lane at most is on its way: while the database is away the worker holds those and the next, and waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

import structlog

from modq.errors import ModqError
from modq.post import LANES, Lane, Post
from modq_worker.dead_letters import DeadLetter, DeadLetters
from modq_worker.stream import Entry, Inbox
from modq_worker.verdict import Verdict
from modq_worker.verdict_store import StoreRefused, StoreUnavailable, VerdictStore
from modq_worker.watchdog import Pulse

_SAY_EVERY_SECONDS: Final = 10.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Stopping(ModqError):
    """The worker was asked to stop; what it holds goes back to the queue."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a batch: every entry of it ends in one of the two lists."""

    judged: list[tuple[Entry, Verdict]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)


class Patience:
    """Waits for a server that is away, until it is asked to stop."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._said = -_SAY_EVERY_SECONDS
        self.waits = 0
        """How often it has waited: as long as this grows, the worker waits and does not hang."""

    def wait(self, whom: str, error: Exception, seconds: float) -> None:
        """The world failed, not a post: say so now and then, and wait before another try.

        Raises:
            Stopping: the worker was asked to stop.
        """
        if time.monotonic() - self._said > _SAY_EVERY_SECONDS:
            self._said = time.monotonic()
            log.warning("waiting", whom=whom, error=str(error) if isinstance(error, ModqError) else type(error).__name__)
        if self._stopping.wait(seconds):
            raise Stopping
        self.waits += 1


class Committer:
    """Brings outcomes to the store, one batch of each lane at a time, in threads that live as long as the block of ``working``."""

    def __init__(self, inbox: Inbox, store: VerdictStore, dead_letters: DeadLetters, patience: Patience, pulse: Pulse) -> None:
        self._inbox = inbox
        self._store = store
        self._dead_letters = dead_letters
        self._patience = patience
        self._pulse = pulse
        self._under_way: dict[Lane, Future[None]] = {}

    @contextmanager
    def working(self) -> Iterator[None]:
        """At the end of the block nothing is under way any more, however it ends."""
        with ThreadPoolExecutor(len(LANES), "committer") as self._threads:
            yield
        self._under_way.clear()

    def commit(self, outcome: Outcome, entries: Sequence[Entry]) -> None:
        """Begin to store the outcome of these entries of one lane, once that of the lane's batch before is committed.

        Raises:
            Exception: what came between the batch before and its acknowledgement; these entries are then not begun.
        """
        lane = entries[0].lane
        self._settle(lane)
        self._under_way[lane] = self._threads.submit(self._commit, outcome, entries)

    def settle(self) -> None:
        """Wait until nothing is under way, for as long as the database is away; a store that hangs is the watchdog's.

        Raises:
            Exception: what came between a batch and its acknowledgement.
        """
        for lane in LANES:
            self._settle(lane)

    def _settle(self, lane: Lane) -> None:
        if (under_way := self._under_way.pop(lane, None)) is None:
            return
        waits = self._patience.waits
        while not wait([under_way], timeout=1.0).done:
            if waits != self._patience.waits:
                waits = self._patience.waits
                self._pulse.beat()
        under_way.result()

    # In its thread

    def _commit(self, outcome: Outcome, entries: Sequence[Entry]) -> None:
        started = time.perf_counter()
        pause = 0.0
        while True:
            try:
                self._save(outcome.judged, outcome)
                self._dead_letters.park(outcome.letters)
                break
            except StoreUnavailable as error:
                if not pause:
                    self._inbox.forgive(entries)
                pause = min(pause * 2 or 0.1, 2.0)
                self._patience.wait("the store", error, pause)
        self._inbox.acknowledge(entries)
        log.debug("kept", posts=len(entries), dead_letters=len(outcome.letters), store_ms=round((time.perf_counter() - started) * 1000, 1))

    def _save(self, judged: list[tuple[Entry, Verdict]], outcome: Outcome) -> None:
        """Save the verdicts together; where one's data is refused, halve until it is alone. Safe to repeat."""
        if not judged:
            return
        try:
            self._store.save([verdict for _, verdict in judged])
        except StoreRefused as error:
            if len(judged) == 1:
                entry, verdict = judged[0]
                outcome.letters.append(letter(entry, "store_refused", str(error), verdict.post))
                return
            for half in halves(judged):
                self._save(half, outcome)


def halves(items: list[T]) -> tuple[list[T], list[T]]:
    """The two halves, in order."""
    return items[: len(items) // 2], items[len(items) // 2 :]


def letter(entry: Entry, reason: str, detail: str, post: Post | None = None) -> DeadLetter:
    """The dead letter that the entry becomes."""
    return DeadLetter(entry.lane, entry.id, entry.raw, reason, detail, post.source if post else None, post.id if post else None)
