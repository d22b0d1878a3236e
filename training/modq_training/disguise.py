"""Disguises that people use to slip past a filter, put on safe and toxic texts alike, so that the disguise itself is no evidence."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final

Disguise = Callable[[str, random.Random], str]

LEETSPEAK: Final = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"})
SOFT_LEETSPEAK: Final = str.maketrans({"a": "@", "i": "!", "s": "$", "o": "0"})
HOMOGLYPHS: Final = str.maketrans("aceiopsxyABCEHKMOPTX", "асеіорѕхуАВСЕНКМОРТХ")
"""Latin letters and the Cyrillic ones that look the same."""
ZERO_WIDTH: Final = "\u200b\u200c\u200d\u2060"
EMOJI: Final = "😂🤣😭🔥🙃😤👍💯👀🎮✨😅🙄😎🌞☕"
"""Such as people end any sentence with; a clown or a snake would be an insult by itself."""
NEIGHBOURS: Final = dict(zip("qwertyuiopasdfghjklzxcvbnm", ("wa", "qe", "wr", "et", "ry", "tu", "yi", "uo", "ip", "ol", "sq", "ad", "sf", "dg", "fh", "gj", "hk", "jl", "ko", "xa", "zc", "xv", "cb", "vn", "bm", "nk"), strict=True))
"""Letters and those beside them on a keyboard."""


def disguise(text: str, chance: random.Random) -> str:
    """The text in one disguise that ``chance`` picks, never of the family that is held out; a reader still understands it."""
    return FAMILIES[chance.choice(TRAINED)](text, chance)


def _casing(text: str, chance: random.Random) -> str:
    if chance.random() < 0.5:
        return text.upper()
    return "".join(letter.upper() if chance.random() < 0.5 else letter.lower() for letter in text)


def _leetspeak(text: str, chance: random.Random) -> str:
    table = chance.choice((LEETSPEAK, SOFT_LEETSPEAK))
    return _some_words(text, chance, 0.5, lambda word: word.lower().translate(table))


def _spacing(text: str, chance: random.Random) -> str:
    separator = chance.choice(" .-*_")
    return _some_words(text, chance, 0.25, lambda word: separator.join(word) if 2 < len(word) < 10 else word)


def _elongation(text: str, chance: random.Random) -> str:
    def stretched(word: str) -> str:
        if len(word) < 3:
            return word
        places = [place for place, letter in enumerate(word) if letter.lower() in "aeiouy"] or [len(word) - 1]
        place = chance.choice(places)
        return word[:place] + word[place] * chance.randint(3, 5) + word[place + 1 :]

    return _some_words(text, chance, 0.3, stretched)


def _typos(text: str, chance: random.Random) -> str:
    def mistyped(word: str) -> str:
        if len(word) < 4:
            return word
        place = chance.randrange(1, len(word) - 1)
        letter = word[place]
        near = chance.choice(NEIGHBOURS.get(letter.lower(), letter))
        return chance.choice(
            (
                word[:place] + word[place + 1 :],
                word[:place] + letter + word[place:],
                word[:place] + word[place + 1] + letter + word[place + 2 :],
                word[:place] + near + word[place + 1 :],
            )
        )

    return _some_words(text, chance, 0.3, mistyped)


def _emoji(text: str, chance: random.Random) -> str:
    if chance.random() < 0.5:
        return f"{text} {chance.choice(EMOJI) * chance.randint(1, 3)}"
    return _some_words(text, chance, 0.25, lambda word: f"{word} {chance.choice(EMOJI)}")


def _zero_width(text: str, chance: random.Random) -> str:
    return _some_words(text, chance, 0.4, lambda word: chance.choice(ZERO_WIDTH).join(word))


def _quoting(text: str, chance: random.Random) -> str:
    if chance.random() < 0.4:
        return f"> {text}"
    return _some_words(text, chance, 0.15, lambda word: f'"{word}"')


def _homoglyphs(text: str, chance: random.Random) -> str:
    return _some_words(text, chance, 0.35, lambda word: word.translate(HOMOGLYPHS))


def _some_words(text: str, chance: random.Random, share: float, change: Callable[[str], str]) -> str:
    """``change`` put on a ``share`` of the words, and on one at least, or the text would not be disguised."""
    words = text.split()
    certain = chance.randrange(len(words)) if words else -1
    return " ".join(change(word) if place == certain or chance.random() < share else word for place, word in enumerate(words))


FAMILIES: Final[Mapping[str, Disguise]] = {
    "casing": _casing,
    "elongation": _elongation,
    "emoji": _emoji,
    "homoglyphs": _homoglyphs,
    "leetspeak": _leetspeak,
    "quoting": _quoting,
    "spacing": _spacing,
    "typos": _typos,
    "zero_width": _zero_width,
}
HELD_OUT: Final = "homoglyphs"
"""The family that no training row wears, so that evaluation can say what an attack does that nobody trained for."""
TRAINED: Final = tuple(family for family in FAMILIES if family != HELD_OUT)
