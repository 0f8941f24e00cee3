"""Whether a job's video was given out as one version alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing is known of earlier jobs."""
    op.add_column("jobs", sa.Column("bound", sa.Boolean))
