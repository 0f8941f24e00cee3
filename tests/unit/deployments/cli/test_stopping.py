"""Signals to the command line: one winds down, two leave at once, and nothing outlasts ten seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

# A flow that says when it is ready, and then does what its name says.
PROGRAM = """
import asyncio, signal, subprocess, sys, threading, time
from deployments.cli import stopping
from tasks.stop import stop

async def waits():
    print("ready", flush=True)
    while await stop.get().pause(asyncio.sleep(0.01)):
        pass
    return f"ended by {stop.get().why}"

async def hangs():
    print("ready", flush=True)
    await asyncio.to_thread(time.sleep, 600)

def struck():
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(600)

async def is_struck_in_a_thread():
    await asyncio.to_thread(struck)

async def leaves_a_thread():
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)
    return await waits()

async def needs_a_child():
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read(); print('done')"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    child.stdout.readline()
    await waits()
    return child.communicate("", timeout=60)[0].strip()

async def fails():
    await waits()
    raise RuntimeError("its server has gone")

async def fails_unasked():
    raise RuntimeError("of its own")

async def returns():
    return signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL

stopping.LONGEST_S = float(sys.argv[2])
result = stopping.run_stoppable(globals()[sys.argv[1]], lambda text: print(text, file=sys.stderr, flush=True))
print(result, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)
sys.exit(7)
"""


def run(flow: str, *signals: signal.Signals, longest_s: float = 60.0) -> tuple[int, list[str], str]:
    """Run a flow, send it and its children signals when it is ready; returns exit code, lines of stdout, and stderr."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, flow, str(longest_s)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = ""
        if signals:
            assert "ready\n" == process.stdout.readline()
        for number in signals:
            os.killpg(process.pid, number)
            said += process.stderr.readline() if not said else ""  # it has been heard
        lines = process.stdout.read().splitlines()
        said += process.stderr.read()
    return process.returncode, lines, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_flow_that_is_stopped_still_returns_its_result(number: signal.Signals) -> None:
    """Whoever started it prints the summary and chooses the exit code."""
    code, lines, said = run("waits", number)

    assert (7, [f"ended by {number.name} False"]) == (code, lines)
    assert "once more to leave at once" in said


def test_a_second_signal_leaves_at_once() -> None:
    """Whatever hangs, the person at the keyboard wins."""
    code, lines, _ = run("hangs", signal.SIGINT, signal.SIGINT)

    assert (130, []) == (code, lines)


@pytest.mark.parametrize("flow", ["hangs", "leaves_a_thread"])
def test_a_process_that_cannot_wind_down_is_ended(flow: str) -> None:
    """A thread that nobody can interrupt does not keep the process; a summary that is ready is printed."""
    code, lines, said = run(flow, signal.SIGTERM, longest_s=0.5)

    assert 143 == code
    assert "did not end in time" in said
    assert lines == ([] if flow == "hangs" else ["ended by SIGTERM False"])


def test_a_signal_is_heard_whichever_thread_gets_it() -> None:
    """The kernel may give it to any of them; the main thread, which alone may act on it, must not sleep on."""
    code, lines, said = run("is_struck_in_a_thread", longest_s=0.5)

    assert (143, []) == (code, lines)
    assert "stopping" in said


def test_what_a_flow_has_started_does_not_hear_ctrl_c() -> None:
    """A terminal sends it to every process; those that winding down needs, a Prefect server above all, go on."""
    code, lines, said = run("needs_a_child", signal.SIGINT)

    assert (7, ["done False"]) == (code, lines), said


def test_a_flow_that_fails_while_it_winds_down_is_a_stopped_one() -> None:
    """SIGTERM to all takes a Prefect server of the run's own along: what breaks then is no news to anybody."""
    code, lines, said = run("fails", signal.SIGTERM)

    assert (143, []) == (code, lines)
    assert "run the same command again" in said
    assert "Traceback" not in said


def test_without_a_signal_nothing_is_different() -> None:
    """Results and errors pass through, and signals are whose they were."""
    assert (7, ["True True"], "") == run("returns")
    code, _, said = run("fails_unasked")
    assert 1 == code
    assert "of its own" in said
