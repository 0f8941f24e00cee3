"""The engine in worker processes: importing does nothing, forked and spawned workers infer."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

IMPORT_QUIETLY = """
import logging, sys, threading
before = (threading.active_count(), list(logging.getLogger("httpx").filters), list(logging.getLogger().handlers))
import tasks.engine.bundled, tasks.engine.detectors, tasks.engine.http_range, tasks.engine.probe, tasks.engine.run
import tasks.engine.prober
after = (threading.active_count(), list(logging.getLogger("httpx").filters), list(logging.getLogger().handlers))
assert before == after, (before, after)
assert not {"prefect", "cv2", "torch", "pandas", "roboflow", "boto3"} & set(sys.modules)
"""


def test_importing_starts_and_changes_nothing() -> None:
    """No thread, no log handler or filter, no output, and nothing heavy that is not needed."""
    done = subprocess.run([sys.executable, "-c", IMPORT_QUIETLY], capture_output=True, text=True)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def infer_in_worker(video: str, target: str) -> int:
    from tasks.engine.bundled import bundled_model
    from tasks.engine.detectors import load_detector
    from tasks.engine.run import infer_video

    with Path(video).open("rb") as file:
        models = {"oidv4": load_detector(bundled_model())}
        return infer_video(file, models, fps=5, confidence=0.3, target=Path(target))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_infers_alone(method: str, clip: Callable[[str], Path], tmp_path: Path) -> None:
    """A process started either way, from one that has the engine imported, loads the model and works."""
    import tasks.engine.run  # noqa: F401 - what a parent would have done

    target = tmp_path / "results.json"
    with multiprocessing.get_context(method).Pool(1) as pool:
        frames = pool.apply_async(infer_in_worker, (str(clip("faststart.mp4")), str(target))).get(timeout=120)
    assert 6 == frames == len(json.loads(target.read_bytes())["oidv4"])
