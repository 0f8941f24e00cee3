"""`reelroute serve events` as people start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.services.events.burst import PIPELINE
from tests.services.events.event_process import ROOT
from tests.services.events.messages import KEY, s3


def start(folder: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REELROUTE", "PREFECT"))}
    environment = {**clean, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(folder / "prefect"), **env}
    return subprocess.Popen(
        [sys.executable, "-m", "deployments.cli", "serve", "events", "--json", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """One JSON object tells where; SIGTERM ends it well; what it was told is kept, and no key is in its log."""
    (tmp_path / "yard.yaml").write_text(PIPELINE)
    settings = {"REELROUTE_EVENTS_KEY": KEY, "REELROUTE_EVENTS_QUIET": "1h", "REELROUTE_EVENTS_LONGEST_WAIT": "1h"}
    process = start(tmp_path, "./yard.yaml", "--port", "0", **settings)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = json.loads(line)["url"]
        answer = httpx.post(f"{url}/events", json=s3("a.mp4"), params={"code": KEY}, timeout=30)
        assert {"new": 1} == answer.json()
        assert 403 == httpx.post(f"{url}/events", json=s3("a.mp4"), params={"code": KEY[:-1]}, timeout=30).status_code
        assert 200 == httpx.get(f"{url}/readyz", timeout=30).status_code
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
    assert 0 == process.returncode
    assert "s3: 1 new" in log
    assert KEY[:-1] not in log
    assert (tmp_path / ".reelroute" / "ledger.db").is_file()


def ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    out, _ = process.communicate(timeout=120)
    return process.returncode, json.loads(out)


def test_mistakes_end_it_with_2(tmp_path: Path) -> None:
    """A pipeline that is not there; an address where nobody could be believed."""
    code, said = ended(start(tmp_path, "nowhere"))
    assert (2, "input_invalid") == (code, said["error"]["code"])
    code, said = ended(start(tmp_path, "--host", "0.0.0.0"))
    assert 2 == code
    assert "could believe nobody" in said["error"]["message"]
