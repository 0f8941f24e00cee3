"""Where alembic starts: it runs the migrations on the connection that ``open_ledger`` hands over.

The caller's transaction holds the lock and commits. Alembic loads this file; nothing imports it.
"""

from __future__ import annotations

from alembic import context

from tasks.ledger.schema import REVISION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=REVISION_TABLE,
    # SQLite alters few things about a table in place; alembic then copies it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
