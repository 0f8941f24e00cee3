"""Sinks' tests inherit a contract, whose asserts should explain themselves too."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contracts.sinks")
