"""The whole service as a process: real jobs, crashes, restarts, and two services on one state folder."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tasks.storage.loopback import file_url_secret, sign_file_url
from tests.services.inference.conftest import API_KEY
from tests.services.inference.service_process import MODEL, ServiceProcess, wait_for

Start = Callable[..., ServiceProcess]


@pytest.fixture
def video(videos: Path, bikes: Path) -> str:
    """A file URL of the street; long enough at 5 frames per second to be interrupted."""
    return _copy(bikes, videos / "bikes.mp4").as_uri()


def _copy(source: Path, target: Path) -> Path:
    target.write_bytes(source.read_bytes())
    return target


def _begun(tmp_path: Path, job_id: str, times: int = 1) -> bool:
    counter = tmp_path / "state" / "jobs" / job_id / "starts"
    return counter.exists() and int(counter.read_text()) == times


def _workers_at(service: ServiceProcess, tmp_path: Path, job_id: str, times: int = 1) -> list[psutil.Process]:
    """The service's workers once the job was begun so often."""
    wait_for(lambda: _begun(tmp_path, job_id, times))
    workers: list[psutil.Process] = wait_for(service.workers)
    return workers


def test_a_video_is_uploaded_inferred_and_its_results_downloaded(start: Start, tmp_path: Path, bikes: Path) -> None:
    """The whole contract, as the API's documentation tells it; and no secret in any log line."""
    service = start()
    assert service.client.get("/healthz").json() == {"status": "ok", "workers": 1}
    url = service.client.post("/video_upload_signed_url", json={"file_name": "bikes.mp4"}).json()["signed_url"]
    assert httpx.put(url, content=bikes.read_bytes()).status_code == 200
    results = service.results(service.submit(url))
    assert results["frame_offset"] == list(range(0, 250, 5))
    assert len(results["time_offset"]) == len(results["oidv4"]) == 50
    found = {thing["class"] for frame in results["oidv4"] for thing in frame["predictions"]}
    assert "Car" in found or "Person" in found
    log = service.log.read_text()
    assert API_KEY not in log
    assert "Signature" not in log
    assert "signature" not in log


def test_confidence_reaches_the_engine(start: Start, video: str) -> None:
    """As `inference_params` of the API."""
    service = start()
    scores = []
    for confidence in (0.2, 0.7):
        model = MODEL | {"model_version": 1, "inference_params": {"confidence": confidence}}
        frames = service.results(service.submit(video, infer_fps=1, models=[model]))["oidv4"]
        scores.append([thing["confidence"] for frame in frames for thing in frame["predictions"]])
    low, high = scores
    assert len(low) > len(high)
    assert min(low) < 0.7
    assert all(score >= 0.7 for score in high)


