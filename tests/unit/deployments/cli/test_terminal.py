"""Ctrl-C in a terminal while bars show: whatever happens, people get their terminal back as it was."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

# A command whose flow has done one of two videos, says so, and goes on until it is asked to stop.
PROGRAM = """
import asyncio, sys, time
from deployments.cli.output import Printer
from deployments.cli.run import run_flow
from tasks.progress import watcher
from tasks.stop import stop

async def flow():
    watcher.get().expected(2)
    watcher.get().finished("a.mp4", "")
    await asyncio.sleep(0.3)  # a bar is drawn
    print("ready", file=sys.stderr)
    while await stop.get().pause(asyncio.sleep(0.05)):
        pass
    if sys.argv[1] == "hangs":
        await asyncio.to_thread(time.sleep, 600)
    return {}

run_flow(flow, Printer(as_json=False), verbose=False, stage="listing videos")
print("ended", flush=True)
"""


def in_terminal(kind: str, environment: dict[str, str], signals: int) -> tuple[int, str]:
    """Run the program in a terminal and interrupt it so often; returns exit code and what the terminal was sent."""
    ours, theirs = pty.openpty()
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, kind],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        expected = [b"ready", b"stopping: ", b"never"][: signals + 1]
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # it has ended
                break
            while expected and expected[0] in shown and signals:
                expected.pop(0)
                signals -= 1
                process.send_signal(signal.SIGINT)
    os.close(ours)
    return process.returncode, shown.decode()


@pytest.mark.parametrize(("kind", "signals", "code"), [("ends", 1, 0), ("hangs", 2, 130)])
def test_the_terminal_is_given_back(tmp_path: Path, kind: str, signals: int, code: int) -> None:
    """Once or twice: the cursor shows, no escape code is printed as text, messages have lines of their own."""
    environment = {"REELROUTE_HOME": str(tmp_path / "home"), "PREFECT_HOME": str(tmp_path / "prefect")}
    ended, shown = in_terminal(kind, environment, signals)

    assert code == ended, shown
    assert "\x1b[?25l" in shown  # bars did show
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert not re.search(r"(?<!\x1b)\[\?25", shown)
    assert re.search(r"(\x1b\[2K|\n)stopping: what is under way", shown)
    assert re.search(r"once more to leave at once\r?\n", shown)
    assert "1/2" in shown
    assert "2/2" not in shown
    assert shown.endswith("ended\r\n" if kind == "ends" else "\r\n\x1b[?25h")


def test_prefects_notice_does_not_come_between_the_bars_but_where_people_want_it(tmp_path: Path) -> None:
    """The command line opts out as the Makefile does, and leaves what somebody has set."""
    code = (
        "import os\n"
        "from deployments.cli.prefect_setup import prepare_prefect\n"
        "prepare_prefect(log_level='info', verbose=False)\n"
        "print(os.environ['DO_NOT_TRACK'], os.environ['PREFECT_SERVER_ANALYTICS_ENABLED'])"
    )
    clean = {k: v for k, v in os.environ.items() if k not in ("DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED")}
    clean |= {"PREFECT_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env=clean | more, capture_output=True, text=True, check=True
        ).stdout.split()
        for more in ({}, {"DO_NOT_TRACK": "0", "PREFECT_SERVER_ANALYTICS_ENABLED": "true"})
    ]

    assert [["1", "false"], ["0", "true"]] == said
