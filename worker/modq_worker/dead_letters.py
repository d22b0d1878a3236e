"""Dead letters: entries that could not become verdicts, kept whole until a person has looked at them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from redis import Redis
from sqlalchemy import Engine, Row, Select, func, select, text, update

from modq.errors import ModqError
from modq.post import FIELD, Lane, stream_of
from modq_worker.store_errors import store_errors
from modq_worker.tables import DeadLetterRow

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_TOGETHER: Final = 20
"""Letters replayed at a time; one may have megabytes."""


class NoSuchDeadLetter(ModqError):
    """There is no dead letter of this number."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry that could not become a verdict."""

    lane: Lane
    entry_id: str
    raw: bytes = field(repr=False)
    """The value of the entry's `post` field, or, where it has none, all its fields."""
    reason: str
    """A stable code, such as ``not_json`` or ``kills_the_worker``."""
    detail: str
    source: str | None = None
    post_id: str | None = None


@dataclass(frozen=True, slots=True)
class ParkedLetter:
    """A dead letter as the store lists it: all but the raw entry."""

    id: int
    lane: Lane
    entry_id: str
    size: int
    """Of the raw entry, in bytes."""
    reason: str
    detail: str
    source: str | None
    post_id: str | None
    parked_at: datetime
    replayed_at: datetime | None


class DeadLetters:
    """The dead letters of the store; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def park(self, letters: Sequence[DeadLetter]) -> None:
        """Keep the letters, all or none; one that is kept already stays as it is, so parking is safe to repeat.

        Raises:
            StoreUnavailable: the store cannot take them now; hold them and park again.
        """
        if not letters:
            return
        unique = {(letter.lane, letter.entry_id): letter for letter in reversed(letters)}
        # Sorted against deadlocks; a shorter entry id is an older one.
        ordered = sorted(unique.values(), key=lambda letter: (letter.lane, len(letter.entry_id), letter.entry_id))
        with store_errors(), self._engine.begin() as connection:
            connection.execute(_PARK, _columns(ordered))

    def find(self, *, reason: str | None = None, replayed: bool | None = None, limit: int | None = None) -> list[ParkedLetter]:
        """The letters, newest first; ``replayed`` None means both."""
        query = _narrowed(select(*_LISTED), reason, replayed).order_by(DeadLetterRow.id.desc()).limit(limit)
        with store_errors(), self._engine.connect() as connection:
            return [_parked(row) for row in connection.execute(query)]

    def get(self, letter_id: int) -> ParkedLetter:
        """One letter.

        Raises:
            NoSuchDeadLetter: there is none of this number.
        """
        with store_errors(), self._engine.connect() as connection:
            row = connection.execute(select(*_LISTED).where(DeadLetterRow.id == letter_id)).one_or_none()
        if row is None:
            raise NoSuchDeadLetter(f"There is no dead letter {letter_id}.")
        return _parked(row)

    def raw(self, letter_id: int) -> bytes:
        """The entry itself, which may hold the text of a post."""
        with store_errors(), self._engine.connect() as connection:
            raw = connection.execute(select(DeadLetterRow.raw).where(DeadLetterRow.id == letter_id)).scalar_one_or_none()
        if raw is None:
            raise NoSuchDeadLetter(f"There is no dead letter {letter_id}.")
        return raw

    def waiting(self, reason: str | None = None) -> list[int]:
        """The numbers of the letters that were not yet replayed and whose content has not expired, oldest first."""
        query = _narrowed(select(DeadLetterRow.id), reason, False).where(_HAS_CONTENT).order_by(DeadLetterRow.id)
        with store_errors(), self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def replay(self, ids: Iterable[int], redis: Redis) -> Iterator[int]:
        """Publish the letters again, each on the lane it came from, and note that it was; yields each number when done.

        Safe to repeat: a letter whose note was lost is published twice, and judged once. One whose content has
        expired is passed over.
        """
        pending = list(ids)
        for start in range(0, len(pending), _TOGETHER):
            some = pending[start : start + _TOGETHER]
            query = select(DeadLetterRow).where(DeadLetterRow.id.in_(some), _HAS_CONTENT).order_by(DeadLetterRow.id)
            with store_errors(), self._engine.connect() as connection:
                rows = connection.execute(query).all()
            for row in rows:
                redis.xadd(stream_of(row.lane), _fields(row.reason, row.raw))
            done = [row.id for row in rows]
            with store_errors(), self._engine.begin() as connection:
                connection.execute(update(DeadLetterRow).where(DeadLetterRow.id.in_(done)).values(replayed_at=func.now()))
            yield from done


# `modq expire` leaves a letter's reason, and empties it.
_HAS_CONTENT: Final = func.length(DeadLetterRow.raw) > 0

_LISTED: Final = (
    DeadLetterRow.id,
    DeadLetterRow.lane,
    DeadLetterRow.entry_id,
    func.length(DeadLetterRow.raw).label("size"),
    DeadLetterRow.reason,
    DeadLetterRow.detail,
    DeadLetterRow.source,
    DeadLetterRow.post_id,
    DeadLetterRow.parked_at,
    DeadLetterRow.replayed_at,
)


def _fields(reason: str, raw: bytes) -> dict[Any, Any]:
    """The fields of the entry as it was published."""
    if reason != "not_an_entry":
        return {FIELD: raw}
    return {base64.b64decode(name): base64.b64decode(value) for name, value in json.loads(raw).items()}


def _parked(row: Row[Any]) -> ParkedLetter:
    return ParkedLetter(**row._mapping)


def _narrowed(query: Select[Any], reason: str | None, replayed: bool | None) -> Select[Any]:
    if reason is not None:
        query = query.where(DeadLetterRow.reason == reason)
    if replayed is not None:
        query = query.where(DeadLetterRow.replayed_at.is_not(None) if replayed else DeadLetterRow.replayed_at.is_(None))
    return query


def _columns(letters: Sequence[DeadLetter]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"raw": [letter.raw for letter in letters]}
    for name in ("lane", "entry_id", "reason", "detail", "source", "post_id"):
        columns[name] = [_storable(getattr(letter, name)) for letter in letters]
    return columns


def _storable(value: str | None) -> str | None:
    # A letter must never be refused: nothing would be left to hold it.
    return value and _UNSTORABLE.sub("\ufffd", value)


_PARK: Final = text("""
    INSERT INTO dead_letters (lane, entry_id, raw, reason, detail, source, post_id)
    SELECT * FROM unnest(CAST(:lane AS text[]), CAST(:entry_id AS text[]), CAST(:raw AS bytea[]), CAST(:reason AS text[]),
                         CAST(:detail AS text[]), CAST(:source AS text[]), CAST(:post_id AS text[]))
    ON CONFLICT DO NOTHING
""")
