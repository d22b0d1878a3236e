"""Two adapters one after the other: what is not clear to the first is the second's affair."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from modq_training.dataset import Example
from modq_training.evaluation import DataSet, Scored
from modq_worker.verdict import Score

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from two_stages import Judged, together

TEXTS = DataSet("texts", "0" * 64, 4, [Example(text, label, "here") for text, label in (("nice", 0), ("hm", 0), ("hmm!", 1), ("nasty", 1))])


def judged(scores: list[float], *, threshold: float, cpu_seconds: float) -> Judged:
    return Judged("an adapter", threshold, [Scored(TEXTS, [Score(score) for score in scores], 1.0)], cpu_seconds)


QUICK = judged([0.01, 0.9, 0.6, 0.99], threshold=0.8, cpu_seconds=1.0)
STRONG = judged([0.9, 0.1, 0.7, 0.1], threshold=0.5, cpu_seconds=10.0)


def test_the_strong_one_judges_what_lies_nearest_to_the_quick_ones_threshold() -> None:
    alone, both = (together(QUICK, STRONG, [TEXTS], share) for share in (0.0, 0.5))
    assert (alone.recall, alone.false_positive_rate_rated) == (0.5, 0.5)
    assert (both.recall, both.false_positive_rate_rated, both.roc_auc) == (1.0, 0.0, 1.0)


def test_its_part_of_the_cost_goes_by_the_characters_it_is_given() -> None:
    costs = [together(QUICK, STRONG, [TEXTS], share).cost for share in (0.0, 0.5, 1.0)]
    assert costs == [0.1, pytest.approx(0.1 + 6 / 15, abs=0.001), 1.0]


def test_at_a_share_of_one_it_judges_alone() -> None:
    assert together(QUICK, STRONG, [TEXTS], 1.0).recall == 0.5
    assert np.all(STRONG.surplus[[0, 2]] > 0)
