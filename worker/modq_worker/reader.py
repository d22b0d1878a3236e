"""Reads verdicts back, by post or by filter."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Final

from sqlalchemy import Engine, Row, text

from modq.errors import ModqError
from modq.severity import SEVERITIES, Severity
from modq_worker.database import create_engine
from modq_worker.store_errors import store_errors
from modq_worker.verdict import Label


class NotJudgedInTime(ModqError, TimeoutError):
    """The post has no verdict yet: it still waits, was never published, or is a dead letter."""

    retryable = True


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """A verdict as the store has it, with what is known of its post but the text."""

    source: str
    post_id: str
    content_sha256: str
    """Of the text in UTF-8, in hexadecimal: which content of an edited post this is."""
    label: Label
    score: float
    rules: Mapping[str, float]
    severity: Severity | None
    """Of the gravest of these rules."""
    truncated: bool
    adapter: str
    policy: str
    revision: int
    lane: str
    conversation: str | None
    author: str | None
    language: str | None
    created_at: datetime | None
    published_at: datetime
    stored_at: datetime
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which verdicts to list; what is None does not matter."""

    label: Label | None = None
    source: str | None = None
    adapter: str | None = None
    since: datetime | None = None
    """Stored at or after this time."""
    min_score: float | None = None
    min_severity: Severity | None = None
    """This one or a graver; verdicts without one are left out."""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What has become of one event for one endpoint."""

    id: int
    endpoint_id: int
    url: str
    webhook_id: str
    event: str
    state: str
    attempts: int
    last_status: int | None
    last_error: str | None
    next_attempt_at: datetime
    delivered_at: datetime | None


class VerdictReader:
    """Verdicts by post; needs no more than the right to read. Safe to share between threads; close it, or use it in ``with``."""

    def __init__(self, database_url: str) -> None:
        self._engine: Engine = create_engine(database_url)

    def __enter__(self) -> VerdictReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the reader may be used again."""
        self._engine.dispose()

    def get(self, post_id: str, source: str = "default", *, content_sha256: str | None = None) -> StoredVerdict | None:
        """The verdict in force on the content of the post that was published last, or on the one named; None: not judged (yet).

        Raises:
            StoreUnavailable: the store cannot be read now.
        """
        values = {"post_id": post_id, "source": source, "content_sha256": content_sha256}
        with store_errors(), self._engine.connect() as connection:
            row = connection.execute(_ONE, values).one_or_none()
        return _stored(row) if row else None

    def wait(self, post_id: str, timeout: float, source: str = "default", *, content_sha256: str | None = None) -> StoredVerdict:
        """The same as ``get``, waiting up to ``timeout`` seconds for a verdict to be there.

        Of an edited post, name the content: else the verdict on the old one will do.

        Raises:
            NotJudgedInTime: there is none yet.
            StoreUnavailable: the store cannot be read now.
        """
        until, pause = time.monotonic() + timeout, 0.01
        while (verdict := self.get(post_id, source, content_sha256=content_sha256)) is None:
            if (left := until - time.monotonic()) <= 0:
                raise NotJudgedInTime(f"The post had no verdict after {timeout:g} s.")
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, 0.25)
        return verdict

    def find(self, filter: Filter | None = None) -> list[StoredVerdict]:
        """The verdicts in force that the filter lets through, newest first."""
        wanted = filter or Filter()
        values = {
            "labels": [wanted.label] if wanted.label else ["safe", "toxic"],
            "source": wanted.source,
            "adapter": wanted.adapter,
            "since": wanted.since,
            "min_score": wanted.min_score,
            "severities": wanted.min_severity and list(SEVERITIES[SEVERITIES.index(wanted.min_severity) :]),
            "limit": wanted.limit,
        }
        with store_errors(), self._engine.connect() as connection:
            return [_stored(row) for row in connection.execute(_MANY, values)]

    def history(self, post_id: str, source: str = "default") -> list[tuple[StoredVerdict, list[DeliveryReport]]]:
        """Every verdict on every content of the post, oldest first, each with its deliveries."""
        with store_errors(), self._engine.connect() as connection:
            rows = connection.execute(_HISTORY, {"post_id": post_id, "source": source}).all()
            return [(_stored(row), [DeliveryReport(**told._mapping) for told in connection.execute(_DELIVERIES, _key(row))]) for row in rows]


def _stored(row: Row[Any]) -> StoredVerdict:
    values = {name: row._mapping[name] for name in StoredVerdict.__slots__}
    return StoredVerdict(**{**values, "rules": values["rules"] or {}, "metadata": values["metadata"] or {}})


def _key(row: Row[Any]) -> dict[str, Any]:
    return {"key": row._mapping["key"], "revision": row._mapping["revision"]}


_ONE: Final = text("""
    SELECT * FROM verdicts_in_force
    WHERE post_id = :post_id AND source = :source
      AND (CAST(:content_sha256 AS text) IS NULL OR content_sha256 = :content_sha256)
    ORDER BY published_at DESC, stored_at DESC
    LIMIT 1
""")

# Label by label, so that the index on label and stored_at gives the newest ones without sorting the whole table.
_MANY: Final = text("""
    SELECT newest.* FROM unnest(CAST(:labels AS text[])) AS wanted(label)
    CROSS JOIN LATERAL (
        SELECT * FROM verdicts_in_force v
        WHERE v.label = wanted.label
          AND (CAST(:source AS text) IS NULL OR v.source = :source)
          AND (CAST(:adapter AS text) IS NULL OR v.adapter = :adapter)
          AND (CAST(:since AS timestamptz) IS NULL OR v.stored_at >= :since)
          AND (CAST(:min_score AS float8) IS NULL OR v.score >= :min_score)
          AND (CAST(:severities AS text[]) IS NULL OR v.severity = ANY(CAST(:severities AS text[])))
        ORDER BY v.stored_at DESC
        LIMIT :limit
    ) AS newest
    ORDER BY newest.stored_at DESC
    LIMIT :limit
""")

_HISTORY: Final = text("""
    SELECT p.*, encode(p.content_hash, 'hex') AS content_sha256, v.*
    FROM posts p JOIN verdicts v ON v.post_key = p.key
    WHERE p.post_id = :post_id AND p.source = :source
    ORDER BY p.published_at, p.key, v.revision
""")

_DELIVERIES: Final = text("""
    SELECT d.id, d.endpoint_id, e.url, d.webhook_id, d.event, d.state, d.attempts, d.last_status, d.last_error,
           d.next_attempt_at, d.delivered_at
    FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id
    WHERE d.post_key = :key AND d.revision = :revision
    ORDER BY d.id
""")
