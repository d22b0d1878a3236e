"""Old verdicts are found to keep the constraint on severities, in a transaction of its own that stops nobody from writing."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE verdicts VALIDATE CONSTRAINT ck_verdicts_severity")


def downgrade() -> None:
    """Nothing to undo: what is valid stays so."""
