"""Disguises that people use to slip past a filter, put on safe and toxic texts alike, so that the disguise itself is no evidence."""

from __future__ import annotations

import random
from collections.abc import Callable

LEETSPEAK = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"})
SOFT_LEETSPEAK = str.maketrans({"a": "@", "i": "!", "s": "$", "o": "0"})


def disguise(text: str, chance: random.Random) -> str:
    """The text in one disguise that ``chance`` picks; a reader still understands it."""
    return chance.choice(DISGUISES)(text, chance)


def _capitals(text: str, chance: random.Random) -> str:
    return text.upper()


def _mixed_case(text: str, chance: random.Random) -> str:
    return "".join(letter.upper() if chance.random() < 0.5 else letter.lower() for letter in text)


def _leetspeak(text: str, chance: random.Random) -> str:
    table = chance.choice((LEETSPEAK, SOFT_LEETSPEAK))
    return _some_words(text, chance, 0.5, lambda word: word.lower().translate(table))


def _spaced_letters(text: str, chance: random.Random) -> str:
    separator = chance.choice(" .-*")
    return _some_words(text, chance, 0.25, lambda word: separator.join(word) if 2 < len(word) < 10 else word)


def _stretched(text: str, chance: random.Random) -> str:
    return _some_words(text, chance, 0.3, lambda word: word + word[-1] * chance.randint(2, 4))


def _dropped_letters(text: str, chance: random.Random) -> str:
    def without_one(word: str) -> str:
        place = chance.randrange(1, len(word)) if len(word) > 3 else 0
        return word[:place] + word[place + 1 :] if place else word

    return _some_words(text, chance, 0.3, without_one)


def _some_words(text: str, chance: random.Random, share: float, change: Callable[[str], str]) -> str:
    return " ".join(change(word) if chance.random() < share else word for word in text.split())


DISGUISES = (_capitals, _mixed_case, _leetspeak, _spaced_letters, _stretched, _dropped_letters)
