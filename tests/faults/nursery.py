"""Command lines without their start: ``python -m tests.faults.nursery`` imports everything once, then forks.

Importing Prefect, the sinks and their libraries costs several seconds of CPU, which dozens of runs
that are killed after a moment cannot each afford. Here they are imported once. For each line of JSON
on stdin (an :class:`Order`) a process is forked that runs the command line as it would have run it, and
its process id is printed. For a line with a process id, that process is waited for, and its exit code printed.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

# What a run imports on its way, and nothing that starts a thread.
NEEDED = (
    "alembic.autogenerate",
    "alembic.command",
    "deployments.cli.app",
    "deployments.cli.bars",
    "deployments.cli.prefect_setup",
    "deployments.cli.stopping",
    "flows.collect",
    "flows.ingest",
    "graphviz",
    "pandas",
    "prefect.concurrency",
    "pyarrow.parquet",
    "supervision",
    "tasks.predictions.tables",
    "tasks.sinks.labelbox.sink",
    "tasks.sinks.lightly.sink",
    "tasks.sinks.transcode",
    "tasks.sinks.video",
)


@dataclass(frozen=True)
class Order:
    """One command line.

    Attributes:
        arguments: What follows ``reelroute``.
        folder: Where it is typed.
        environment: All of it.
        stdout, stderr: Files to print to.
        mark: Name of a mark of :mod:`tests.faults.marks` to die at, or "".
    """

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    stdout: str
    stderr: str
    mark: str = ""

    def to_line(self) -> str:
        return json.dumps(asdict(self)) + "\n"


def become(order: Order) -> None:
    """Turn this process into what the order describes."""
    for path, descriptor in ((os.devnull, 0), (order.stdout, 1), (order.stderr, 2)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    tempfile.tempdir = None  # look at TMPDIR anew
    sys.argv = ["reelroute", *order.arguments]
    know_the_model()
    if order.mark:
        from tests.faults.marks import MARKS, set_mark

        set_mark(MARKS[order.mark])


def know_the_model() -> None:
    """Spare every run the look-up of its model, which takes a process of its own."""
    from tasks.domain.job import ModelRef
    from tasks.domain.predictions import TaskType
    from tasks.inference.base import ModelInfo
    from tasks.inference.roboflow import RoboflowClient

    async def describe(self: RoboflowClient, models: tuple[ModelRef, ...]) -> tuple[ModelInfo, ...]:
        return tuple(ModelInfo(ref, TaskType.OBJECT_DETECTION, ("Person", "Car")) for ref in models)

    RoboflowClient.describe = describe  # type: ignore[method-assign]


@dataclass
class Nursery:
    """The process that forks; use :func:`nursery`.

    Attributes:
        pid: Process id of the last command.
    """

    process: subprocess.Popen[str]
    pid: int = 0

    def start(self, order: Order) -> int:
        """Start a command; return its process id."""
        self.pid = self._ask(order.to_line())
        return self.pid

    def wait(self, pid: int) -> int:
        """Wait for a command's end; return its exit code, negative for the signal that killed it."""
        return self._ask(f"{pid}\n")

    def _ask(self, line: str) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def nursery(prefect_api_url: str) -> Iterator[Nursery]:
    """A nursery whose commands use a Prefect server."""
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # threads do not survive a fork
    environment = {**os.environ, **one_thread, "PREFECT_API_URL": prefect_api_url}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.nursery"],
        cwd=ROOT,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        yield Nursery(process)
        process.communicate()


def tend() -> None:
    """Fork for each order; returns in the processes that are forked, which then are that command line."""
    for name in NEEDED:
        importlib.import_module(name)
    assert [threading.main_thread()] == threading.enumerate()
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            answer = os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1])
        else:
            answer = os.fork()
            if not answer:
                become(Order(**asked))
                return
        os.write(1, f"{answer}\n".encode())
    sys.exit()


if __name__ == "__main__":
    tend()
    from deployments.cli import main

    main()
