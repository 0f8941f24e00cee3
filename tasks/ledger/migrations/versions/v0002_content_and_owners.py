"""What a video's bytes are, so that copies are found; and an index to renew all leases of an owner at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them; of the videos that are known, nobody has asked yet."""
    op.add_column("videos", sa.Column("content", sa.Text))
    op.create_index("videos_by_content", "videos", ["content"])
    op.create_index("jobs_by_owner", "jobs", ["lease_owner"])
