"""A post, and the entry that carries it on the queue.

An entry of a lane's stream has one field, ``post``, that holds one JSON object:

    {"id": "42", "text": "hello", "source": "forum", "author": "ada", ...}

Both ends construct a ``Post``, so both ends keep the same rules; ``docs/entry-format.md`` states them
for publishers in other languages.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, NoReturn, get_args

from modq.errors import InvalidPost

Lane = Literal["live", "backlog"]
LANES: Final[tuple[Lane, ...]] = get_args(Lane)

FIELD: Final = "post"
"""The one field of a stream entry."""

VERSION: Final = 1
"""The version of the entry's format; an entry without ``v`` is of version 1."""

MAX_ENTRY_BYTES: Final = 2 * 1024 * 1024
MAX_TEXT_CHARS: Final = 100_000
MAX_METADATA_BYTES: Final = 16 * 1024

Scalar = str | int | float | bool | None

_LIMITS: Final = {"id": 200, "author": 200, "conversation": 200, "language": 35}
_SOURCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_INVISIBLE: Final = (
    "".join(map(chr, range(0x21)))
    + "\x7f\x85\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180e"
    + "".join(map(chr, (*range(0x2000, 0x2010), *range(0x2028, 0x2030), *range(0x205F, 0x2070))))
    + "\u2800\u3000\u3164\ufeff\uffa0\ufff9\ufffa\ufffb"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
)
_NO_METADATA: Final[Mapping[str, Scalar]] = {}


def stream_of(lane: Lane) -> str:
    """The Redis stream in which the posts of ``lane`` wait.

    Raises:
        InvalidPost: there is no such lane (``unknown_lane``).
    """
    if lane not in LANES:
        raise InvalidPost("unknown_lane", f"the lane must be one of {', '.join(LANES)}")
    return f"modq:posts:{lane}"


