"""A selection run follows deliveries, once per route and run, and never spoils them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import stamina

from config.pipeline import Pipeline
from config.settings import Settings
from tasks.report import Outcome, exit_code, headline
from tasks.selection import due, schedule_due
from tests.lightly_server import DATASET, TOKEN, LightlyServer, lightly_server

WANTED = {
    "dataset_id": DATASET,
    "selection": {"nSamples": 5, "strategies": [{"input": {"type": "RANDOM"}, "strategy": {"type": "WEIGHTS"}}]},
}


@pytest.fixture
def server() -> Iterator[LightlyServer]:
    with lightly_server() as state, stamina.set_testing(True, attempts=2):
        yield state


def pipeline(**lightly: Any) -> Pipeline:
    routes = [
        {"to": "lightly", "datasource": "/a", "task_name": "t", **lightly},
        {"to": "lightly", "name": "plain", "datasource": "/b", "task_name": "t"},
        {"to": "results", "uri": "/c"},
    ]
    return Pipeline.model_validate(
        {
            "name": "yard",
            "sources": [{"uri": "/in"}],
            "inference": {"backend": "local", "model": "oidv4/1"},
            "routes": routes,
        }
    )


def settings(server: LightlyServer, token: str = TOKEN) -> Settings:
    return Settings.model_validate({"LIGHTLY_TOKEN": token, "LIGHTLY_SERVER_LOCATION": server.url})


@pytest.mark.parametrize(
    ("wanted", "delivered", "expected"),
    [
        ({}, Counter(lightly=3, plain=3, results=3), []),
        ({"selection_run": WANTED}, Counter(lightly=3, plain=3), ["lightly"]),
        ({"selection_run": WANTED}, Counter(plain=3, results=3), []),
        ({"selection_run": WANTED}, Counter(), []),
    ],
)
def test_it_is_asked_for_and_there_is_something_new(
    wanted: dict[str, Any], delivered: Counter[str], expected: list[str]
) -> None:
    """Off by default, and a run without deliveries schedules none."""
    assert expected == [name for name, _ in due(pipeline(**wanted), Outcome(delivered=delivered))]


def test_a_run_schedules_one_however_much_it_delivered(server: LightlyServer) -> None:
    """Its id is in the outcome."""
    outcome = Outcome(delivered=Counter(lightly=800))

    schedule_due(pipeline(selection_run=WANTED), settings(server), outcome)

    assert 1 == len(server.scheduled)
    assert {"lightly": f"{0xABC001:024x}"} == outcome.selections
    assert (0, []) == (exit_code(outcome, trouble=False), outcome.warnings)


def test_a_refusal_is_a_warning_and_an_exit_code(server: LightlyServer) -> None:
    """What was delivered stays delivered; the code says that a service refused us, and no token is told."""
    outcome = Outcome(delivered=Counter(lightly=1))

    schedule_due(pipeline(selection_run=WANTED), settings(server, token="not-the-token"), outcome)

    assert {} == outcome.selections
    assert 3 == exit_code(outcome, trouble=False)
    assert ["lightly: no selection run was scheduled: LightlyOne refuses (401)"] == [
        warning.partition(": {")[0] for warning in outcome.warnings
    ]
    assert "LIGHTLY_TOKEN" in outcome.warnings[0]
    assert "not-the-token" not in outcome.warnings[0]


def test_the_headline_says_what_is_missing() -> None:
    """A run whose videos are all delivered is not called well."""
    none = ("interrupted", "in_flight", "failed", "unknown", "skipped", "stopped", "elsewhere", "undelivered")
    summary = dict.fromkeys(none, 0) | {"left_out": {}, "discovered": 3, "unscheduled": 1}

    assert "not asked to select" in headline(summary)
