"""Looking models up through the real SDK, in its process, against the stand-in service."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
from pydantic import SecretStr

from tasks.domain.errors import AuthRefused, ModelUnknown, PlanRefused, RateLimited, ReelrouteError, ServiceUnavailable
from tasks.domain.job import ModelRef
from tasks.domain.predictions import TaskType
from tasks.inference.answers import Discretion
from tasks.inference.base import ModelInfo
from tasks.inference.control import _translated, look_up
from tasks.inference.roboflow import RoboflowClient
from tests.contracts.inference_samples import HTML, assert_discreet
from tests.scripted_service import KEY, MARK, PROJECT, VERSION, Fault, ScriptedService

PLAYERS = ModelRef("players-x1", "2")


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with ScriptedService(prefix="/eu") as service:
        yield service


async def ask(service: ScriptedService, *models: ModelRef, key: str = KEY) -> tuple[ModelInfo, ...]:
    return await look_up(models, service.base_url, SecretStr(key))


def project(kind: str, versions: list[Any], **more: object) -> dict[str, Any]:
    return {"project": {**PROJECT, "type": kind, **more}, "versions": versions}


async def test_a_run_asks_once_for_all_its_models(service: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds and classes come back in the order asked for; clip and gaze need no asking; no HOME needed."""
    service.projects |= {
        "tags": project("classification", [1], multilabel=True, classes={"day": 1, "night": 2}),
        "sort": project("classification", [1], classes=["good", "bad"]),
        "bones": project("keypoint-detection", [3]),
        "masks": project("instance-segmentation", [1]),
    }
    monkeypatch.delenv("HOME")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    wanted = ("players-x1/2", "clip", "tags/1", "sort/1", "bones/3", "masks/1", "gaze")
    backend = RoboflowClient(service.base_url, SecretStr(KEY))
    infos = await backend.describe(tuple(map(ModelRef.parse, wanted)))
    await backend.aclose()
    assert [(str(info.ref), info.task) for info in infos] == [
        ("players-x1/2", TaskType.OBJECT_DETECTION),
        ("clip", TaskType.EMBEDDING),
        ("tags/1", TaskType.MULTILABEL_CLASSIFICATION),
        ("sort/1", TaskType.CLASSIFICATION),
        ("bones/3", TaskType.KEYPOINT_DETECTION),
        ("masks/1", TaskType.INSTANCE_SEGMENTATION),
        ("gaze", TaskType.GAZE),
    ]
    assert [info.classes for info in infos[:4]] == [("player", "ball"), (), ("day", "night"), ("good", "bad")]
    assert all(asked.call == "control" for asked in service.asked)
    assert len(service.asked) == 1 + 2 * 5
    assert "HOME" not in os.environ


async def test_foundation_models_need_no_service() -> None:
    """Nothing is asked for clip and gaze."""
    backend = RoboflowClient("http://127.0.0.1:1", SecretStr(KEY))
    refs = (ModelRef.parse("gaze"), ModelRef.parse("clip"))
    infos = await backend.describe(refs)
    assert infos == (ModelInfo(refs[0], TaskType.GAZE), ModelInfo(refs[1], TaskType.EMBEDDING))


async def test_a_model_file_keeps_its_digest(service: ScriptedService) -> None:
    """The reference that was asked for comes back as it was."""
    ref = ModelRef("players-x1", "1", "abc")
    assert (await ask(service, ref))[0].ref is ref


@pytest.mark.parametrize(
    ("known", "wanted", "words", "hint"),
    [
        ({}, "nobody/1", "No such project", "workspace of the key"),
        ({}, "players-x1/7", "no version 7", "1, 2"),
        ({"s": project("semantic-segmentation", [1])}, "s/1", "semantic-segmentation", "object-detection"),
        ({"v": project("text-image-pairs", [1])}, "v/1", "text-image-pairs", "object-detection"),
        (
            {"u": project("object-detection", [{**VERSION, "id": "acme/u/1", "model": None}])},
            "u/1", "no trained model", "train",
        ),
    ],
)  # fmt: skip
async def test_an_unfit_model_is_named_with_the_way_out(
    service: ScriptedService, known: dict[str, Any], wanted: str, words: str, hint: str
) -> None:
    """Unknown project or version, a kind that video inference does not take, nothing trained."""
    service.projects |= known
    with pytest.raises(ModelUnknown, match=words) as caught:
        await ask(service, ModelRef.parse(wanted))
    assert hint in caught.value.hint
    assert_discreet(caught.value)


