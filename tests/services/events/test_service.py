"""The service as a whole: what it loads, who may watch it, and what it says about itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from config.event_settings import EventSettings
from deployments.services.events.service import check_exposure, load_pipelines
from tasks.domain.errors import InputInvalid
from tests.services.events.conftest import PIPELINE, Scene, event_settings
from tests.services.events.messages import KEY, s3

NOBODY = EventSettings.model_validate({})


def write(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PIPELINE.format(name=name, uri="s3://yard/", more=""))


def test_pipelines_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default; by name, so that a worker elsewhere finds its own copy."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        write(tmp_path / "config/pipelines" / f"{name}.yaml", name)
    assert ["one", "two"] == [reference for reference, _ in load_pipelines(NOBODY)]


def test_named_pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is made absolute: a run may start in another folder."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "yard.yaml", "yard")
    [(reference, pipeline)] = load_pipelines(event_settings(REELROUTE_EVENTS_PIPELINES="./yard.yaml"))
    assert (str(tmp_path / "yard.yaml"), "yard") == (reference, pipeline.name)


def test_mistakes_are_told_before_anything_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pipeline at all, one that is missing, two of one name."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputInvalid, match="no pipeline is to be started"):
        load_pipelines(NOBODY)
    with pytest.raises(InputInvalid, match="there is no pipeline"):
        load_pipelines(event_settings(REELROUTE_EVENTS_PIPELINES="nowhere"))
    for folder in ("a", "b"):
        write(tmp_path / folder / "yard.yaml", "yard")
    with pytest.raises(InputInvalid, match="both named yard"):
        load_pipelines(event_settings(REELROUTE_EVENTS_PIPELINES="a/yard.yaml,b/yard.yaml"))


@pytest.mark.parametrize("host", ["0.0.0.0", "", "192.0.2.1"])
def test_nobody_listens_for_nobody(host: str) -> None:
    """Beyond loopback there has to be a sender who can be believed."""
    with pytest.raises(InputInvalid, match="could believe nobody"):
        check_exposure(NOBODY, host)
    check_exposure(event_settings(), host)
    check_exposure(NOBODY, "127.0.0.1")


async def test_watchers_from_elsewhere_need_the_key(scene: Scene) -> None:
    """On loopback none; else as a bearer token, which is what Prometheus sends."""
    assert 200 == (await scene.client.get("/metrics")).status_code
    scene.service.watched_by_others = True
    assert 401 == (await scene.client.get("/metrics")).status_code
    for wrong in ("Bearer MARKED", "Basic MARKED"):
        answer = await scene.client.get("/metrics", headers={"authorization": wrong})
        assert answer.status_code in (401, 403)
    answer = await scene.client.get("/metrics", headers={"authorization": f"Bearer {KEY}"})
    assert 200 == answer.status_code
    assert KEY not in answer.text
    assert 200 == (await scene.client.get("/healthz")).status_code


async def test_the_counters_say_how_the_inbox_stands(scene: Scene) -> None:
    """Depth and age, and batches by what was done."""
    await scene.post(s3("a.mp4", "b.mp4"))
    for _ in range(200):
        if scene.counted("reelroute_upload_batches_total", pipeline="s3-yard", outcome="started"):
            break
        await asyncio.sleep(0.1)
    assert 2 == scene.counted("reelroute_upload_events_total", via="s3", outcome="new")
    text = (await scene.client.get("/metrics")).text
    assert "reelroute_inbox_oldest_seconds" in text
    assert "reelroute_ledger_up 1.0" in text


async def test_readiness_names_what_is_missing(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Runs that cannot be started, by a code; what happened is for the log."""
    assert {"ledger": "ok", "runs": "ok"} == (await scene.client.get("/readyz")).json()["checks"]
    scene.starter.down = True
    scene.clock.ahead = timedelta(seconds=11)
    for _ in range(200):
        answer = await scene.client.get("/readyz")
        if answer.status_code == 503:
            break
        await asyncio.sleep(0.1)
    assert {"ledger": "ok", "runs": "service_unavailable"} == answer.json()["checks"]
    assert "the server is down" in caplog.text


async def test_a_part_that_dies_is_not_hidden(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in the drain: /healthz asks for a restart."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(scene.ledger, "batches", fail)
    for _ in range(100):
        answer = await scene.client.get("/healthz")
        if answer.status_code == 503:
            break
        await asyncio.sleep(0.1)
    assert 503 == answer.status_code
