"""The figures of an evaluation are what their names say, and None where nothing can be said."""

from __future__ import annotations

import numpy as np
import pytest

from modq_training.metrics import measure


def test_the_figures_of_a_small_example() -> None:
    m = measure([0, 0, 0, 1, 1], [0.1, 0.2, 0.8, 0.7, 0.9], threshold=0.7)
    assert (m.true_safe, m.false_toxic, m.false_safe, m.true_toxic) == (2, 1, 0, 2)
    assert m.accuracy == pytest.approx(0.8)
    assert m.precision == pytest.approx(2 / 3)
    assert m.recall == 1
    assert m.f1 == pytest.approx(0.8)
    assert m.false_positive_rate == pytest.approx(1 / 3)
    assert m.roc_auc == pytest.approx(5 / 6)
    assert m.recall_at_false_positive_rate["0.01"] == pytest.approx(0.5)


def test_only_safe_texts_leave_nothing_but_the_false_positive_rate() -> None:
    m = measure([0, 0, 0, 0], [0.1, 0.2, 0.3, 0.9], threshold=0.5)
    assert m.false_positive_rate == pytest.approx(0.25)
    assert (m.recall, m.f1, m.precision, m.roc_auc, m.calibration_error) == (None,) * 5
    assert set(m.intervals) == {"false_positive_rate"}


def test_only_toxic_texts_have_a_recall_and_no_false_positive_rate() -> None:
    m = measure([1, 1], [0.1, 0.9], threshold=0.5)
    assert (m.recall, m.false_positive_rate, m.roc_auc) == (0.5, None, None)


def test_the_interval_covers_the_figure_and_narrows_with_more_texts() -> None:
    chance = np.random.default_rng(0)

    def interval(n: int) -> tuple[float, float]:
        labels = [0, 1] * (n // 2)
        scores = [float(np.clip(chance.normal(0.4 + 0.2 * label, 0.2), 0, 1)) for label in labels]
        m = measure(labels, scores, 0.5)
        low, high = m.intervals["roc_auc"]
        assert m.roc_auc is not None
        assert low < m.roc_auc < high
        return low, high

    narrow, wide = interval(2000), interval(100)
    assert narrow[1] - narrow[0] < wide[1] - wide[0]


def test_honest_scores_have_next_to_no_calibration_error() -> None:
    chance = np.random.default_rng(0)
    scores = chance.uniform(size=20_000)
    labels = [int(label) for label in chance.uniform(size=20_000) < scores]
    honest, boastful = measure(labels, scores.tolist(), 0.5), measure(labels, (scores**0.25).tolist(), 0.5)
    assert honest.calibration_error is not None
    assert boastful.calibration_error is not None
    assert honest.calibration_error < 0.02 < 0.1 < boastful.calibration_error