async def test_a_version_that_owns_its_models_counts_as_trained(service: ScriptedService) -> None:
    """Newer versions name no model of their own but list trainings."""
    service.projects["u"] = project("object-detection", [{**VERSION, "id": "acme/u/1", "model": None}])
    service.trainings = [{"id": "t1", "modelType": "rfdetr", "modelIds": ["acme/u-1"]}]
    assert (await ask(service, ModelRef.parse("u/1")))[0].task is TaskType.OBJECT_DETECTION
    service.trainings = None
    with pytest.raises(ModelUnknown, match="no trained model"):
        await ask(service, ModelRef.parse("u/1"))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(401, body={"message": f"bad key {KEY}"}), AuthRefused),
        (Fault(402), PlanRefused),
        (Fault(429, (("Retry-After", "90"),)), RateLimited),
        (Fault(503, body=HTML), ServiceUnavailable),
        (Fault(body=HTML), ServiceUnavailable),
        (Fault(body={"unexpected": 1}), ServiceUnavailable),
        (Fault(drop="read"), ServiceUnavailable),
    ],
)
async def test_trouble_of_the_service_has_its_kind(
    service: ScriptedService, fault: Fault, kind: type[ReelrouteError]
) -> None:
    """The SDK's plain exceptions become ours, at once and without the key."""
    service.script("control", fault)
    with pytest.raises(kind) as caught:
        await ask(service, PLAYERS)
    assert len(service.asked) == 1
    assert_discreet(caught.value)
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after_s == 90


async def test_a_wrong_key_is_refused(service: ScriptedService) -> None:
    """The service's own 401 arrives as such, with the hint about the key."""
    with pytest.raises(AuthRefused, match="is not known") as caught:
        await ask(service, PLAYERS, key=f"wrong-{MARK}")
    assert "ROBOFLOW_API_KEY" in caught.value.hint
    assert_discreet(caught.value)


async def test_a_placeholder_key_never_reaches_the_sdk(service: ScriptedService) -> None:
    """Without a lower-case letter the SDK would ask nobody and break later."""
    with pytest.raises(AuthRefused, match="placeholder"):
        await ask(service, PLAYERS, key="YOUR_API_KEY")
    assert service.connections == 0


async def test_nobody_there_is_named() -> None:
    """An unreachable service is retryable, and its address is in the message."""
    with ScriptedService() as gone:
        pass
    with pytest.raises(ServiceUnavailable, match="cannot reach") as caught:
        await ask(gone, PLAYERS)
    assert_discreet(caught.value)
    assert caught.value.message.endswith(f"cannot reach {gone.base_url}: Connection refused")


def test_a_service_of_our_own_says_which_models_it_has() -> None:
    """Its hint is shown; of a workspace only Roboflow's own answer speaks."""
    said = {"error": "model_unknown", "message": "there is no such project here", "hint": "projects: oidv4"}
    answer = {"fault": "refused", "status": 404, "retry_after": None, "model": "cars/1"}
    show = Discretion(SecretStr(KEY))

    ours = _translated({**answer, "words": json.dumps(said)}, "http://127.0.0.1:1", show)
    theirs = _translated({**answer, "words": json.dumps({"error": "not found"})}, "https://api", show)

    assert ("projects: oidv4", True) == (ours.hint, "no such project here" in ours.message)
    assert "workspace of the key" in theirs.hint


async def test_passing_trouble_is_not_noticed(service: ScriptedService) -> None:
    """`describe` asks again."""
    service.script("control", Fault(503))
    backend = RoboflowClient(service.base_url, SecretStr(KEY))
    stamina.set_testing(True, attempts=3)
    try:
        infos = await backend.describe((PLAYERS,))
    finally:
        stamina.set_testing(False)
        await backend.aclose()
    assert infos[0].classes == ("player", "ball")


async def test_a_service_that_hangs_is_left(service: ScriptedService) -> None:
    """The SDK knows no timeouts; its process is ended."""
    service.script("control", Fault(hang=True))
    with pytest.raises(ServiceUnavailable, match="no answer"):
        await look_up((PLAYERS,), service.base_url, SecretStr(KEY), timeout_s=2)


async def test_an_sdk_that_breaks_is_told(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A broken installation shows its last words, redacted, and is no traceback of ours."""
    (tmp_path / "roboflow.py").write_text(f"raise RuntimeError('incompatible, https://h/?api_key={MARK}')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ServiceUnavailable, match="SDK failed: RuntimeError: incompatible") as caught:
        await ask(service, PLAYERS)
    assert_discreet(caught.value)


async def test_the_users_own_sdk_settings_do_not_matter(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A broken or foreign SDK configuration, region or address in the environment changes nothing."""
    (tmp_path / "config.json").write_text("not JSON")
    monkeypatch.setenv("ROBOFLOW_CONFIG_DIR", str(tmp_path / "config.json"))
    monkeypatch.setenv("ROBOFLOW_REGION", "eu")
    monkeypatch.setenv("API_URL", "http://127.0.0.1:9")
    assert (await ask(service, PLAYERS))[0].classes == ("player", "ball")
