"""The threshold flags at most the share of safe texts that was asked for, and is the lowest that does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modq_training.calibration import rounded_up
from modq_training.metrics import at_temperature, log_odds, temperature_for, threshold_for

scores = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 0.999]) | st.floats(0, 1), min_size=1, max_size=300)
rates = st.sampled_from([0.0, 0.005, 0.01, 0.05, 0.5])


@given(scores, rates)
def test_no_more_than_the_rate_is_flagged(scores: list[float], rate: float) -> None:
    assert np.mean(np.array(scores) >= threshold_for(scores, rate)) <= rate


@given(scores, rates)
def test_no_lower_threshold_would_do(scores: list[float], rate: float) -> None:
    threshold = threshold_for(scores, rate)
    below = [score for score in scores if score < threshold]
    assert not below or np.mean(np.array(scores) >= max(below)) > rate


def test_a_threshold_needs_safe_texts() -> None:
    with pytest.raises(ValueError, match="safe texts"):
        threshold_for([], 0.01)


@given(st.floats(0, 1))
def test_rounding_never_flags_more_and_stays_inside_what_a_policy_accepts(threshold: float) -> None:
    rounded = rounded_up(threshold)
    assert 0 < rounded < 1
    assert rounded >= min(threshold, 0.9999)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_overconfident_scores_is_found(temperature: float) -> None:
    chance = np.random.default_rng(1)
    honest = chance.uniform(0.02, 0.98, 20_000)
    labels = [int(label) for label in chance.uniform(size=20_000) < honest]
    told = 1 / (1 + np.exp(-log_odds(honest) * temperature))
    found = temperature_for(labels, told.tolist())
    assert found == pytest.approx(temperature, rel=0.07)
    assert at_temperature(told, found) == pytest.approx(honest, abs=0.03)
