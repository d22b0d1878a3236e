"""Keeps verdicts: one statement holds the posts, their verdicts and the deliveries that these cause."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any, Final, Literal

from sqlalchemy import Engine, text

from modq_worker.store_errors import StoreRefused, StoreUnavailable, store_errors
from modq_worker.verdict import Verdict

__all__ = ["DELIVERIES_WRITTEN", "StoreRefused", "StoreUnavailable", "VerdictStore"]

KeepText = Literal["always", "flagged", "never"]

LARGEST_BATCH: Final = 64 * 1024 * 1024
"""Characters of the rows that one call saves; Postgres takes no gigabyte in one message."""

DELIVERIES_WRITTEN: Final = "modq_deliveries"
"""The channel on which the notifier is woken."""


class VerdictStore:
    """The verdicts of every worker; safe to share between threads."""

    def __init__(self, engine: Engine, keep_text: KeepText = "always") -> None:
        self._engine = engine
        self._keep_text = keep_text

    def save(self, verdicts: Sequence[Verdict]) -> int:
        """Store the verdicts that are new, with one delivery per endpoint that wants to know; all of it or nothing.

        A verdict on content that was judged before is passed over: the first stands. So saving is safe to repeat.

        Returns:
            How many were new.

        Raises:
            StoreUnavailable: the store cannot take them now; hold them and save again.
            StoreRefused: the store will never take one of them; save fewer to find which.
        """
        if not verdicts:
            return 0
        # Sorted, so that two workers that save the same posts wait for each other instead of deadlocking.
        # Reversed first: of two verdicts on the same content the first stands.
        unique = sorted({verdict.key.bytes: verdict for verdict in reversed(verdicts)}.items())
        batch = _to_json([self._row(verdict) for _, verdict in unique])
        if len(batch) > LARGEST_BATCH:
            raise StoreRefused(f"A batch of {len(batch):,} characters is too large to be saved at once.")
        # The one statement is its own transaction: to begin and commit one around it would be two round trips more.
        with store_errors(), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return int(connection.execute(_SAVE, {"batch": batch}).scalar_one())

    def holds(self, key: uuid.UUID) -> bool:
        """Whether there is a verdict on the content of this key.

        Raises:
            StoreUnavailable: ask again.
        """
        with store_errors(), self._engine.connect() as connection:
            return connection.execute(_HOLDS, {"key": key}).scalar_one_or_none() is not None

    def _row(self, verdict: Verdict) -> dict[str, Any]:
        post = verdict.post
        kept = self._keep_text == "always" or (self._keep_text == "flagged" and verdict.label == "toxic")
        return {
            "key": verdict.key.hex,
            "source": post.source,
            "post_id": post.id,
            "content_hash": f"\\x{post.content_hash.hex()}",
            "text": post.text if kept else None,
            "author": post.author,
            "conversation": post.conversation,
            "parent_text": post.parent_text if kept else None,
            "created_at": post.created_at and post.created_at.isoformat(),
            "language": post.language,
            "metadata": dict(post.metadata) or None,
            "lane": verdict.lane,
            "published_at": verdict.published_at.isoformat(),
            "label": verdict.label,
            "score": verdict.score,
            "rules": dict(verdict.rules) or None,
            "severity": verdict.severity,
            "truncated": verdict.truncated,
            "adapter": verdict.adapter,
            "policy": verdict.policy,
        }


# Made once: json.dumps would make an encoder for every batch. What JSON has no word for (NaN) is left for Postgres to refuse.
_to_json: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode

_HOLDS: Final = text("SELECT 1 FROM verdicts WHERE post_key = :key AND revision = 0")

_TYPES: Final = {
    "key": "uuid",
    "source": "text",
    "post_id": "text",
    "content_hash": "bytea",
    "text": "text",
    "author": "text",
    "conversation": "text",
    "parent_text": "text",
    "created_at": "timestamptz",
    "language": "text",
    "metadata": "jsonb",
    "lane": "text",
    "published_at": "timestamptz",
    "label": "text",
    "score": "float8",
    "rules": "jsonb",
    "severity": "text",
    "truncated": "boolean",
    "adapter": "text",
    "policy": "text",
}
"""The columns of the batch."""

_COLUMNS = ", ".join(f"{name} {type_}" for name, type_ in _TYPES.items())

# The batch is one JSON document: psycopg dumps arrays element by element, which took longer than all else in a worker.
# One statement sees one snapshot and is one transaction. Endpoints are locked against removal (and nothing else)
# until the end of it, lest a delivery refer to one that has just gone. NOTIFY only wakes; the notifier polls as well.
_SAVE: Final = text(f"""
    WITH batch AS MATERIALIZED (
        SELECT * FROM json_to_recordset(CAST(:batch AS json)) AS batch({_COLUMNS})
    ), kept AS (
        INSERT INTO posts (key, source, post_id, content_hash, text, author, conversation, parent_text,
                           created_at, language, metadata, lane, published_at)
        SELECT key, source, post_id, content_hash, text, author, conversation, parent_text,
               created_at, language, metadata, lane, published_at
        FROM batch
        ON CONFLICT DO NOTHING
    ), new AS (
        INSERT INTO verdicts (post_key, revision, label, score, rules, severity, truncated, adapter, policy)
        SELECT key, 0, label, score, rules, severity, truncated, adapter, policy
        FROM batch
        ON CONFLICT DO NOTHING
        RETURNING post_key, revision, CASE label WHEN 'toxic' THEN 'post.flagged' ELSE 'post.passed' END AS event
    ), listening AS (
        -- One that was disabled because it failed is told later what it misses meanwhile; one disabled by hand is not.
        SELECT id, source, events FROM endpoints WHERE disabled_at IS NULL OR failing_since IS NOT NULL FOR KEY SHARE
    ), told AS (
        INSERT INTO deliveries (post_key, revision, endpoint_id, webhook_id, event)
        SELECT new.post_key, new.revision, listening.id, 'msg_' || replace(CAST(new.post_key AS text), '-', ''), new.event
        FROM new
        JOIN batch ON batch.key = new.post_key
        JOIN listening ON new.event = ANY (listening.events) AND (listening.source IS NULL OR listening.source = batch.source)
        RETURNING id
    ), woken AS MATERIALIZED (
        SELECT pg_notify('{DELIVERIES_WRITTEN}', '') FROM (SELECT count(*) AS written FROM told) AS told WHERE written > 0
    )
    SELECT (SELECT count(*) FROM new) + 0 * (SELECT count(*) FROM woken)
    """)  # noqa: S608 - what is put in are names of our own
