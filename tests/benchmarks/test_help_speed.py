"""`reelroute --help` answers at once: its cost against a bare interpreter, in one run."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest


def _cpu_s(*arguments: str) -> float:
    """CPU seconds of a Python process, the least of five."""
    costs = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(costs)


@pytest.mark.bench
def test_help_costs_less_than_importing_prefect() -> None:
    """The command line stays a small fraction of what a run has to import, and under a second of CPU."""
    bare, helped, prefect = _cpu_s("-c", ""), _cpu_s("-m", "deployments.cli", "--help"), _cpu_s("-c", "import prefect")
    print(f"\nbare interpreter {bare:.2f} s, reelroute --help {helped:.2f} s, import prefect {prefect:.2f} s of CPU")

    assert helped < prefect / 2
    assert helped < 1.0
