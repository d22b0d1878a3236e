"""Measure an adapter through the worker's own classifier, beside its rivals, and write its model card."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

    from modq_training.comparison import Contender
    from modq_training.evaluation import DataSet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("adapter", type=Path, metavar="ADAPTER", help="folder of a pinned adapter")
    parser.add_argument("--data", nargs="+", type=Path, required=True, metavar="FILE", help="labelled texts, each file a data set of its own")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where measured/ goes (default: into the adapter, whose card is renewed)")
    parser.add_argument(
        "--limit",
        nargs="+",
        type=_limit,
        default=[],
        metavar="N",
        help="judge at most N rows of each file, drawn by --seed at the file's share of toxic ones; NAME=N for a file of its own, 0 for all of it",
    )
    parser.add_argument("--seed", type=int, default=0, help="decides the draw and the linear model (default: 0)")
    parser.add_argument("--threshold", type=float, help="instead of the adapter's own")
    parser.add_argument("--backbone", type=Path, metavar="FOLDER", help="local folder of the base model")
    parser.add_argument("--identity-terms", metavar="FILE", default="builtin", help="terms for groups of people, one a line (default: those that come with modq)")
    parser.add_argument("--compare", nargs="+", type=Path, default=[], metavar="ADAPTER", help="other adapters to measure beside it")
    parser.add_argument(
        "--compare-ready", metavar="NAMES", help="ready classifiers to measure beside it, with commas between, or all: each is installed into an environment of its own"
    )
    parser.add_argument("--baseline", nargs="+", type=Path, metavar="FILE", help="training files for a linear model to measure beside it")
    parser.add_argument("--recipe", default="minilm", help="whose mix the linear model is trained on (default: minilm)")
    parser.add_argument("--recipes", type=Path, metavar="FILE", help="a recipe.toml of your own")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")


def run(arguments: argparse.Namespace) -> None:
    from modq_training.evaluation import read_data_sets
    from modq_training.identity_terms import read_terms
    from modq_training.model_card import EVALUATION, MEASURED, write_card, write_measured
    from modq_training.ready_classifiers import find

    # What is wrong with the arguments is told before the seconds that the model takes to load.
    ready = find(arguments.compare_ready or "")
    terms = read_terms(arguments.identity_terms)
    data_sets = read_data_sets(arguments.data, limits=dict(arguments.limit), seed=arguments.seed)

    from modq_training.evaluation_facts import facts_of
    from modq_training.plots import draw_plots
    from modq_worker.classifier import Classifier

    classifier = Classifier.load(arguments.adapter, backbone=arguments.backbone, threads=arguments.threads)
    with _progress() as progress:
        own, bins, facts = facts_of(classifier, data_sets, terms, arguments.threshold, seed=arguments.seed, backbone=arguments.backbone, progress=progress)
        contenders = [own, *_rivals(arguments, ready, data_sets, progress)]
    output = arguments.output or arguments.adapter
    facts |= {"limits": dict(arguments.limit), "seed": arguments.seed, "threads": arguments.threads}
    facts["contenders"] = [one.facts() for one in contenders]
    facts["plots"] = draw_plots(output / MEASURED, bins, contenders)
    write_measured(output, EVALUATION, facts)
    _print(contenders)
    if not arguments.output:
        write_card(arguments.adapter)


def _limit(word: str) -> tuple[str, int]:
    """``500`` is for every file that is not named, whose name is nothing."""
    name, _, rows = word.rpartition("=")
    return name, int(rows)


def _rivals(arguments: argparse.Namespace, ready: Sequence[Any], data_sets: Sequence[DataSet], progress: Progress) -> Iterator[Contender]:
    from modq_training.comparison import adapters, linear_model, ready_classifiers
    from modq_training.recipe import load_recipe

    yield from adapters(arguments.compare, data_sets, threads=arguments.threads, progress=progress)
    if arguments.baseline:
        yield linear_model(load_recipe(arguments.recipe, arguments.recipes), arguments.baseline, data_sets, seed=arguments.seed, progress=progress)
    yield from ready_classifiers(ready, data_sets, threads=arguments.threads, progress=progress)


@contextmanager
def _progress() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as progress:
        yield progress


def _print(contenders: Sequence[Contender]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    from modq_training.model_card import figure, megabytes

    own = Table(Column("data set", no_wrap=True), *("rows", "toxic", "ROC-AUC", "PR-AUC", "precision", "recall", "F1", "FPR", "recall at 1 % FPR", "ECE"))
    for result in contenders[0].results:
        m = result.measured
        shares = (m.roc_auc, m.pr_auc, m.precision, m.recall, m.f1, m.false_positive_rate, m.recall_at_false_positive_rate.get("0.01"), m.calibration_error)
        own.add_row(result.name, str(m.n), str(m.toxic), *map(figure, shares))
    # A file or a pipe is as wide as it has to be.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(own)
    if len(contenders) > 1:
        side = Table(Column("mean over the data sets", no_wrap=True), *("ROC-AUC", "recall at 1 % FPR", "recall", "FPR, neutral sets", "FPR, others", "texts/s", "MB"))
        for one in contenders:
            s = one.summary
            means = (s.roc_auc, s.recall_at_one_percent, s.recall, s.false_positive_rate_neutral, s.false_positive_rate_rated)
            side.add_row(one.name, *map(figure, means), f"{s.texts_per_second or 0:,.0f}", megabytes(one.download_bytes))
        console.print(side)
