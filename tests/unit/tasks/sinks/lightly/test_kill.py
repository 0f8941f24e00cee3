"""A delivery that is killed half-way is completed by the next one, and nothing of it stays behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.storage.local import LocalStorage
from tests.contracts.deliveries import video_info
from tests.contracts.memory_storage import contents
from tests.contracts.tree_reader import ROOT, check_tree
from tests.lightly_process import deliver

FRAMES = 4000


def kill_midway(root: Path, every: int, after: int) -> None:
    """Start a delivery as a process and kill it once it has written so many files."""
    task = root / ROOT / "players/cup"
    command = [sys.executable, "-m", "tests.lightly_process", f"file://{root}/", str(FRAMES), str(every)]
    before = len(frames_in(task))
    process = subprocess.Popen(command)
    try:
        while len(frames_in(task)) < before + after:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert -signal.SIGKILL == process.returncode


def frames_in(task: Path) -> list[str]:
    return [path.name for path in task.iterdir() if path.suffix == ".json"] if task.is_dir() else []


@pytest.mark.parametrize("after", [1, 300])
def test_a_killed_first_delivery_is_completed(tmp_path: Path, after: int) -> None:
    """Until then the worker does not see the task: it is not listed."""
    kill_midway(tmp_path / "out", every=1, after=after)
    assert not (tmp_path / "out" / ROOT / "tasks.json").exists()

    deliver(f"file://{tmp_path}/out/", FRAMES, 1)

    tree = check_tree(LocalStorage(tmp_path / "out"), {"cup/final.mp4": video_info(frame_count=FRAMES)})
    assert FRAMES == len(tree["players"])


def test_a_killed_delivery_over_an_earlier_one_leaves_nothing_stale(tmp_path: Path) -> None:
    """Before it: other frames of a shorter version, with narrower numbers. After it: what a clean delivery writes."""
    deliver(f"file://{tmp_path}/clean/", FRAMES, 3)
    deliver(f"file://{tmp_path}/out/", 900, 2)
    kill_midway(tmp_path / "out", every=1, after=300)

    deliver(f"file://{tmp_path}/out/", FRAMES, 3)

    assert contents(LocalStorage(tmp_path / "clean")) == contents(LocalStorage(tmp_path / "out"))
    assert ["players"] == json.loads((tmp_path / "out" / ROOT / "tasks.json").read_text())
