"""The outbox: leases due deliveries to a notifier, and records what has become of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Engine, Row, text

from modq.flag import Flag, encode_flag
from modq_worker.delivery_outcome import Outcome
from modq_worker.store_errors import store_errors


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one endpoint, leased to us."""

    id: int
    endpoint_id: int
    url: str
    secrets: Sequence[str] = field(repr=False)
    webhook_id: str
    attempts: int
    """The present one included."""
    body: bytes = field(repr=False)
    """The same bytes at every attempt."""


class Outbox:
    """The deliveries of the store; safe to share between threads."""

    def __init__(self, engine: Engine, *, lease_seconds: float) -> None:
        self._engine = engine
        self._lease_seconds = lease_seconds

    def lease(self, limit: int, per_endpoint: int, busy: Mapping[int, int]) -> list[Delivery]:
        """Take up to ``limit`` due deliveries, nobody else's for the time of the lease, and count the attempt.

        Of each endpoint at most ``per_endpoint`` less what ``busy`` says it has in flight; every endpoint gets its first
        before any gets its second. A lease that ends without a record makes the delivery due again.

        Raises:
            StoreUnavailable: nothing was leased, or the leases will simply end.
        """
        values = {
            "limit": limit,
            "per_endpoint": per_endpoint,
            "busy": list(busy),
            "in_flight": list(busy.values()),
            "seconds": self._lease_seconds,
        }
        with store_errors(), self._engine.begin() as connection:
            return [_delivery(row) for row in connection.execute(_LEASE, values)]

    def record(self, outcomes: Mapping[int, Outcome]) -> None:
        """Record what has become of deliveries, by their ids, and disable the endpoints that are gone; safe to repeat.

        Raises:
            StoreUnavailable: nothing was recorded; try again.
        """
        if not outcomes:
            return
        ids = sorted(outcomes)
        rows = [outcomes[id] for id in ids]
        values = {
            "ids": ids,
            "states": [row.state for row in rows],
            "waits": [row.wait for row in rows],
            "statuses": [row.status for row in rows],
            "errors": [row.error for row in rows],
        }
        with store_errors(), self._engine.begin() as connection:
            connection.execute(_RECORD, values)
            for id, row in zip(ids, rows, strict=True):
                if row.disable:
                    connection.execute(_DISABLE, {"id": id, "reason": row.disable})


def _delivery(row: Row[Any]) -> Delivery:
    flag = Flag(
        type=row.event,
        timestamp=row.stored_at,
        sequence=row.id,
        source=row.source,
        post_id=row.post_id,
        content_sha256=row.content_hash.hex(),
        label=row.label,
        score=row.score,
        adapter=row.adapter,
        policy=row.policy,
        lane=row.lane,
        published_at=row.published_at,
        revision=row.revision,
        rules=row.rules or {},
        truncated=row.truncated,
        conversation=row.conversation,
        author=row.author,
        metadata=row.metadata or {},
    )
    return Delivery(row.id, row.endpoint_id, row.url, row.secrets, row.webhook_id, row.attempts, encode_flag(flag))


# Endpoint by endpoint, so that one with thousands of due deliveries hides no other's. Rows that another notifier
# has locked are skipped; those it has leased have locked_until in the future. All times are the database's.
_LEASE: Final = text("""
    WITH busy AS (
        SELECT * FROM unnest(CAST(:busy AS bigint[]), CAST(:in_flight AS bigint[])) AS busy(endpoint_id, in_flight)
    ), due AS (
        SELECT mine.id, row_number() OVER (PARTITION BY endpoints.id ORDER BY mine.next_attempt_at, mine.id) AS turn
        FROM endpoints
        LEFT JOIN busy ON busy.endpoint_id = endpoints.id
        CROSS JOIN LATERAL (
            SELECT id, next_attempt_at FROM deliveries
            WHERE endpoint_id = endpoints.id AND state = 'pending' AND next_attempt_at <= now()
              AND (locked_until IS NULL OR locked_until <= now())
            ORDER BY next_attempt_at
            LIMIT greatest(:per_endpoint - coalesce(busy.in_flight, 0), 0)
            FOR UPDATE SKIP LOCKED
        ) AS mine
        WHERE endpoints.disabled_at IS NULL
    ), leased AS (
        UPDATE deliveries SET attempts = attempts + 1, locked_until = now() + make_interval(secs => :seconds)
        WHERE id IN (SELECT id FROM due ORDER BY turn, id LIMIT :limit)
        RETURNING *
    )
    SELECT leased.id, leased.endpoint_id, leased.webhook_id, leased.attempts, leased.event, leased.revision,
           e.url, e.secrets, v.label, v.score, v.rules, v.truncated, v.adapter, v.policy, v.stored_at,
           p.source, p.post_id, p.content_hash, p.lane, p.conversation, p.author, p.published_at, p.metadata
    FROM leased
    JOIN endpoints e ON e.id = leased.endpoint_id
    JOIN verdicts v ON v.post_key = leased.post_key AND v.revision = leased.revision
    JOIN posts p ON p.key = leased.post_key
    ORDER BY leased.next_attempt_at, leased.id
""")

# A delivery that another notifier has delivered meanwhile stays delivered.
_RECORD: Final = text("""
    UPDATE deliveries SET
        state = told.state,
        next_attempt_at = CASE told.state WHEN 'pending' THEN now() + make_interval(secs => told.wait) ELSE next_attempt_at END,
        locked_until = NULL,
        last_status = told.status,
        last_error = told.error,
        delivered_at = CASE told.state WHEN 'delivered' THEN now() END
    FROM unnest(CAST(:ids AS bigint[]), CAST(:states AS text[]), CAST(:waits AS float8[]),
                CAST(:statuses AS bigint[]), CAST(:errors AS text[])) AS told(id, state, wait, status, error)
    WHERE deliveries.id = told.id AND deliveries.state = 'pending'
""")

_DISABLE: Final = text("""
    UPDATE endpoints SET disabled_at = now(), disabled_reason = :reason
    WHERE disabled_at IS NULL AND id = (SELECT endpoint_id FROM deliveries WHERE id = :id)
""")
