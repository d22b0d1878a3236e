"""Drops the texts that have been kept long enough; verdicts, names and reasons stay."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Engine, and_, func, or_, select, update

from modq_worker.store_errors import store_errors
from modq_worker.tables import DeadLetterRow, PostRow

_POSTS: Final = 1000
_LETTERS: Final = 50
"""Rows of one transaction; a letter may have megabytes."""


@dataclass(frozen=True, slots=True)
class Expired:
    """How many rows lost their text, or would have."""

    posts: int
    dead_letters: int
    published_before: datetime


class Expiry:
    """What is older than ``days`` days in the store of ``engine``: since it was published, or parked as a dead letter."""

    def __init__(self, engine: Engine, days: float) -> None:
        self._engine = engine
        self._before = datetime.now(UTC) - timedelta(days=days)

    def preview(self) -> Expired:
        """What ``expire`` would find now; nothing is changed."""
        with store_errors(), self._engine.connect() as connection:
            posts = connection.scalar(select(func.count()).select_from(PostRow).where(self._old_posts))
            letters = connection.scalar(select(func.count()).select_from(DeadLetterRow).where(self._old_letters))
        return Expired(posts or 0, letters or 0, self._before)

    def expire(self) -> Expired:
        """Drop the texts, in small transactions that wait for nobody: a row that is locked is left for the next time.

        Of a post these are ``text`` and ``parent_text``; of a dead letter the whole entry, which then cannot be
        replayed. Safe to repeat, and safe to interrupt.

        Raises:
            StoreError: what was done so far stays done.
        """
        posts, letters, after, last = 0, 0, uuid.UUID(int=0), 0
        with store_errors():
            while keys := self._expire_posts(after):
                posts, after = posts + len(keys), keys[-1]
            while ids := self._expire_letters(last):
                letters, last = letters + len(ids), ids[-1]
        return Expired(posts, letters, self._before)

    @property
    def _old_posts(self) -> ColumnElement[bool]:
        has_text = or_(PostRow.text.is_not(None), PostRow.parent_text.is_not(None))
        return and_(has_text, PostRow.published_at < self._before)

    @property
    def _old_letters(self) -> ColumnElement[bool]:
        return and_(func.length(DeadLetterRow.raw) > 0, DeadLetterRow.parked_at < self._before)

    def _expire_posts(self, after: uuid.UUID) -> list[uuid.UUID]:
        """One batch, beyond the last one: begun from the start again, each would look through all those before."""
        query = select(PostRow.key).where(PostRow.key > after, self._old_posts).order_by(PostRow.key).limit(_POSTS)
        with self._engine.begin() as connection:
            keys = list(connection.scalars(query.with_for_update(skip_locked=True)))
            connection.execute(update(PostRow).where(PostRow.key.in_(keys)).values(text=None, parent_text=None))
        return keys

    def _expire_letters(self, after: int) -> list[int]:
        query = select(DeadLetterRow.id).where(DeadLetterRow.id > after, self._old_letters).order_by(DeadLetterRow.id).limit(_LETTERS)
        with self._engine.begin() as connection:
            ids = list(connection.scalars(query.with_for_update(skip_locked=True)))
            connection.execute(update(DeadLetterRow).where(DeadLetterRow.id.in_(ids)).values(raw=b""))
        return ids
