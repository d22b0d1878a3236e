"""Write labelled examples from the constitution, by the grammar that comes with modq or by a language model."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modq.errors import ModqError
from modq_training.constitution import Constitution, load_constitution
from modq_training.disguise import FAMILIES, HELD_OUT, TRAINED

if TYPE_CHECKING:
    from modq_training.written_example import WrittenExample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="JSON lines to write")
    parser.add_argument("--constitution", type=Path, metavar="FILE", help="one of your own (default: the one that comes with modq)")
    parser.add_argument("--split", choices=("train", "test"), default="train", help="whose seeds to use; no seed is in both (default: train)")
    parser.add_argument("--count", type=int, default=20_000, metavar="N", help="how many examples (default: 20000)")
    parser.add_argument("--seed", type=int, default=0, help="decides every draw (default: 0)")
    parser.add_argument("--generator", choices=("grammar", "endpoint"), default="grammar", help="what writes them (default: grammar)")
    parser.add_argument("--grammar", type=Path, metavar="FOLDER", help="one of your own (default: the one that comes with modq)")
    parser.add_argument("--augmented-share", type=float, metavar="SHARE", help="of the examples, those in disguise (default: 0.15 in train, 0 in test)")
    parser.add_argument(
        "--augmentation", nargs="+", choices=sorted(FAMILIES), metavar="FAMILY", help=f"which disguises: {', '.join(sorted(FAMILIES))} (default: all but {HELD_OUT})"
    )


def run(arguments: argparse.Namespace) -> None:
    constitution = load_constitution(arguments.constitution)
    if HELD_OUT in (arguments.augmentation or ()) and arguments.split == "train":
        raise ModqError(f"{HELD_OUT} is the family of disguises that is held out of training; it is for --split test.")
    _grammar_examples(arguments, constitution)


def _grammar_examples(arguments: argparse.Namespace, constitution: Constitution) -> None:
    from modq_training.example_writer import Order, write_examples
    from modq_training.grammar import load_grammar
    from modq_training.written_example import write_rows

    share = arguments.augmented_share
    if share is None:
        share = 0.15 if arguments.split == "train" else 0.0
    order = Order(arguments.split, arguments.count, arguments.seed, share, arguments.augmentation or TRAINED)
    counts: Counter[tuple[str, str]] = Counter()
    written = write_rows(arguments.output, _counted(write_examples(constitution, load_grammar(arguments.grammar), order), counts))
    _print(counts)
    print(f"{written} examples in {arguments.output}, from the constitution {constitution.sha256[:12]}.")
    if written < arguments.count:
        print(f"Fewer than {arguments.count}: what more this grammar gives is near-copies.", file=sys.stderr)


def _counted(examples: Iterable[WrittenExample], counts: Counter[tuple[str, str]]) -> Iterator[WrittenExample]:
    for example in examples:
        counts[example.rule, example.side] += 1
        counts["paired", ""] += bool(example.pair)
        yield example


def _print(counts: Counter[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("rule", "breaks it", "barely does not")
    for rule in sorted({rule for rule, side in counts if side}):
        table.add_row(rule, str(counts[rule, "breaks"]), str(counts[rule, "safe"]))
    Console().print(table)
    print(f"{counts['paired', '']} of them are sides of borderline pairs.")
