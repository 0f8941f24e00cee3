"""Shards: lists of jobs that processes share, and the text of pipelines that have no file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "shards",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("batch", sa.String(64), nullable=False),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("began_at", sa.Text, nullable=False),
        sa.Column("spare", sa.Text, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("notes", sa.Text),
        sa.Column("lease_owner", sa.Text, nullable=False),
        sa.Column("lease_until", sa.Text),
        sa.Column("updated_at", sa.Text, nullable=False),
    )
    op.create_index("shards_by_batch", "shards", ["batch", "number"])
    op.create_table(
        "shard_jobs",
        sa.Column("shard", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("job_key", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["shard"], ["shards.id"], name="shard_jobs_shard"),
        sa.ForeignKeyConstraint(["job_key"], ["jobs.key"], name="shard_jobs_job"),
    )
    op.create_table(
        "kept_pipelines",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("kept_at", sa.Text, nullable=False),
    )
