"""Looking into videos in processes of bounded memory: what is hostile or damaged costs itself and nobody else."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tasks.domain.errors import AccessDenied, ReelrouteError, VideoEmpty, VideoTooLarge, VideoTruncated, VideoUnreadable
from tasks.engine import probe as in_process
from tasks.engine import prober
from tasks.engine.prober_protocol import Answer
from tests.bombs import ABSURD, BOMBS

MIB = 1 << 20
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="no other system bounds or tells memory this way")


def memory_of(process: psutil.Process) -> int:
    """Bytes that a process and its descendants take, what they share counted once."""
    total = 0
    with suppress(psutil.Error):
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                total += each.memory_full_info().pss
    return total


@contextmanager
def watched(process: psutil.Process) -> Iterator[list[int]]:
    """Collect what a process and its descendants take, time and again, while the block runs."""
    seen, over = [memory_of(process)], threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            seen.append(memory_of(process))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def serving() -> psutil.Process:
    """The process that forks, started if it was not."""
    prober._prober.connected().close()
    assert prober._prober._process is not None
    return psutil.Process(prober._prober._process.pid)


@linux_only
@pytest.mark.parametrize("kind", BOMBS)
def test_what_asks_for_gigabytes_is_refused_within_the_allowance(kind: str, tmp_path: Path) -> None:
    """Whatever a file makes libav ask for, the processes stay in their memory and the video is said to be too large."""
    bomb = BOMBS[kind](tmp_path)
    with watched(serving()) as memory, bomb.open("rb") as file, pytest.raises(VideoTooLarge) as caught:
        prober.probe(file, size=bomb.stat().st_size)
    assert max(memory) < 768 * MIB
    assert caught.value.message


@linux_only
@pytest.mark.parametrize("kind", ABSURD)
def test_absurd_numbers_take_no_memory(kind: str, tmp_path: Path) -> None:
    """Whether such a file can still be read or not: the processes stay in their memory, and nothing else is raised."""
    odd = ABSURD[kind](tmp_path)
    with watched(serving()) as memory, odd.open("rb") as file, suppress(VideoTooLarge, VideoUnreadable):
        assert 30 == prober.probe(file).frame_count
    assert max(memory) < 768 * MIB


@linux_only
def test_a_plan_with_a_bomb_stays_under_a_gibibyte_and_names_it(clip: Callable[[str], Path], tmp_path: Path) -> None:
    """Seven films and a bomb: the whole tree of the command's processes, measured; the films are planned."""
    films = tmp_path / "films"
    films.mkdir()
    for number in range(7):
        (films / f"{number}.mp4").write_bytes(clip("faststart.mp4").read_bytes() + bytes([number]))
    BOMBS["many samples"](tmp_path).rename(films / "bomb.mp4")
    pipeline = tmp_path / "bombs.yaml"
    pipeline.write_text(
        f"name: bombs\nsources: [{{uri: {films}}}]\ninference: {{backend: local, model: oidv4/1, fps: 5}}\n"
        f"routes: [{{to: results, uri: {tmp_path / 'out'}}}]\n"
    )
    command = [sys.executable, "-m", "deployments.cli", "plan", str(pipeline), "--json"]
    environment = {**os.environ, "REELROUTE_HOME": str(tmp_path / "home")}
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as running,
        watched(psutil.Process(running.pid)) as memory,
    ):
        answer = json.loads(running.communicate()[0])

    assert 7 == answer["estimate"]["videos"]
    assert [("bomb.mp4", "video_too_large")] == [(each["video"], each["code"]) for each in answer["failures"]]
    assert max(memory) < 1024 * MIB


@pytest.mark.parametrize("name", ["faststart.mp4", "ntsc.mp4", "h264.ts", "left.mp4"])
def test_it_finds_out_what_the_probe_does(name: str, clip: Callable[[str], Path]) -> None:
    """Everything comes back as it was found, the exact rate too."""
    with clip(name).open("rb") as file:
        assert in_process.probe(file) == prober.probe(file)
        assert in_process.count_by_decoding(file) == prober.count_by_decoding(file)


