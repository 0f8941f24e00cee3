"""The first tables: videos, jobs, what pipelines see, deliveries, and the story of moves.

A migration says what it does in plain types and never changes afterwards, whatever becomes
of the schema module.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_KEY = sa.String(32)


def upgrade() -> None:
    """Make them."""
    _create_jobs()
    _create_deliveries_and_moves()


def _create_jobs() -> None:
    op.create_table(
        "videos",
        sa.Column("key", _KEY, primary_key=True),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("modified", sa.Text, nullable=False),
        sa.Column("info", sa.Text),
    )
    op.create_table(
        "jobs",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("video_key", _KEY, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("result_key", sa.Text, nullable=False),
        sa.Column("failure", sa.Text),
        sa.Column("submitted_at", sa.Text),
        sa.Column("lease_owner", sa.Text, nullable=False),
        sa.Column("lease_until", sa.Text),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.UniqueConstraint("key", name="jobs_key"),
        sa.ForeignKeyConstraint(["video_key"], ["videos.key"], name="jobs_video"),
    )
    op.create_index("jobs_by_state", "jobs", ["state", "id"])
    op.create_index("jobs_by_video", "jobs", ["video_key"])
    op.create_table(
        "pipeline_jobs",
        sa.Column("job_key", _KEY, primary_key=True),
        sa.Column("pipeline", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("seen_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["job_key"], ["jobs.key"], name="pipeline_jobs_job"),
    )


def _create_deliveries_and_moves() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("job_key", _KEY, nullable=False),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("outputs", sa.Text, nullable=False),
        sa.Column("failure", sa.Text),
        sa.Column("lease_owner", sa.Text, nullable=False),
        sa.Column("lease_until", sa.Text),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.UniqueConstraint("job_key", "pipeline", "route", name="deliveries_route"),
        sa.ForeignKeyConstraint(["job_key"], ["jobs.key"], name="deliveries_job"),
    )
    op.create_index("deliveries_by_state", "deliveries", ["state", "id"])
    op.create_table(
        "moves",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("job_key", _KEY, nullable=False),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["job_key"], ["jobs.key"], name="moves_job"),
    )
    op.create_index("moves_by_job", "moves", ["job_key", "id"])
