"""How well scores tell toxic from safe: pure functions of labels (0 safe, 1 toxic) and scores (0 to 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

Labels = np.ndarray[Any, np.dtype[np.int64]]
Scores = np.ndarray[Any, np.dtype[np.float64]]
Truths = np.ndarray[Any, np.dtype[np.bool_]]

FALSE_POSITIVE_RATES = (0.005, 0.01, 0.05)
RESAMPLES = 300


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on one data set; None is what cannot be, as precision where no text is toxic."""

    n: int
    toxic: int
    true_safe: int
    false_toxic: int
    false_safe: int
    true_toxic: int
    accuracy: float
    precision: float | None
    recall: float | None
    f1: float | None
    false_positive_rate: float | None
    roc_auc: float | None
    pr_auc: float | None
    recall_at_false_positive_rate: Mapping[str, float] = field(default_factory=dict)
    """Recall with the threshold at which so large a share of this set's own safe texts is flagged."""
    calibration_error: float | None = None
    """Expected calibration error in 10 equal bins: how far the score lies from the share of toxic texts."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """95 % bootstrap intervals of some of the above, over the texts."""


def measure(labels: Sequence[int], scores: Sequence[float], threshold: float, *, seed: int = 0) -> Measured:
    """Everything that can be said of ``scores`` at ``threshold``, from which on a text is flagged."""
    y, s = np.asarray(labels, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    flagged = s >= threshold
    true_toxic, false_toxic = int((flagged & (y == 1)).sum()), int((flagged & (y == 0)).sum())
    toxic, safe = int((y == 1).sum()), int((y == 0).sum())
    both = toxic > 0 and safe > 0
    return Measured(
        n=len(y),
        toxic=toxic,
        true_safe=safe - false_toxic,
        false_toxic=false_toxic,
        false_safe=toxic - true_toxic,
        true_toxic=true_toxic,
        accuracy=float((flagged == (y == 1)).mean()),
        precision=true_toxic / int(flagged.sum()) if flagged.any() and toxic else None,
        recall=_recall(y, s, threshold) if toxic else None,
        f1=_f1(y, s, threshold) if toxic else None,
        false_positive_rate=_false_positive_rate(y, s, threshold) if safe else None,
        roc_auc=float(roc_auc_score(y, s)) if both else None,
        pr_auc=float(average_precision_score(y, s)) if both else None,
        recall_at_false_positive_rate={f"{rate:g}": _recall(y, s, threshold_for(s[y == 0], rate)) for rate in FALSE_POSITIVE_RATES} if both else {},
        calibration_error=calibration_error(y, s) if both else None,
        intervals=_intervals(y, s, threshold, seed),
    )


def threshold_for(safe_scores: Scores | Sequence[float], rate: float) -> float:
    """The lowest threshold at which at most ``rate`` of the safe texts' scores reach it.

    Raises:
        ValueError: there are no scores.
    """
    scores = np.sort(np.asarray(safe_scores, dtype=np.float64))[::-1]
    if not len(scores):
        raise ValueError("a threshold needs the scores of safe texts")
    allowed = int(rate * len(scores) + 1e-9)
    if allowed >= len(scores):
        return 0.0
    # Just above the highest score that may not be flagged; its equals stay below with it.
    return float(np.nextafter(scores[allowed], np.inf))


def interval(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927), which is no point even where nothing was hit."""
    z = 1.959964
    share, width = hits / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / width
    reach = z * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))) / width
    return max(0.0, middle - reach), min(1.0, middle + reach)