def test_a_video_that_cannot_be_inferred_fails_with_its_reason(start: Start, videos: Path, video: str) -> None:
    """And the next job runs: one bad video stops nothing."""
    service = start()
    (videos / "empty.mp4").touch()
    (videos / "text.mp4").write_text("this is no video" * 100)
    whole = (videos / "bikes.mp4").read_bytes()
    (videos / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    gone = videos / "gone.mp4"
    gone.write_bytes(whole)
    jobs = {
        "video_empty": service.submit((videos / "empty.mp4").as_uri()),
        "video_unreadable": service.submit((videos / "text.mp4").as_uri()),
        "video_truncated": service.submit((videos / "cut.mp4").as_uri()),
        "fps_too_high": service.submit(video, infer_fps=26),
        "object_missing": service.submit(gone.as_uri()),
    }
    gone.unlink()
    sound = service.submit(video, infer_fps=1)
    for code, job_id in jobs.items():
        answer = service.end_of(job_id)
        assert (answer["status"], answer["error"]) == (2, code)
        assert answer["message"]
    assert len(service.results(sound)["oidv4"]) == 10


def test_limits_are_kept(start: Start, video: str, tmp_path: Path) -> None:
    """Bytes and minutes of a job."""
    small = start(max_bytes=10_000)
    assert small.end_of(small.submit(video))["error"] == "video_too_large"
    impatient = start(state_dir=str(tmp_path / "impatient"), job_timeout=0.05)
    assert impatient.end_of(impatient.submit(video))["error"] == "job_timeout"


def test_private_addresses_are_fetched_from_only_if_allowed(start: Start, tmp_path: Path) -> None:
    """Loopback in a spelling that only a resolver understands is found out by the worker."""
    strict, open_minded = start(), start(state_dir=str(tmp_path / "open"), allow_private=True)
    disguised = strict.url.replace("127.0.0.1", "0x7f.1") + "/healthz"
    assert strict.end_of(strict.submit(disguised))["error"] == "access_denied"
    assert open_minded.end_of(open_minded.submit(disguised))["error"] == "video_unreadable"


def test_a_video_behind_a_url_is_read_by_ranges(start: Start, tmp_path: Path, videos: Path, video: str) -> None:
    """One service gives out the file, another one fetches it."""
    giver, fetcher = start(), start(state_dir=str(tmp_path / "fetcher"), allow_private=True, allow_folders=[])
    soon = datetime.now(UTC) + timedelta(minutes=5)
    url = sign_file_url(giver.url, file_url_secret(API_KEY), videos / "bikes.mp4", soon)
    assert len(fetcher.results(fetcher.submit(url, infer_fps=1))["oidv4"]) == 10
    refused = fetcher.end_of(fetcher.submit(url[:-2] + "xx"))
    assert refused["error"] == "access_denied"
    assert "signature=" not in str(refused)


def test_an_upload_that_breaks_off_leaves_nothing(start: Start, tmp_path: Path) -> None:
    """Half a body, then a closed connection; the service goes on without a word in its log."""
    service = start()
    url = service.client.post("/video_upload_signed_url", json={"file_name": "x"}).json()["signed_url"]
    target = urlsplit(url)
    with socket.create_connection((target.hostname, target.port)) as connection:
        head = f"PUT {target.path}?{target.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 2_000_000)
        wait_for(lambda: list((tmp_path / "state" / "uploads").iterdir()))
    wait_for(lambda: not list((tmp_path / "state" / "uploads").iterdir()))
    assert service.client.get("/healthz").status_code == 200
    assert "Traceback" not in service.log.read_text()


def test_a_killed_service_leaves_no_worker_and_loses_no_job(start: Start, tmp_path: Path, video: str) -> None:
    """Unfinished jobs are run again by the next start, also ones that were never begun."""
    first = start()
    jobs = [first.submit(video), first.submit(video, infer_fps=1)]
    workers = _workers_at(first, tmp_path, jobs[0])
    first.process.kill()
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    second = start()
    assert [len(second.results(job_id)["oidv4"]) for job_id in jobs] == [50, 10]
    assert _begun(tmp_path, jobs[0], 2)


def test_a_killed_worker_costs_its_job_one_try(start: Start, tmp_path: Path, video: str) -> None:
    """The job is run again by a new worker."""
    service = start()
    job_id = service.submit(video)
    (worker,) = _workers_at(service, tmp_path, job_id)
    worker.kill()
    assert len(service.results(job_id)["oidv4"]) == 50
    assert service.workers() != [worker]


def test_a_job_that_kills_its_worker_twice_fails_alone(start: Start, tmp_path: Path, video: str) -> None:
    """The jobs behind it run, on a new worker."""
    service = start()
    deadly, sound = service.submit(video), service.submit(video, infer_fps=1)
    for times in (1, 2):
        (worker,) = _workers_at(service, tmp_path, deadly, times)
        worker.send_signal(signal.SIGSEGV if times == 2 else signal.SIGKILL)
        psutil.wait_procs([worker], timeout=30)
    answer = service.end_of(deadly)
    assert (answer["status"], answer["error"]) == (2, "worker_crashed")
    assert len(service.results(sound)["oidv4"]) == 10
    assert service.client.get("/healthz").status_code == 200


def test_a_job_that_brings_the_service_down_each_time_is_given_up(start: Start, tmp_path: Path, video: str) -> None:
    """After five starts without an end; it would be tried for ever otherwise."""
    service = start()
    job_id = service.submit(video)
    wait_for(lambda: _begun(tmp_path, job_id))
    service.process.kill()
    service.process.wait()
    (tmp_path / "state" / "jobs" / job_id / "starts").write_text("5")
    assert start().end_of(job_id)["error"] == "worker_crashed"


def test_two_services_share_a_state_folder(start: Start, tmp_path: Path, video: str) -> None:
    """Any of them answers for any job, and takes over what a dead one left; keys and ports may differ."""
    one, two = start(), start(api_key="other-key")
    short, long = one.submit(video, infer_fps=1), one.submit(video)
    assert len(two.results(short)["oidv4"]) == 10
    jobs = [one.submit(video, infer_fps=1) for _ in range(2)] + [long]
    wait_for(lambda: _begun(tmp_path, long))
    one.process.kill()
    one.process.wait()
    assert [len(two.results(job_id)["oidv4"]) for job_id in jobs] == [10, 10, 50]


def test_every_job_is_run_once_by_two_services(start: Start, tmp_path: Path, video: str) -> None:
    """They share the work and do not repeat it."""
    one, two = start(), start()
    jobs = [service.submit(video, infer_fps=1) for _ in range(2) for service in (one, two)]
    for job_id in jobs:
        assert len(two.results(job_id)["oidv4"]) == 10
    assert all(_begun(tmp_path, job_id, 1) for job_id in jobs)


def test_an_upload_to_a_dead_service_is_still_inferred(start: Start, tmp_path: Path, bikes: Path) -> None:
    """The job knows the file, not the URL and the port it had."""
    one = start()
    url = one.client.post("/video_upload_signed_url", json={"file_name": "bikes.mp4"}).json()["signed_url"]
    httpx.put(url, content=bikes.read_bytes())
    job_id = one.submit(url, infer_fps=1)
    one.process.kill()
    one.process.wait()
    assert len(start().results(job_id)["oidv4"]) == 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_service_cleanly(start: Start, tmp_path: Path, video: str, number: signal.Signals) -> None:
    """In mid-job too: exit code 0, no worker left, the job kept for the next start."""
    service = start()
    job_id = service.submit(video)
    workers = _workers_at(service, tmp_path, job_id)
    service.process.send_signal(number)
    assert service.process.wait(timeout=30) == 0
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    assert len(list((tmp_path / "state" / "pending").iterdir())) == 1
    assert _begun(tmp_path, job_id, 0)  # a start that we broke off ourselves is not held against the job
    assert "Traceback" not in service.log.read_text()


def test_a_service_ends_with_its_parent_if_told_so(start: Start, tmp_path: Path, video: str) -> None:
    """The end of its stdin is the sign: the system closes it however the parent died."""
    service = start(exit_with_parent=True)
    workers = _workers_at(service, tmp_path, service.submit(video))
    assert service.process.poll() is None
    assert service.process.stdin is not None
    service.process.stdin.close()
    service.process.stdin = None
    assert service.process.wait(timeout=30) == 0
    assert psutil.wait_procs(workers, timeout=30)[1] == []


def test_a_service_outlives_its_stdin_unless_told_otherwise(start: Start) -> None:
    """As under a supervisor that gives it none."""
    service = start()
    assert service.process.stdin is not None
    service.process.stdin.close()
    service.process.stdin = None
    assert service.client.get("/healthz").status_code == 200
    assert service.process.poll() is None


def test_odd_names_survive_the_way_to_the_engine(start: Start, videos: Path, bikes: Path) -> None:
    """Through URL, server, queue and pipe: a name that is not UTF-8, with all that URLs and lines are made of."""
    path = _copy(bikes, videos / os.fsdecode(b"caf\xe9 100% %41\n#?+.mp4"))
    service = start()
    soon = datetime.now(UTC) + timedelta(minutes=5)
    signed = sign_file_url(service.url, file_url_secret(API_KEY), path, soon)
    given_out = httpx.get(signed, headers={"Range": "bytes=4-7"})
    assert (given_out.status_code, given_out.content) == (206, b"ftyp")
    for url in (path.as_uri(), signed):
        assert len(service.results(service.submit(url, infer_fps=1))["oidv4"]) == 10
