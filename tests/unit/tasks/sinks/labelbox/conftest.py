"""A stand-in of Labelbox for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulators.labelbox.server import LabelboxServer, labelbox_server
from tests.unit.tasks.sinks.labelbox.workplace import Workplace


@pytest.fixture
def server() -> Iterator[LabelboxServer]:
    """An empty workspace."""
    with labelbox_server() as running:
        yield running


@pytest.fixture
def workplace(server: LabelboxServer, tmp_path: Path) -> Workplace:
    """A route to it."""
    return Workplace(server, tmp_path)
