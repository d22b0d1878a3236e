"""What a red team does to a text without changing which side of the rules it is on: disguise, other words, other surroundings."""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from modq.errors import ModqError
from modq_training.disguise import FAMILIES

Mutation = Callable[[str, int, random.Random], str]
"""A text, its label and chance in; the changed text out, or the same where there is nothing to change."""
REPEATABLE = frozenset({"surroundings", "wording"})
"""Families that may be put on a text more than once; a second disguise of the same kind would make it unreadable."""


class InvalidMutations(ModqError):
    """The file of mutations cannot be read."""


def mutations_file() -> Path:
    """The mutations that come with modq: beside this package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    return next((path for path in (package.parent / "mutations.toml", package / "mutations.toml") if path.exists()), package / "mutations.toml")


def load_mutations(file: Path | None = None) -> dict[str, Mutation]:
    """Every family of mutations, by name: those of ``disguise.py``, ``wording`` and ``surroundings``.

    Raises:
        InvalidMutations: the file cannot be read, or lacks a list.
    """
    file = file or mutations_file()
    try:
        lists: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        around = {label: (lists[f"{tone}_before"], lists[f"{tone}_after"]) for label, tone in enumerate(("rough", "friendly"))}
        interchangeable = {word: [other for other in same if other != word] for same in lists["wording"] for word in same}
    except OSError as error:
        raise InvalidMutations(f"The mutations {file.name} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise InvalidMutations(f"The mutations {file.name} are not right: {error}.") from None
    return {
        **{name: partial(_disguised, name) for name in FAMILIES},
        "surroundings": partial(_surrounded, around),
        "wording": partial(_reworded, interchangeable),
    }


def _disguised(family: str, text: str, label: int, chance: random.Random) -> str:
    return FAMILIES[family](text, chance)


def _surrounded(around: Mapping[int, tuple[Sequence[str], Sequence[str]]], text: str, label: int, chance: random.Random) -> str:
    """With friendly words where the text is toxic, and with rough ones where it is safe: what misleads a counter of words."""
    before, after = around[label]
    return f"{chance.choice(before)} {text}" if chance.random() < 0.5 else f"{text} {chance.choice(after)}"


def _reworded(interchangeable: Mapping[str, Sequence[str]], text: str, label: int, chance: random.Random) -> str:
    found = [match for word in interchangeable for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)]
    if not found:
        return text
    match = chance.choice(found)
    return text[: match.start()] + chance.choice(interchangeable[match[0].lower()]) + text[match.end() :]
