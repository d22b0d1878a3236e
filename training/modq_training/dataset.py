"""Labelled texts: read, freed of copies, split and mixed, all of it the same at every run.

A row is ``{"text", "label": 0 safe | 1 toxic}`` and optionally ``category``, ``source`` and the other fields of
``Example``, as JSON lines (``.jsonl``), CSV with a header (``.csv``), or either of them gzipped.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import json
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from modq.errors import ModqError
from modq_training.recipe import Mix
from modq_worker.text import spell_emoji


class InvalidDataset(ModqError):
    """A file of labelled texts cannot be read; the sentence names the file and the row, never the text."""


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled text."""

    text: str
    label: int
    """0 safe, 1 toxic."""
    source: str
    """The data set that it came from."""
    category: str = ""
    """The data set's own label."""
    rules: tuple[str, ...] | None = None
    """Ids of the rules that it breaks, none of a safe text; None where nobody said."""
    template: str = ""
    """Texts that were generated from the same template are siblings, and always on the same side of a split."""
    pair: str = ""
    """The same for two texts of which one breaks a rule and one barely does not."""
    augmentation: str = ""
    """The family of the disguise that it wears."""
    tempting: bool = False
    """Whether it is safe although it holds a word that mostly toxic texts hold; ``mark_tempting`` tells."""


@dataclass(frozen=True, slots=True)
class Split:
    """Examples to learn from and examples to choose by; no text of one is a near-copy of one of the other."""

    train: list[Example]
    validation: list[Example]


def read_examples(path: Path) -> list[Example]:
    """Every row of ``path``; a row without a source takes the file's name.

    Raises:
        InvalidDataset: the file or a row in it cannot be read.
    """
    source = path.name.split(".")[0]
    try:
        with _open(path) as lines:
            return [_example(row, source, f"row {number} of {path.name}") for number, row in enumerate(_rows(path, lines), 1)]
    except OSError as error:
        raise InvalidDataset(f"{path.name} cannot be read: {error.strerror or error}.") from None
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error, EOFError) as error:
        raise InvalidDataset(f"{path.name} is not the UTF-8 JSONL or CSV that its name says: {type(error).__name__}.") from None


def deduplicate(examples: Iterable[Example]) -> list[Example]:
    """The first of every text, in order; texts that the sources label differently are left out."""
    kept: dict[str, Example] = {}
    disputed: set[str] = set()
    for example in examples:
        key = normalise(example.text)
        if kept.setdefault(key, example).label != example.label:
            disputed.add(key)
    return [example for key, example in kept.items() if key and key not in disputed]


def split(examples: Iterable[Example], *, validation_share: float = 0.05) -> Split:
    """Put each example on the side that the hash of its words says, or of its template where it has one.

    An example's side depends on nothing else, so it is the same in every run, whatever else is in the data.
    """
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        sides[_fraction(example.template or words_of(example.text)) < validation_share].append(example)
    return Split(train=sides[0], validation=sides[1])


def mark_tempting(texts: Split) -> Split:
    """Mark the safe texts that hold a word typical of toxic ones: contrast, against learning that swearing is toxic."""
    words = telltales(texts.train)

    def marked(example: Example) -> Example:
        return replace(example, tempting=True) if example.label == 0 and not words.isdisjoint(words_of(example.text).split()) else example

    return Split([marked(example) for example in texts.train], [marked(example) for example in texts.validation])


def telltales(examples: Iterable[Example], *, times: float = 5.0, least: int = 40) -> frozenset[str]:
    """Words that are ``times`` as frequent among toxic texts as among safe ones, and in ``least`` toxic texts or more."""
    counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    texts = [1, 1]
    for example in examples:
        texts[example.label] += 1
        counts[example.label].update(words_of(example.text).split())
    safe, toxic = counts
    return frozenset(word for word, count in toxic.items() if count >= least and count / texts[1] >= times * (safe[word] + 1) / texts[0])


