"""Endpoints: where sites want to be told of verdicts, and of which."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Engine, Row, delete, func, insert, select, text, update

from modq.errors import ModqError
from modq.flag import Flag, encode_flag
from modq.signature import sign
from modq_worker.delivery_outcome import Answer
from modq_worker.endpoint_address import check
from modq_worker.store_errors import store_errors
from modq_worker.tables import EndpointRow
from modq_worker.webhook import WebhookSender

DELIVERED_EVENTS: Final = ("post.flagged", "post.passed")
"""The events that an endpoint can ask for."""


class NoSuchEndpoint(ModqError):
    """There is no endpoint of this number."""


class UnknownEvent(ModqError, ValueError):
    """An endpoint asked for an event that is never sent."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a site wants to be told, and of what."""

    id: int
    url: str
    source: str | None
    """Whose posts; None means every source's."""
    events: Sequence[str]
    secrets: Sequence[str] = field(repr=False)
    """Newest first; a webhook is signed with each."""
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None


class Endpoints:
    """The endpoints of the store."""

    def __init__(self, engine: Engine, *, allow_private: bool) -> None:
        self._engine = engine
        self._allow_private = allow_private

    def add(self, url: str, secret: str, *, source: str | None = None, events: Sequence[str] = ("post.flagged",)) -> int:
        """Tell ``url`` of the verdicts stored from now on; not safe to repeat: each call adds an endpoint.

        Returns:
            The endpoint's number.

        Raises:
            InvalidEndpoint, InvalidSecret, UnknownEvent: what is wrong with the argument.
        """
        check(url, self._allow_private)
        sign(secret, "msg_check", 0, b"")
        if not events or set(events) - set(DELIVERED_EVENTS):
            raise UnknownEvent(f"Events must be some of {', '.join(DELIVERED_EVENTS)}.")
        row = {"url": url, "source": source, "secrets": [secret], "events": sorted(set(events))}
        with store_errors(), self._engine.begin() as connection:
            return int(connection.execute(insert(EndpointRow).values(row).returning(EndpointRow.id)).scalar_one())

    def all(self) -> list[Endpoint]:
        """Every endpoint, oldest first."""
        with store_errors(), self._engine.connect() as connection:
            return [_endpoint(row) for row in connection.execute(select(EndpointRow.__table__).order_by(EndpointRow.id))]

    def get(self, endpoint_id: int) -> Endpoint:
        """One endpoint.

        Raises:
            NoSuchEndpoint: there is none of this number.
        """
        with store_errors(), self._engine.connect() as connection:
            row = connection.execute(select(EndpointRow.__table__).where(EndpointRow.id == endpoint_id)).one_or_none()
        if row is None:
            raise _none(endpoint_id)
        return _endpoint(row)

    def remove(self, endpoint_id: int) -> None:
        """Forget the endpoint and its deliveries, those not yet made too."""
        self._change(endpoint_id, delete(EndpointRow).where(EndpointRow.id == endpoint_id))

    def enable(self, endpoint_id: int) -> None:
        """Send to it again; deliveries that were pending when it was disabled go out now."""
        change = update(EndpointRow).where(EndpointRow.id == endpoint_id).values(disabled_at=None, disabled_reason=None)
        self._change(endpoint_id, change)

    def disable(self, endpoint_id: int, reason: str) -> None:
        """Send nothing to it; what is stored meanwhile is not kept for it, what was pending is."""
        change = update(EndpointRow).where(EndpointRow.id == endpoint_id).values(disabled_at=func.now(), disabled_reason=reason)
        self._change(endpoint_id, change)

    def replay(self, endpoint_id: int) -> int:
        """Make its failed deliveries due again, with all their attempts before them and the same webhook-ids.

        Returns:
            How many there were.
        """
        with store_errors(), self._engine.begin() as connection:
            return connection.execute(_REPLAY, {"endpoint_id": endpoint_id}).rowcount

    def _change(self, endpoint_id: int, statement: Any) -> None:
        with store_errors(), self._engine.begin() as connection:
            if not connection.execute(statement).rowcount:
                raise _none(endpoint_id)


async def send_test(endpoint: Endpoint, *, deadline: float, allow_private: bool) -> Answer:
    """Send the endpoint an ``endpoint.test`` event, signed like any other: it is of no post, and asks for no action."""
    now = datetime.now(UTC)
    flag = Flag(
        type="endpoint.test",
        timestamp=now,
        sequence=0,
        source=endpoint.source or "default",
        post_id="modq-endpoint-test",
        content_sha256="0" * 64,
        label="safe",
        score=0.0,
        adapter="none",
        policy="none",
        lane="live",
        published_at=now,
    )
    async with WebhookSender(deadline=deadline, connections=1, allow_private=allow_private) as sender:
        return await sender.send(endpoint.url, endpoint.secrets, f"msg_test_{secrets.token_hex(8)}", encode_flag(flag))


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(**row._mapping)


def _none(endpoint_id: int) -> NoSuchEndpoint:
    return NoSuchEndpoint(f"There is no endpoint {endpoint_id}.")


_REPLAY: Final = text("""
    UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_at = now(), locked_until = NULL
    WHERE endpoint_id = :endpoint_id AND state = 'failed'
""")
