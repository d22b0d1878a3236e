"""From fine-tuned weights to a pinned adapter: its temperature and its thresholds, chosen by the scores that the worker would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from modq_training.dataset import Example, draw
from modq_training.metrics import at_temperature, best_f1_threshold, temperature_for, threshold_for
from modq_training.recipe import Mix, Recipe
from modq_worker.adapter import Adapter, Rule, pin_adapter
from modq_worker.classifier import Classifier
from modq_worker.verdict import Score

MIXED_ROWS, NEUTRAL_ROWS, RULE_ROWS = 2000, 4000, 2000
LEAST_PROBABILITY = 0.2
"""No text is said to break a rule of which this is not reached, however well a lower threshold would do."""


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
    rules: tuple[Rule, ...] = ()
    """The rules, with the thresholds that were chosen for them."""
    rule_rows: int = 0


def calibrate(recipe: Recipe, folder: Path, backbone: Path, validation: Sequence[Example], rules: Sequence[Rule], false_positive_rate: float) -> Calibration:
    """Score validation texts with the adapter in ``folder``, which this pins for the time being, as the worker would."""
    # Thresholds next to nothing, so that the classifier tells every rule's score.
    pin(recipe, folder, backbone, threshold=0.5, temperature=1.0, rules=[replace(rule, threshold=1e-9) for rule in rules])
    classifier = Classifier.load(folder, backbone=backbone)
    mixed = draw(validation, recipe.mix, rows=MIXED_ROWS, seed=1)
    neutral = neutral_examples(validation, recipe.mix, NEUTRAL_ROWS)
    of_known_rules = draw([row for row in validation if row.rules is not None], Mix(RULE_ROWS, 0.5), rows=RULE_ROWS, seed=3) if rules else []
    temperature = round(temperature_for([row.label for row in mixed], _toxic(_scores(classifier, mixed))), 3)
    of_neutral, of_rules = _scores(classifier, neutral), _scores(classifier, of_known_rules)
    calibrated = at_temperature(np.array(_toxic(of_neutral)), temperature)
    return Calibration(
        threshold=rounded_up(threshold_for(calibrated, false_positive_rate)),
        temperature=temperature,
        false_positive_rate=false_positive_rate,
        neutral_rows=len(neutral),
        neutral_sources=tuple(sorted({row.source for row in neutral})),
        mixed_rows=len(mixed),
        rules=tuple(replace(rule, threshold=_rule_threshold(rule.id, of_known_rules, of_rules, of_neutral, false_positive_rate)) for rule in rules),
        rule_rows=len(of_known_rules),
    )


def pin(
    recipe: Recipe,
    folder: Path,
    backbone: Path,
    *,
    threshold: float,
    temperature: float,
    rules: Sequence[Rule] = (),
    constitution: str | None = None,
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
        rules=rules,
        constitution=constitution,
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


def _rule_threshold(rule: str, examples: Sequence[Example], scores: Sequence[Score], neutral: Sequence[Score], false_positive_rate: float) -> float:
    """The threshold of the best F1 among texts whose rules are known, raised until everyday text breaks the rule no more often than it may."""
    best = best_f1_threshold([rule in (example.rules or ()) for example in examples], [score.rules.get(rule, 0.0) for score in scores])
    return rounded_up(max(LEAST_PROBABILITY, best, threshold_for([score.rules.get(rule, 0.0) for score in neutral], false_positive_rate)))


def _scores(classifier: Classifier, examples: Sequence[Example]) -> list[Score]:
    return classifier.score([example.text for example in examples])


def _toxic(scores: Sequence[Score]) -> list[float]:
    return [score.toxic for score in scores]
