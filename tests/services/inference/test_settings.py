"""Settings of the service."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deployments.services.inference.settings import ServiceSettings
from tasks.domain.errors import InputInvalid


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": ""},
        {"api_key": " \n"},
        {"api_key": "", "host": "0.0.0.0"},
        {"workers": 0},
        {"max_bytes": 0},
        {"max_duration": timedelta(0)},
        {"job_timeout": timedelta(seconds=-1)},
        {"result_lifetime": timedelta(0)},
        {"retention": timedelta(0)},
    ],
)
def test_impossible_values_are_refused_at_once(wrong: dict[str, Any]) -> None:
    """A service is never started with settings that cannot work."""
    with pytest.raises(InputInvalid):
        ServiceSettings(**{"api_key": "key", "state_dir": Path("/state"), **wrong})


def test_the_key_is_not_shown() -> None:
    """Settings may be logged."""
    assert "s3cret" not in repr(ServiceSettings(api_key="s3cret", state_dir=Path("/state")))


def test_one_worker_per_core_unless_told() -> None:
    """The default is the cores that this process may use."""
    assert len(os.sched_getaffinity(0)) == ServiceSettings(api_key="key", state_dir=Path("/state")).worker_count
    assert ServiceSettings(api_key="key", state_dir=Path("/state"), workers=3).worker_count == 3
