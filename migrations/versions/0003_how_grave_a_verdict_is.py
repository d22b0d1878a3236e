"""The severity of the gravest rule that a post breaks; workers that do not know of it go on writing verdicts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A view only ever gets further columns at its end: so its grants stay, and so do the views that sites built on it.
VERDICTS_IN_FORCE = """
CREATE OR REPLACE VIEW verdicts_in_force AS
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
    p.key,
    {severity} AS severity
FROM verdicts v
JOIN posts p ON p.key = v.post_key
WHERE NOT EXISTS (SELECT FROM verdicts later WHERE later.post_key = v.post_key AND later.revision > v.revision)
"""

COMMENT = """
COMMENT ON COLUMN verdicts_in_force.severity IS
    'low, medium, high or critical: of the gravest rule that the post breaks; null where none is known'
"""


def upgrade() -> None:
    # Nullable and without a default, so no row is rewritten; not valid, so none is read while writers wait for the lock.
    op.add_column("verdicts", sa.Column("severity", TEXT))
    op.execute("ALTER TABLE verdicts ADD CONSTRAINT ck_verdicts_severity CHECK (severity IN ('low', 'medium', 'high', 'critical')) NOT VALID")
    op.execute(VERDICTS_IN_FORCE.format(severity="v.severity"))
    op.execute(COMMENT)


def downgrade() -> None:
    # The view keeps the column, empty: to drop the view would take everybody's right to read it.
    op.execute(VERDICTS_IN_FORCE.format(severity="CAST(NULL AS text)"))
    op.drop_column("verdicts", "severity")
