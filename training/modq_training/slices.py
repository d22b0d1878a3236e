"""Slices: how an adapter does on the texts of one kind, by length, disguise, source, rule and pair, whatever file they are in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from modq_training.dataset import Example
from modq_training.evaluation import Scored
from modq_training.metrics import Labels, Scores, interval
from modq_worker.adapter import Rule
from modq_worker.verdict import Score

LENGTHS = ((1, 5), (6, 10), (11, 20), (21, 40), (41, 80), (81, 160), (161, None))
"""In words."""
FEWEST = 20
"""A slice of fewer texts of a class says nothing of that class."""

Judged = tuple[Example, Score]


@dataclass(frozen=True, slots=True)
class Slice:
    """The texts of one kind; None is what too few of them say nothing of."""

    name: str
    safe: int
    toxic: int
    roc_auc: float | None
    recall: float | None
    recall_interval: tuple[float, float] | None
    """95 %, Wilson's; so is the other."""
    false_positive_rate: float | None
    false_positive_rate_interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class RuleResult:
    """How well the rule's own row of the second head tells who breaks it, among texts whose rules are known."""

    rule: str
    breaking: int
    threshold: float
    precision: float | None
    recall: float
    f1: float
    pr_auc: float
    roc_auc: float


@dataclass(frozen=True, slots=True)
class Pairs:
    """Borderline pairs: one text breaks a rule, and its like barely does not."""

    n: int
    ranked: float
    """Share of the pairs whose breaking side has the larger score."""
    both_right: float
    """Share of the pairs of which only the breaking side is flagged."""


def judged(scored: Iterable[Scored]) -> list[Judged]:
    """Every text with its score."""
    return [pair for one in scored for pair in zip(one.data_set.examples, one.scores, strict=True)]


def by_length(texts: Iterable[Judged], threshold: float) -> list[Slice]:
    """By words."""
    return sliced(texts, threshold, lambda example: _length(example.text), [_span(*span) for span in LENGTHS])


def by_source(texts: Iterable[Judged], threshold: float) -> list[Slice]:
    return sliced(texts, threshold, lambda example: example.source)


def by_augmentation(texts: Iterable[Judged], threshold: float) -> list[Slice]:
    """Generated texts by the disguise that they wear."""
    return sliced((one for one in texts if one[0].template or one[0].augmentation), threshold, lambda example: example.augmentation or "none")


def by_rule(texts: Iterable[Judged], threshold: float) -> list[Slice]:
    """Generated texts by the rule that they break or barely do not: the ``RULE`` of their category ``RULE:SIDE``."""
    return sliced((one for one in texts if one[0].rules is not None), threshold, lambda example: example.category.partition(":")[0])


def sliced(texts: Iterable[Judged], threshold: float, name_of: Callable[[Example], str], order: Sequence[str] = ()) -> list[Slice]:
    """The slices of ``texts`` by name, in the given order, else in the alphabet's; the empty name is no slice."""
    groups: dict[str, list[Judged]] = {name: [] for name in order}
    for example, score in texts:
        groups.setdefault(name_of(example), []).append((example, score))
    names = list(order) if order else sorted(groups)
    return [_slice(name, groups[name], threshold) for name in names if name and groups[name]]


def rule_results(texts: Iterable[Judged], rules: Sequence[Rule]) -> list[RuleResult]:
    """Of each rule that some text breaks, among the texts whose rules are known."""
    known = [(example, score) for example, score in texts if example.rules is not None]
    found = []
    for rule in rules:
        breaks = np.array([rule.id in (example.rules or ()) for example, _ in known], dtype=np.int64)
        shares = np.array([score.rules.get(rule.id, 0.0) for _, score in known])
        if 0 < breaks.sum() < len(breaks):
            found.append(_rule_result(rule, breaks, shares))
    return found


def pairs(texts: Iterable[Judged], threshold: float) -> Pairs | None:
    """How many pairs are told apart; None where the texts hold no whole pair."""
    sides: dict[str, dict[int, float]] = {}
    for example, score in texts:
        if example.pair:
            sides.setdefault(example.pair, {})[example.label] = score.toxic
    whole = [(side[0], side[1]) for side in sides.values() if len(side) == 2]
    if not whole:
        return None
    safe, toxic = np.array(whole).T
    return Pairs(len(whole), float((toxic > safe).mean()), float(((toxic >= threshold) & (safe < threshold)).mean()))


def confusion(texts: Iterable[Judged], threshold: float) -> Mapping[str, int]:
    """All texts together, as the published card counts its own."""
    counts = {"true_safe": 0, "false_toxic": 0, "false_safe": 0, "true_toxic": 0}
    for example, score in texts:
        flagged = score.toxic >= threshold
        counts[f"{'true' if flagged == (example.label == 1) else 'false'}_{'toxic' if flagged else 'safe'}"] += 1
    return counts


def _slice(name: str, texts: Sequence[Judged], threshold: float) -> Slice:
    labels = np.array([example.label for example, _ in texts])
    scores = np.array([score.toxic for _, score in texts])
    safe, toxic = int((labels == 0).sum()), int((labels == 1).sum())
    hits, alarms = int((scores[labels == 1] >= threshold).sum()), int((scores[labels == 0] >= threshold).sum())
    return Slice(
        name,
        safe,
        toxic,
        roc_auc=float(roc_auc_score(labels, scores)) if min(safe, toxic) >= FEWEST else None,
        recall=hits / toxic if toxic >= FEWEST else None,
        recall_interval=interval(hits, toxic) if toxic >= FEWEST else None,
        false_positive_rate=alarms / safe if safe >= FEWEST else None,
        false_positive_rate_interval=interval(alarms, safe) if safe >= FEWEST else None,
    )


def _rule_result(rule: Rule, breaks: Labels, shares: Scores) -> RuleResult:
    told = shares >= rule.threshold
    right = int((told & (breaks == 1)).sum())
    return RuleResult(
        rule.id,
        int(breaks.sum()),
        rule.threshold,
        precision=right / int(told.sum()) if told.any() else None,
        recall=right / int(breaks.sum()),
        f1=2 * right / int(told.sum() + breaks.sum()),
        pr_auc=float(average_precision_score(breaks, shares)),
        roc_auc=float(roc_auc_score(breaks, shares)),
    )


def _length(text: str) -> str:
    words = max(1, len(text.split()))
    return next(_span(low, high) for low, high in LENGTHS if high is None or words <= high)


def _span(low: int, high: int | None) -> str:
    return f"{low}–{high}" if high else f"{low} or more"
