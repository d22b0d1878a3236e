"""Which texts go through the model together: rows of like length in a step, steps in passes of bounded size."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

STEPS_SORTED_TOGETHER = 32
"""Rows are sorted by length within blocks of so many steps: little padding, and still a different mix in every step."""


def steps_of(lengths: Sequence[int], *, rows: int, seed: str, pairs: Sequence[str] = ()) -> list[list[int]]:
    """Cut the texts into steps of ``rows`` of like length, in an order that ``seed`` decides.

    Args:
        lengths: the texts' tokens.
        pairs: texts with the same word here go next to each other, so into the same step nearly always; "" is no pair.
    """
    chance = random.Random(seed)
    together: dict[str, list[int]] = {}
    for index in range(len(lengths)):
        together.setdefault(pairs[index] if pairs and pairs[index] else f"alone {index}", []).append(index)
    groups = list(together.values())
    chance.shuffle(groups)
    order = [index for group in groups for index in group]
    longest = {index: max(lengths[one] for one in group) for group in groups for index in group}
    block = rows * STEPS_SORTED_TOGETHER
    by_length: list[int] = []
    for start in range(0, len(order), block):
        # The sort is stable: a pair has one length here, and stays together.
        by_length += sorted(order[start : start + block], key=lambda index: longest[index])
    steps = [by_length[start : start + rows] for start in range(0, len(by_length), rows)]
    chance.shuffle(steps)
    return steps


def passes_of(indices: Sequence[int], lengths: Sequence[int], *, tokens: int) -> Iterator[list[int]]:
    """Cut ``indices`` into passes of at most ``tokens`` tokens, padding included; a text longer than that goes alone."""
    current: list[int] = []
    for index in sorted(indices, key=lambda index: lengths[index]):
        if current and lengths[index] * (len(current) + 1) > tokens:
            yield current
            current = []
        current.append(index)
    if current:
        yield current
