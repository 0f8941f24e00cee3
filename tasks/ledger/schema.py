"""The ledger's tables, as the newest migration leaves them.

    videos ─< jobs ─< pipeline_jobs     which pipeline sees which job, and under what name
                   ├< deliveries        one per pipeline and route
                   ├< submissions       what was or may have been paid, and for which pipeline
                   └< moves             the story of both, never changed; of delivered jobs it is forgotten in time
    batches ─< uploads                  the inbox: what stores have reported, until a run has seen to it
    shards ─< shard_jobs                lists of jobs that processes share
    kept_pipelines                      pipelines that have no file

A change here needs a migration beside the others and a new ``REVISION``; a test compares them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from tasks.ledger.columns import DELIVERY_STATE, FAILURE, INFO, JOB_STATE, SPEC, TIME, URIS, VERBATIM

# Head of migrations/versions. A ledger that has it is opened without loading alembic.
REVISION = "0007"
REVISION_TABLE = "ledger_revision"

metadata = MetaData()

# SQLite counts rows up by itself only in a column of exactly this type.
_Counter = BigInteger().with_variant(Integer, "sqlite")

# One row per object version. ``key`` (of URI and version) and ``uri_key`` are hashes, because a URI can be longer
# than an index entry may be.
videos = Table(
    "videos",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("uri", VERBATIM, nullable=False),
    Column("version", VERBATIM, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("modified", TIME, nullable=False),
    Column("info", INFO),
    Column("content", VERBATIM),
    Column("uri_key", String(16)),
    Index("videos_by_content", "content"),
    Index("videos_by_uri", "uri_key"),
)

# ``id`` says in which order jobs became known; everything else goes by ``key``.
jobs = Table(
    "jobs",
    metadata,
    Column("id", _Counter, primary_key=True),
    Column("key", String(32), nullable=False),
    Column("video_key", String(32), nullable=False),
    Column("spec", SPEC, nullable=False),
    Column("state", JOB_STATE, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("token", VERBATIM, nullable=False),
    Column("job_id", VERBATIM, nullable=False),
    Column("service", VERBATIM, nullable=False),
    Column("result_key", VERBATIM, nullable=False),
    Column("failure", FAILURE),
    Column("submitted_at", TIME),
    Column("lease_owner", VERBATIM, nullable=False),
    Column("lease_until", TIME),
    Column("updated_at", TIME, nullable=False),
    Column("bound", Boolean),
    UniqueConstraint("key", name="jobs_key"),
    ForeignKeyConstraint(["video_key"], ["videos.key"], name="jobs_video"),
    Index("jobs_by_state", "state", "id"),
    Index("jobs_by_video", "video_key"),
    Index("jobs_by_owner", "lease_owner"),
)

# No index by pipeline: SQLite would use it to read jobs, and sort all of a pipeline's for every page.
pipeline_jobs = Table(
    "pipeline_jobs",
    metadata,
    Column("job_key", String(32), primary_key=True),
    Column("pipeline", VERBATIM, primary_key=True),
    Column("name", VERBATIM, nullable=False),
    Column("seen_at", TIME, nullable=False),
    ForeignKeyConstraint(["job_key"], ["jobs.key"], name="pipeline_jobs_job"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Counter, primary_key=True),
    Column("job_key", String(32), nullable=False),
    Column("pipeline", VERBATIM, nullable=False),
    Column("route", VERBATIM, nullable=False),
    Column("fingerprint", VERBATIM, nullable=False),
    Column("state", DELIVERY_STATE, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("outputs", URIS, nullable=False),
    Column("failure", FAILURE),
    Column("lease_owner", VERBATIM, nullable=False),
    Column("lease_until", TIME),
    Column("updated_at", TIME, nullable=False),
    UniqueConstraint("job_key", "pipeline", "route", name="deliveries_route"),
    ForeignKeyConstraint(["job_key"], ["jobs.key"], name="deliveries_job"),
    Index("deliveries_by_state", "state", "id"),
    Index("deliveries_by_owner", "lease_owner"),
)

# One row per attempt that the service took or may have taken; budgets of a period are counted from it.
submissions = Table(
    "submissions",
    metadata,
    Column("job_key", String(32), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("pipeline", VERBATIM, nullable=False),
    Column("at", TIME, nullable=False),
    Column("frames", BigInteger, nullable=False),
    Column("minutes", Float, nullable=False),
    ForeignKeyConstraint(["job_key"], ["jobs.key"], name="submissions_job"),
    Index("submissions_by_time", "pipeline", "at"),
)

moves = Table(
    "moves",
    metadata,
    Column("id", _Counter, primary_key=True),
    Column("at", TIME, nullable=False),
    Column("job_key", String(32), nullable=False),
    Column("pipeline", VERBATIM, nullable=False),
    Column("subject", VERBATIM, nullable=False),
    Column("before", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("owner", VERBATIM, nullable=False),
    Column("detail", VERBATIM, nullable=False),
    ForeignKeyConstraint(["job_key"], ["jobs.key"], name="moves_job"),
    Index("moves_by_job", "job_key", "id"),
)

# One row per reported object version and pipeline that wants it. ``object_key`` is of all its versions.
uploads = Table(
    "uploads",
    metadata,
    Column("id", _Counter, primary_key=True),
    Column("key", String(32), nullable=False),
    Column("object_key", String(32), nullable=False),
    Column("pipeline", VERBATIM, nullable=False),
    Column("uri", VERBATIM, nullable=False),
    Column("version", VERBATIM, nullable=False),
    Column("size", BigInteger),
    Column("sequencer", VERBATIM, nullable=False),
    Column("state", Text, nullable=False),
    Column("batch", String(32), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("outcome", VERBATIM, nullable=False),
    Column("received_at", TIME, nullable=False),
    Column("due_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    UniqueConstraint("key", name="uploads_key"),
    Index("uploads_by_object", "object_key"),
    Index("uploads_by_state", "state", "pipeline", "id"),
    Index("uploads_by_batch", "batch"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("pipeline", VERBATIM, nullable=False),
    Column("state", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("run", VERBATIM, nullable=False),
    Column("lease_owner", VERBATIM, nullable=False),
    Column("lease_until", TIME, nullable=False),
    Column("formed_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    Index("batches_by_state", "state", "formed_at"),
)

shards = Table(
    "shards",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("batch", String(64), nullable=False),
    Column("pipeline", VERBATIM, nullable=False),
    Column("number", Integer, nullable=False),
    Column("began_at", TIME, nullable=False),
    Column("spare", Text, nullable=False),
    Column("done", Integer, nullable=False),
    Column("notes", VERBATIM),
    Column("lease_owner", VERBATIM, nullable=False),
    Column("lease_until", TIME),
    Column("updated_at", TIME, nullable=False),
    Index("shards_by_batch", "batch", "number"),
)

shard_jobs = Table(
    "shard_jobs",
    metadata,
    Column("shard", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("job_key", String(32), nullable=False),
    ForeignKeyConstraint(["shard"], ["shards.id"], name="shard_jobs_shard"),
    ForeignKeyConstraint(["job_key"], ["jobs.key"], name="shard_jobs_job"),
)

kept_pipelines = Table(
    "kept_pipelines",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("text", VERBATIM, nullable=False),
    Column("kept_at", TIME, nullable=False),
)
