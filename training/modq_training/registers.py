"""Registers: the same sentence as somebody would put it in a chat, in a game, on a forum or in a letter."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Sentences and words without a side, to put around a text."""

    before: Sequence[str]
    after: Sequence[str]
    openers: Sequence[str]
    """Of a chat: "lol", "ngl"."""
    closers: Sequence[str]


Register = Callable[[str, Surroundings, random.Random], str]
SHORT: Final = {
    " you are ": " ur ", " you're ": " ur ", " your ": " ur ", " you ": " u ", " are ": " r ", " because ": " cuz ", " people ": " ppl ",
    " going to ": " gonna ", " want to ": " wanna ", " to be honest": " tbh", " please ": " pls ", " what ": " wat ", " with ": " w ", " though": " tho",
    " i do not know": " idk", " right now": " rn", " really ": " rly ", " and ": " n ", " something ": " smth ", " okay": " ok",
}  # fmt: skip


def in_register(name: str, text: str, around: Surroundings, seed: str) -> str:
    """``text`` in a register; both sides of a pair, given the same ``seed``, get the same surroundings."""
    return REGISTERS[name](text, around, random.Random(seed))


def _plain(text: str, around: Surroundings, chance: random.Random) -> str:
    return text


def _comment(text: str, around: Surroundings, chance: random.Random) -> str:
    return text if text[-1:] in ".!?\"”…" else text + chance.choice((".", ".", "!", "...", ""))


def _chat(text: str, around: Surroundings, chance: random.Random) -> str:
    text = text.lower().rstrip(".")
    if chance.random() < 0.5:
        text = text.replace("'", "")
    if chance.random() < 0.5:
        for long, short in SHORT.items():
            text = f" {text} ".replace(long, short).strip()
    if chance.random() < 0.4:
        text = f"{chance.choice(around.openers)} {text}"
    if chance.random() < 0.4:
        text = f"{text} {chance.choice(around.closers)}"
    return text


def _forum(text: str, around: Surroundings, chance: random.Random) -> str:
    text = _comment(text, around, chance)
    kind = chance.randrange(3)
    before = f"{chance.choice(around.before)} " if kind != 1 else ""
    after = f" {chance.choice(around.after)}" if kind != 0 else ""
    return f"{before}{text}{after}"


def _long(text: str, around: Surroundings, chance: random.Random) -> str:
    text = _comment(text, around, chance)
    before = chance.sample(list(around.before), chance.randint(1, 3))
    after = chance.sample(list(around.after), chance.randint(1, 3))
    return " ".join((*before, text, *after))


REGISTERS: Final[Mapping[str, Register]] = {"plain": _plain, "comment": _comment, "chat": _chat, "forum": _forum, "long": _long}
SHARES: Final[Mapping[str, float]] = {"plain": 0.22, "comment": 0.24, "chat": 0.28, "forum": 0.18, "long": 0.08}
"""How much of the data is in each."""
