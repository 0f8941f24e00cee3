"""What every ledger promises to threads and processes that work at once, and to those that are killed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Barrier

import pytest

from tasks.domain.job import DeliveryState, JobState
from tasks.ledger.base import Ledger
from tasks.ledger.open import open_ledger
from tests.contracts.ledger_process import RACED, win
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE, add, many

ROOT = Path(__file__).parents[2]
THREADS = 8


def together(step: Callable[[int], int]) -> int:
    """Run ``step(number)`` in all threads from one moment on and add up what they return."""
    start = Barrier(THREADS)

    def run(number: int) -> int:
        start.wait()
        return step(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(run, range(THREADS)))


@contextmanager
def process(what: str, url: str, owner: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has loaded everything and waits for a line before it opens the ledger."""
    command = [sys.executable, "-m", "tests.contracts.ledger_process", what, url, owner]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


def go(child: subprocess.Popen[str]) -> None:
    """Let a waiting process start."""
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


class RaceContract:
    """One winner, however many try."""

    def test_one_of_many_threads_submits_a_job(self, ledger: Ledger) -> None:
        """Each job is won once."""
        ledger.plan(PIPELINE, many(20), NOW)
        won = together(lambda number: sum(win(ledger, key, f"thread-{number}") for key, _, _ in many(20)))
        assert 20 == won
        assert [1] * 20 == [job.attempts for job in ledger.jobs()]

    def test_the_same_owner_twice_still_submits_once(self, ledger: Ledger) -> None:
        """The lease does not tell them apart; compare-and-set does."""
        key = add(ledger)
        assert 1 == together(lambda _: win(ledger, key, "me"))
        assert ["planned", "submitting"] == [move.state for move in ledger.story(key)]

    def test_threads_that_plan_at_once_count_each_job_once(self, ledger: Ledger) -> None:
        """And begin each job's story once."""
        assert 600 == together(lambda number: ledger.plan(f"pipeline-{number % 2}", many(600), NOW))
        assert [["planned"]] * 20 == [[move.state for move in ledger.story(key)] for key, _, _ in many(20)]

    def test_one_of_many_threads_delivers(self, ledger: Ledger) -> None:
        """Though all of them planned the delivery."""
        key = add(ledger)

        def deliver(number: int) -> int:
            ledger.plan_deliveries(PIPELINE, key, {"results": "a", "video": "v"}, NOW)
            claimed = ledger.claim_delivery(PIPELINE, key, "results", f"thread-{number}", LEASE, NOW)
            if claimed is None:
                return 0
            ledger.finish_delivery(PIPELINE, key, "results", claimed.lease_owner, DeliveryState.DELIVERED, NOW)
            return 1

        assert 1 == together(deliver)
        told = Counter((move.subject, move.state) for move in ledger.story(key))
        assert {1} == set(told.values())

    def test_many_threads_read_and_write(self, ledger: Ledger) -> None:
        """More threads than connections get their turn, and nobody is told that the ledger is locked."""
        ledger.plan(PIPELINE, many(40), NOW)
        keys = [key for key, _, _ in many(40)]

        def use(key: str) -> int:
            ledger.claim(key, "me", LEASE, NOW)
            ledger.move(key, JobState.PLANNED, JobState.FAILED, "me", NOW)
            ledger.release(key, "me")
            return len(list(ledger.jobs())) + len(ledger.story(key))

        with ThreadPoolExecutor(40) as pool:
            assert 40 * (40 + 2) == sum(pool.map(use, keys))

    def test_one_of_four_processes_submits_a_job(self, ledger_url: str) -> None:
        """From a ledger that none of them found there; none of them complains."""
        with ExitStack() as stack:
            children = [stack.enter_context(process("race", ledger_url, f"process-{n}")) for n in range(4)]
            for child in children:
                go(child)
            ended = [(*child.communicate(), child.returncode) for child in children]
        assert [("", 0)] * 4 == [(err, code) for _, err, code in ended]
        won = Counter(key for out, _, _ in ended for key in out.split())
        assert Counter(key for key, _, _ in many(RACED)) == won
        ledger = open_ledger(ledger_url)
        assert {JobState.SUBMITTING: RACED} == {state: n for state, n in ledger.counts()[0].items() if n}
        ledger.close()


class KillContract:
    """SIGKILL at any instruction."""

    @pytest.mark.parametrize("moves", [5, 31, 70])
    def test_a_killed_writer_leaves_a_whole_ledger(self, ledger_url: str, moves: int) -> None:
        """What was acknowledged is there, every row agrees with its story, and work goes on at once."""
        with process("work", ledger_url, "victim") as victim, process("work", ledger_url, "survivor") as survivor:
            go(victim)
            go(survivor)
            assert victim.stdout is not None
            assert survivor.stdout is not None
            acknowledged = [victim.stdout.readline().split() for _ in range(moves)]
            victim.kill()
            acknowledged += [
                line.split() for line in victim.stdout.read().splitlines(keepends=True) if line[-1] == "\n"
            ]
            ledger = open_ledger(ledger_url)
            so_far = sum(job.video.version == "survivor" for job in ledger.jobs())
            seen: set[str] = set()
            while len(seen) <= so_far + 1:
                line = survivor.stdout.readline()
                assert line, survivor.communicate()[1]
                seen.add(line.split()[0])
        for key, state in acknowledged:
            assert state in [move.state for move in ledger.story(key) if move.subject == "job"]
        assert_consistent(ledger)
        assert ledger.plan("next", many(1), NOW) == 1
        ledger.close()


def assert_consistent(ledger: Ledger) -> None:
    """Every job and delivery stands where the last line of its story left it."""
    for job in ledger.jobs():
        story = ledger.story(job.key)
        own = [move for move in story if move.subject == "job"]
        assert job.state == own[-1].state
        assert job.attempts == sum(move.state == "submitting" for move in own)
        for subject in {move.subject for move in story}:
            states = [move.state for move in story if move.subject == subject]
            assert ["", *states[:-1]] == [move.before for move in story if move.subject == subject]
        for delivery in ledger.deliveries(job_key=job.key):
            assert delivery.state == [move.state for move in story if move.subject == delivery.route][-1]
