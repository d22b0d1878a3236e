"""An example with all that is known of where it came from: the constitution, its rule and side, and who or what wrote it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from modq_training.dataset import InvalidDataset, words_of
from modq_training.grammar import Part

Side = Literal["breaks", "safe"]


@dataclass(frozen=True, slots=True)
class WrittenExample:
    """One generated text."""

    text: str
    rule: str
    """The rule that it breaks, or comes near to without breaking it."""
    side: Side
    rules: tuple[str, ...]
    """Every rule that it breaks; none where it is safe."""
    generator: str
    """What wrote it: ``grammar``, ``endpoint:MODEL``, ``red-team``."""
    seed: int
    """The seed of the run that wrote it."""
    template: str
    """What it was written from: examples with the same are siblings, and always on the same side of a split."""
    family: str
    split: Part
    constitution: str
    """The constitution's sha256."""
    source: str = "constitution"
    register: str = ""
    pair: str = ""
    """The same for both sides of a borderline pair."""
    augmentation: str = ""
    """The disguise that it wears, by family; or "paraphrase"."""
    parent: str = ""
    """The text that it was made from, by the beginning of its sha256."""
    mutations: tuple[str, ...] = ()
    """What a red team did to the parent, in order."""

    @property
    def label(self) -> int:
        """0 safe, 1 toxic."""
        return int(self.side == "breaks")

    def row(self) -> dict[str, Any]:
        """What a line of a data set holds; ``dataset.read_examples`` reads it."""
        return {"text": self.text, "label": self.label, "category": f"{self.rule}:{self.side}", **asdict(self)}


class Unseen:
    """Remembers texts, to keep near-copies out: texts that differ in case, punctuation or repeated words only."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._seen = {words_of(text) for text in texts}

    def admits(self, texts: Iterable[str]) -> bool:
        """Whether none of ``texts`` is a near-copy of one that came before or of another of them; if so they now count as seen."""
        keys = [words_of(text) for text in texts]
        if len(set(keys)) < len(keys) or not self._seen.isdisjoint(keys):
            return False
        self._seen.update(keys)
        return True


def write_rows(path: Path, examples: Iterable[WrittenExample], *, append: bool = False) -> int:
    """Write examples as JSON lines, each at once, so that an interrupted run keeps what it has.

    Returns:
        How many.
    """
    written = 0
    if append:
        _cut_torn_line(path)
    with path.open("a" if append else "w", encoding="utf-8") as file:
        for example in examples:
            file.write(json.dumps(example.row(), ensure_ascii=False) + "\n")
            file.flush()
            written += 1
    return written


def example_of(row: Mapping[str, Any]) -> WrittenExample:
    """The example that a row, as ``WrittenExample.row`` gives it, was written from.

    Raises:
        InvalidDataset: the row does not have what ``modq write-examples`` writes.
    """
    known = {field.name for field in fields(WrittenExample)}
    lists = {name: tuple(row.get(name, ())) for name in ("rules", "mutations")}
    try:
        return WrittenExample(**({name: value for name, value in row.items() if name in known} | lists))
    except TypeError:
        raise InvalidDataset("A row does not say its rule, side and generator: this is for files of modq write-examples.") from None


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file that ``write_rows`` wrote, without what an interrupted run left of a last one."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            if line.strip():
                yield json.loads(line)


def _cut_torn_line(path: Path) -> None:
    """An interrupted run may have left half a line; the next one must not begin there."""
    if path.exists():
        content = path.read_bytes()
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
