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
    grammar = parser.add_argument_group("with the grammar, offline")
    grammar.add_argument("--grammar", type=Path, metavar="FOLDER", help="one of your own (default: the one that comes with modq)")
    grammar.add_argument("--augmented-share", type=float, metavar="SHARE", help="of the examples, those in disguise (default: 0.15 in train, 0 in test)")
    families = ", ".join(sorted(FAMILIES))
    grammar.add_argument("--augmentation", nargs="+", choices=sorted(FAMILIES), metavar="FAMILY", help=f"which disguises: {families} (default: all but {HELD_OUT})")
    endpoint = parser.add_argument_group("with an endpoint that speaks OpenAI's chat protocol; a key in MODQ_ENDPOINT_KEY or MODQ_ENDPOINT_KEY_FILE")
    endpoint.add_argument("--endpoint", metavar="URL", help="up to /v1, such as http://localhost:8000/v1")
    endpoint.add_argument("--model", metavar="NAME", help="the model, as the endpoint calls it")
    endpoint.add_argument("--paraphrase", type=Path, metavar="FILE", help="say the examples of this file in other words, instead of writing new ones")
    endpoint.add_argument("--parallel", type=int, default=4, metavar="N", help="requests at once (default: 4)")
    endpoint.add_argument("--price", nargs=2, type=float, default=(0.0, 0.0), metavar=("IN", "OUT"), help="of a million tokens in and out, to show the cost")


def run(arguments: argparse.Namespace) -> None:
    constitution = load_constitution(arguments.constitution)
    if arguments.count < 1:
        raise ModqError("--count must be 1 or more.")
    if arguments.augmented_share is not None and not 0 <= arguments.augmented_share <= 1:
        raise ModqError("--augmented-share must be from 0 to 1.")
    if HELD_OUT in (arguments.augmentation or ()) and arguments.split == "train":
        raise ModqError(f"{HELD_OUT} is the family of disguises that is held out of training; it is for --split test.")
    if arguments.generator == "grammar":
        _by_grammar(arguments, constitution)
    elif not (arguments.endpoint and arguments.model):
        raise ModqError("--generator endpoint needs --endpoint URL and --model NAME.")
    else:
        _by_endpoint(arguments, constitution)


def _by_grammar(arguments: argparse.Namespace, constitution: Constitution) -> None:
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


def _by_endpoint(arguments: argparse.Namespace, constitution: Constitution) -> None:
    from modq_training.chat_endpoint import ChatEndpoint, endpoint_key
    from modq_training.endpoint_run import EndpointRun

    with ChatEndpoint(arguments.endpoint, arguments.model, key=endpoint_key()) as endpoint:
        run = EndpointRun(endpoint, arguments.output, seed=arguments.seed, parallel=arguments.parallel, price=arguments.price)
        if arguments.paraphrase:
            run.paraphrase(arguments.paraphrase, arguments.split, arguments.count)
        else:
            run.write_pairs(constitution, arguments.split, arguments.count)
    print(f"{run.examples} examples in {arguments.output}; this run took {run.tokens_in:,} tokens in, {run.tokens_out:,} out, cost {run.cost:.2f}.")


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
