"""The grammar: hand-written seeds with slots, which the offline example writer unfolds into thousands of examples."""

from __future__ import annotations

import hashlib
import math
import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from modq.errors import ModqError

Part = Literal["train", "test"]
Value = str | dict[str, str]
Slots = Mapping[str, Sequence[Value]]

EVERYDAY: Final = "everyday"
"""What stands for the rule with safe seeds that come near no rule."""
_TEST_SHARE: Final = 0.2
_DEEPEST: Final = 8
_CHOICE: Final = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
_SLOT: Final = re.compile(r"\{([A-Za-z_]+)(\d*)(?:\.([A-Za-z]+))?\}")
_UNQUOTED: Final = frozenset({"doxxing"})
"""Rules that a quotation breaks too, because it repeats what is not to be told."""
_LONGEST_QUOTE: Final = 120


class InvalidGrammar(ModqError):
    """A file of the grammar cannot be read, or a seed in it names a slot that does not exist."""


@dataclass(frozen=True, slots=True)
class Seed:
    """One hand-written seed: a template for each side, or for one side only.

    Both sides together are a borderline pair: they differ in little but in which side of the rule they are on.
    """

    rule: str
    family: str
    """What kind of text it is, by a name that is unique with the rule."""
    breaks: str | None
    safe: str | None
    also: tuple[str, ...] = ()
    """Further rules that the breaking side breaks."""
    part: Part = "train"
    framed: bool = False
    """Whether it is a sentence around somebody else's claim."""

    @property
    def is_pair(self) -> bool:
        """Whether it has both sides."""
        return self.breaks is not None and self.safe is not None


@dataclass(frozen=True, slots=True)
class Grammar:
    """Every seed, and the words for their slots."""

    seeds: tuple[Seed, ...]
    slots: Slots
    claims: Mapping[tuple[str, Part], Slots]
    """By rule and part: what people say that breaks it (``hostile``), its kind counterparts (``kind``), whole posts (``quote``)."""

    def unfold(self, seed: Seed, template: str, bound: dict[str, Value], chance: random.Random) -> str:
        """One example of ``template``; a slot that is in ``bound`` keeps its value, and others are put there."""
        slots = {**self.slots, **self.claims.get((seed.rule, seed.part), {})}
        return _sentence(_unfolded(template, slots, bound, chance, 0))