def draw(examples: Sequence[Example], mix: Mix, *, rows: int, seed: int) -> list[Example]:
    """At most ``rows`` different examples in random order, chosen by the mix's weights, ``mix.toxic_share`` of them toxic.

    Where one class runs out the other is cut down with it, so that the share holds.
    """
    chance = random.Random(f"draw {seed}")
    classes: tuple[list[tuple[float, Example]], list[tuple[float, Example]]] = ([], [])
    for example in examples:
        weight = mix.weight(example.source, example.category, example.label, tempting=example.tempting)
        key = chance.random()
        if weight > 0:
            # The largest of u^(1/w) are a weighted sample without replacement (Efraimidis and Spirakis, 2006).
            classes[example.label].append((key ** (1 / weight), example))
    safe, toxic = ([example for _, example in sorted(keys, key=lambda one: one[0], reverse=True)] for keys in classes)
    rows = _affordable(rows, mix.toxic_share, len(safe), len(toxic))
    from_toxic = round(rows * mix.toxic_share)
    chosen = _first(toxic, mix, from_toxic) + _first(safe, mix, rows - from_toxic)
    chance.shuffle(chosen)
    return chosen


def relabel(examples: Iterable[Example], mix: Mix) -> list[Example]:
    """The examples with the labels that the mix gives their categories, where it disagrees with their data set."""
    return [replace(example, label=mix.label(example.source, example.category, example.label)) for example in examples]


def normalise(text: str) -> str:
    """The text without differences that no reader sees: case, width, spacing."""
    return " ".join(unicodedata.normalize("NFKC", text[:10_000]).casefold().split())


def words_of(text: str) -> str:
    """The text's words, those of emoji's names among them, in order, without punctuation or repeats: what near-copies share. Of a text without words, the text."""
    normalised = normalise(spell_emoji(text))
    return " ".join(dict.fromkeys(re.findall(r"\w+", normalised))) or normalised


def digest(path: Path) -> str:
    """The sha256 of a file's rows, uncompressed, so that compressing it again changes nothing."""
    sha = hashlib.sha256()
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def _first(ordered: Sequence[Example], mix: Mix, rows: int) -> list[Example]:
    """The first ``rows``, so many of each source with a share of its own, and of the others what is left."""
    first: list[Example] = []
    for source, share in mix.shares.items():
        of_source = (example for example in ordered if example.source == source)
        first += itertools.islice(of_source, round(rows * share))
    taken = set(map(id, first))
    left = sorted((example for example in ordered if id(example) not in taken), key=lambda example: example.source in mix.shares)
    return (first + left)[:rows]


def _affordable(rows: int, toxic_share: float, safe: int, toxic: int) -> int:
    if toxic_share > 0:
        rows = min(rows, int(toxic / toxic_share))
    if toxic_share < 1:
        rows = min(rows, int(safe / (1 - toxic_share)))
    return rows


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:7]) / 2**56


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _rows(path: Path, lines: TextIO) -> Iterator[Any]:
    if ".csv" in path.suffixes:
        return iter(csv.DictReader(lines))
    return (json.loads(line) for line in lines if line.strip())


def _example(row: Any, source: str, place: str) -> Example:
    try:
        text, label = row["text"], int(row["label"])
    except (KeyError, TypeError, ValueError):
        raise InvalidDataset(f"{place} has no text, or no label 0 or 1.") from None
    if not isinstance(text, str) or label not in (0, 1):
        raise InvalidDataset(f"{place} has no text, or no label 0 or 1.")
    category, template, pair, augmentation = (str(row.get(name) or "") for name in ("category", "template", "pair", "augmentation"))
    rules = _rules(row.get("rules"), place)
    return Example(text, label, row.get("source") or source, category, rules, template, pair, augmentation)


def _rules(value: Any, place: str) -> tuple[str, ...] | None:
    """A list of ids, or ids with spaces between as CSV has them; an empty cell of CSV says nothing."""
    ids = value.split() or None if isinstance(value, str) else value
    if ids is not None and not (isinstance(ids, list) and all(isinstance(id, str) for id in ids)):
        raise InvalidDataset(f"{place} has rules that are no list of ids.")
    return None if ids is None else tuple(ids)
