"""The official roboflow SDK, unchanged, against a running service: it pins the contract."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.storage.loopback import file_url_secret, sign_file_url
from tests.services.inference.conftest import API_KEY
from tests.services.inference.service_process import ServiceProcess

# The SDK takes a key without a lower-case letter for a demonstration key, and binds API_URL when it is imported.
_PRELUDE = """
import json, sys, time
import roboflow
def until_done(model, job_id):
    while not (results := model.poll_for_video_results(job_id)):
        time.sleep(0.05)
    return results
def tell(**facts):
    print("FACTS " + json.dumps(facts))
key, video, *rest = sys.argv[1:]
"""
_MODEL = 'model = roboflow.Roboflow(key).workspace().project("oidv4").version(1).model\n'


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, bikes: Path) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("sdk")
    running = ServiceProcess(
        folder / "log", api_key=API_KEY, state_dir=str(folder / "state"), workers=1, allow_folders=[str(bikes.parent)]
    )
    yield running
    running.stop()


def _sdk(service: ServiceProcess, program: str, video: str, home: Path, key: str = API_KEY) -> Any:
    """Run a program with the SDK in a process of its own; return what it told, or its error text."""
    environment = {"API_URL": service.url, "HOME": str(home), "ROBOFLOW_CONFIG_DIR": str(home / "config.json")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PRELUDE + program, key, video],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    facts = [line.removeprefix("FACTS ") for line in done.stdout.splitlines() if line.startswith("FACTS ")]
    return json.loads(facts[0]) if facts else done.stderr


def test_a_local_file_goes_all_the_way(service: ServiceProcess, bikes: Path, tmp_path: Path) -> None:
    """Upload, submit, poll until done (with its sleep of a minute cut short), download."""
    program = """
time.sleep = lambda seconds, sleep=time.sleep: sleep(min(seconds, 0.1))
job_id, url, expires = model.predict_video(video, fps=5, prediction_type="batch-video")
tell(expires=expires, results=model.poll_until_video_results(job_id))
"""
    told = _sdk(service, _MODEL + program, str(bikes), tmp_path)
    assert told["expires"] == "3600"
    assert told["results"]["frame_offset"] == list(range(0, 250, 5))
    assert len(told["results"]["oidv4"]) == 50


def test_a_url_goes_all_the_way(service: ServiceProcess, bikes: Path, tmp_path: Path) -> None:
    """Here a signed URL of a folder that the service gives out."""
    program = """
job_id, url, expires = model.predict_video(video, fps=1, prediction_type="batch-video")
tell(same=url == video, expires=expires, results=until_done(model, job_id))
"""
    soon = datetime.now(UTC) + timedelta(minutes=5)
    url = sign_file_url(service.url, file_url_secret(API_KEY), bikes, soon)
    told = _sdk(service, _MODEL + program, url, tmp_path)
    assert (told["same"], told["expires"]) == (True, None)
    assert len(told["results"]["oidv4"]) == 10


def test_the_newer_way_to_a_model_works_too(service: ServiceProcess, bikes: Path, tmp_path: Path) -> None:
    """`version.model` is deprecated in favour of `version.models()`."""
    program = """
project = roboflow.Roboflow(key).workspace().project("oidv4")
(model,) = project.version(1).models()
job_id, _, _ = model.predict_video(video, fps=1)
tell(classes=list(project.classes), type=project.type, results=until_done(model, job_id))
"""
    told = _sdk(service, program, str(bikes), tmp_path)
    assert told["type"] == "object-detection"
    assert len(told["classes"]) == 23
    assert "Person" in told["classes"]
    assert len(told["results"]["oidv4"]) == 10


def test_a_failed_job_reaches_the_caller(service: ServiceProcess, bikes: Path, tmp_path: Path) -> None:
    """The SDK returns it as if it were a result; its status, code and hint are there to see."""
    program = """
job_id, _, _ = model.predict_video(video, fps=60)
tell(results=until_done(model, job_id))
"""
    told = _sdk(service, _MODEL + program, str(bikes), tmp_path)["results"]
    assert (told["status"], told["error"]) == (2, "fps_too_high")
    assert told["message"]
    assert told["hint"]


def test_foundation_models_are_refused_in_words(service: ServiceProcess, bikes: Path, tmp_path: Path) -> None:
    """CLIP does not run here: the SDK's exception carries our sentence, and nothing was queued."""
    program = 'model.predict_video(video, fps=5, additional_models=["clip"])\n'
    error = _sdk(service, _MODEL + program, str(bikes), tmp_path)
    assert "the model 'clip' runs on Roboflow's hosted service only" in error


def test_a_wrong_key_is_told_at_once(service: ServiceProcess, bikes: Path, tmp_path: Path) -> None:
    """Without the SDK's five retries, which it makes for every other status."""
    error = _sdk(service, _MODEL, str(bikes), tmp_path, key="wrong-key")
    assert "the API key is missing or wrong" in error
    assert "retrying" not in error


@pytest.mark.parametrize(("project", "version"), [("nope", 1), ("oidv4", 2)])
def test_an_unknown_model_is_told(
    service: ServiceProcess, bikes: Path, tmp_path: Path, project: str, version: int
) -> None:
    """By the control plane, before any video is sent."""
    program = f'roboflow.Roboflow(key).workspace().project("{project}").version({version})\n'
    error = _sdk(service, program, str(bikes), tmp_path)
    assert "there is no such project" in error or "Version number 2 is not found" in error
