"""What keeps a large ledger quick: videos by URI, deliveries by owner; and what was submitted when, for whom."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_AT_ONCE = 5000


def upgrade() -> None:
    """Add them; every URI that is known gets its hash."""
    op.add_column("videos", sa.Column("uri_key", sa.String(16)))
    _fill_uri_keys()
    op.create_index("videos_by_uri", "videos", ["uri_key"])
    op.create_index("deliveries_by_owner", "deliveries", ["lease_owner"])
    op.create_table(
        "submissions",
        sa.Column("job_key", sa.String(32), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("frames", sa.BigInteger, nullable=False),
        sa.Column("minutes", sa.Float, nullable=False),
        sa.ForeignKeyConstraint(["job_key"], ["jobs.key"], name="submissions_job"),
    )
    op.create_index("submissions_by_time", "submissions", ["pipeline", "at"])


def _fill_uri_keys() -> None:
    """Hash every URI as it is stored, so many at once that a large ledger takes seconds and little memory."""
    connection = op.get_bind()
    videos = sa.table("videos", sa.column("key"), sa.column("uri"), sa.column("uri_key"))
    page = sa.select(videos.c.key, videos.c.uri).order_by(videos.c.key).limit(_AT_ONCE)
    fill = sa.update(videos).where(videos.c.key == sa.bindparam("this")).values(uri_key=sa.bindparam("hash"))
    after = ""
    while rows := connection.execute(page.where(videos.c.key > after)).all():
        hashes = [{"this": key, "hash": hashlib.sha256(uri.encode()).hexdigest()[:16]} for key, uri in rows]
        connection.execute(fill, hashes)
        after = rows[-1].key
