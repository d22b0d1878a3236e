"""Sends events again: those that failed, or those that a receiver lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Engine, bindparam, text
from sqlalchemy.dialects.postgresql import BIGINT, TEXT, TIMESTAMP

from modq_worker.store_errors import store_errors


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries; those that meet everything that is given."""

    endpoint_id: int | None = None
    webhook_id: str | None = None
    since: datetime | None = None
    """When their verdict was stored, or later."""
    until: datetime | None = None
    """Before."""
    delivered: bool = False
    """Those that arrived as well, and not only those that failed."""


def replay(engine: Engine, selection: Selection) -> int:
    """Make the deliveries due now, with all their attempts before them and the same webhook-ids.

    Those that failed for good, and those that wait for another attempt: who mends a receiver need not wait for the
    schedule. Those of a disabled endpoint wait until it is enabled, and what is being sent just now is left alone.

    Returns:
        How many there were.
    """
    values = {
        "endpoint_id": selection.endpoint_id,
        "webhook_id": selection.webhook_id,
        "since": selection.since,
        "until": selection.until,
        "states": ["failed", "delivered"] if selection.delivered else ["failed"],
    }
    with store_errors(), engine.begin() as connection:
        return connection.execute(_REPLAY, values).rowcount


_TIME: Final = TIMESTAMP(timezone=True)

_REPLAY: Final = text("""
    UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_at = now(), locked_until = NULL, delivered_at = NULL
    WHERE (state = ANY (CAST(:states AS text[]))
           OR state = 'pending' AND next_attempt_at > now() AND (locked_until IS NULL OR locked_until <= now()))
      AND (:endpoint_id IS NULL OR endpoint_id = :endpoint_id)
      AND (:webhook_id IS NULL OR webhook_id = :webhook_id)
      AND (:since IS NULL OR created_at >= :since)
      AND (:until IS NULL OR created_at < :until)
""").bindparams(
    bindparam("endpoint_id", type_=BIGINT),
    bindparam("webhook_id", type_=TEXT),
    bindparam("since", type_=_TIME),
    bindparam("until", type_=_TIME),
)
