"""Measure an adapter through the worker's own classifier and write its model card."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modq_training.evaluation import DataSet, Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("adapter", type=Path, metavar="ADAPTER", help="folder of a pinned adapter")
    parser.add_argument("--data", nargs="+", type=Path, required=True, metavar="FILE", help="labelled texts, each file a data set of its own")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where measured/evaluation.json goes (default: into the adapter, whose card is renewed)")
    parser.add_argument("--limit", type=int, metavar="N", help="judge at most N rows of each file, drawn by --seed at the file's share of toxic ones")
    parser.add_argument("--seed", type=int, default=0, help="decides the draw (default: 0)")
    parser.add_argument("--threshold", type=float, help="instead of the adapter's own")
    parser.add_argument("--backbone", type=Path, metavar="FOLDER", help="local folder of the base model")
    parser.add_argument("--baseline", nargs="+", type=Path, metavar="FILE", help="training files for a linear model to compare with")
    parser.add_argument("--recipe", default="minilm", help="whose mix the linear model is trained on (default: minilm)")
    parser.add_argument("--recipes", type=Path, metavar="FILE", help="a recipe.toml of your own")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")


def run(arguments: argparse.Namespace) -> None:
    from modq_training.evaluation import read_data_sets, summarise, worker_judge
    from modq_training.model_card import EVALUATION, write_card, write_measured

    data_sets = read_data_sets(arguments.data, limit=arguments.limit, seed=arguments.seed)
    # Only now, because it takes seconds to import, and a wrong file should be told at once.
    from modq_worker.classifier import Classifier

    classifier = Classifier.load(arguments.adapter, backbone=arguments.backbone, threads=arguments.threads)
    threshold = arguments.threshold or classifier.adapter.threshold
    results = _measured(worker_judge(classifier), data_sets, threshold)
    facts: dict[str, Any] = {
        "adapter": classifier.adapter.id,
        "threshold": threshold,
        "limit": arguments.limit,
        "seed": arguments.seed,
        "summary": asdict(summarise(results)),
        "results": [asdict(result) for result in results],
        "baseline": _baseline(arguments, data_sets) if arguments.baseline else None,
    }
    write_measured(arguments.output or arguments.adapter, EVALUATION, facts)
    if not arguments.output:
        write_card(arguments.adapter)
    _print(results)


def _baseline(arguments: argparse.Namespace, data_sets: Sequence[DataSet]) -> dict[str, Any]:
    from modq_training.adapter_making import read_split
    from modq_training.evaluation import summarise
    from modq_training.linear_baseline import train_baseline
    from modq_training.recipe import load_recipe

    recipe = load_recipe(arguments.recipe, arguments.recipes)
    texts, _ = read_split(arguments.baseline, recipe)
    judge, threshold = train_baseline(recipe, texts, seed=arguments.seed, false_positive_rate=0.01)
    results = _measured(judge, data_sets, threshold)
    return {"threshold": threshold, "summary": asdict(summarise(results)), "results": [asdict(result) for result in results]}


def _measured(judge: Any, data_sets: Sequence[DataSet], threshold: float) -> list[Result]:
    from rich.console import Console
    from rich.progress import Progress

    from modq_training.evaluation import evaluate

    with Progress(console=Console(stderr=True)) as progress:
        return evaluate(judge, data_sets, threshold, progress=progress)


def _print(results: Sequence[Result]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    from modq_training.model_card import figure

    table = Table(Column("data set", no_wrap=True), *("rows", "toxic", "ROC-AUC", "precision", "recall", "F1", "FPR", "recall at 1 % FPR", "ECE"))
    for result in results:
        m = result.measured
        shares = (m.roc_auc, m.precision, m.recall, m.f1, m.false_positive_rate, m.recall_at_false_positive_rate.get("0.01"), m.calibration_error)
        table.add_row(result.name, str(m.n), str(m.toxic), *map(figure, shares))
    # A file or a pipe is as wide as it has to be.
    Console(width=None if sys.stdout.isatty() else 140).print(table)
