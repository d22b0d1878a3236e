"""Endpoints: where sites want to be told of verdicts, and of which."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, Row, case, delete, func, insert, select, text, update
from sqlalchemy.orm import InstrumentedAttribute

from modq.errors import ModqError
from modq.flag import Flag, encode_flag
from modq.signature import sign
from modq_worker.delivery_outcome import Answer
from modq_worker.endpoint_address import EndpointRules
from modq_worker.replay import Selection, replay
from modq_worker.secret_box import SecretBox
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
    """As the store keeps them, newest first; a webhook is signed with each."""
    old_secrets_until: datetime | None
    """Until then those after the first sign as well."""
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: datetime | None
    """Every webhook since has failed."""


class Endpoints:
    """The endpoints of the store; ``box`` seals their secrets."""

    def __init__(self, engine: Engine, rules: EndpointRules, box: SecretBox | None = None) -> None:
        self._engine = engine
        self._rules = rules
        self._box = box or SecretBox()

    @property
    def sealing(self) -> bool:
        """Whether secrets are encrypted in the store."""
        return self._box.seals

    def add(self, url: str, secret: str, *, source: str | None = None, events: Sequence[str] = ("post.flagged",)) -> int:
        """Tell ``url`` of the verdicts stored from now on; not safe to repeat: each call adds an endpoint.

        Returns:
            The endpoint's number.

        Raises:
            InvalidEndpoint, InvalidSecret, UnknownEvent: what is wrong with the argument.
        """
        sealed = self._sealed(secret)
        if not events or set(events) - set(DELIVERED_EVENTS):
            raise UnknownEvent(f"Events must be some of {', '.join(DELIVERED_EVENTS)}.")
        row = {"url": url, "source": source, "secrets": [sealed], "events": sorted(set(events))}
        self._rules.check_to_save(url)
        with store_errors(), self._engine.begin() as connection:
            return int(connection.execute(insert(EndpointRow).values(row).returning(EndpointRow.id)).scalar_one())

    def all(self) -> list[Endpoint]:
        """Every endpoint, oldest first."""
        with store_errors(), self._engine.connect() as connection:
            return [_endpoint(row) for row in connection.execute(select(*_COLUMNS).order_by(EndpointRow.id))]

    def get(self, endpoint_id: int) -> Endpoint:
        """One endpoint.

        Raises:
            NoSuchEndpoint: there is none of this number.
        """
        with store_errors(), self._engine.connect() as connection:
            row = connection.execute(select(*_COLUMNS).where(EndpointRow.id == endpoint_id)).one_or_none()
        if row is None:
            raise _none(endpoint_id)
        return _endpoint(row)

    def remove(self, endpoint_id: int) -> None:
        """Forget the endpoint and its deliveries, those not yet made too."""
        self._change(endpoint_id, delete(EndpointRow).where(EndpointRow.id == endpoint_id))

    def enable(self, endpoint_id: int) -> None:
        """Send to it again; what is pending goes out now, with all its attempts before it."""
        change = update(EndpointRow).where(EndpointRow.id == endpoint_id).values(disabled_at=None, disabled_reason=None, failing_since=None)
        with store_errors(), self._engine.begin() as connection:
            if not connection.execute(change).rowcount:
                raise _none(endpoint_id)
            connection.execute(_AT_ONCE, {"endpoint_id": endpoint_id})

    def disable(self, endpoint_id: int, reason: str) -> None:
        """Send nothing to it, and keep nothing for it of what is stored meanwhile; what was pending is kept."""
        # Without failing_since: that is for endpoints that were disabled because they failed, whose events are kept.
        values = {"disabled_at": func.now(), "disabled_reason": reason, "failing_since": None}
        self._change(endpoint_id, update(EndpointRow).where(EndpointRow.id == endpoint_id).values(values))

    def rotate(self, endpoint_id: int, secret: str, overlap: timedelta) -> None:
        """Sign with ``secret`` from now on, and for the time of ``overlap`` with those that sign now as well.

        Raises:
            InvalidSecret: the secret is malformed.
            NoSuchEndpoint: there is none of this number.
        """
        kept = func.array_prepend(self._sealed(secret), _SIGNING)
        values = {"secrets": kept, "old_secrets_until": func.now() + overlap}
        self._change(endpoint_id, update(EndpointRow).where(EndpointRow.id == endpoint_id).values(values))

    def drop_old_secrets(self, endpoint_id: int) -> None:
        """Sign with the newest secret only, and forget the others."""
        values = {"secrets": EndpointRow.secrets[1:1], "old_secrets_until": None}
        self._change(endpoint_id, update(EndpointRow).where(EndpointRow.id == endpoint_id).values(values))

    def replay(self, selection: Selection) -> int:
        """Send events again; see `replay`."""
        return replay(self._engine, selection)

    def seal(self) -> int:
        """Encrypt every secret with the newest key, also those that were kept as they are; safe to repeat.

        Returns:
            The number of endpoints.

        Raises:
            SecretUnopened: one is encrypted under a key that we do not have; nothing was changed.
        """
        with store_errors(), self._engine.begin() as connection:
            rows = connection.execute(select(EndpointRow.id, EndpointRow.secrets).order_by(EndpointRow.id).with_for_update()).all()
            for row in rows:
                sealed = [self._box.seal(self._box.open(secret)) for secret in row.secrets]
                connection.execute(update(EndpointRow).where(EndpointRow.id == row.id).values(secrets=sealed))
        return len(rows)

    def _sealed(self, secret: str) -> str:
        sign(secret, "msg_check", 0, b"")
        return self._box.seal(secret)

    def _change(self, endpoint_id: int, statement: Any) -> None:
        with store_errors(), self._engine.begin() as connection:
            if not connection.execute(statement).rowcount:
                raise _none(endpoint_id)


async def send_test(endpoint: Endpoint, sender: WebhookSender) -> Answer:
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
    async with sender:
        return await sender.send(endpoint.url, endpoint.secrets, f"msg_test_{secrets.token_hex(8)}", encode_flag(flag))


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(**row._mapping)


def _none(endpoint_id: int) -> NoSuchEndpoint:
    return NoSuchEndpoint(f"There is no endpoint {endpoint_id}.")


_SIGNING: Final[ColumnElement[list[str]]] = case(
    (EndpointRow.old_secrets_until > func.now(), EndpointRow.secrets), else_=EndpointRow.secrets[1:1]
)

_COLUMNS: Final[Sequence[ColumnElement[Any] | InstrumentedAttribute[Any]]] = (
    EndpointRow.id,
    EndpointRow.url,
    EndpointRow.source,
    EndpointRow.events,
    _SIGNING.label("secrets"),
    EndpointRow.old_secrets_until,
    EndpointRow.created_at,
    EndpointRow.disabled_at,
    EndpointRow.disabled_reason,
    EndpointRow.failing_since,
)

# What has never been tried is due already.
_AT_ONCE: Final = text("""
    UPDATE deliveries SET attempts = 0, next_attempt_at = now()
    WHERE endpoint_id = :endpoint_id AND state = 'pending' AND attempts > 0
""")
