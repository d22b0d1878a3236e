"""Whichever posts are poison, exactly those become dead letters, and all others get their verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from modq.post import LANES, Lane, Post, encode
from modq_worker.dead_letters import DeadLetter, DeadLetters
from modq_worker.policy import Policy
from modq_worker.stream import Entry, Inbox
from modq_worker.tasks import Drain
from modq_worker.verdict import Score, Verdict
from modq_worker.verdict_store import StoreRefused, VerdictStore
from modq_worker.watchdog import Pulse

REASONS = {"raise": "classifier_error", "nan": "classifier_error", "refuse": "store_refused", "broken": "not_json"}
KINDS = st.sampled_from(["fine", "fine", "fine", "toxic", *REASONS])


@dataclass
class World:
    """Queue, judge, store and dead letters in memory: the real ones, in test_drain.py, are too slow for hundreds of batches."""

    waiting: list[Entry]
    lanes: tuple[Lane, ...] = LANES
    acknowledged: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    parked: list[DeadLetter] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)

    def claim_abandoned(self, count: int) -> list[Entry]:
        return []

    def read_own(self, count: int) -> list[Entry]:
        return []

    def read_new(self, lane: Lane, count: int) -> list[Entry]:
        taken = [entry for entry in self.waiting if entry.lane == lane][:count]
        self.waiting = [entry for entry in self.waiting if entry not in taken]
        return taken

    def count_attempt(self, entry: Entry) -> int:
        self.attempts[entry.id] = self.attempts.get(entry.id, 0) + 1
        return self.attempts[entry.id]

    def acknowledge(self, entries: Iterable[Entry]) -> None:
        self.acknowledged += [entry.id for entry in entries]

    def score(self, texts: Sequence[str], before_pass: Callable[[], bool | None] = lambda: None) -> list[Score]:
        before_pass()
        if any(text.startswith("raise") for text in texts):
            raise RuntimeError("as the text asked")
        return [Score(float("nan") if text.startswith("nan") else 0.9 if text.startswith("toxic") else 0.1) for text in texts]

    def save(self, verdicts: Sequence[Verdict]) -> int:
        if any(verdict.post.text.startswith("refuse") for verdict in verdicts):
            raise StoreRefused("as the text asked")
        self.verdicts += verdicts
        return len(verdicts)

    def park(self, letters: Sequence[DeadLetter]) -> None:
        self.parked += letters

    def drain(self, batch: int) -> Drain:
        inbox, store, letters = cast(Inbox, self), cast(VerdictStore, self), cast(DeadLetters, self)
        pulse = Pulse(inbox, heartbeat_seconds=3, stall_seconds=20)
        return Drain(inbox, self, store, letters, Policy(0.5), pulse, adapter="scripted", batch_posts=batch, max_attempts=3)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(st.tuples(KINDS, st.sampled_from(LANES), st.booleans()), max_size=70), st.integers(1, 64))
def test_exactly_the_poisonous_posts_become_dead_letters(given: list[tuple[str, Lane, bool]], batch: int) -> None:
    entries = {}
    for number, (kind, lane, suspect) in enumerate(given):
        raw = b"{" if kind == "broken" else encode(Post(str(number), f"{kind} {number}"))
        entries[f"{number}-0"] = (kind, Entry(lane, f"{number}-0", raw, suspect=suspect))
    world = World([entry for _, entry in entries.values()])

    assert world.drain(batch).run() == len(given)

    assert {letter.entry_id: letter.reason for letter in world.parked} == {id: REASONS[kind] for id, (kind, _) in entries.items() if kind in REASONS}
    assert len(world.parked) == len({letter.entry_id for letter in world.parked})
    labels = {f"{verdict.post.id}-0": verdict.label for verdict in world.verdicts}
    assert labels == {id: "toxic" if kind == "toxic" else "safe" for id, (kind, _) in entries.items() if kind not in REASONS}
    assert sorted(world.acknowledged) == sorted(entries)
