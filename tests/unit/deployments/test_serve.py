"""`reelroute serve …` as people start it: refusals, keys, what is logged and how."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.ledger.open import open_ledger
from tests.contracts.ledger_samples import add
from tests.flows.conftest import Yard
from tests.services.test_metrics import samples

KEY = "s3cret-key-s3cret"


@contextmanager
def serving(tmp_path: Path, *arguments: str, **environment: str) -> Iterator[tuple[str, Path]]:
    """A service as a process; its address, and the file that its stderr goes to."""
    log = tmp_path / "stderr"
    env = {**os.environ, "REELROUTE_HOME": str(tmp_path / "home"), **environment}
    command = [sys.executable, "-m", "deployments.cli", "serve", *arguments, "--port", "0", "--json"]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=env, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        yield json.loads(line)["url"], log
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert 0 == process.returncode


@pytest.mark.parametrize("service", ["inference", "metrics"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_no_service_listens_to_other_machines_without_a_key(tmp_path: Path, service: str, host: str) -> None:
    """Refused before anything starts, with the variable that sets one."""
    yard = Yard(tmp_path, {"ROBOFLOW_API_KEY": "", "REELROUTE_METRICS_KEY": ""})
    ended = yard.reelroute("serve", service, "--host", host, "--port", "0", "--json")

    assert (2, "input_invalid") == (ended.code, ended.json["error"]["code"])
    assert host in ended.json["error"]["message"]
    assert {"inference": "ROBOFLOW_API_KEY", "metrics": "REELROUTE_METRICS_KEY"}[service] in ended.json["error"]["hint"]
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("service", ["inference", "metrics"])
def test_no_service_listens_to_other_machines_with_a_short_key(tmp_path: Path, service: str) -> None:
    """Exit code 2, and how long it has to be; on loopback any key will do."""
    yard = Yard(tmp_path, {"ROBOFLOW_API_KEY": "k", "REELROUTE_METRICS_KEY": "k"})
    ended = yard.reelroute("serve", service, "--host", "0.0.0.0", "--port", "0", "--json")

    assert (2, "input_invalid") == (ended.code, ended.json["error"]["code"])
    assert "16" in ended.json["error"]["hint"]


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_a_key_on_the_command_line_is_warned_of(tmp_path: Path, how: str) -> None:
    """It works, and the log says who else reads it; the key itself is not repeated."""
    shown = how == "argument"
    arguments = ["--api-key", KEY] if shown else []
    with serving(tmp_path, "inference", "--workers", "1", *arguments, ROBOFLOW_API_KEY="" if shown else KEY) as (
        url,
        log,
    ):
        assert 200 == httpx.get(f"{url}/local", params={"api_key": KEY}).status_code
        assert shown == ("process list" in log.read_text())
        assert KEY not in log.read_text()


def test_metrics_of_the_ledger_are_served(tmp_path: Path) -> None:
    """To who has the key; health to everybody."""
    home = tmp_path / "home"
    home.mkdir()
    ledger = open_ledger(f"sqlite:///{home}/ledger.db")
    add(ledger)
    ledger.close()
    with serving(tmp_path, "metrics", "--host", "0.0.0.0", REELROUTE_METRICS_KEY=KEY) as (url, _):
        assert 401 == httpx.get(f"{url}/metrics").status_code
        text = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {KEY}"}).text
        ready = httpx.get(f"{url}/readyz")

    assert 1 == samples(text)["reelroute_jobs", "planned"]
    assert 200 == ready.status_code


def log_lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_service_logs_json_if_asked(tmp_path: Path) -> None:
    """Every line of stderr is an object, and none holds the key or a signature."""
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    options = ("inference", "--workers", "1", "--allow-folder", str(tmp_path))
    with serving(tmp_path, *options, ROBOFLOW_API_KEY=KEY, REELROUTE_LOG_FORMAT="json") as (url, log):
        asking = httpx.Client(base_url=url, params={"api_key": KEY})
        model = {"model_id": "oidv4", "model_version": "1", "inference_type": "object-detection"}
        body = {"input_url": (tmp_path / "bad.mp4").as_uri(), "infer_fps": 1, "models": [model]}
        job = asking.post("/videoinfer/", json=body).json()["job_id"]
        while asking.get("/videoinfer/", params={"job_id": job}).json()["status"] == 1:
            pass
        asking.close()

    lines = log_lines(log)
    assert [("reelroute.inference", "info", job, "video_unreadable")] == [
        (line["logger"], line["level"], line["job_id"], line["outcome"]) for line in lines if "job_id" in line
    ]
    assert KEY not in log.read_text()


def test_a_run_logs_json_if_asked(tmp_path: Path) -> None:
    """Records of runs carry the names of their flow and task runs; people's text stays as it is."""
    program = (
        "import sys\n"
        "from deployments.cli.prefect_setup import prepare_prefect\n"
        "prepare_prefect(log_level='info', verbose=False, log_format='json')\n"
        "import logging\n"
        "from tasks.log_guard import guard_logs\n"
        "guard_logs('json')\n"
        "logging.getLogger('prefect.flow_runs').info('video :warning: [bold]%s', 'https://h/v?sig=5ec7e7',\n"
        "    extra={'flow_run_name': 'ingest yard', 'flow_run_id': 'f-1', 'send_to_api': False})\n"
        "logging.getLogger('elsewhere').warning('one\\ntwo')\n"
    )
    env = {**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_LOGGING_TO_API_ENABLED": "false"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]

    assert ["video :warning: [bold]https://h/v?***", "one\ntwo"] == [line["message"] for line in lines]
    assert ("ingest yard", "f-1", "info") == (
        lines[0]["flow_run_name"],
        lines[0]["flow_run_id"],
        lines[0]["level"],
    )
