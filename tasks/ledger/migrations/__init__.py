"""How ledgers of older versions become ledgers of this one; alembic reads this folder."""
