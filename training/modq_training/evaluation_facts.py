"""What an evaluation keeps of an adapter, as facts for ``evaluation.json`` and the model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import Progress

from modq_training.comparison import Contender, contender, weight
from modq_training.evaluation import DataSet, Scored, score_all, worker_scorer
from modq_training.identity_terms import identity_gaps
from modq_training.metrics import Bin, calibration_error, reliability
from modq_training.model_card import RUN, read_measured
from modq_training.slices import by_augmentation, by_length, by_rule, by_source, confusion, judged, pairs, rule_results
from modq_worker.classifier import Classifier


def facts_of(
    classifier: Classifier,
    data_sets: Sequence[DataSet],
    terms: Sequence[str],
    threshold: float | None = None,
    *,
    seed: int = 0,
    backbone: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Contender, list[Bin], dict[str, Any]]:
    """Measure the adapter at ``threshold``, or at its own, with the rules' thresholds as they are pinned.

    Returns:
        The adapter as one to compare with others, the bins of its reliability plot, and the facts.
    """
    adapter = classifier.adapter
    at = threshold or adapter.threshold
    scored = score_all(worker_scorer(classifier), data_sets, progress=progress)
    own = contender(adapter.id, "adapter", at, weight(adapter, backbone), scored)
    texts = judged(scored)
    bins, error = calibration(scored)
    of_pairs = pairs(texts, at)
    facts = {
        "adapter": adapter.id,
        "threshold": at,
        "summary": asdict(own.summary),
        "results": [asdict(result) for result in own.results],
        "confusion": confusion(texts, at),
        "calibration": {"error": error, "temperature": adapter.temperature, "bins": [asdict(one) for one in bins]},
        "rules": [asdict(one) for one in rule_results(texts, adapter.rules)],
        "pairs": asdict(of_pairs) if of_pairs else None,
        "identity": [asdict(one) for one in identity_gaps(scored, at, terms, seed=seed)],
        "by_rule": [asdict(one) for one in by_rule(texts, at)],
        "by_source": [asdict(one) for one in by_source(texts, at)],
        "by_length": [asdict(one) for one in by_length(texts, at)],
        "by_augmentation": [asdict(one) for one in by_augmentation(texts, at)],
        "held_out_augmentations": held_out(classifier.adapter.folder, {example.augmentation for example, _ in texts}),
    }
    return own, bins, facts


def calibration(scored: Sequence[Scored]) -> tuple[list[Bin], float | None]:
    """Over the data sets with both classes, all texts together: the bins, and the expected calibration error."""
    both = [one for one in scored if len({example.label for example in one.data_set.examples}) == 2]
    labels = [example.label for one in both for example in one.data_set.examples]
    scores = [score.toxic for one in both for score in one.scores]
    return (reliability(labels, scores), calibration_error(labels, scores)) if labels else ([], None)


def held_out(folder: Path, found: set[str]) -> list[str]:
    """The disguises of the evaluated texts that no training text wore, as far as the run that trained the adapter kept that."""
    run = read_measured(folder, RUN)
    return sorted(found - {""} - set(run["augmentations"])) if run and "augmentations" in run else []
