"""The client of the hosted API keeps the contract, and says things as the API wants them said."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tasks.domain.errors import AuthRefused, InputInvalid, ModelUnknown
from tasks.domain.job import InferenceSpec, ModelRef
from tasks.domain.predictions import TaskType
from tasks.inference.base import InferenceBackend, LocalVideo, ModelInfo
from tasks.inference.roboflow import MAX_CALLS, RoboflowClient
from tests.contracts.inference import InferenceContract
from tests.contracts.inference_samples import LARGEST_RESULT, MODEL, SPEC, VIDEO, assert_discreet, job_of
from tests.scripted_service import KEY, Fault, ScriptedService
from tests.unit.tasks.inference.roboflow_client import client


class TestRoboflowClient(InferenceContract):
    """Everything that is asked of a backend."""

    def open(self, service: ScriptedService) -> InferenceBackend:
        return client(service.base_url, max_result_bytes=LARGEST_RESULT)


# --- before anything is sent -----------------------------------------------------------------


@pytest.mark.parametrize("key", [None, SecretStr(""), SecretStr(" \n")])
def test_a_missing_key_is_named_before_anything_is_sent(key: SecretStr | None) -> None:
    """The error says which variable to set."""
    with pytest.raises(AuthRefused) as caught:
        RoboflowClient("http://127.0.0.1:1", key)
    assert "ROBOFLOW_API_KEY" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "", "api.roboflow.com", "ftp://x", "http://", "http://[x", "http://u:p@h",
        "http://h/?api_key=MARKED-SECRET", "http://h:x",
    ]
)  # fmt: skip
def test_an_address_must_be_plain(url: str) -> None:
    """What is no http(s) address, or holds a secret, is refused and not repeated in the message."""
    with pytest.raises(InputInvalid) as caught:
        RoboflowClient(url, SecretStr(KEY))
    assert_discreet(caught.value)


async def test_white_space_around_key_and_address_is_forgiven(service: ScriptedService) -> None:
    """A key read from a file ends in a newline; an address may end in a slash."""
    backend = RoboflowClient(f" {service.base_url}/ ", SecretStr(f"{KEY}\n"))
    assert await job_of(backend) == "job-1"
    assert service.base_url == backend.base_url
    await backend.aclose()


async def test_a_loopback_service_is_reached_past_a_proxy(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company proxy in the environment cannot reach this machine, and is not asked to."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    backend = client(service.base_url)
    assert await job_of(backend) == "job-1"
    await backend.aclose()


# --- what is sent ----------------------------------------------------------------------------


@pytest.mark.parametrize(("fps", "sent"), [(5.0, "5"), (1.0, "1"), (2.5, "2.5"), (29.97, "29.97")])
async def test_whole_frame_rates_are_whole_numbers(
    service: ScriptedService, backend: RoboflowClient, fps: float, sent: str
) -> None:
    """5.0 goes out as 5."""
    await backend.submit(VIDEO, InferenceSpec("roboflow", (MODEL.ref,), fps), (MODEL,))
    assert f'"infer_fps":{sent},' in service.asked[0].body.decode()


async def test_every_kind_of_model_is_spelled_as_the_api_does(
    service: ScriptedService, backend: RoboflowClient
) -> None:
    """The confidence goes with trained models only; multi-label is a classification."""
    kinds = {
        "a/1": (TaskType.INSTANCE_SEGMENTATION, "instance-segmentation"),
        "b/2": (TaskType.KEYPOINT_DETECTION, "keypoint-detection"),
        "c/3": (TaskType.CLASSIFICATION, "classification"),
        "d/4": (TaskType.MULTILABEL_CLASSIFICATION, "classification"),
        "clip": (TaskType.EMBEDDING, "clip-embed-image"),
        "gaze": (TaskType.GAZE, "gaze-detection"),
    }
    models = tuple(ModelInfo(ModelRef.parse(name), task) for name, (task, _) in kinds.items())
    job_id = await backend.submit(VIDEO, InferenceSpec("roboflow", (), 5.0, 0.25), models)
    sent = service.jobs[job_id]["models"]
    assert [kind for _, kind in kinds.values()] == [entry["inference_type"] for entry in sent]
    assert [entry["model_version"] for entry in sent] == ["1", "2", "3", "4", "1", "1"]
    assert [entry.get("inference_params") for entry in sent] == [{"confidence": 0.25}] * 4 + [None] * 2


@pytest.mark.parametrize("task", [TaskType.SEMANTIC_SEGMENTATION, TaskType.NONE])
async def test_a_kind_that_video_inference_does_not_take_is_never_sent(
    service: ScriptedService, backend: RoboflowClient, task: TaskType
) -> None:
    """Nothing is asked, nothing is uploaded, nothing is paid."""
    with pytest.raises(ModelUnknown):
        await backend.submit(LocalVideo(Path("x.mp4"), "x"), SPEC, (ModelInfo(MODEL.ref, task),))
    assert service.asked == []


URL_TEXT = st.text("abcXYZ019-._~!$&()*+,;=:@/'[]|^{}\\%", max_size=40).map(lambda t: t.replace("%", "%2f"))


@given(path=URL_TEXT, query=URL_TEXT)
def test_signed_urls_go_out_byte_for_byte(path: str, query: str) -> None:
    """httpx leaves every character alone that a signed URL may hold; only backslashes and braces
    in a path, which no signer leaves unescaped, are not its own."""
    path = "".join(c for c in path if c not in "\\{}").replace("/.", "/")
    target = f"/p{path}?{query}"
    assert target == httpx.Request("GET", f"https://host{target}").url.raw_path.decode()


async def test_the_official_client_sends_the_same(service: ScriptedService, backend: RoboflowClient) -> None:
    """The roboflow SDK's own job request is equal to ours, field by field and type by type."""
    code = (
        "import sys; from roboflow.models.object_detection import ObjectDetectionModel as Model\n"
        "model = Model(sys.stdin.readline().strip(), 'acme/players-x1/2', version='2')\n"
        "job, url, _ = model.predict_video(sys.argv[1], fps=5, additional_models=['clip'])\n"
        "print(job, model.poll_for_video_results(job)['frame_offset'])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", code, VIDEO.url,
        env={**os.environ, "API_URL": service.base_url, "HOME": "/nonexistent"},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate(f"{KEY}\n".encode())
    clip = ModelInfo(ModelRef.parse("clip"), TaskType.EMBEDDING)
    job_id = await backend.submit(VIDEO, SPEC, (MODEL, clip))
    assert output.decode().splitlines()[-1] == "job-1 [0, 5, 10, 15, 20]"
    assert json.dumps(service.jobs["job-1"], sort_keys=True) == json.dumps(service.jobs[job_id], sort_keys=True)
    assert service.calls("submit")[0].target == service.calls("submit")[1].target


# --- many at once ----------------------------------------------------------------------------


async def test_a_thousand_questions_at_once(service: ScriptedService, backend: RoboflowClient) -> None:
    """All are answered, over a bounded number of connections."""
    job_id = await job_of(backend)
    answers = await asyncio.gather(*(backend.check(job_id) for _ in range(1000)))
    assert sum(answer.done for answer in answers) == 1000
    assert service.connections <= 2 * (MAX_CALLS + 1)


async def test_submissions_never_share_a_connection(service: ScriptedService, backend: RoboflowClient) -> None:
    """A kept-alive connection may be closed under us; each submission opens its own."""
    for _ in range(5):
        await backend.check(await job_of(backend))
    assert (len(service.jobs), service.connections) == (5, 5 + 1)


async def test_cancelling_a_submission_is_heard(service: ScriptedService, backend: RoboflowClient) -> None:
    """A run that is told to stop does not wait for the answer (and the job is in doubt)."""
    service.script("submit", Fault(hang=True, acts=True))
    submission = asyncio.create_task(job_of(backend))
    await asyncio.to_thread(service.wait_for_job)
    submission.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submission
