"""From fine-tuned weights to a pinned adapter: its temperature and its threshold, chosen by the scores that the worker would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modq_training.dataset import Example, draw
from modq_training.metrics import at_temperature, temperature_for, threshold_for
from modq_training.recipe import Mix, Recipe
from modq_worker.adapter import Adapter, pin_adapter
from modq_worker.classifier import Classifier

MIXED_ROWS, NEUTRAL_ROWS = 2000, 4000


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the threshold and the temperature were chosen."""

    threshold: float
    temperature: float
    false_positive_rate: float
    """The rate that was asked for."""
    neutral_rows: int
    neutral_sources: tuple[str, ...]
    mixed_rows: int


def calibrate(recipe: Recipe, folder: Path, backbone: Path, validation: Sequence[Example], false_positive_rate: float) -> Calibration:
    """Score validation texts with the adapter in ``folder``, which this pins for the time being, as the worker would."""
    pin(recipe, folder, backbone, threshold=0.5, temperature=1.0)
    classifier = Classifier.load(folder, backbone=backbone)
    mixed = draw(validation, recipe.mix, rows=MIXED_ROWS, seed=1)
    neutral = neutral_examples(validation, recipe.mix, NEUTRAL_ROWS)
    temperature = round(temperature_for([row.label for row in mixed], _scores(classifier, mixed)), 3)
    calibrated = at_temperature(np.array(_scores(classifier, neutral)), temperature)
    return Calibration(
        threshold=rounded_up(threshold_for(calibrated, false_positive_rate)),
        temperature=temperature,
        false_positive_rate=false_positive_rate,
        neutral_rows=len(neutral),
        neutral_sources=tuple(sorted({row.source for row in neutral})),
        mixed_rows=len(mixed),
    )


def pin(
    recipe: Recipe,
    folder: Path,
    backbone: Path,
    *,
    threshold: float,
    temperature: float,
    metrics: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Adapter:
    """Write ``adapter.json`` for the weights in ``folder``."""
    return pin_adapter(
        folder,
        base=recipe.base,
        revision=recipe.revision or "0" * 40,
        base_folder=backbone,
        name=f"modq-{recipe.name}",
        registry_package=recipe.registry_package,
        max_length=recipe.max_tokens,
        threshold=threshold,
        temperature=temperature,
        metrics=metrics,
        recipe=about,
    )


def neutral_examples(examples: Sequence[Example], mix: Mix, rows: int) -> list[Example]:
    """Safe texts of the mix's neutral sources, equally many of each; of all sources where the data has none of these."""
    known = {row.source for row in examples}
    sources = [source for source in mix.neutral if source in known] or sorted(known)
    return [
        row
        for source in sources
        for row in draw([row for row in examples if row.source == source and row.label == 0], Mix(rows, 0.0), rows=rows // len(sources), seed=2)
    ]


def rounded_up(threshold: float) -> float:
    """To four places, never down, and inside what a policy accepts."""
    return float(min(max(np.ceil(threshold * 10_000) / 10_000, 0.0001), 0.9999))


def _scores(classifier: Classifier, examples: Sequence[Example]) -> list[float]:
    return [score.toxic for score in classifier.score([example.text for example in examples])]
