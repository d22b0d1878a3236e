"""The tables of the store; migrations/versions builds them, and a test keeps the two equal."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Identity, Index, MetaData, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, DOUBLE_PRECISION, JSONB, TEXT, TIMESTAMP, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NOW = func.now()


class Table(DeclarativeBase):
    """Base of the tables, with the names of constraints spelled out for the migrations' sake."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        str: TEXT,
        bytes: BYTEA,
        float: DOUBLE_PRECISION,
        int: BigInteger,
        datetime: TIMESTAMP(timezone=True),
        uuid.UUID: UUID(as_uuid=True),
        dict[str, Any]: JSONB,
    }


class PostRow(Table):
    """One content of one post; an edited post is another row."""

    __tablename__ = "posts"
    __table_args__ = (UniqueConstraint("post_id", "source", "content_hash"), Index(None, "author", postgresql_where=text("author IS NOT NULL")))

    key: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    source: Mapped[str]
    post_id: Mapped[str]
    content_hash: Mapped[bytes]
    text: Mapped[str | None]
    """Absent where the setting `keep_text` says so, or once it expired."""
    author: Mapped[str | None]
    conversation: Mapped[str | None]
    parent_text: Mapped[str | None]
    created_at: Mapped[datetime | None]
    language: Mapped[str | None]
    post_metadata: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    lane: Mapped[str]
    published_at: Mapped[datetime]
    """When the queue accepted it."""


class VerdictRow(Table):
    """The judgement of one post; revision 0 is the worker's, higher ones supersede it after a rescan."""

    __tablename__ = "verdicts"
    __table_args__ = (
        CheckConstraint("label IN ('safe', 'toxic')", name="label"),
        CheckConstraint("score BETWEEN 0 AND 1", name="score"),
        CheckConstraint("severity IN ('low', 'medium', 'high', 'critical')", name="severity"),
        Index(None, "label", "stored_at"),
    )

    post_key: Mapped[uuid.UUID] = mapped_column(ForeignKey("posts.key", ondelete="CASCADE"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, server_default=text("0"))
    label: Mapped[str]
    score: Mapped[float]
    rules: Mapped[dict[str, Any] | None]
    truncated: Mapped[bool]
    adapter: Mapped[str]
    policy: Mapped[str]
    stored_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    severity: Mapped[str | None]
    """Of the gravest rule that the post breaks; absent where none is known, and from what was judged before modq kept it."""


class EndpointRow(Table):
    """Where a site wants to be told, and of what."""

    __tablename__ = "endpoints"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    source: Mapped[str | None]
    """Whose posts; null means every source's."""
    url: Mapped[str]
    secrets: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    """Newest first; several during a rotation. Encrypted, where the processes have a key."""
    old_secrets_until: Mapped[datetime | None]
    """Until then those after the first sign as well."""
    events: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    """Of ``post.flagged`` and ``post.passed``."""
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]
    failing_since: Mapped[datetime | None]
    """Every webhook since has failed. A disabled endpoint that has it was disabled for that, and its events are kept."""


class DeliveryRow(Table):
    """One event on its way to one endpoint: the outbox, written in the verdict's own transaction."""

    __tablename__ = "deliveries"
    __table_args__ = (
        ForeignKeyConstraint(["post_key", "revision"], ["verdicts.post_key", "verdicts.revision"], ondelete="CASCADE"),
        UniqueConstraint("post_key", "revision", "endpoint_id"),
        CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
        Index("ix_deliveries_due", "endpoint_id", "next_attempt_at", postgresql_where=text("state = 'pending'")),
        Index(None, "endpoint_id"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    """Also the event's sequence number, since the order of arrival is not promised."""
    post_key: Mapped[uuid.UUID]
    revision: Mapped[int]
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("endpoints.id", ondelete="CASCADE"))
    webhook_id: Mapped[str]
    """Derived from the verdict's key: the same for every endpoint and every attempt."""
    event: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'pending'"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=NOW)
    locked_until: Mapped[datetime | None]
    """A notifier holds the delivery until then; after it the delivery is anybody's again."""
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    delivered_at: Mapped[datetime | None]


class DeadLetterRow(Table):
    """An entry that could not become a verdict, kept whole, with the reason."""

    __tablename__ = "dead_letters"
    __table_args__ = (UniqueConstraint("lane", "entry_id"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    lane: Mapped[str]
    entry_id: Mapped[str]
    """The entry's id on the lane's stream."""
    raw: Mapped[bytes]
    """The value of the entry's `post` field, or, where it has none, all its fields as JSON of base64."""
    reason: Mapped[str]
    """A stable code, such as `not_json` or `kills_the_worker`."""
    detail: Mapped[str]
    source: Mapped[str | None]
    post_id: Mapped[str | None]
    parked_at: Mapped[datetime] = mapped_column(server_default=NOW)
    replayed_at: Mapped[datetime | None]
