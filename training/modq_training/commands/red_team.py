"""Search for texts that an adapter judges wrongly, by changing texts that it judges rightly without changing what they do."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modq.errors import ModqError
from modq_training.disguise import FAMILIES, HELD_OUT

if TYPE_CHECKING:
    from modq_training.red_team import Report

_ALL = sorted((*FAMILIES, "surroundings", "wording"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--adapter", type=Path, metavar="FOLDER", help="folder of a pinned adapter (default: the one that comes with modq)")
    parser.add_argument("--backbone", type=Path, metavar="FOLDER", help="local folder of the base model")
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="labelled texts to start from: what is found takes their labels")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="JSON lines of what is found, to train on")
    parser.add_argument("--limit", type=int, default=500, metavar="N", help="start from at most N texts of each label (default: 500)")
    parser.add_argument("--mutations", nargs="+", choices=_ALL, metavar="FAMILY", help=f"which, of {', '.join(_ALL)} (default: all but {HELD_OUT}, held out of training)")
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="mutations in a row (default: 4)")
    parser.add_argument("--tries", type=int, default=8, metavar="N", help="mutations of each text, a round (default: 8)")
    parser.add_argument("--width", type=int, default=2, metavar="N", help="texts kept from round to round for each that it starts from (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="decides every draw (default: 0)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")


def run(arguments: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from modq_training.evaluation import worker_judge
    from modq_training.mutations import load_mutations
    from modq_training.red_team import Search, attack

    rows = _rows(arguments.data, arguments.limit, arguments.seed)
    mutations = {name: mutation for name, mutation in load_mutations().items() if name in (arguments.mutations or set(_ALL) - {HELD_OUT})}
    # Only now, because it takes seconds to import, and a wrong file should be told at once.
    from modq_worker.classifier import Classifier

    classifier = Classifier.load(arguments.adapter, backbone=arguments.backbone, threads=arguments.threads)
    search = Search(arguments.rounds, arguments.tries, arguments.width, arguments.seed)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("rounds", total=search.rounds)
        judge = worker_judge(classifier)
        reports = attack(judge, classifier.adapter.threshold, rows, mutations, search, after_round=lambda round: progress.update(task, advance=1))
    finds = [find for report in reports.values() for find in report.finds]
    with arguments.output.open("w", encoding="utf-8") as file:
        for find in finds:
            file.write(json.dumps(find.row(adapter=classifier.adapter.id, seed=arguments.seed), ensure_ascii=False) + "\n")
    _print(reports)
    print(f"{len(finds)} finds in {arguments.output}, against {classifier.adapter.id}.")


def _rows(path: Path, limit: int, seed: int) -> list[dict[str, Any]]:
    """At most ``limit`` rows of each label, with all that a file of ``modq write-examples`` says of them."""
    from dataclasses import asdict

    from modq_training.dataset import read_examples
    from modq_training.written_example import read_rows

    examples: Sequence[dict[str, Any]] = [asdict(example) for example in read_examples(path)]
    if path.suffix == ".jsonl":
        examples = [{**known, **example} for known, example in zip(read_rows(path), examples, strict=False)]
    chosen = []
    for label in (0, 1):
        of_label = [example for example in examples if example["label"] == label]
        chosen += random.Random(f"rows {seed}").sample(of_label, min(limit, len(of_label)))
    if not chosen:
        raise ModqError(f"{path.name} has no text to start from.")
    return chosen


def _print(reports: Mapping[int, Report]) -> None:
    from rich.console import Console
    from rich.table import Table

    rates = Table("texts", "number", "judged wrongly before", "after the search")
    for label, name in ((1, "toxic, missed"), (0, "safe, flagged")):
        report = reports[label]
        rates.add_row(name, str(report.texts), f"{report.rate_before:.1%}", f"{report.rate_after:.1%}")
    families = Table("mutation", "of toxic texts, missed after it alone", "of safe texts, flagged after it alone")
    for name in sorted(reports[0].tried | reports[1].tried):
        families.add_row(name, *(_share(report.enough[name], report.tried[name]) for report in (reports[1], reports[0])))
    console = Console()
    console.print(rates)
    console.print(families)


def _share(enough: int, tried: int) -> str:
    return f"{enough / tried:.1%} of {tried}" if tried else "-"
