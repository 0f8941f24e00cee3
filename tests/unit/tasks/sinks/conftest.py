"""Sinks' tests inherit a contract and share readers, whose asserts should explain themselves too."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contracts.sinks")
pytest.register_assert_rewrite(
    "tests.unit.tasks.sinks.labelbox.strict_reader",
    "tests.contracts.tree_reader",
    "tests.unit.tasks.sinks.lightly.recorded",
)
