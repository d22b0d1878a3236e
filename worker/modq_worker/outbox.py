"""The outbox: leases due deliveries to a notifier, and records what has become of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Engine, Row, text

from modq.flag import Flag, encode_flag
from modq_worker.delivery_outcome import PATIENCE, Outcome
from modq_worker.store_errors import store_errors


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one endpoint, leased to us."""

    id: int
    endpoint_id: int
    url: str
    secrets: Sequence[str] = field(repr=False)
    """As the store keeps them; those that sign now."""
    webhook_id: str
    attempts: int
    """The present one included."""
    body: bytes = field(repr=False)
    """The same bytes at every attempt."""
    failing: bool = False
    """Whether everything that was last sent to the endpoint failed."""


@dataclass(frozen=True, slots=True)
class Disabled:
    """An endpoint that gets nothing until it is enabled by hand; its events are kept."""

    endpoint_id: int
    reason: str


class Outbox:
    """The deliveries of the store; safe to share between threads."""

    def __init__(self, engine: Engine, *, lease_seconds: float) -> None:
        self._engine = engine
        self._lease_seconds = lease_seconds

    def lease(
        self, limit: int, per_endpoint: int, busy: Mapping[int, int], *, slow: Collection[int] = (), held_back_limit: int | None = None
    ) -> list[Delivery]:
        """Take up to ``limit`` due deliveries, nobody else's for the time of the lease, and count the attempt.

        Of each endpoint at most ``per_endpoint``, of one that fails at most one, less what ``busy`` says it has in flight;
        every endpoint gets its first before any gets its second. Of those that fail and those in ``slow`` together, at most
        ``held_back_limit``. A lease that ends without a record makes the delivery due again.

        Raises:
            StoreUnavailable: nothing was leased, or the leases will simply end.
        """
        values = {
            "limit": limit,
            "per_endpoint": per_endpoint,
            "busy": list(busy),
            "in_flight": list(busy.values()),
            "slow": list(slow),
            "held_back_limit": limit if held_back_limit is None else held_back_limit,
            "seconds": self._lease_seconds,
        }
        with store_errors(), self._engine.begin() as connection:
            return [_delivery(row) for row in connection.execute(_LEASE, values)]

    def record(self, outcomes: Mapping[int, Outcome]) -> list[Disabled]:
        """Record what has become of deliveries, by their ids, and disable the endpoints that are gone or only fail.

        Safe to repeat.

        Returns:
            The endpoints that were disabled.

        Raises:
            StoreUnavailable: nothing was recorded; try again.
        """
        if not outcomes:
            return []
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
            told = [(row.endpoint_id, outcomes[row.id]) for row in connection.execute(_RECORD, values)]
            changed = list(connection.execute(_FARE, _fare(told))) if told else []
        return [Disabled(row.id, row.disabled_reason) for row in changed if row.disabled_reason]


def _fare(told: Sequence[tuple[int, Outcome]]) -> dict[str, Any]:
    """How each endpoint fared: well when anything arrived, badly when all that it is to blame for failed."""
    failed = {endpoint: outcome for endpoint, outcome in told if outcome.blame}
    well = {endpoint for endpoint, outcome in told if outcome.state == "delivered"}
    # Of several that failed the one that disables counts.
    failed |= {endpoint: outcome for endpoint, outcome in told if outcome.disable}
    # Sorted, so that two notifiers wait for each other instead of deadlocking.
    ids = sorted(failed)
    return {
        "ids": ids,
        "well": [id in well and not failed[id].disable for id in ids],
        "gone": [failed[id].disable for id in ids],
        "errors": [failed[id].error for id in ids],
        "patience": PATIENCE,
    }


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
        severity=row.severity,
        truncated=row.truncated,
        conversation=row.conversation,
        author=row.author,
        metadata=row.metadata or {},
    )
    return Delivery(row.id, row.endpoint_id, row.url, row.secrets, row.webhook_id, row.attempts, encode_flag(flag), row.failing)


