"""What every ledger promises about budgets of a period."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier

import pytest

from tasks.domain.budget import Limits, Spent, Submission
from tasks.domain.errors import BudgetSpent
from tasks.domain.job import JobState
from tasks.ledger.base import JobRecord, Ledger, Slots
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE, add, planned, video

MIDNIGHT = NOW.replace(hour=0, minute=0)
LIMITS = Limits(max_videos=3, cost_per_1000_frames=2, max_cost=1, per="day")
SLOTS = Slots(50, timedelta(hours=6), submission=Submission(costs=Spent(1, 100, 0.5), limits=LIMITS, since=MIDNIGHT))
THREADS = 8


def begin(ledger: Ledger, number: int, *, pipeline: str = PIPELINE, now: datetime = NOW) -> JobRecord:
    """Begin to submit a job of its own."""
    key = add(ledger, planned(video(number)), pipeline)
    ledger.claim(key, "me", LEASE, now)
    return ledger.move(
        key, JobState.PLANNED, JobState.SUBMITTING, "me", now, service="https://a", slots=SLOTS, pipeline=pipeline
    )


class BudgetContract:
    """Never more in a period than was allowed, by whichever runs."""

    def test_what_is_submitted_counts_until_the_period_is_over(self, ledger: Ledger) -> None:
        """The next video is refused and stays as it was; another pipeline and the next day have room."""
        for number in range(3):
            begin(ledger, number)
        assert Spent(3, 300, 1.5) == ledger.spent(PIPELINE, MIDNIGHT)
        with pytest.raises(BudgetSpent, match=r"budget\.max_videos 3 per day"):
            begin(ledger, 3)
        [left] = ledger.jobs(states=[JobState.PLANNED])
        assert (video(3), 0) == (left.video, left.attempts)
        assert Spent(3, 300, 1.5) == ledger.spent(PIPELINE, MIDNIGHT)
        begin(ledger, 4, pipeline="other")
        tomorrow = replace(SLOTS.submission, since=MIDNIGHT + timedelta(days=1)) if SLOTS.submission else None
        later = NOW + timedelta(days=1)
        ledger.claim(left.key, "me", LEASE, later)
        slots = replace(SLOTS, submission=tomorrow)
        asked = (left.key, JobState.PLANNED, JobState.SUBMITTING, "me", later)
        assert 1 == ledger.move(*asked, service="https://a", slots=slots, pipeline=PIPELINE).attempts

    @pytest.mark.parametrize(
        ("states", "spent"),
        [
            ([JobState.UNKNOWN], 1),
            ([JobState.UNKNOWN, JobState.PLANNED], 1),
            ([JobState.SUBMITTED, JobState.FAILED], 1),
            ([JobState.SUBMITTED, JobState.FAILED, JobState.PLANNED], 1),
            ([JobState.FAILED], 0),
            ([JobState.PLANNED], 0),
        ],
    )
    def test_only_what_was_refused_is_not_spent(self, ledger: Ledger, states: list[JobState], spent: int) -> None:
        """Nobody knows of an unknown job that it was not paid."""
        job = begin(ledger, 1)
        for state in states:
            job = ledger.move(job.key, job.state, state, "me", NOW)
        assert spent == ledger.spent(PIPELINE, MIDNIGHT).videos

    def test_a_job_that_is_paid_again_counts_again(self, ledger: Ledger) -> None:
        """Both attempts are of the period."""
        job = begin(ledger, 1)
        for state in (JobState.UNKNOWN, JobState.PLANNED):
            job = ledger.move(job.key, job.state, state, "me", NOW)
        begin(ledger, 1)
        assert Spent(2, 200, 1.0) == ledger.spent(PIPELINE, MIDNIGHT)

    def test_runs_at_the_same_time_keep_to_it_together(self, ledger: Ledger) -> None:
        """Counting and writing are one: of eight at once three begin."""
        barrier = Barrier(THREADS)

        def race(number: int) -> bool:
            barrier.wait()
            try:
                begin(ledger, number)
            except BudgetSpent:
                return False
            return True

        with ThreadPoolExecutor(THREADS) as pool:
            assert 3 == sum(pool.map(race, range(THREADS)))
        assert 3 == ledger.spent(PIPELINE, MIDNIGHT).videos
