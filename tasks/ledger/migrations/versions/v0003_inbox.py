"""The inbox: uploads that stores have reported, and the batches in which runs see to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_KEY = sa.String(32)


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "uploads",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("object_key", _KEY, nullable=False),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger),
        sa.Column("sequencer", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("batch", _KEY, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("received_at", sa.Text, nullable=False),
        sa.Column("due_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.UniqueConstraint("key", name="uploads_key"),
    )
    op.create_index("uploads_by_object", "uploads", ["object_key"])
    op.create_index("uploads_by_state", "uploads", ["state", "pipeline", "id"])
    op.create_index("uploads_by_batch", "uploads", ["batch"])
    op.create_table(
        "batches",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("lease_owner", sa.Text, nullable=False),
        sa.Column("lease_until", sa.Text, nullable=False),
        sa.Column("formed_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
    )
    op.create_index("batches_by_state", "batches", ["state", "formed_at"])
