"""Uploads whose process is killed (SIGKILL) in mid-call: the next one leaves one copy of everything."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.emulators.labelbox.server import LabelboxServer, labelbox_server
from tests.unit.tasks.sinks.labelbox.elsewhere import VIDEOS, WITHOUT_PROJECT, deliver_elsewhere
from tests.unit.tasks.sinks.labelbox.test_upload_troubles import WAYS, calls_of_a_delivery, one_of_each, prepare
from tests.unit.tasks.sinks.labelbox.workplace import Workplace

# Its processes are forked from one that has the SDK loaded already.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.unit.tasks.sinks.labelbox.elsewhere"])


def kill_at(number: int, server: LabelboxServer, folder: Path, how: dict[str, Any] = WITHOUT_PROJECT) -> None:
    """Start a delivery, and kill it while it waits for the answer to a call that was done."""
    server.faults.hold_at = number
    what = (server.endpoint, server.rest_endpoint, folder, how)
    process = PROCESSES.Process(target=deliver_elsewhere, args=what)
    process.start()
    try:
        assert server.faults.held.wait(60), "the delivery never came to that call"
    finally:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert -signal.SIGKILL == process.exitcode
    server.faults.hangs.set()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", WAYS)
def test_a_kill_at_any_call_doubles_nothing(tmp_path: Path, how: dict[str, Any]) -> None:
    """Killed while it waits for any of its answers, a delivery is completed by the next one, in other company."""
    calls = calls_of_a_delivery(tmp_path, how)
    for number in range(1, len(calls) + 1):
        with labelbox_server() as server:
            folder = tmp_path / str(number)
            folder.mkdir()
            workplace = Workplace(server, folder)
            prepare(workplace, how)
            deliveries = [workplace.delivery(name) for name in VIDEOS]
            kill_at(number, server, folder, how)

            done = workplace.deliver(deliveries[::-1], **how)

            assert {} == done.refused, calls[number - 1]
            one_of_each(server)


def test_an_import_that_outlives_its_process_is_taken_over(tmp_path: Path) -> None:
    """The same content is not sent again while what a killed process sent is still under way."""
    calls = calls_of_a_delivery(tmp_path)
    number = calls.index("createModelErrorAnalysisPredictionImport") + 1
    with labelbox_server() as server:
        server.world.import_s = 1.0
        workplace = Workplace(server, tmp_path)
        deliveries = [workplace.delivery(name) for name in VIDEOS]
        kill_at(number, server, tmp_path)

        done = workplace.deliver(deliveries)

        assert {} == done.refused
        assert 1 == len(server.world.uploads)
        one_of_each(server)
