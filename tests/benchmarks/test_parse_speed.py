"""Parsing 300 MB of results: memory against the size of the file, CPU time against ``json.load``."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import uuid
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytestmark = pytest.mark.bench

SIZE = 300_000_000
PER_FRAME = 10

# The peak is that of the process's own memory: `ru_maxrss` begins with that of the one that started it.
PARSE = """
import re, sys, time
from pathlib import Path
from tasks.predictions.parse import parse_results
begun = time.process_time()
found = parse_results(Path(sys.argv[1]))
seconds = time.process_time() - begun
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(seconds, peak, len(found.models[0].objects))
"""
LOAD = """
import json, sys, time
begun = time.process_time()
with open(sys.argv[1], encoding="utf-8") as file:
    found = json.load(file)
print(time.process_time() - begun, 0, sum(len(frame["predictions"]) for frame in found["oidv4"]))
"""


def some_frames(count: int) -> list[bytes]:
    """Frames of an object detection model with the keys that the service's server writes."""
    random = np.random.default_rng(0)
    frames = []
    for _ in range(count):
        predictions = [
            {
                "x": float(random.integers(0, 3840)) / 2,
                "y": float(random.integers(0, 2160)) / 2,
                "width": float(random.integers(10, 400)),
                "height": float(random.integers(10, 400)),
                "confidence": random.random(),
                "class": ("person", "car", "bicycle", "footwear")[code := int(random.integers(4))],
                "class_id": code,
                "class_confidence": None,
                "tracker_id": None,
                "detection_id": str(uuid.UUID(bytes=random.bytes(16))),
            }
            for _ in range(PER_FRAME)
        ]
        size = {"width": 1920, "height": 1080}
        frames.append(msgspec.json.encode({"time": random.random(), "image": size, "predictions": predictions}))
    return frames


def write_results(path: Path) -> int:
    """Write about ``SIZE`` bytes of results; return the number of detections."""
    frames = some_frames(997)
    samples = SIZE // (sum(map(len, frames)) // len(frames) + 20)
    with path.open("wb") as file:
        file.write(b'{"frame_offset":[%s],' % b",".join(b"%d" % (5 * sample) for sample in range(samples)))
        file.write(b'"time_offset":[%s],' % b",".join(b"%.4f" % (sample / 5) for sample in range(samples)))
        file.write(b'"oidv4":[')
        for sample, frame in enumerate(itertools.islice(itertools.cycle(frames), samples)):
            file.write(b"," * (sample > 0) + frame)
        file.write(b"]}")
    return samples * PER_FRAME


def measured(script: str, path: Path) -> tuple[float, int, int]:
    """Run a script in a process of its own; return CPU seconds, peak bytes and detections."""
    # numpy's idle threads spin for a while after its import, and would be counted.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, path], env=environment, capture_output=True, text=True, check=True
    )
    seconds, kilobytes, count = done.stdout.split()
    return float(seconds), 1024 * int(kilobytes), int(count)


def test_large_results_need_little_memory_and_time(tmp_path: Path) -> None:
    """Peak memory stays under 1.5 times the file, and json.load takes at least 3 times the CPU time."""
    path = tmp_path / "results.json"
    detections = write_results(path)
    size = path.stat().st_size
    # Taken in turns, the best of each: what else the machine does at the time hits both.
    runs = [(measured(PARSE, path), measured(LOAD, path)) for _ in range(5)]
    assert {detections} == {count for pair in runs for _, _, count in pair}
    parse, load = (min(pair[which][0] for pair in runs) for which in (0, 1))
    peak = max(pair[0][1] for pair in runs)
    print(
        f"\n{size / 1e6:.0f} MB, {detections} detections: parsed in {parse:.2f} CPU s, "
        f"json.load {load:.2f} ({load / parse:.1f} times); peak {peak / 1e6:.0f} MB ({peak / size:.2f} times the file)"
    )
    assert peak < 1.5 * size
    assert load >= 3 * parse
