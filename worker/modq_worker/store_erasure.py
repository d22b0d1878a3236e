"""Erases posts from the store, with their verdicts and deliveries, and dead letters; in small transactions."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, func, select, text, update

from modq_worker.store_errors import store_errors
from modq_worker.tables import DeadLetterRow, DeliveryRow, PostRow, VerdictRow
from modq_worker.whose import Content, Quotable, Selector, fields_of_letter, read_content, without_quotation

_POSTS: Final = 500
_LETTERS: Final = 20
"""Rows of one transaction; a letter may have megabytes."""

TABLES: Final = ("posts", "verdicts", "deliveries", "dead_letters")

Found = Counter[str]


class StoreErasure:
    """What the store keeps. Raises ``StoreError``; all of it is safe to repeat."""

    def __init__(self, engine: Engine, selector: Selector, *, unreadable: bool = False, dry_run: bool = False) -> None:
        self._engine = engine
        self._selector = selector
        self._unreadable = unreadable
        self._dry_run = dry_run

    def erase(self, quotable: set[Quotable] | None) -> Found:
        """Remove what fits, and the quotations of it in other posts; None leaves quotations alone."""
        with store_errors():
            if quotable is not None:
                quotable |= self._texts()
            # Quotations first: were we interrupted after the posts, nobody would know any more what was quoted.
            found = self._quotations(quotable) if quotable else Found()
            return found + self._posts() + self._letters(quotable)

    # Posts

    @property
    def _fitting(self) -> ColumnElement[bool]:
        columns = {"author": PostRow.author, "post_id": PostRow.post_id, "source": PostRow.source}
        return and_(*(columns[name] == value for name, value in self._selector.given.items()))

    def _texts(self) -> set[Quotable]:
        with self._engine.connect() as connection:
            rows = connection.execution_options(yield_per=1000).execute(select(PostRow.source, PostRow.content_hash).where(self._fitting))
            return {(row.source, row.content_hash) for row in rows}

    def _quotations(self, quotable: set[Quotable]) -> Found:
        sources, hashes = zip(*sorted(quotable), strict=True)
        statement = _COUNT_QUOTATIONS if self._dry_run else _BLANK_QUOTATIONS
        with self._engine.begin() as connection:
            done = connection.execute(statement, {"sources": list(sources), "hashes": list(hashes)})
            return Found(quotations=done.scalar_one() if self._dry_run else done.rowcount)

    def _posts(self) -> Found:
        if self._dry_run:
            return self._count_posts()
        found, after = Found(), uuid.UUID(int=0)
        while keys := self._next_posts(after):
            found += self._erase_these(keys)
            after = keys[-1]
        return found

    def _count_posts(self) -> Found:
        keys = select(PostRow.key).where(self._fitting)
        with self._engine.connect() as connection:
            return Found(
                posts=connection.execute(select(func.count()).select_from(keys.subquery())).scalar_one(),
                verdicts=connection.execute(select(func.count()).where(VerdictRow.post_key.in_(keys))).scalar_one(),
                deliveries=connection.execute(select(func.count()).where(DeliveryRow.post_key.in_(keys))).scalar_one(),
            )

    def _next_posts(self, after: uuid.UUID) -> Sequence[uuid.UUID]:
        query = select(PostRow.key).where(self._fitting, PostRow.key > after).order_by(PostRow.key).limit(_POSTS)
        with self._engine.connect() as connection:
            return connection.execute(query).scalars().all()

    def _erase_these(self, keys: Sequence[uuid.UUID]) -> Found:
        with self._engine.begin() as connection:
            # Locked in the order in which workers save, so that both wait for each other instead of deadlocking.
            connection.execute(select(PostRow.key).where(PostRow.key.in_(keys)).order_by(PostRow.key).with_for_update())
            return Found(
                deliveries=connection.execute(delete(DeliveryRow).where(DeliveryRow.post_key.in_(keys))).rowcount,
                verdicts=connection.execute(delete(VerdictRow).where(VerdictRow.post_key.in_(keys))).rowcount,
                posts=connection.execute(delete(PostRow).where(PostRow.key.in_(keys))).rowcount,
            )

    # Dead letters

    def _letters(self, quotable: set[Quotable] | None) -> Found:
        found, after = Found(), 0
        while True:
            with self._engine.begin() as connection:
                query = select(*_LETTER).where(DeadLetterRow.id > after).order_by(DeadLetterRow.id).limit(_LETTERS)
                rows = connection.execute(query).all()
                if not rows:
                    return found
                found += self._erase_some_letters(connection, rows, quotable)
            after = rows[-1].id

    def _erase_some_letters(self, connection: Connection, rows: Sequence[Any], quotable: set[Quotable] | None) -> Found:
        found, chosen = Found(), []
        for row in rows:
            content = _content_of(row)
            if content is None and self._selector.mentioned_in(b"".join(fields_of_letter(row.reason, row.raw).values())):
                found["unreadable"] += not self._unreadable
                chosen += [row.id] if self._unreadable else []
            elif content and self._selector.fits(content):
                chosen.append(row.id)
                if quotable is not None and content.quotable:
                    quotable.add(content.quotable)
            elif content and quotable and content.quotes in quotable and row.reason != "not_an_entry":
                found["quotations"] += 1
                if not self._dry_run:
                    raw = without_quotation(row.raw)
                    connection.execute(update(DeadLetterRow).where(DeadLetterRow.id == row.id).values(raw=raw))
        if chosen and not self._dry_run:
            connection.execute(delete(DeadLetterRow).where(DeadLetterRow.id.in_(chosen)))
        return found + Found(dead_letters=len(chosen))


def vacuum(engine: Engine, tables: Iterable[str], *, full: bool = False) -> str:
    """Have Postgres clear the room of deleted rows; ``full`` rewrites the tables, and locks them meanwhile.

    Returns:
        ``vacuumed``, ``not_permitted`` where this role owns none of the tables (nothing was done), or ``nothing_to_do``.
    """
    chosen = [table for table in TABLES if table in set(tables)]
    if not chosen:
        return "nothing_to_do"
    with store_errors(), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Of a table that is not ours, Postgres says so in a warning only.
        owned = select(func.bool_and(text("pg_has_role(relowner, 'USAGE')"))).select_from(text("pg_class"))
        if not connection.scalar(owned.where(text("oid = ANY (CAST(:tables AS regclass[]))")), {"tables": chosen}):
            return "not_permitted"
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text(f"VACUUM {'(FULL) ' if full else ''}{', '.join(chosen)}"))
    return "vacuumed"


_LETTER: Final = (DeadLetterRow.id, DeadLetterRow.raw, DeadLetterRow.reason, DeadLetterRow.source, DeadLetterRow.post_id)


def _content_of(row: Any) -> Content | None:
    """What the letter itself says; once its content has expired, what its columns say."""
    content = read_content(fields_of_letter(row.reason, row.raw))
    return Content(row.post_id, row.source, None) if content is None and row.post_id is not None else content


_QUOTING: Final = """
    parent_text IS NOT NULL AND (source, sha256(convert_to(parent_text, 'UTF8'))) IN (
        SELECT * FROM unnest(CAST(:sources AS text[]), CAST(:hashes AS bytea[]))
    )"""
_COUNT_QUOTATIONS: Final = text(f"SELECT count(*) FROM posts WHERE {_QUOTING}")  # noqa: S608 - our own words
_BLANK_QUOTATIONS: Final = text(f"UPDATE posts SET parent_text = NULL WHERE {_QUOTING}")  # noqa: S608 - our own words
