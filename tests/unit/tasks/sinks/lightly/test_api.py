"""Scheduling a selection run at LightlyOne: what is asked, what goes wrong, and that the token stays hidden."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import stamina

from tasks.domain.errors import (
    AuthRefused,
    PlanRefused,
    RateLimited,
    ReelrouteError,
    RequestRefused,
    ServiceUnavailable,
)
from tasks.sinks.lightly.api import LightlyApi
from tests.lightly_server import DATASET, TOKEN, LightlyServer, lightly_server

SELECTION = {"nSamples": 50, "strategies": [{"input": {"type": "EMBEDDINGS"}, "strategy": {"type": "DIVERSITY"}}]}


@pytest.fixture
def server() -> Iterator[LightlyServer]:
    with lightly_server() as state, stamina.set_testing(True, attempts=3):
        yield state


def schedule(server: LightlyServer, *, token: str = TOKEN, **more: Any) -> str:
    how = {"selection": SELECTION, "worker": {}, "runs_on": [], "priority": "mid"} | more
    with closing(LightlyApi(server.url, token)) as api:
        return api.schedule(how.pop("dataset_id", DATASET), **how)


def test_a_run_is_configured_and_scheduled(server: LightlyServer) -> None:
    """Two requests, as Lightly's own client sends them; the id of what was scheduled comes back."""
    scheduled = schedule(server, worker={"enable_corruptness_check": False}, runs_on=["nightly"], priority="high")

    assert f"{0xABC001:024x}" == scheduled
    assert [f"{1:024x}"] == list(server.configs)
    assert {
        "workerType": "FULL",
        "docker": {"enable_corruptness_check": False},
        "selection": SELECTION,
    } == server.configs[f"{1:024x}"]
    order = {"configId": f"{1:024x}", "priority": "HIGH", "runsOn": ["nightly"], "creator": "USER_PIP"}
    assert [order] == server.scheduled


def test_a_dataset_has_a_name(server: LightlyServer) -> None:
    """By which people know that it is the right one."""
    with closing(LightlyApi(server.url, TOKEN)) as api:
        assert "yard videos" == api.dataset_name(DATASET)


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (400, RequestRefused, "selection_run"),
        (401, AuthRefused, "LIGHTLY_TOKEN"),
        (402, PlanRefused, "plan"),
        (403, AuthRefused, "LIGHTLY_TOKEN"),
        (404, RequestRefused, "dataset_id"),
        (422, RequestRefused, "datasources"),
        (418, RequestRefused, "LIGHTLY_SERVER_LOCATION"),
    ],
)
def test_refusals_have_a_hint_and_are_not_tried_again(
    server: LightlyServer, status: int, kind: type[ReelrouteError], hint: str
) -> None:
    """The server's own words are shown, without the URL that it may quote."""
    server.faults = [(status, '{"code": "BAD", "error": "no good at {url}"}')]

    with pytest.raises(kind, match=rf"refuses \({status}\).*no good") as caught:
        schedule(server)

    assert hint in caught.value.hint
    assert TOKEN not in f"{caught.value.message}{caught.value.hint}{caught.value!r}"
    assert 1 == len(server.requests)
    assert [] == server.scheduled


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"token": "wrong"}, AuthRefused),
        ({"dataset_id": "0" * 24}, RequestRefused),
        ({"selection": {"n_samples": 3}}, RequestRefused),
        ({"selection": {}}, RequestRefused),
    ],
)
def test_what_the_api_does_not_take_is_refused(
    server: LightlyServer, more: dict[str, Any], kind: type[ReelrouteError]
) -> None:
    """Nothing is scheduled."""
    with pytest.raises(kind) as caught:
        schedule(server, **more)

    assert caught.value.hint
    assert [] == server.scheduled


@pytest.mark.parametrize("fault", [(503, "busy"), (429, "slow down"), "cut"])
def test_a_configuration_is_asked_for_again(server: LightlyServer, fault: Any) -> None:
    """Nothing comes of one too many; the run is scheduled once."""
    server.faults = [fault]

    schedule(server)

    assert 1 == len(server.scheduled)


@pytest.mark.parametrize("fault", [(503, "busy"), "cut"])
def test_a_run_is_never_scheduled_twice(server: LightlyServer, fault: Any) -> None:
    """Where the answer is lost nobody knows, and that is said."""
    server.faults = [None, fault]

    with pytest.raises(ServiceUnavailable, match="not known") as caught:
        schedule(server)

    assert 2 == len(server.requests)
    assert len(server.scheduled) <= 1
    assert "before you schedule one by hand" in caught.value.hint


def test_a_busy_server_is_told_as_such_in_the_end(server: LightlyServer) -> None:
    """After its attempts."""
    server.faults = [(429, "slow down")] * 9

    with pytest.raises(RateLimited):
        schedule(server)

    assert 3 == len(server.requests)


@pytest.mark.parametrize("said", ["<html>", "[]", "{}", '{"id": 7}', '{"id": ""}'])
def test_a_server_that_is_another_one_is_refused(server: LightlyServer, said: str) -> None:
    """A login page of a proxy answers 200 too."""
    server.faults = [(200, said)]

    with pytest.raises(RequestRefused) as caught:
        schedule(server)

    assert "LIGHTLY_SERVER_LOCATION" in caught.value.hint


def test_a_server_that_is_not_there_is_named(server: LightlyServer) -> None:
    """Without the query of the URL."""
    with (
        closing(LightlyApi("http://127.0.0.1:9", TOKEN)) as api,
        pytest.raises(ServiceUnavailable, match=r"http://127\.0\.0\.1:9 does not answer") as caught,
    ):
        api.dataset_name(DATASET)

    assert TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("faults", [[], [(403, "{url}")], ["cut", "cut", "cut"]])
def test_the_token_is_in_no_log(server: LightlyServer, caplog: pytest.LogCaptureFixture, faults: list[Any]) -> None:
    """Not even when everything is logged, whether it goes well or not."""
    server.faults = list(faults)
    said = ""
    with caplog.at_level(logging.DEBUG):
        try:
            schedule(server)
        except ReelrouteError as error:
            said = f"{error!r} {error.hint}"
    logged = [record.getMessage() + repr(record.args) + str(record.exc_text) for record in caplog.records]

    assert any(record.name == "httpx" for record in caplog.records) == (faults != ["cut"] * 3)
    assert [] == [text for text in [said, *logged] if TOKEN in text]
    assert TOKEN not in repr(LightlyApi(server.url, TOKEN))