@pytest.mark.parametrize("part", [0.0, 0.6])
def test_it_refuses_as_the_probe_does(part: float, clip: Callable[[str], Path]) -> None:
    """A refusal keeps its kind, its words and its hint."""
    data = clip("faststart.mp4").read_bytes()
    refusals = []
    for probe in (in_process.probe, prober.probe):
        with pytest.raises(VideoUnreadable) as caught:
            probe(io.BytesIO(data[: int(len(data) * part)]))
        refusals.append((type(caught.value), caught.value.message, caught.value.hint))
    assert refusals[0] == refusals[1]
    assert refusals[0][0] is (VideoTruncated if part else VideoEmpty)


def test_the_stores_own_error_comes_out(clip: Callable[[str], Path]) -> None:
    """What reading raises is raised; nothing is said of the video, and the next one is looked into."""

    class Denied(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise AccessDenied("the key was taken back")

    with pytest.raises(AccessDenied, match="taken back"):
        prober.probe(Denied(bytes(5000)))
    with clip("faststart.mp4").open("rb") as file:
        assert 30 == prober.probe(file).frame_count


class Killing(io.BytesIO):
    """A file during whose first reads the process that reads it is killed."""

    def __init__(self, data: bytes, times: int) -> None:
        super().__init__(data)
        self.times = times

    def read(self, size: int | None = -1, /) -> bytes:
        if self.times:
            self.times -= 1
            assert prober._prober._process is not None
            for reader in psutil.Process(prober._prober._process.pid).children():
                reader.kill()
        return super().read(size)


@pytest.mark.parametrize(("times", "fails"), [(1, False), (2, True)])
def test_a_crash_is_that_videos_failure(times: int, fails: bool, clip: Callable[[str], Path]) -> None:
    """A process that dies is tried once more, alone; then the video is unreadable, with what to do about it."""
    file = Killing(clip("faststart.mp4").read_bytes(), times)
    if fails:
        with pytest.raises(VideoUnreadable, match="ended the process") as caught:
            prober.probe(file)
        assert caught.value.hint
    else:
        assert 30 == prober.probe(file).frame_count


def test_the_process_that_forks_is_started_anew(clip: Callable[[str], Path]) -> None:
    """Killed between two videos, it does the second no harm."""
    first = serving()
    first.kill()
    psutil.wait_procs([first])
    with clip("faststart.mp4").open("rb") as file:
        assert 30 == prober.probe(file).frame_count


def test_it_knows_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads what strangers made is given no key."""
    prober._prober.stop()
    monkeypatch.setenv("ROBOFLOW_API_KEY", "rf_secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    try:
        known = serving().environ()
    finally:
        prober._prober.stop()
    assert "PATH" in known
    assert not {"ROBOFLOW_API_KEY", "AWS_SECRET_ACCESS_KEY"} & set(known)


HANG = """
import io, sys, time
from tasks.engine import prober

class Slow(io.BytesIO):
    def read(self, size=-1):
        print(prober._prober._process.pid, flush=True)
        time.sleep(600)

prober.probe(Slow(bytes(5000)))
"""


def test_nothing_is_left_of_a_run_that_was_killed() -> None:
    """Killed in mid-video, a run takes its processes with it."""
    with subprocess.Popen([sys.executable, "-c", HANG], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        server = psutil.Process(int(run.stdout.readline()))
        family = [server, *server.children()]
        run.send_signal(signal.SIGKILL)
    gone, left = psutil.wait_procs(family, timeout=60)
    assert (2, 0) == (len(gone), len(left))


@pytest.mark.parametrize("text", [b"", b"nonsense", b"[]", b'{"info": {"fps": "x"}}', b'{"code": "ledger_unusable"}'])
def test_an_answer_is_believed_only_as_far_as_it_may_be_right(text: bytes) -> None:
    """A process that was taken over can call its video unreadable, and do nothing else to us."""
    with pytest.raises(ReelrouteError) as caught:
        Answer.decoded(text).believed()
    assert isinstance(caught.value, VideoUnreadable)
