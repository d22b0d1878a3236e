"""Prints rows: a table for a person at a terminal, one line each for a program."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime


def print_rows(headings: Sequence[str], rows: Iterable[Sequence[object]], *, none: str) -> None:
    """Print the rows, or ``none`` on standard error where there are none.

    Off a terminal the columns are separated by tabs, without headings, and times are in full.
    """
    listed = [list(row) for row in rows]
    if not listed:
        sys.stderr.write(f"{none}\n")
    elif sys.stdout.isatty():
        _print_table(headings, listed)
    else:
        for row in listed:
            sys.stdout.write("\t".join(map(_plain, row)) + "\n")


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # Text, not str: a post's id may look like markup.
        table.add_row(*(Text(_short(cell), style=_STYLES.get(str(cell), "")) for cell in row))
    Console().print(table)


_STYLES = {"toxic": "red", "safe": "green", "failed": "red", "delivered": "green", "disabled": "red"}


def _short(cell: object) -> str:
    return f"{cell.astimezone():%Y-%m-%d %H:%M:%S}" if isinstance(cell, datetime) else _plain(cell)


def _plain(cell: object) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, datetime):
        return cell.isoformat()
    if isinstance(cell, float):
        return f"{cell:.3f}"
    # An id may hold what moves a terminal's cursor or breaks a line.
    return "".join(character if character.isprintable() else "\ufffd" for character in str(cell))
