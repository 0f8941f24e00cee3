"""What every ledger promises about moves: compare-and-set, facts, the story, no secrets."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from tasks.domain.errors import LedgerConflict
from tasks.domain.job import JOB_MOVES, Failure, JobState
from tasks.ledger.base import Ledger, Move
from tests.contracts.ledger_samples import FAILURE, LEASE, NOW, PIPELINE, add, drive, found, planned, video

SIGNED = "https://bucket.s3.amazonaws.com/x.mp4?X-Amz-Credential=AKIA&X-Amz-Signature=5ec7e7"


class MoveContract:
    """Compare-and-set."""

    @pytest.mark.parametrize(("start", "to"), list(product(JobState, JobState)))
    def test_exactly_the_moves_of_the_domain_are_possible(self, ledger: Ledger, start: JobState, to: JobState) -> None:
        """Each allowed move arrives; each other is a ValueError and changes nothing."""
        key = add(ledger)
        before = drive(ledger, key, start)
        if to in JOB_MOVES[start]:
            after = ledger.move(key, start, to, "me", NOW + LEASE)
            assert (to, NOW + LEASE) == (after.state, after.updated_at)
            assert after == ledger.job(key)
        else:
            story = ledger.story(key)
            with pytest.raises(ValueError, match=f"from {start} to {to}"):
                ledger.move(key, start, to, "me", NOW + LEASE)
            assert before == ledger.job(key)
            assert story == ledger.story(key)

    def test_a_job_that_is_elsewhere_is_a_conflict(self, ledger: Ledger) -> None:
        """The error names where it is and where it was believed to be; nothing changes."""
        key = add(ledger)
        before = drive(ledger, key, JobState.SUBMITTED)
        with pytest.raises(LedgerConflict, match=r"is submitted, not planned: it cannot become submitting") as caught:
            ledger.move(key, JobState.PLANNED, JobState.SUBMITTING, "me", NOW, token="again")
        assert before.video.name in caught.value.message
        assert before == ledger.job(key)

    @pytest.mark.parametrize("holder", ["", "other"])
    def test_without_the_lease_nothing_moves(self, ledger: Ledger, holder: str) -> None:
        """Whoever did not claim the job, or lost it, is told who has it."""
        key = add(ledger)
        if holder:
            ledger.claim(key, holder, LEASE, NOW)
        with pytest.raises(LedgerConflict, match=holder or "nobody") as caught:
            ledger.move(key, JobState.PLANNED, JobState.SUBMITTING, "me", NOW)
        assert "planned" in caught.value.message
        assert "submitting" in caught.value.message
        assert JobState.PLANNED == found(ledger, key).state

    def test_a_passed_lease_is_ours_until_it_is_taken(self, ledger: Ledger) -> None:
        """A slow answer is still recorded, unless somebody has taken over."""
        key = add(ledger)
        drive(ledger, key, JobState.SUBMITTING)
        late = NOW + 10 * LEASE
        ledger.move(key, JobState.SUBMITTING, JobState.SUBMITTED, "me", late, job_id="job-1")
        assert ledger.claim(key, "other", LEASE, late) is not None
        with pytest.raises(LedgerConflict, match="other"):
            ledger.move(key, JobState.SUBMITTED, JobState.SUCCEEDED, "me", late)

    def test_a_move_leaves_the_lease(self, ledger: Ledger) -> None:
        """Giving it back is a step of its own."""
        key = add(ledger)
        assert ("me", NOW + LEASE) == (
            (moved := drive(ledger, key, JobState.SUCCEEDED)).lease_owner,
            moved.lease_until,
        )


class FactContract:
    """What a move records."""

    def test_facts_are_kept_until_they_are_replaced(self, ledger: Ledger) -> None:
        """An attempt's token, the service's id, where it runs and where the results are."""
        key = add(ledger)
        ledger.claim(key, "me", LEASE, NOW)
        at = [NOW + timedelta(seconds=n) for n in range(3)]
        first = ledger.move(
            key, JobState.PLANNED, JobState.SUBMITTING, "me", at[0], token="t-1", service="https://api.example/v1"
        )
        assert (1, "t-1", "", "https://api.example/v1") == (first.attempts, first.token, first.job_id, first.service)
        assert first.submitted_at is None
        second = ledger.move(key, JobState.SUBMITTING, JobState.SUBMITTED, "me", at[1], job_id="job-1")
        assert ("t-1", "job-1", at[1]) == (second.token, second.job_id, second.submitted_at)
        third = ledger.move(key, JobState.SUBMITTED, JobState.SUCCEEDED, "me", at[2], result_key="ab/abc.json.gz")
        assert third == ledger.job(key)
        assert ("job-1", "ab/abc.json.gz", at[1]) == (third.job_id, third.result_key, third.submitted_at)
        assert ("https://api.example/v1", at[2]) == (third.service, third.updated_at)

    def test_a_planned_job_has_no_attempt(self, ledger: Ledger) -> None:
        """Back at the start, everything about the attempt is gone but that it was made."""
        key = add(ledger)
        drive(ledger, key, JobState.EXPIRED)
        again = ledger.move(key, JobState.EXPIRED, JobState.PLANNED, "me", NOW)
        assert again == ledger.job(key)
        assert ("", "", "", "", None, None) == (
            again.token,
            again.job_id,
            again.service,
            again.result_key,
            again.submitted_at,
            again.failure,
        )
        assert 1 == again.attempts
        assert 2 == ledger.move(key, JobState.PLANNED, JobState.SUBMITTING, "me", NOW).attempts

    def test_a_failure_goes_when_the_job_goes_on(self, ledger: Ledger) -> None:
        """What is not given with a move is no longer so."""
        key = add(ledger)
        drive(ledger, key, JobState.SUBMITTED)
        ledger.move(key, JobState.SUBMITTED, JobState.EXPIRED, "me", NOW, failure=FAILURE)
        assert ledger.move(key, JobState.EXPIRED, JobState.SUCCEEDED, "me", NOW).failure is None
        assert found(ledger, key).failure is None

    def test_what_is_said_of_a_job_at_the_service_is_kept_without_a_move(self, ledger: Ledger) -> None:
        """It can be taken back, goes when the job goes on, and holds no signature; time and story stay."""
        key = add(ledger)
        before = drive(ledger, key, JobState.SUBMITTED)
        story = ledger.story(key)
        ledger.note(key, "me", replace(FAILURE, message=f"{SIGNED} gave a page"))
        told = found(ledger, key)
        assert replace(before, failure=told.failure) == told
        assert told.failure == replace(FAILURE, message="https://bucket.s3.amazonaws.com/x.mp4?… gave a page")
        assert story == ledger.story(key)
        ledger.note(key, "me", None)
        assert before == found(ledger, key)
        ledger.note(key, "me", FAILURE)
        assert ledger.move(key, JobState.SUBMITTED, JobState.SUCCEEDED, "me", NOW).failure is None

    @pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.SUBMITTED])
    def test_nothing_is_said_of_a_job_that_is_elsewhere(self, ledger: Ledger, state: JobState) -> None:
        """An answer that comes late changes nothing; nor does one for somebody else's job."""
        key, other = add(ledger), add(ledger, planned(video(1)))
        before, theirs = drive(ledger, key, state), drive(ledger, other, JobState.SUBMITTED, "other")
        ledger.note(key, "me", FAILURE)
        ledger.note(other, "me", FAILURE)
        assert (before, theirs) == (found(ledger, key), found(ledger, other))

    def test_the_story_tells_every_move(self, ledger: Ledger) -> None:
        """With its time, both states, who did it, and what a person would look for."""
        key = add(ledger)
        later = NOW + timedelta(hours=2)
        ledger.claim(key, "night:1", LEASE, NOW)
        ledger.move(key, JobState.PLANNED, JobState.SUBMITTING, "night:1", NOW, token="t-1")
        ledger.move(key, JobState.SUBMITTING, JobState.SUBMITTED, "night:1", NOW, job_id="job-1")
        ledger.move(key, JobState.SUBMITTED, JobState.FAILED, "night:1", later, failure=FAILURE)
        assert [
            Move(NOW, "job", "planned", "", "", "", PIPELINE),
            Move(NOW, "job", "submitting", "attempt 1, token t-1", "planned", "night:1"),
            Move(NOW, "job", "submitted", "job job-1", "submitting", "night:1"),
            Move(later, "job", "failed", "poll: job_failed", "submitted", "night:1"),
        ] == ledger.story(key)


