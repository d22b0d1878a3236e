"""The constitution: the rules of what is toxic and what only looks like it, read from a page that people edit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modq.errors import ModqError
from modq.severity import SEVERITIES, Severity

_BREAKS: Final = "What breaks it"
_SAFE: Final = "What barely does not"
_BREAKING_EXAMPLES: Final = "Examples that break it"
_SAFE_EXAMPLES: Final = "Examples that barely do not"
_LISTS: Final = (_BREAKS, _SAFE, _BREAKING_EXAMPLES, _SAFE_EXAMPLES)
_WITHOUT_EXAMPLES: Final = "None, on purpose."


class InvalidConstitution(ModqError):
    """The constitution cannot be read; the sentence names the rule and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what breaks it, and what comes near and does not."""

    id: str
    title: str
    severity: Severity
    breaks: tuple[str, ...]
    """Kinds of text that break the rule, in a sentence each."""
    safe: tuple[str, ...]
    """Kinds of text that look like it and do not break it."""
    breaking_examples: tuple[str, ...]
    """None of either kind for a rule that is to have no example text."""
    safe_examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Constitution:
    """The rules, in the order of the page."""

    rules: tuple[Rule, ...]
    sha256: str
    """Of the page's text, with Unix line ends: what data sets, adapters and verdicts name it by."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the rules."""
        return tuple(rule.id for rule in self.rules)

    def rule(self, id: str) -> Rule:
        """The rule called ``id``.

        Raises:
            InvalidConstitution: there is none.
        """
        for rule in self.rules:
            if rule.id == id:
                return rule
        raise InvalidConstitution(f"The constitution has no rule {id}; its rules are {', '.join(self.ids)}.")


def constitution_file() -> Path:
    """The constitution that comes with modq: beside this package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    return next((path for path in (package.parent / "constitution.md", package / "constitution.md") if path.exists()), package / "constitution.md")


def load_constitution(file: Path | None = None) -> Constitution:
    """Read and check a constitution.

    Raises:
        InvalidConstitution: with a sentence that names the rule.
    """
    file = file or constitution_file()
    try:
        # Universal newlines: the hash is the same whichever system the page was saved on.
        page = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidConstitution(f"The constitution {file.name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidConstitution(f"The constitution {file.name} is not UTF-8.") from None
    rules = tuple(_rule(title, body) for title, body in _sections(page, "## "))
    _refuse_doubles(rules, file)
    return Constitution(rules, hashlib.sha256(page.encode()).hexdigest())


def _rule(title: str, body: str) -> Rule:
    facts = dict(re.findall(r"^- (id|severity): `([^`]*)`", body, re.MULTILINE))
    id, severity = facts.get("id", ""), facts.get("severity", "")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", id):
        raise InvalidConstitution(f"The rule “{title}” has no line “- id: `a_name_like_this`”.")
    if severity not in SEVERITIES:
        raise InvalidConstitution(f"The rule {id} has no line “- severity: `…`” with one of {', '.join(SEVERITIES)}.")
    parts = dict(_sections(body, "### "))
    if unknown := [name for name in parts if name not in _LISTS]:
        raise InvalidConstitution(f"The rule {id} has a part “{unknown[0]}”; its parts are {', '.join(f'“{name}”' for name in _LISTS)}.")
    breaking, safe = (_examples(id, name, parts) for name in (_BREAKING_EXAMPLES, _SAFE_EXAMPLES))
    if bool(breaking) != bool(safe):
        raise InvalidConstitution(f"The rule {id} has examples of one kind only: contrast is what they are for.")
    return Rule(id, title, severity, _listed(id, _BREAKS, parts), _listed(id, _SAFE, parts), breaking, safe)


def _sections(page: str, mark: str) -> Iterator[tuple[str, str]]:
    for section in re.split(rf"^{mark}", page, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        yield title.strip(), body


def _listed(id: str, name: str, parts: dict[str, str]) -> tuple[str, ...]:
    items = _items(parts.get(name, ""))
    if not items:
        raise InvalidConstitution(f"The rule {id} says nothing under “{name}”.")
    return items


def _examples(id: str, name: str, parts: dict[str, str]) -> tuple[str, ...]:
    body = parts.get(name, "")
    if not (items := _items(body)) and _WITHOUT_EXAMPLES not in body:
        raise InvalidConstitution(f"The rule {id} has nothing under “{name}”; if that is meant, write “{_WITHOUT_EXAMPLES}” there.")
    return items


def _items(body: str) -> tuple[str, ...]:
    # A list item ends where the next begins or a line is blank; within, lines may be wrapped.
    items = re.findall(r"^- (.+(?:\n(?!- |\s*$).+)*)", body, re.MULTILINE)
    return tuple(" ".join(item.split()) for item in items)


def _refuse_doubles(rules: Sequence[Rule], file: Path) -> None:
    if not rules:
        raise InvalidConstitution(f"The constitution {file.name} has no rule: a rule begins with a line “## Its title”.")
    ids = [rule.id for rule in rules]
    if doubles := {id for id in ids if ids.count(id) > 1}:
        raise InvalidConstitution(f"Two rules are called {min(doubles)}.")
