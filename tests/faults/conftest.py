"""What the fault tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.nursery import Nursery, nursery


@pytest.fixture(scope="session")
def newborn(prefect_server: str) -> Iterator[Nursery]:
    """Command lines without the cost of their start, on the tests' Prefect server."""
    with nursery(prefect_server) as ready:
        yield ready