class SecretContract:
    """What could grant access is not stored."""

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("https://user:5ec7e7@api.example:8443/v1?api_key=5ec7e7#top", "https://api.example:8443/v1"),
            ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
            ("api.example/v1?api_key=5ec7e7", "api.example/v1"),
            ("", ""),
        ],
    )
    def test_a_service_is_kept_without_key(self, ledger: Ledger, given: str, kept: str) -> None:
        """Scheme, host, port and path are enough to ask it again."""
        key = add(ledger)
        ledger.claim(key, "me", LEASE, NOW)
        moved = ledger.move(key, JobState.PLANNED, JobState.SUBMITTING, "me", NOW, service=given)
        assert kept == moved.service == found(ledger, key).service

    def test_a_signed_url_in_a_failure_loses_its_signature(self, ledger: Ledger) -> None:
        """In the record that is returned as in the one that is stored, of jobs and deliveries."""
        leak = replace(FAILURE, message=f"GET {SIGNED} gave 403", hint=f"see {SIGNED}")
        clean = Failure(
            "poll",
            "job_failed",
            "GET https://bucket.s3.amazonaws.com/x.mp4?… gave 403",
            "see https://bucket.s3.amazonaws.com/x.mp4?…",
        )
        key = add(ledger)
        ledger.claim(key, "me", LEASE, NOW)
        moved = ledger.move(key, JobState.PLANNED, JobState.FAILED, "me", NOW, failure=leak)
        assert clean == moved.failure == found(ledger, key).failure
