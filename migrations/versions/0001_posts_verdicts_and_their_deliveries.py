"""Posts, verdicts, endpoints, deliveries, dead letters, and the view to read verdicts by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, DOUBLE_PRECISION, JSONB, TEXT, TIMESTAMP, UUID

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = TIMESTAMP(timezone=True)
NOW = sa.func.now()

# The tables may change under it; its columns and their meaning are kept, because sites read it.
VERDICTS_IN_FORCE = """
CREATE VIEW verdicts_in_force AS
SELECT
    p.source,
    p.post_id,
    encode(p.content_hash, 'hex') AS content_sha256,
    v.label,
    v.score,
    v.rules,
    v.truncated,
    v.adapter,
    v.policy,
    v.revision,
    p.lane,
    p.conversation,
    p.author,
    p.language,
    p.created_at,
    p.published_at,
    v.stored_at,
    p.metadata,
    p.text,
    p.parent_text,
    p.key
FROM verdicts v
JOIN posts p ON p.key = v.post_key
WHERE NOT EXISTS (SELECT FROM verdicts later WHERE later.post_key = v.post_key AND later.revision > v.revision)
"""

COMMENTS = """
COMMENT ON VIEW verdicts_in_force IS
    'The verdict in force on each content of each post: the way to read verdicts, from any language. '
    'A post that was edited has a row per content; ORDER BY published_at DESC LIMIT 1 gives the newest.';
COMMENT ON COLUMN verdicts_in_force.content_sha256 IS 'SHA-256 of the text in UTF-8, in hexadecimal';
COMMENT ON COLUMN verdicts_in_force.label IS 'safe or toxic, by the policy';
COMMENT ON COLUMN verdicts_in_force.score IS 'calibrated probability of toxic, 0 to 1';
COMMENT ON COLUMN verdicts_in_force.revision IS '0 for the first verdict; a rescan supersedes it by the next';
COMMENT ON COLUMN verdicts_in_force.truncated IS 'whether the text was too long to be judged whole';
COMMENT ON COLUMN verdicts_in_force.published_at IS 'when the queue accepted the post';
COMMENT ON COLUMN verdicts_in_force.text IS 'null where MODQ_KEEP_TEXT says so';
"""


def upgrade() -> None:
    _create_posts()
    _create_verdicts()
    _create_endpoints()
    _create_deliveries()
    _create_dead_letters()
    op.execute(VERDICTS_IN_FORCE)
    op.execute(COMMENTS)


def downgrade() -> None:
    op.execute("DROP VIEW verdicts_in_force")
    for table in ("dead_letters", "deliveries", "endpoints", "verdicts", "posts"):
        op.drop_table(table)


def _create_posts() -> None:
    op.create_table(
        "posts",
        sa.Column("key", UUID(as_uuid=True), nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("post_id", TEXT, nullable=False),
        sa.Column("content_hash", BYTEA, nullable=False),
        sa.Column("text", TEXT),
        sa.Column("author", TEXT),
        sa.Column("conversation", TEXT),
        sa.Column("parent_text", TEXT),
        sa.Column("created_at", TIME),
        sa.Column("language", TEXT),
        sa.Column("metadata", JSONB),
        sa.Column("lane", TEXT, nullable=False),
        sa.Column("published_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_posts"),
        sa.UniqueConstraint("post_id", "source", "content_hash", name="uq_posts_post_id_source_content_hash"),
    )
    op.create_index("ix_posts_author", "posts", ["author"], postgresql_where=sa.text("author IS NOT NULL"))


def _create_verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("post_key", UUID(as_uuid=True), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("score", DOUBLE_PRECISION, nullable=False),
        sa.Column("rules", JSONB),
        sa.Column("truncated", sa.Boolean, nullable=False),
        sa.Column("adapter", TEXT, nullable=False),
        sa.Column("policy", TEXT, nullable=False),
        sa.Column("stored_at", TIME, nullable=False, server_default=sa.func.clock_timestamp()),
        sa.PrimaryKeyConstraint("post_key", "revision", name="pk_verdicts"),
        sa.ForeignKeyConstraint(["post_key"], ["posts.key"], ondelete="CASCADE", name="fk_verdicts_post_key_posts"),
        sa.CheckConstraint("label IN ('safe', 'toxic')", name=op.f("ck_verdicts_label")),
        sa.CheckConstraint("score BETWEEN 0 AND 1", name=op.f("ck_verdicts_score")),
    )
    op.create_index("ix_verdicts_label_stored_at", "verdicts", ["label", "stored_at"])


def _create_endpoints() -> None:
    op.create_table(
        "endpoints",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("source", TEXT),
        sa.Column("url", TEXT, nullable=False),
        sa.Column("secrets", ARRAY(TEXT), nullable=False),
        sa.Column("events", ARRAY(TEXT), nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("disabled_at", TIME),
        sa.Column("disabled_reason", TEXT),
        sa.PrimaryKeyConstraint("id", name="pk_endpoints"),
    )


def _create_deliveries() -> None:
    verdict = ["verdicts.post_key", "verdicts.revision"]
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("post_key", UUID(as_uuid=True), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("endpoint_id", sa.BigInteger, nullable=False),
        sa.Column("webhook_id", TEXT, nullable=False),
        sa.Column("event", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False, server_default=sa.text("'pending'")),
        sa.Column("attempts", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW),
        sa.Column("next_attempt_at", TIME, nullable=False, server_default=NOW),
        sa.Column("locked_until", TIME),
        sa.Column("last_status", sa.BigInteger),
        sa.Column("last_error", TEXT),
        sa.Column("delivered_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.ForeignKeyConstraint(["post_key", "revision"], verdict, ondelete="CASCADE", name="fk_deliveries_post_key_revision_verdicts"),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], ondelete="CASCADE", name="fk_deliveries_endpoint_id_endpoints"),
        sa.UniqueConstraint("post_key", "revision", "endpoint_id", name="uq_deliveries_post_key_revision_endpoint_id"),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("ck_deliveries_state")),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["endpoint_id", "next_attempt_at"], postgresql_where=sa.text("state = 'pending'"))
    op.create_index("ix_deliveries_endpoint_id", "deliveries", ["endpoint_id"])


def _create_dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("lane", TEXT, nullable=False),
        sa.Column("entry_id", TEXT, nullable=False),
        sa.Column("raw", BYTEA, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        sa.Column("source", TEXT),
        sa.Column("post_id", TEXT),
        sa.Column("parked_at", TIME, nullable=False, server_default=NOW),
        sa.Column("replayed_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
        sa.UniqueConstraint("lane", "entry_id", name="uq_dead_letters_lane_entry_id"),
    )
