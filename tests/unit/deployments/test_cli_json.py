"""`--json`: one object on stdout, whatever videos are called, however they stand, and however the command ends."""

from __future__ import annotations

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from deployments.cli import main
from tasks.domain.job import DeliveryState, Failure, JobState
from tests.rig import Rig

# A line break, an escape sequence, a byte that is no UTF-8, what rich takes for markup.
NAMES = (b"a\n\x1b[2J.mp4", b"\xff[red].mp4", "日本 {0} %s.mp4".encode(), b"d[/b].mp4", b"e.mp4", b"f.mp4")
ENDS = (None, JobState.SUBMITTED, JobState.SUCCEEDED, JobState.FAILED, JobState.EXPIRED, JobState.UNKNOWN)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A pipeline with a video of each name, in each state; deliveries pending and failed."""
    rig = Rig(tmp_path)
    rig.videos.mkdir()
    for name in NAMES:
        path = rig.videos / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no video")
    run = rig.run()
    said = Failure("poll", "some_code", "m[/]\n\x1b\udcff", "h[x]\n")
    for job, end in zip(rig.listed(run), ENDS, strict=True):
        run.ledger.claim(job.key, "o", run.lease, run.clock())
        moves = [JobState.PLANNED, JobState.SUBMITTING, *dict.fromkeys((JobState.SUBMITTED, end))] if end else []
        if end is JobState.UNKNOWN:
            moves.remove(JobState.SUBMITTED)
        for before, after in pairwise(moves):
            facts = {"token": "t", "service": run.service} if after is JobState.SUBMITTING else {}
            facts |= {"job_id": "j[/]"} if after is JobState.SUBMITTED else {}
            if after in ENDS[3:]:
                run.ledger.move(job.key, before, after, "o", run.clock(), failure=said, **facts)  # type: ignore[arg-type]
            else:
                run.ledger.move(job.key, before, after, "o", run.clock(), **facts)  # type: ignore[arg-type]
        run.ledger.release(job.key, "o")
        if end is JobState.SUCCEEDED:
            route = (run.pipeline.name, job.key, "results")
            run.ledger.plan_deliveries(*route[:2], run.fingerprints, run.clock())
            run.ledger.claim_delivery(*route, "o", run.lease, run.clock())
            run.ledger.finish_delivery(*route, "o", DeliveryState.PENDING, run.clock(), failure=said)
    settings = rig.settings()
    monkeypatch.setenv("REELROUTE_HOME", str(settings.home))
    monkeypatch.setenv("REELROUTE_LEDGER_URL", settings.ledger_url.get_secret_value())
    monkeypatch.chdir(tmp_path)
    return rig


def reelroute(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str:
    """Call the command line in this process; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["reelroute", *arguments])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("status", "{}"), 0),
        (("status",), 0),
        (("status", "--video", "{video}"), 0),
        (("status", "--video", "nobody\udcff[/]"), 0),
        (("plan", "{}"), 1),
        (("replay", "{}", "--video", "nobody\udcff[/]"), 0),
        (("replay", "{}", "--failed"), 2),
        (("replay", "{}", "--route", "no[/]\udcff"), 2),
        (("run", "no\udcff[/]\n"), 2),
        (("run", "{}", "--limit", "[/]\udcff"), 2),
        (("run",), 2),
        (("nonsense[/]",), 2),
    ],
)
def test_one_object_is_printed_and_nothing_else(
    rig: Rig, arguments: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In every state, for every name, for wrong arguments too."""
    file, video = str(rig.pipeline_file()), f"file://{rig.videos}/" + os.fsdecode(NAMES[1])
    ended = reelroute(monkeypatch, *(one.format(file, video=video) for one in arguments), "--json")

    out, err = capsys.readouterr()
    assert code == ended, err
    assert isinstance(json.loads(out), dict)
    assert 1 == out.count("\n")
    assert "\x1b[2J" not in err
    assert ("error" in json.loads(out)) is (code == 2)


def test_who_declines_to_pay_gets_an_object_too(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says that nothing was done; so does the end of what could be read at the question."""
    file = str(rig.pipeline_file())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    declined = reelroute(monkeypatch, "replay", file, "--failed", "--json"), json.loads(capsys.readouterr().out)

    assert (0, 0, 0) == (declined[0], declined[1]["discovered"], declined[1]["exit_code"])
