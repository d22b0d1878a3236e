"""The red team: a search that changes texts, one small mutation after another, until an adapter judges them wrongly."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from modq_training.evaluation import Judge
from modq_training.mutations import REPEATABLE, Mutation

_LONGEST: Final = 2.5
"""A mutated text is at most so many times as long as its parent (and 200 characters), or piling up words would win."""


@dataclass(frozen=True, slots=True)
class Search:
    """How hard to try."""

    rounds: int = 4
    """Mutations in a row."""
    tries: int = 8
    """Mutations of each text of the beam, a round."""
    width: int = 2
    """Texts that are kept for the next round, for each parent: those nearest to being judged wrongly."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text on the way."""

    text: str
    score: float
    """Of toxic, as the adapter judged it."""
    mutations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Find:
    """A text that is judged wrongly and came from one that was judged rightly."""

    parent: Mapping[str, Any]
    parent_score: float
    found: Candidate

    def row(self, *, adapter: str, seed: int) -> dict[str, Any]:
        """A line of a data set: the parent's label and what else is known of it, with a provenance of its own."""
        known = {name: self.parent[name] for name in ("rule", "side", "rules", "family", "template", "split", "constitution") if name in self.parent}
        parent = hashlib.sha256(str(self.parent["text"]).encode("utf-8", "surrogatepass")).hexdigest()[:12]
        return {
            "text": self.found.text,
            "label": self.parent["label"],
            "category": self.parent.get("category") or "",
            "source": "red_team",
            **known,
            "generator": "red-team",
            "seed": seed,
            "parent": parent,
            "parent_source": self.parent.get("source") or "",
            "mutations": list(self.found.mutations),
            "adapter": adapter,
            "score": round(self.found.score, 4),
            "parent_score": round(self.parent_score, 4),
        }


@dataclass(slots=True)
class Report:
    """What came of a search, for texts of one label."""

    texts: int = 0
    wrong_before: int = 0
    """Judged wrongly as they were; these are not mutated."""
    finds: list[Find] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    """First mutations by family, and those of them that were enough by themselves."""
    enough: Counter[str] = field(default_factory=Counter)

    @property
    def rate_before(self) -> float:
        """Share of the texts that are judged wrongly as they are."""
        return self.wrong_before / self.texts if self.texts else 0.0

    @property
    def rate_after(self) -> float:
        """The same, with the search's finds."""
        return (self.wrong_before + len(self.finds)) / self.texts if self.texts else 0.0


def attack(
    judge: Judge,
    threshold: float,
    rows: Sequence[Mapping[str, Any]],
    mutations: Mapping[str, Mutation],
    search: Search,
    *,
    after_round: Callable[[int], None] = lambda number: None,
) -> dict[int, Report]:
    """Search from every row; all texts of a round are judged together. The same rows, judge and seed give the same finds.

    Returns:
        A report for each label: 0 holds what was flagged although safe, 1 what was missed although toxic.
    """
    reports = {0: Report(), 1: Report()}
    scores = judge([str(row["text"]) for row in rows])
    beams: dict[int, list[Candidate]] = {}
    for number, (row, score) in enumerate(zip(rows, scores, strict=True)):
        report = reports[row["label"]]
        report.texts += 1
        if _wrong(row, score, threshold):
            report.wrong_before += 1
        else:
            beams[number] = [Candidate(str(row["text"]), score)]
    for round in range(search.rounds):
        _one_round(judge, threshold, rows, mutations, search, round, beams, scores, reports)
        after_round(round)
    return reports


def _one_round(
    judge: Judge,
    threshold: float,
    rows: Sequence[Mapping[str, Any]],
    mutations: Mapping[str, Mutation],
    search: Search,
    round: int,
    beams: dict[int, list[Candidate]],
    parent_scores: Sequence[float],
    reports: Mapping[int, Report],
) -> None:
    """Widen every beam by mutations, judge them, take out the rows that have a find, and cut the other beams down."""
    changed = [(number, text, done) for number, beam in beams.items() for text, done in _mutated(rows[number], beam, mutations, search, f"{round} {number}")]
    for (number, text, done), score in zip(changed, judge([text for _, text, _ in changed]), strict=True):
        beams[number].append(Candidate(text, score, done))
        if round == 0:
            reports[rows[number]["label"]].tried[done[0]] += 1
            reports[rows[number]["label"]].enough[done[0]] += _wrong(rows[number], score, threshold)
    for number, beam in list(beams.items()):
        row = rows[number]
        beam.sort(key=lambda candidate: (candidate.score if row["label"] else -candidate.score, len(candidate.text)))
        del beam[search.width :]
        if _wrong(row, beam[0].score, threshold):
            reports[row["label"]].finds.append(Find(row, parent_scores[number], beam[0]))
            del beams[number]


def _mutated(
    row: Mapping[str, Any], beam: Sequence[Candidate], mutations: Mapping[str, Mutation], search: Search, place: str
) -> list[tuple[str, tuple[str, ...]]]:
    """New texts with the mutations that made them."""
    chance = random.Random(f"red team {search.seed} {place}")
    longest = _LONGEST * len(str(row["text"])) + 200
    new: dict[str, tuple[str, ...]] = {}
    for candidate in beam:
        for _ in range(search.tries):
            # A family twice only makes a text harder to read.
            left = [name for name in mutations if name not in candidate.mutations or name in REPEATABLE]
            name = chance.choice(left)
            text = mutations[name](candidate.text, row["label"], chance)
            if text != candidate.text and len(text) <= longest:
                new.setdefault(text, (*candidate.mutations, name))
    return list(new.items())


def _wrong(row: Mapping[str, Any], score: float, threshold: float) -> bool:
    return (score >= threshold) != bool(row["label"])