def grammar_folder() -> Path:
    """The grammar that comes with modq: beside this package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    return next((path for path in (package.parent / "grammar", package / "grammar") if path.exists()), package / "grammar")


def load_grammar(folder: Path | None = None) -> Grammar:
    """Read ``slots.toml``, ``frames.toml`` and one file per rule.

    Raises:
        InvalidGrammar: with a sentence that names the file.
    """
    folder = folder or grammar_folder()
    slots = _read(folder / "slots.toml")
    frames = _read(folder / "frames.toml")
    seeds: list[Seed] = []
    claims: dict[tuple[str, Part], Slots] = {}
    for file in sorted(folder.glob("*.toml")):
        if file.stem in ("slots", "frames"):
            continue
        document = _read(file)
        own = list(_seeds(file.stem, document))
        seeds += own
        quotes: dict[Part, list[str]] = {"train": [], "test": []}
        if file.stem not in _UNQUOTED:
            for seed in own:
                if seed.breaks and not seed.safe and len(seed.breaks) <= _LONGEST_QUOTE:
                    quotes[seed.part].append(seed.breaks)
            seeds += _quoting_seeds(file.stem, frames, quotes)
        said = document.get("claims", {})
        for part in ("train", "test"):
            claims[file.stem, part] = {"quote": quotes[part]} | {name: _claims(said.get(name, ()), part) for name in ("hostile", "kind")}
        if said:
            seeds += _framed_seeds(file.stem, frames, said.get("denied_kind_breaks", True))
    grammar = Grammar(tuple(seeds), slots, claims)
    _check(grammar)
    return grammar


def part_of(template: str) -> Part:
    """Train or test, by a hash of the template: every example of it is on the same side, in every version of the grammar."""
    return "test" if _fraction(template) < _TEST_SHARE else "train"


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidGrammar(f"The grammar's {file.name} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidGrammar(f"The grammar's {file.name} is not right: {error}.") from None


def _fraction(template: str) -> float:
    return int.from_bytes(hashlib.sha256(template.encode()).digest()[:6]) / 2**48


def _claims(claims: Sequence[str], part: Part) -> Sequence[str]:
    """The part's claims: by their hashes' order, because of a dozen claims the hashes alone might leave none for a part."""
    ordered = sorted(claims, key=_fraction)
    of_test = math.ceil(len(ordered) * _TEST_SHARE)
    return ordered[:of_test] if part == "test" else ordered[of_test:]


def _seeds(rule: str, document: Mapping[str, Any]) -> Iterator[Seed]:
    for family in document.get("family", ()):
        name, also = family["name"], tuple(family.get("also", ()))
        for breaks, safe in (
            *((template, None) for template in family.get("breaks", ())),
            *((None, template) for template in family.get("safe", ())),
            *family.get("pairs", ()),
        ):
            yield Seed(rule, name, breaks, safe, also, part=family.get("part") or part_of(f"{breaks}|{safe}"))


def _framed_seeds(rule: str, frames: Mapping[str, Any], denied_kind_breaks: bool) -> Iterator[Seed]:
    """A claim within a sentence that stands by it, denies it or reports it.

    Where denying a kind claim breaks the rule, neither the frame nor the claim tells the side; only both together do.
    """
    for frame in frames["endorse"]:
        yield Seed(rule, "endorsed", frame.replace("CLAIM", "{hostile}"), frame.replace("CLAIM", "{kind}"), part=part_of(frame), framed=True)
    for frame in frames["deny"]:
        denied = frame.replace("CLAIM", "{kind}") if denied_kind_breaks else None
        yield Seed(rule, "denied", denied, frame.replace("CLAIM", "{hostile}"), part=part_of(frame), framed=True)
    for stands_by, denies in frames["both"]:
        part = part_of(stands_by)
        yield Seed(rule, "true_or_false", stands_by.replace("CLAIM", "{hostile}"), denies.replace("CLAIM", "{hostile}"), part=part, framed=True)
        if denied_kind_breaks:
            yield Seed(rule, "true_or_false", denies.replace("CLAIM", "{kind}"), stands_by.replace("CLAIM", "{kind}"), part=part, framed=True)
    for frame in frames["report"]:
        yield Seed(rule, "reported", None, frame.replace("CLAIM", "{hostile}"), part=part_of(frame), framed=True)


def _quoting_seeds(rule: str, frames: Mapping[str, Any], quotes: Mapping[Part, Sequence[str]]) -> Iterator[Seed]:
    for stands_by, does_not in frames["quoted"]:
        if quotes[part := part_of(stands_by)]:
            yield Seed(rule, "quoted", stands_by.replace("QUOTE", "{Quote}"), does_not.replace("QUOTE", "{Quote}"), part=part, framed=True)


def _unfolded(template: str, slots: Slots, bound: dict[str, Value], chance: random.Random, depth: int) -> str:
    if depth > _DEEPEST:
        raise InvalidGrammar("The slots of the grammar name each other in a circle.")
    while _CHOICE.search(template):
        template = _CHOICE.sub(lambda found: chance.choice(found[1].split("|")), template)

    def filled(found: re.Match[str]) -> str:
        name, number, form = found[1], found[2], found[3] or ""
        slot = name.lower()
        if (key := slot + number) not in bound:
            bound[key] = chance.choice(slots[slot])
        value = bound[key]
        text = value if isinstance(value, str) else value[form.lower() or next(iter(value))]
        text = _unfolded(text, slots, bound, chance, depth + 1)
        return text[:1].upper() + text[1:] if form[:1].isupper() or name[0].isupper() else text

    return _SLOT.sub(filled, template)


def _sentence(text: str) -> str:
    text = re.sub(r"\ba\(n\)\s+(?=(\W?[aeiou])?)", lambda found: "an " if found[1] else "a ", text, flags=re.IGNORECASE)
    text = re.sub(r"\s+([,.!?;:])", r"\1", " ".join(text.split()))
    text = re.sub(r"(^\W?|[.!?] \"?)([a-z])", lambda found: found[1] + found[2].upper(), text)
    return re.sub(r"\bi(?='|\b(?![.\w]))", "I", text)


def _check(grammar: Grammar) -> None:
    """Unfold every seed once, so that a wrong slot is told when the grammar is read and not in the middle of a run."""
    for seed in grammar.seeds:
        for template in (seed.breaks, seed.safe):
            try:
                if template is not None:
                    grammar.unfold(seed, template, {}, random.Random(0))
            except (KeyError, IndexError) as error:
                raise InvalidGrammar(f"The grammar of {seed.rule}, family {seed.family}, names the slot {error}, which has no such word.") from None
