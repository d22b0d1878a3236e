"""Posts to measure with: made up in the lengths that short messages have, or read from files."""

from __future__ import annotations

import gzip
import json
import math
import random
from collections.abc import Iterable
from pathlib import Path

# One token each, for BERT's tokenizer as well as for Gemma's.
_WORDS = """
    the a you good game time people really think about that this what when great day never home work love your just like make
    know will into year some could them see other than then now look only come over also back after use two how our first well
    way even new want because any these give most us stupid hate bad kill idiot wrong
"""


def made_up(count: int, seed: int = 0) -> list[str]:
    """Posts of random words, always the same: 16 tokens in the median, 23 on average, 176 at most."""
    chance, words = random.Random(seed), _WORDS.split()
    # Two tokens, or one, are the frame that the tokenizer puts around a text.
    lengths = (min(174, max(1, round(math.exp(chance.gauss(math.log(14), 0.92))))) for _ in range(count))
    return [" ".join(chance.choices(words, k=length)) for length in lengths]


def read(files: Iterable[Path], count: int, seed: int = 0) -> list[str]:
    """So many posts of JSON lines that have a ``text``, gzipped or not, in an order that is always the same."""
    texts = [json.loads(line)["text"] for file in files for line in _lines(file) if line]
    random.Random(seed).shuffle(texts)
    return texts[:count]


def _lines(file: Path) -> list[str]:
    raw = file.read_bytes()
    # Not splitlines, which knows ends of lines that may stand within JSON.
    return (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode().split("\n")
