"""Show the rules of the constitution, check one that was edited, and print the hash that data sets and adapters name it by."""

from __future__ import annotations

import argparse
from pathlib import Path

from modq_training.constitution import Constitution, load_constitution


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("show", "check", "hash"), help="print the rules, say whether they can be read, or print their sha256")
    parser.add_argument("--constitution", type=Path, metavar="FILE", help="one of your own (default: the one that comes with modq)")


def run(arguments: argparse.Namespace) -> None:
    constitution = load_constitution(arguments.constitution)
    if arguments.action == "hash":
        print(constitution.sha256)
    elif arguments.action == "check":
        print(f"{len(constitution.rules)} rules, nothing wrong with them; sha256 {constitution.sha256}.")
    else:
        _show(constitution)


def _show(constitution: Constitution) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "severity", "what breaks it", "what barely does not", show_lines=True)
    for rule in constitution.rules:
        table.add_row(rule.id, rule.severity, "\n".join(rule.breaks), "\n".join(rule.safe))
    Console().print(table)
