"""Identity terms: whether harmless texts are flagged more often when they name one group of people than when they name another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modq.errors import ModqError
from modq_training.evaluation import Scored
from modq_training.metrics import interval

FEWEST = 30
"""Safe texts with a term, below which its false-positive rate is not told."""
RESAMPLES = 1000
BUILTIN = "builtin"

# Religion, origin and skin, sex and sexuality, age, disability: what people are named by, friendly or not.
TERMS = tuple(
    """
    african, african american, american, asian, atheist, bisexual, black, blind, buddhist, canadian, catholic, chinese,
    christian, deaf, disabled, elderly, european, female, gay, heterosexual, hindu, hispanic, homosexual, immigrant,
    indian, japanese, jewish, korean, latina, latino, latinx, lesbian, lgbt, lgbtq, male, mexican, middle aged,
    middle eastern, millenial, millennial, muslim, nonbinary, non-binary, old, older, paralyzed, protestant, queer,
    refugee, roma, russian, sikh, spanish, straight, taoist, teenage, trans, transgender, turkish, white, woman, young,
    younger
    """.replace("\n", " ").split(",")
)


class InvalidTerms(ModqError):
    """The file of identity terms cannot be read or holds none."""


@dataclass(frozen=True, slots=True)
class Term:
    """The safe texts with one term."""

    term: str
    safe: int
    false_positive_rate: float
    interval: tuple[float, float]
    """95 %, Wilson's."""


@dataclass(frozen=True, slots=True)
class IdentityGap:
    """One data set's false-positive rates by identity term."""

    name: str
    gap: float
    """The largest rate less the smallest, over the terms with ``FEWEST`` safe texts or more."""
    interval: tuple[float, float]
    """95 % bootstrap interval of the gap. It leans upwards: of many rates that are alike, the largest and the smallest still differ."""
    terms: Sequence[Term]
    """From the most often flagged on."""


def read_terms(source: str) -> list[str]:
    """The terms of a file, one a line, or those that come with modq (``builtin``).

    Raises:
        InvalidTerms: the file cannot be read or holds none.
    """
    if source == BUILTIN:
        return [term.strip() for term in TERMS]
    try:
        lines = Path(source).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InvalidTerms(f"{source} cannot be read as a file of identity terms, one a line.") from None
    terms = [line.strip().casefold() for line in lines if line.strip() and not line.startswith("#")]
    if not terms:
        raise InvalidTerms(f"{source} holds no identity terms.")
    return terms


def identity_gaps(scored: Iterable[Scored], threshold: float, terms: Sequence[str], *, seed: int = 0) -> list[IdentityGap]:
    """Of each data set in which two terms or more have enough safe texts."""
    # The longest first: a text about "african american" people is not one about "american" people.
    pattern = re.compile(r"\b(" + "|".join(re.escape(term) for term in sorted(terms, key=len, reverse=True)) + r")s?\b", re.IGNORECASE)
    return [gap for one in scored if (gap := _gap(one, threshold, pattern, seed)) is not None]


def _gap(scored: Scored, threshold: float, pattern: re.Pattern[str], seed: int) -> IdentityGap | None:
    flagged: dict[str, list[bool]] = {}
    for example, score in zip(scored.data_set.examples, scored.scores, strict=True):
        if example.label == 0:
            for term in {match.casefold() for match in pattern.findall(example.text)}:
                flagged.setdefault(term, []).append(score.toxic >= threshold)
    enough = {term: np.array(flags) for term, flags in flagged.items() if len(flags) >= FEWEST}
    if len(enough) < 2:
        return None
    rates = [float(flags.mean()) for flags in enough.values()]
    chance = np.random.default_rng(seed)
    again = np.array([chance.binomial(len(flags), flags.mean(), RESAMPLES) / len(flags) for flags in enough.values()])
    low, high = np.quantile(again.max(axis=0) - again.min(axis=0), (0.025, 0.975))
    told = [Term(term, len(flags), float(flags.mean()), interval(int(flags.sum()), len(flags))) for term, flags in enough.items()]
    return IdentityGap(
        scored.data_set.name,
        gap=max(rates) - min(rates),
        interval=(float(low), float(high)),
        terms=sorted(told, key=lambda term: (-term.false_positive_rate, term.term)),
    )