def best_f1_threshold(positive: Sequence[bool], scores: Sequence[float]) -> float:
    """The threshold of the largest F1, halfway to the next score below it; 0.5 where nothing is positive."""
    if not any(positive):
        return 0.5
    y, s = np.asarray(positive, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    candidates = np.unique(s)[::-1]
    best = int(np.argmax([_f1(y, s, threshold) for threshold in candidates]))
    return float(candidates[best : best + 2].mean())


def temperature_for(labels: Sequence[int], scores: Sequence[float]) -> float:
    """What to divide the scores' log-odds by, so that they are the likeliest probabilities of ``labels``.

    Temperature scaling (Guo et al., 2017): it changes no order, so neither ROC-AUC nor recall at a fixed rate.
    """
    y, margins = np.asarray(labels, dtype=np.float64), log_odds(np.asarray(scores, dtype=np.float64))
    candidates = np.exp(np.linspace(np.log(0.1), np.log(10), 400))
    losses = [float(np.mean(np.logaddexp(0, margins / t) - y * margins / t)) for t in candidates]
    return float(candidates[int(np.argmin(losses))])


def log_odds(scores: Scores) -> Scores:
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    return np.log(clipped) - np.log1p(-clipped)


def at_temperature(scores: Scores, temperature: float) -> Scores:
    """The scores that a model of temperature 1 would have given at ``temperature``."""
    return 1 / (1 + np.exp(-log_odds(scores) / temperature))


@dataclass(frozen=True, slots=True)
class Bin:
    """The texts whose scores lie in one tenth of the scale."""

    n: int
    score: float
    """Their mean."""
    toxic: float
    """The share of them that is toxic: where scores are calibrated, the same."""


def reliability(labels: Sequence[int] | Labels, scores: Sequence[float] | Scores, bins: int = 10) -> list[Bin]:
    """The bins of equal width that hold any text, from the lowest scores on."""
    y, s = np.asarray(labels, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    which = np.minimum((s * bins).astype(int), bins - 1)
    return [Bin(int((which == b).sum()), float(s[which == b].mean()), float(y[which == b].mean())) for b in range(bins) if (which == b).any()]


def calibration_error(labels: Sequence[int] | Labels, scores: Sequence[float] | Scores, bins: int = 10) -> float:
    """Expected calibration error in equal bins."""
    return sum(abs(one.toxic - one.score) * one.n for one in reliability(labels, scores, bins)) / len(labels)


def _recall(labels: Labels, scores: Scores, threshold: float) -> float:
    return float((scores[labels == 1] >= threshold).mean())


def _false_positive_rate(labels: Labels, scores: Scores, threshold: float) -> float:
    return float((scores[labels == 0] >= threshold).mean())


def _f1(labels: Labels, scores: Scores, threshold: float) -> float:
    flagged = scores >= threshold
    return float(2 * (flagged & (labels == 1)).sum() / (flagged.sum() + (labels == 1).sum()))


def _intervals(labels: Labels, scores: Scores, threshold: float, seed: int) -> dict[str, tuple[float, float]]:
    """Resampled within each class, so that no resample lacks one."""
    # Sorted once: a resample is how often each text is in it, and needs no sorting of its own.
    order = np.argsort(scores, kind="stable")
    toxic, flagged = labels[order] == 1, scores[order] >= threshold
    ties = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    chance = np.random.default_rng(seed)
    found: dict[str, list[float]] = {}
    for _ in range(RESAMPLES):
        times = np.zeros(len(labels))
        for rows in (np.flatnonzero(~toxic), np.flatnonzero(toxic)):
            if len(rows):
                times[rows] = np.bincount(chance.integers(0, len(rows), len(rows)), minlength=len(rows))
        for name, value in _of_resample(times, toxic, flagged, ties).items():
            found.setdefault(name, []).append(value)
    return {name: _middle(values) for name, values in found.items()}


def _of_resample(times: Scores, toxic: Truths, flagged: Truths, ties: Labels) -> dict[str, float]:
    """The figures of a resample that holds the text of rank r ``times[r]`` times; equal scores begin at each of ``ties``."""
    of_toxic, of_safe = times * toxic, times * ~toxic
    hits, alarms = float(of_toxic[flagged].sum()), float(of_safe[flagged].sum())
    figures = {}
    if not toxic.all():
        figures["false_positive_rate"] = alarms / float(of_safe.sum())
    if toxic.any():
        figures["recall"] = hits / float(of_toxic.sum())
    if len(figures) == 2:
        figures["f1"] = 2 * hits / (hits + alarms + float(of_toxic.sum()))
        # How many safe texts lie below each toxic one, of those with the same score the half.
        t, s = np.add.reduceat(of_toxic, ties), np.add.reduceat(of_safe, ties)
        figures["roc_auc"] = float((t * (np.cumsum(s) - s / 2)).sum() / (of_toxic.sum() * of_safe.sum()))
    return figures


def _middle(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
