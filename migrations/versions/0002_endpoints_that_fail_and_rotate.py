"""Since when an endpoint has failed, and until when its old secrets sign."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.add_column("endpoints", sa.Column("old_secrets_until", TIME))
    op.add_column("endpoints", sa.Column("failing_since", TIME))
    # What 410 disabled before is from now on kept its events, like what 410 disables.
    op.execute("UPDATE endpoints SET failing_since = disabled_at WHERE disabled_reason = 'the endpoint answered 410 Gone'")


def downgrade() -> None:
    op.drop_column("endpoints", "failing_since")
    op.drop_column("endpoints", "old_secrets_until")