# Endpoint by endpoint, so that one with thousands of due deliveries hides no other's. Rows that another notifier
# has locked are skipped; those it has leased have locked_until in the future. All times are the database's.
# Endpoints that fail or are slow share few slots; which of them comes next is left to chance, lest the longest queue always win.
_LEASE: Final = text("""
    WITH busy AS (
        SELECT * FROM unnest(CAST(:busy AS bigint[]), CAST(:in_flight AS bigint[])) AS busy(endpoint_id, in_flight)
    ), served AS (
        SELECT endpoints.id,
               failing_since IS NOT NULL OR endpoints.id = ANY (CAST(:slow AS bigint[])) AS held_back,
               CASE WHEN failing_since IS NULL THEN :per_endpoint ELSE 1 END - coalesce(busy.in_flight, 0) AS slots
        FROM endpoints
        LEFT JOIN busy ON busy.endpoint_id = endpoints.id
        WHERE disabled_at IS NULL
    ), due AS (
        SELECT mine.id, served.held_back, row_number() OVER (PARTITION BY served.id ORDER BY mine.next_attempt_at, mine.id) AS turn
        FROM served
        CROSS JOIN LATERAL (
            SELECT id, next_attempt_at FROM deliveries
            WHERE endpoint_id = served.id AND state = 'pending' AND next_attempt_at <= now()
              AND (locked_until IS NULL OR locked_until <= now())
            ORDER BY next_attempt_at
            LIMIT greatest(served.slots, 0)
            FOR UPDATE SKIP LOCKED
        ) AS mine
    ), queued AS (
        SELECT id, held_back, turn, row_number() OVER (PARTITION BY held_back ORDER BY turn, CASE WHEN held_back THEN random() END, id) AS place
        FROM due
    ), leased AS (
        UPDATE deliveries SET attempts = attempts + 1, locked_until = now() + make_interval(secs => :seconds)
        WHERE id IN (
            SELECT id FROM queued
            WHERE NOT held_back OR place <= :held_back_limit
            ORDER BY turn, place
            LIMIT :limit
        )
        RETURNING *
    )
    SELECT leased.id, leased.endpoint_id, leased.webhook_id, leased.attempts, leased.event, leased.revision,
           e.url, e.failing_since IS NOT NULL AS failing,
           CASE WHEN e.old_secrets_until > now() THEN e.secrets ELSE e.secrets[1:1] END AS secrets,
           v.label, v.score, v.rules, v.severity, v.truncated, v.adapter, v.policy, v.stored_at,
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
    RETURNING deliveries.id, deliveries.endpoint_id
""")

# Writes only what changes: an endpoint that goes on working, or goes on failing, costs nothing.
_FARE: Final = text("""
    UPDATE endpoints SET
        failing_since = CASE WHEN told.well THEN NULL ELSE coalesce(failing_since, now()) END,
        disabled_at = CASE WHEN NOT told.well AND (told.gone IS NOT NULL OR failing_since < now() - make_interval(secs => :patience)) THEN now() END,
        disabled_reason = CASE WHEN told.well THEN NULL
            WHEN told.gone IS NOT NULL THEN told.gone
            WHEN failing_since < now() - make_interval(secs => :patience)
            THEN 'every webhook since ' || to_char(failing_since, 'YYYY-MM-DD HH24:MI') || ' UTC has failed, at last: ' || told.error END
    FROM unnest(CAST(:ids AS bigint[]), CAST(:well AS bool[]), CAST(:gone AS text[]), CAST(:errors AS text[])) AS told(id, well, gone, error)
    WHERE endpoints.id = told.id AND disabled_at IS NULL AND CASE
        WHEN told.well THEN failing_since IS NOT NULL
        ELSE failing_since IS NULL OR told.gone IS NOT NULL OR failing_since < now() - make_interval(secs => :patience) END
    RETURNING endpoints.id, endpoints.disabled_reason
""")
