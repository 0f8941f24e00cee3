"""Troubles with Prefect's server are told in one sentence, with the exit code of a service out of reach."""

from __future__ import annotations

import httpx
import pytest

from deployments.server_errors import in_our_words
from tasks.domain.errors import ServerUnavailable


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Failed to reach API at http://127.0.0.1:4200/api/"),
        RuntimeError("Timed out while attempting to connect to ephemeral Prefect API server."),
        httpx.ConnectError("All connection attempts failed"),
    ],
)
def test_a_server_that_does_not_answer_is_told(error: Exception) -> None:
    """Whether it is somebody's or one that Prefect started for the run."""
    with (
        pytest.raises(ServerUnavailable, match="the Prefect server of this run does not answer"),
        in_our_words("of this run"),
    ):
        raise error


def test_other_errors_are_left_alone() -> None:
    """They are not the server's."""
    with pytest.raises(RuntimeError, match="something else"), in_our_words("of this run"):
        raise RuntimeError("something else")
