"""A whole run that lets LightlyOne select from what it delivered."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.conftest import Finished, Yard
from tests.lightly_server import DATASET, TOKEN, LightlyServer, lightly_server

pytestmark = pytest.mark.engine

WANTED = (
    f", selection_run: {{dataset_id: {DATASET}, selection: {{nSamples: 5, "
    "strategies: [{input: {type: EMBEDDINGS}, strategy: {type: DIVERSITY}}]}}}"
)


def run(yard: Yard, server: LightlyServer, token: str) -> Finished:
    yard.environment |= {"LIGHTLY_SERVER_LOCATION": server.url, "LIGHTLY_TOKEN": token}
    path = Path(yard.pipeline())
    path.write_text(path.read_text().replace("task_name: yard}", f"task_name: yard{WANTED}"))
    return yard.reelroute("run", str(path), "--json", "--verbose")


def no_token_in(yard: Yard, ended: Finished, token: str) -> None:
    """Neither in what a run prints nor in what it keeps."""
    kept = [path.read_bytes().decode(errors="replace") for path in yard.folder.rglob("*") if path.is_file()]
    assert [] == [text[:200] for text in [ended.stdout, ended.stderr, *kept] if token in text]


def test_one_selection_is_scheduled_for_all_videos_of_a_run(yard: Yard) -> None:
    """And none by a run that has nothing new."""
    yard.clip("a.mp4")
    yard.clip("b.mp4")
    with lightly_server() as server:
        first, again = run(yard, server, TOKEN), run(yard, server, TOKEN)

    assert (0, 2) == (first.code, first.json["delivered"]["lightly"]), first.stderr
    assert {"lightly": f"{0xABC001:024x}"} == first.json["selections"]
    assert (0, {}) == (again.code, again.json["selections"]), again.stderr
    assert 1 == len(server.scheduled)
    no_token_in(yard, first, TOKEN)


def test_a_refusal_leaves_what_was_delivered(yard: Yard) -> None:
    """The run says so with exit code 3 and a hint, and no token."""
    yard.clip("a.mp4")
    with lightly_server() as server:
        ended = run(yard, server, "another-token-0123456789")

    assert (3, 1, 1) == (ended.code, ended.json["delivered"]["lightly"], ended.json["unscheduled"]), ended.stderr
    assert any("LIGHTLY_TOKEN" in warning for warning in ended.json["warnings"])
    assert [] == server.scheduled
    no_token_in(yard, ended, "another-token-0123456789")
