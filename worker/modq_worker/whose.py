"""Whose entry is this? Reads the names in an entry as leniently as can be, since what no worker could judge is erased too."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from modq.errors import ModqError
from modq.post import FIELD

_DEFAULT_SOURCE: Final = "default"
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")

Quotable = tuple[str, bytes]
"""A text that other posts may quote: its source, and the SHA-256 of the text."""


class InvalidSelector(ModqError, ValueError):
    """Neither an author, nor a post, nor a source was named."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an entry says of its origin; a name that it lacks, or that is no text, is None."""

    post_id: str | None
    source: str | None
    author: str | None
    text: str | None = field(default=None, repr=False)
    parent_text: str | None = field(default=None, repr=False)

    @property
    def quotable(self) -> Quotable | None:
        """What a quotation of this content is known by."""
        return None if self.text is None else (self.source or _DEFAULT_SOURCE, digest(self.text))

    @property
    def quotes(self) -> Quotable | None:
        """What this content quotes."""
        return None if self.parent_text is None else (self.source or _DEFAULT_SOURCE, digest(self.parent_text))


@dataclass(frozen=True, slots=True)
class Selector:
    """Whose posts: those that fit every name given; a post named without its source is the source ``default``'s.

    Raises:
        InvalidSelector: no name is given, or an empty one.
    """

    author: str | None = None
    post_id: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if not (given := self.given) or not all(given.values()):
            raise InvalidSelector("name an author, a post or a source, none of them empty")
        if self.post_id is not None and self.source is None:
            object.__setattr__(self, "source", _DEFAULT_SOURCE)

    @property
    def given(self) -> dict[str, str]:
        """The names that must fit."""
        names = {"author": self.author, "post_id": self.post_id, "source": self.source}
        return {name: value for name, value in names.items() if value is not None}

    @property
    def sha256(self) -> str:
        """Of the names as JSON with sorted keys and no spaces: what to keep where the names themselves must not be kept."""
        return hashlib.sha256(json.dumps(self.given, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def fits(self, content: Content) -> bool:
        """Whether every name given is the content's."""
        return all(getattr(content, name) == value for name, value in self.given.items())

    def mentioned_in(self, raw: bytes) -> bool:
        """Whether ``raw``, which could not be read, holds every name given, however JSON may write it."""
        names = [name for name in self.given.values() if name != _DEFAULT_SOURCE] or [_DEFAULT_SOURCE]
        return all(name.encode() in raw or json.dumps(name)[1:-1].encode() in raw for name in names)


def read_content(fields: Mapping[bytes, bytes]) -> Content | None:
    """The origin of an entry with these fields, or None where there is no telling."""
    if (raw := fields.get(FIELD.encode())) is None:
        named = {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in fields.items()}
        return _content(named)
    return _content(entry) if isinstance(entry := _json(raw), dict) else None


def without_quotation(raw: bytes) -> bytes:
    """The same entry without its ``parent_text``; ``raw`` is one that ``read_content`` could read."""
    entry = _json(raw)
    del entry["parent_text"]
    return json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode()


def fields_of_letter(reason: str, raw: bytes) -> dict[bytes, bytes]:
    """The fields of the entry that became a dead letter."""
    if reason != "not_an_entry":
        return {FIELD.encode(): raw}
    try:
        return {base64.b64decode(name): base64.b64decode(value) for name, value in json.loads(raw).items()}
    except ValueError:
        return {FIELD.encode(): raw}


def digest(text: str) -> bytes:
    """As ``Post.content_hash``, for a text that may not have passed its rules."""
    return hashlib.sha256(_UNSTORABLE.sub("\ufffd", text).encode()).digest()


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def _content(entry: Mapping[str, Any]) -> Content:
    names = {name: _name(entry.get(field)) for name, field in (("post_id", "id"), ("source", "source"), ("author", "author"))}
    texts = {name: value for name in ("text", "parent_text") if isinstance(value := entry.get(name), str)}
    return Content(names["post_id"], names["source"] or _DEFAULT_SOURCE, names["author"], **texts)


def _name(value: object) -> str | None:
    # An id sent as a number is refused by the worker, and is the person's all the same.
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
