"""Evaluation: labelled texts judged by the very classifier that the worker runs, or by a rival, and what the scores are worth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from rich.progress import Progress

from modq_training.dataset import Example, InvalidDataset, digest, draw, read_examples
from modq_training.metrics import Measured, measure
from modq_training.recipe import Mix
from modq_worker.verdict import Score

if TYPE_CHECKING:
    from modq_worker.classifier import Classifier

Scorer = Callable[[Sequence[str]], Sequence[Score]]
"""Scores of texts, in their order."""
Judge = Callable[[Sequence[str]], Sequence[float]]
"""Probabilities of toxic alone, for whoever needs no more."""
ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class DataSet:
    """One file of labelled texts to measure on."""

    name: str
    sha256: str
    rows: int
    """Rows of the whole file; ``examples`` may be fewer."""
    examples: Sequence[Example]


@dataclass(frozen=True, slots=True)
class Scored:
    """A data set and what a classifier said of it."""

    data_set: DataSet
    scores: Sequence[Score]
    """Of the data set's examples, in order."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """What one classifier reached on one data set."""

    name: str
    sha256: str
    rows: int
    measured: Measured
    seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Plain averages over data sets, each counted alike; None where there is no such data set."""

    roc_auc: float | None
    """Over the data sets with both classes."""
    recall: float | None
    """Over the data sets with toxic texts."""
    false_positive_rate_neutral: float | None
    """Over the data sets without a toxic text."""
    false_positive_rate_rated: float | None
    """Over the data sets with both classes."""
    recall_at_one_percent: float | None = None
    """Over the data sets with both classes, at 1 % of each one's own safe texts."""
    texts_per_second: float | None = None
    """In this run, with whatever else the machine was doing."""


def read_data_sets(paths: Sequence[Path], *, limits: Mapping[str, int] | None = None, seed: int = 0) -> list[DataSet]:
    """Each file as one data set, cut down to some rows of it that ``seed`` picks, at the file's own share of toxic ones.

    Args:
        limits: most rows by the data set's name, and by ``""`` for those not named; 0 is all of them.

    Raises:
        InvalidDataset: a file cannot be read, or a limit is for none of the files.
    """
    limits = limits or {}
    names = [_name(path) for path in paths]
    if unknown := sorted(set(limits) - {"", *names}):
        raise InvalidDataset(f"There is a limit for {unknown[0]}, and no such data set.")
    return [_data_set(path, limits.get(name, limits.get("", 0)), seed) for path, name in zip(paths, names, strict=True)]


def score_all(scorer: Scorer, data_sets: Sequence[DataSet], *, progress: Progress | None = None) -> list[Scored]:
    """What ``scorer`` says of each data set."""
    return [_scored(scorer, data_set, progress) for data_set in data_sets]


def measure_all(scored: Sequence[Scored], threshold: float) -> list[Result]:
    """How good that is, where a text is flagged from ``threshold`` on."""
    return [_result(one, threshold) for one in scored]


def worker_judge(classifier: Classifier) -> Judge:
    """The worker's classifier as a judge."""
    return lambda texts: [score.toxic for score in classifier.score(texts)]


def worker_scorer(classifier: Classifier) -> Scorer:
    """The worker's classifier as one that tells the probability of every rule, however small; it does so from then on."""
    telling_all = [replace(rule, threshold=1e-9) for rule in classifier.adapter.rules]
    classifier.adapter = replace(classifier.adapter, rules=telling_all)
    return classifier.score


def summarise(results: Sequence[Result]) -> Summary:
    """The averages that fit in one line."""
    measured = [result.measured for result in results]
    seconds = sum(result.seconds for result in results)
    return Summary(
        roc_auc=_mean(m.roc_auc for m in measured),
        recall=_mean(m.recall for m in measured),
        false_positive_rate_neutral=_mean(m.false_positive_rate for m in measured if not m.toxic),
        false_positive_rate_rated=_mean(m.false_positive_rate for m in measured if m.toxic),
        recall_at_one_percent=_mean(m.recall_at_false_positive_rate.get("0.01") for m in measured),
        texts_per_second=sum(m.n for m in measured) / seconds if seconds else None,
    )


def _name(path: Path) -> str:
    return path.name.split(".")[0]


def _data_set(path: Path, limit: int, seed: int) -> DataSet:
    examples = read_examples(path)
    chosen = examples
    if limit and len(examples) > limit:
        share = mean(example.label for example in examples)
        chosen = draw(examples, Mix(limit, share), rows=limit, seed=seed)
    return DataSet(_name(path), digest(path), len(examples), chosen)


def _scored(scorer: Scorer, data_set: DataSet, progress: Progress | None) -> Scored:
    started = time.monotonic()
    task = progress.add_task(data_set.name, total=len(data_set.examples)) if progress else None
    scores: list[Score] = []
    for start in range(0, len(data_set.examples), ROWS_AT_ONCE):
        rows = data_set.examples[start : start + ROWS_AT_ONCE]
        scores += scorer([row.text for row in rows])
        if progress and task is not None:
            progress.update(task, completed=len(scores))
    return Scored(data_set, scores, time.monotonic() - started)


def _result(scored: Scored, threshold: float) -> Result:
    data_set = scored.data_set
    measured = measure([row.label for row in data_set.examples], [score.toxic for score in scored.scores], threshold)
    return Result(data_set.name, data_set.sha256, data_set.rows, measured, round(scored.seconds, 3))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None
