"""Whether a job's video was given out as one version alone, and an index of the services' ids of jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both; nothing is known of earlier jobs."""
    op.add_column("jobs", sa.Column("bound", sa.Boolean))
    op.create_index("jobs_by_id", "jobs", ["job_id"])
