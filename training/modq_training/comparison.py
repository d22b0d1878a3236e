"""The comparison: an adapter beside its rivals, on the same texts, with what each weighs and how quick it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.progress import Progress

from modq_training.adapter_making import read_split
from modq_training.evaluation import DataSet, Result, Scored, Summary, measure_all, score_all, summarise, worker_scorer
from modq_training.linear_baseline import train_baseline
from modq_training.ready_classifiers import Ready, running
from modq_training.recipe import Recipe
from modq_worker.adapter import Adapter
from modq_worker.backbone import find_backbone
from modq_worker.classifier import Classifier

Kind = Literal["adapter", "ready", "linear"]


@dataclass(frozen=True, slots=True)
class Contender:
    """What one classifier reached on all data sets."""

    name: str
    kind: Kind
    threshold: float
    download_bytes: int | None
    """What it learnt, base model included; without the libraries that run it. None where nothing is downloaded."""
    summary: Summary
    results: Sequence[Result]

    def facts(self) -> dict[str, Any]:
        """For ``evaluation.json``."""
        return asdict(self)


def contender(name: str, kind: Kind, threshold: float, download_bytes: int | None, scored: Sequence[Scored]) -> Contender:
    """What ``scored`` is worth at ``threshold``."""
    results = measure_all(scored, threshold)
    return Contender(name, kind, threshold, download_bytes, summarise(results), results)


def adapters(folders: Sequence[Path], data_sets: Sequence[DataSet], *, threads: int, progress: Progress | None = None) -> Iterator[Contender]:
    """Other adapters, each at its own threshold."""
    for folder in folders:
        classifier = Classifier.load(folder, threads=threads)
        yield contender(classifier.adapter.id, "adapter", classifier.adapter.threshold, weight(classifier.adapter), score_all(worker_scorer(classifier), data_sets, progress=progress))


def ready_classifiers(wanted: Sequence[Ready], data_sets: Sequence[DataSet], *, threads: int, progress: Progress | None = None) -> Iterator[Contender]:
    """Ready classifiers, at the half that they themselves take for the threshold."""
    for ready in wanted:
        with running(ready, threads=threads) as one:
            yield contender(f"{ready.name} {ready.version}", "ready", 0.5, one.download_bytes, score_all(one.scorer, data_sets, progress=progress))


def linear_model(recipe: Recipe, data: Sequence[Path], data_sets: Sequence[DataSet], *, seed: int, progress: Progress | None = None) -> Contender:
    """The linear model of words and letters, trained on what the recipe's first epoch sees."""
    texts, _ = read_split(data, recipe)
    scorer, threshold = train_baseline(recipe, texts, seed=seed, false_positive_rate=0.01)
    return contender("linear n-grams", "linear", threshold, None, score_all(scorer, data_sets, progress=progress))


def weight(adapter: Adapter, backbone: Path | None = None) -> int:
    """Bytes of the adapter's pinned files and of its base model's weights, as they lie there."""
    base = find_backbone(adapter.base, local=backbone)
    return sum((adapter.folder / name).stat().st_size for name in adapter.files) + sum((base / name).stat().st_size for name in adapter.base.weights)
