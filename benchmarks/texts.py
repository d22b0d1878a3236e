"""Texts as long as posts are: half have 16 tokens or fewer, the mean is 23, and a few are ten times as long."""

from __future__ import annotations

import math
import random
from typing import Final

# One token each to the default model's tokenizer.
_WORDS: Final = (
    "the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what all were "
    "we when your can said there use an each which she do how their if will up other about out many then them these so some her would "
    "make like him into time has look two more write go see number no way could people my than first water been call who oil its now"
)
_LONGEST: Final = 174
"""Words; with the two tokens around every text, 176."""


def made_texts(count: int, seed: int) -> list[str]:
    """So many texts, no two alike; the same ones for the same seed."""
    chance, words = random.Random(seed), _WORDS.split()
    return [f"{' '.join(chance.choices(words, k=_words(chance)))} {number}" for number in range(count)]


def _words(chance: random.Random) -> int:
    return min(_LONGEST, max(1, round(chance.lognormvariate(math.log(13), 0.85))))
