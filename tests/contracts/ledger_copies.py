"""What every ledger promises about videos of one content: they are found, and one of them is submitted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier

import pytest

from tasks.domain.errors import CopyAhead, LedgerConflict
from tasks.domain.job import InferenceSpec, JobState, ModelRef
from tasks.domain.video import VideoRef
from tasks.ledger.base import JobRecord, Ledger, Slots
from tests.contracts.ledger_samples import LEASE, NOW, SPEC, add, drive, found, planned, video

HERE = "https://api.example"
HOUR = timedelta(hours=1)
ONCE = Slots(100, HOUR, once_per_content=True)
CONTENT = "md5:0cc175b9c0f1b6a831c399e269772661"
THREADS = 8


def sized(number: int, size: int = 7) -> VideoRef:
    """A video of its own, of a size."""
    return replace(video(number), size=size)


def copy(ledger: Ledger, number: int, content: str = CONTENT, *, size: int = 7, spec: InferenceSpec = SPEC) -> str:
    """Plan a job whose video has a content; return its key."""
    key = add(ledger, planned(sized(number, size), spec))
    ledger.set_content(key, content)
    return key


def seek(ledger: Ledger, but: str = "", now: datetime = NOW) -> str:
    """Key of the copy that is found, or ""."""
    one = ledger.find_copy(CONTENT, 7, SPEC, now, deadline=HOUR, but=but)
    return one.key if one else ""


def submit(ledger: Ledger, key: str, slots: Slots = ONCE, owner: str = "me", now: datetime = NOW) -> JobRecord:
    """Claim and begin to submit."""
    ledger.claim(key, owner, LEASE, now)
    return ledger.move(key, JobState.PLANNED, JobState.SUBMITTING, owner, now, service=HERE, slots=slots)


def succeed(ledger: Ledger, key: str) -> None:
    """Take a job to its results."""
    record = drive(ledger, key, JobState.SUBMITTED)
    ledger.move(key, record.state, JobState.SUCCEEDED, "me", NOW, result_key=f"results-{key}")


class CopyContract:
    """One content, one submission."""

    def test_content_belongs_to_the_video_version(self, ledger: Ledger) -> None:
        """Nobody has asked at first; "" is an answer too; another spec's job need not ask again."""
        key = add(ledger)
        same = add(ledger, planned(spec=InferenceSpec("local", (ModelRef("oidv4", "1"),), 2.0)))
        changed = add(ledger, planned(video(version="v2")))
        assert found(ledger, key).content is None
        ledger.set_content(key, "")
        assert "" == found(ledger, same).content
        ledger.set_content(key, CONTENT)
        assert (CONTENT, CONTENT, None) == tuple(found(ledger, one).content for one in (key, same, changed))
        with pytest.raises(LedgerConflict):
            ledger.set_content("f" * 32, CONTENT)

    def test_a_copy_with_results_is_found_before_one_that_is_open(self, ledger: Ledger) -> None:
        """And neither is the job itself, nor one that is only planned."""
        keys = [copy(ledger, number) for number in range(3)]
        assert "" == seek(ledger)
        submit(ledger, keys[0])
        assert keys[0] == seek(ledger)
        assert "" == seek(ledger, but=keys[0])
        succeed(ledger, keys[1])
        assert keys[1] == seek(ledger, but=keys[2])
        assert found(ledger, keys[1]) == ledger.find_copy(CONTENT, 7, SPEC, NOW, deadline=HOUR)

    def test_what_differs_in_anything_is_no_copy(self, ledger: Ledger) -> None:
        """Content, size and spec have to be the same; no content is like no other."""
        other = replace(SPEC, fps=4.0)
        succeed(ledger, copy(ledger, 1, "md5:1"))
        succeed(ledger, copy(ledger, 2, size=8))
        succeed(ledger, copy(ledger, 3, spec=other))
        succeed(ledger, copy(ledger, 4, ""))
        succeed(ledger, add(ledger, planned(sized(5))))
        assert "" == seek(ledger)
        assert ledger.find_copy("", 7, SPEC, NOW, deadline=HOUR) is None
        for key in (copy(ledger, 6), copy(ledger, 7, "")):
            submit(ledger, key)

    @pytest.mark.parametrize("end", [JobState.FAILED, JobState.EXPIRED, JobState.UNKNOWN])
    def test_a_job_that_came_to_nothing_is_in_nobodys_way(self, ledger: Ledger, end: JobState) -> None:
        """Its copy is submitted itself, and then stands in its way if it is planned again."""
        first, second = copy(ledger, 1), copy(ledger, 2)
        drive(ledger, first, end)
        submit(ledger, second)
        ledger.move(first, end, JobState.PLANNED, "me", NOW)
        with pytest.raises(CopyAhead):
            submit(ledger, first)

    def test_a_dead_submission_and_an_overdue_job_are_in_nobodys_way(self, ledger: Ledger) -> None:
        """They block a copy for no longer than they hold a slot."""
        first, second, third = (copy(ledger, number) for number in range(3))
        submit(ledger, first, owner="dead")
        with pytest.raises(CopyAhead):
            submit(ledger, second, now=NOW + LEASE - timedelta(microseconds=1))
        job = submit(ledger, second, now=NOW + LEASE)
        ledger.move(second, job.state, JobState.SUBMITTED, "me", NOW + LEASE, job_id="j")
        with pytest.raises(CopyAhead):
            submit(ledger, third, now=NOW + LEASE + HOUR - timedelta(microseconds=1))
        submit(ledger, third, now=NOW + LEASE + HOUR)

    def test_a_copy_behind_changes_nothing_and_takes_no_slot(self, ledger: Ledger) -> None:
        """Unless nobody minds copies."""
        first, second = copy(ledger, 1), copy(ledger, 2)
        submit(ledger, first)
        before = ledger.claim(second, "me", LEASE, NOW)
        with pytest.raises(CopyAhead):
            submit(ledger, second)
        assert before == ledger.job(second)
        submit(ledger, second, Slots(2, HOUR))

    def test_a_planned_job_takes_over_results_unpaid(self, ledger: Ledger) -> None:
        """No attempt is counted; its story says where the results are from."""
        first, second = copy(ledger, 1), copy(ledger, 2)
        succeed(ledger, first)
        ledger.claim(second, "me", LEASE, NOW)
        done = ledger.move(second, JobState.PLANNED, JobState.SUCCEEDED, "me", NOW, result_key=f"results-{first}")
        assert (JobState.SUCCEEDED, 0, "") == (done.state, done.attempts, done.job_id)
        assert f"results results-{first}" == ledger.story(second)[-1].detail

    def test_of_copies_that_come_at_once_one_is_submitted(self, ledger: Ledger) -> None:
        """Whoever looks, looks behind who writes."""
        keys = [copy(ledger, number, f"md5:{number // THREADS}") for number in range(5 * THREADS)]
        start = Barrier(THREADS)

        def take(number: int) -> int:
            start.wait()
            taken = 0
            for key in keys[number::THREADS]:
                with suppress(CopyAhead):
                    submit(ledger, key, owner=f"thread-{number}")
                    taken += 1
            return taken

        with ThreadPoolExecutor(THREADS) as pool:
            assert 5 == sum(pool.map(take, range(THREADS)))
        submitting = [job.content for job in ledger.jobs(states=[JobState.SUBMITTING])]
        assert [f"md5:{number}" for number in range(5)] == sorted(str(content) for content in submitting)
