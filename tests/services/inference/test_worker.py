"""The worker program by itself, through its pipes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deployments.services.inference.jobs import JobRequest
from deployments.services.inference.protocol import Order, Reply
from deployments.services.inference.settings import Limits
from deployments.services.inference.worker import Runner, open_video
from tasks.domain.errors import AccessDenied, VideoTooLarge
from tasks.engine.bundled import bundled_model

LIMITS = Limits(allow_private=False, max_bytes=10_000_000, max_duration_s=60.0)


def _order(tmp_path: Path, *, limits: Limits = LIMITS, model: Path | None = None, path: str | Path) -> Order:
    request = JobRequest(models={"oidv4": str(model or bundled_model())}, fps=1.0, path=str(path))
    return Order(request, str(tmp_path / "result.json"), limits)


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "deployments.services.inference.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        yield process
        process.kill()


def _ask(worker: subprocess.Popen[bytes], order: Order) -> Reply:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(order.to_line())
    worker.stdin.flush()
    return Reply.from_line(worker.stdout.readline())


def test_orders_are_answered_one_by_one_until_stdin_ends(
    worker: subprocess.Popen[bytes], tmp_path: Path, bikes: Path
) -> None:
    """A failure is an answer like any other; signals to the whole group are not for the worker."""
    assert _ask(worker, _order(tmp_path, path=tmp_path / "gone")).code == "object_missing"
    worker.send_signal(signal.SIGINT)
    worker.send_signal(signal.SIGTERM)
    assert _ask(worker, _order(tmp_path, path=bikes)) == Reply()
    assert (tmp_path / "result.json").stat().st_size > 0
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(timeout=30) == 0


def test_an_unforeseen_error_ends_the_worker_without_its_text(worker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """The text may hold a signed URL; where it happened is enough to find it."""
    assert worker.stdin is not None
    assert worker.stderr is not None
    worker.stdin.write(b'{"request": {"url": "https://h/?sig=s3cret", "s3cret": 1}, "target": "", "limits": {}}\n')
    worker.stdin.flush()
    said = worker.stderr.read()
    assert worker.wait(timeout=30) == 1
    assert b"TypeError" in said
    assert b"protocol.py" in said
    assert b"s3cret" not in said


def test_an_order_keeps_everything_on_its_way(tmp_path: Path) -> None:
    """Also names that are not UTF-8."""
    order = _order(tmp_path, path="/caf\udce9\n.mp4")
    line = order.to_line()
    assert line.count(b"\n") == 1
    assert Order.from_line(line) == order


def test_a_model_is_loaded_once_and_again_when_its_file_changes(tmp_path: Path, bikes: Path) -> None:
    """Loading costs as much as inferring a few frames."""
    model = tmp_path / "own.onnx"
    model.write_bytes(bundled_model().read_bytes())
    runner = Runner()
    first = runner._detector(str(model))
    assert runner._detector(str(model)) is first
    model.write_bytes(b"no model")
    assert runner.run(_order(tmp_path, path=bikes, model=model)).code == "model_invalid"
    model.unlink()
    assert runner.run(_order(tmp_path, path=bikes, model=model)).code == "object_missing"


def test_a_model_is_loaded_again_when_its_weights_beside_it_change(tmp_path: Path) -> None:
    """A retrained model may differ in the second file alone."""
    cases = Path(__file__).parents[2] / "cases"
    for name in ("weights_beside.onnx", "weights_beside.onnx.data"):
        shutil.copyfile(cases / name, tmp_path / name)
    model, weights, runner = tmp_path / "weights_beside.onnx", tmp_path / "weights_beside.onnx.data", Runner()
    first = runner._detector(str(model))
    assert runner._detector(str(model)) is first
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert runner._detector(str(model)) is not first


def test_a_machine_that_fails_is_not_the_videos_fault(tmp_path: Path, bikes: Path) -> None:
    """Results that cannot be written are the service's own trouble, by code."""
    order = _order(tmp_path / "nowhere", path=bikes)
    assert Runner().run(order).code == "storage_unavailable"


def test_a_long_video_is_refused(tmp_path: Path, bikes: Path) -> None:
    """By its own stated length, before it is decoded."""
    limits = replace(LIMITS, max_duration_s=9.0)
    assert Runner().run(_order(tmp_path, limits=limits, path=bikes)).code == "video_too_large"


def test_the_size_limit_is_exact(tmp_path: Path) -> None:
    """At the limit is allowed."""
    video = tmp_path / "a.mp4"
    video.write_bytes(b"x" * 10)
    with open_video(_order(tmp_path, limits=replace(LIMITS, max_bytes=10), path=video)) as file:
        assert file.read() == b"x" * 10
    with (
        pytest.raises(VideoTooLarge),
        open_video(_order(tmp_path, limits=replace(LIMITS, max_bytes=9), path=video)),
    ):
        pass


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    """A folder is no video."""
    with pytest.raises(AccessDenied), open_video(_order(tmp_path, path=tmp_path)):
        pass