@dataclass(frozen=True, slots=True)
class Post:
    """One piece of user-generated content.

    NUL characters and lone surrogates in ``text``, ``parent_text`` and ``metadata`` become U+FFFD:
    no database stores them, and a post must not escape judgement by holding one.

    Raises:
        InvalidPost: with ``reason`` one of ``wrong_type``, ``missing_field``, ``empty_text``, ``text_too_long``,
            ``invalid_id``, ``invalid_source``, ``invalid_field``, ``invalid_metadata``.
    """

    id: str
    text: str
    source: str = "default"
    """The tenant or community; a post's id need only be unique within its source."""
    author: str | None = None
    conversation: str | None = None
    parent_text: str | None = None
    """The text that this post answers."""
    created_at: datetime | None = None
    language: str | None = None
    """A BCP 47 tag, such as ``en`` or ``pt-BR``."""
    metadata: Mapping[str, Scalar] = field(default_factory=lambda: _NO_METADATA)
    """Flat, the site's own; stored and given back, never judged."""

    def __post_init__(self) -> None:
        _check_name("id", self.id, required=True)
        _check_text(self.text)
        if not isinstance(self.source, str) or not _SOURCE.fullmatch(self.source):
            raise InvalidPost("invalid_source", "source must be 1 to 100 of A-Z a-z 0-9 . _ : -, beginning with a letter or digit")
        for name in ("author", "conversation", "language"):
            _check_name(name, getattr(self, name), required=False)
        if self.parent_text is not None and not isinstance(self.parent_text, str):
            raise InvalidPost("wrong_type", f"parent_text must be a string, not {_kind(self.parent_text)}")
        if self.created_at is not None:
            self._replace("created_at", _check_time(self.created_at))
        self._replace("text", _storable(self.text))
        if self.parent_text is not None:
            self._replace("parent_text", _storable(self.parent_text[:MAX_TEXT_CHARS]))
        if self.metadata is not _NO_METADATA:
            self._replace("metadata", _check_metadata(self.metadata))

    def _replace(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def content_hash(self) -> bytes:
        """SHA-256 of the text in UTF-8; an edited post has another one."""
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def key(self) -> uuid.UUID:
        """What a verdict is unique by: the source, the id and the content, in 16 bytes of SHA-256."""
        name = b"\0".join((self.source.encode(), self.id.encode(), self.content_hash))
        return uuid.UUID(bytes=hashlib.sha256(name).digest()[:16])


def encode(post: Post) -> bytes:
    """The value of the entry's ``post`` field; ``decode`` gives back an equal post."""
    entry: dict[str, Any] = {"id": post.id, "text": post.text}
    if post.source != "default":
        entry["source"] = post.source
    for name in ("author", "conversation", "parent_text", "language"):
        if (value := getattr(post, name)) is not None:
            entry[name] = value
    if post.created_at is not None:
        entry["created_at"] = post.created_at.isoformat()
    if post.metadata:
        entry["metadata"] = dict(post.metadata)
    return _to_json(entry).encode()


def decode(raw: bytes) -> Post:
    """Read the value of an entry's ``post`` field, whoever wrote it.

    Raises:
        InvalidPost: and nothing else, whatever the bytes; besides the reasons of ``Post``: ``entry_too_large``,
            ``not_utf8``, ``not_json``, ``not_an_object``, ``unknown_field``, ``unknown_version``.
    """
    if len(raw) > MAX_ENTRY_BYTES:
        raise InvalidPost("entry_too_large", f"the entry has {len(raw):,} bytes, more than {MAX_ENTRY_BYTES:,}")
    return post_from(read_object(raw))


def post_from(fields: Mapping[str, Any]) -> Post:
    """The post that the fields of a JSON object describe, by the rules of ``decode``.

    Raises:
        InvalidPost: and nothing else, whatever the values.
    """
    fields = dict(fields)
    if (version := fields.pop("v", VERSION)) != VERSION or isinstance(version, bool):
        raise InvalidPost("unknown_version", f"v must be {VERSION} or absent: this worker reads no other version")
    if unknown := fields.keys() - FIELDS:
        raise InvalidPost("unknown_field", f"{len(unknown)} unknown field(s); known are {', '.join(sorted(FIELDS))}")
    for name in ("id", "text"):
        if name not in fields:
            raise InvalidPost("missing_field", f"{name} is missing")
    if (created_at := fields.get("created_at")) is not None:
        fields["created_at"] = _read_time(created_at)
    # JSON's null means absent, so that a publisher may send every field.
    return Post(**{name: value for name, value in fields.items() if value is not None or name in ("id", "text")})


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in ``raw``; the strict reading of ``decode``: UTF-8, no NaN, no Infinity.

    Raises:
        InvalidPost: ``not_utf8``, ``not_json`` or ``not_an_object``.
    """
    try:
        fields = _from_json(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidPost("not_utf8", "the entry is not UTF-8") from None
    except RecursionError:
        raise InvalidPost("not_json", "the entry is nested too deeply") from None
    except ValueError:
        raise InvalidPost("not_json", "the entry is not JSON (NaN and Infinity are not JSON either)") from None
    if not isinstance(fields, dict):
        raise InvalidPost("not_an_object", f"the entry is {_kind(fields)}, not an object")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _read_time(value: object) -> datetime:
    if not isinstance(value, str):
        raise InvalidPost("wrong_type", f"created_at must be a string as in RFC 3339, not {_kind(value)}")
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise InvalidPost("invalid_field", "created_at must look like 2026-01-31T12:00:00Z") from None


def _check_time(value: object) -> datetime:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidPost("invalid_field", "created_at must be a date and time with a time zone")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise InvalidPost("invalid_field", "created_at must lie in the years 1 to 9999 of UTC") from None


def _check_name(name: str, value: object, *, required: bool) -> None:
    if value is None and not required:
        return
    if not isinstance(value, str):
        raise InvalidPost("wrong_type", f"{name} must be a string, not {_kind(value)}")
    if not 1 <= len(value) <= _LIMITS[name] or not value.isprintable() or not value.strip():
        reason = "invalid_id" if name == "id" else "invalid_field"
        raise InvalidPost(reason, f"{name} must be 1 to {_LIMITS[name]} printable characters")


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise InvalidPost("wrong_type", f"text must be a string, not {_kind(text)}")
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidPost("text_too_long", f"text has {len(text):,} characters, more than {MAX_TEXT_CHARS:,}")
    if not text.strip(_INVISIBLE):
        raise InvalidPost("empty_text", "text holds nothing that can be seen")


def _check_metadata(metadata: object) -> Mapping[str, Scalar]:
    if not isinstance(metadata, Mapping):
        raise InvalidPost("invalid_metadata", f"metadata must be an object, not {_kind(metadata)}")
    storable: dict[str, Scalar] = {}
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str | int | float | bool | None):
            raise InvalidPost("invalid_metadata", "metadata must be flat: names with a string, number, boolean or null")
        storable[_storable(key)] = _storable(value) if isinstance(value, str) else value
    try:
        size = len(json.dumps(storable, allow_nan=False))
    except ValueError:
        raise InvalidPost("invalid_metadata", "metadata must hold finite numbers of ordinary size") from None
    if size > MAX_METADATA_BYTES:
        raise InvalidPost("invalid_metadata", f"metadata has {size:,} bytes, more than {MAX_METADATA_BYTES:,}")
    return storable


def _storable(text: str) -> str:
    # Most texts are settled by the first two, at a tenth of the cost of looking at each character.
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def _kind(value: object) -> str:
    return {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array", dict: "an object", type(None): "null"}.get(
        type(value), f"a {type(value).__name__}"
    )


# Made once: json.dumps and json.loads would make their own for every post.
_from_json: Final = json.JSONDecoder(parse_constant=_refuse_constant).decode
_to_json: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
FIELDS: Final = frozenset(Post.__dataclass_fields__)
