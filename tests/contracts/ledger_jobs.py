"""What every ledger promises about jobs: planning, streaming, leases, facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tasks.domain.errors import LedgerConflict
from tasks.domain.job import InferenceSpec, JobState, ModelRef
from tasks.ledger.base import JobRecord, Ledger
from tests.contracts.ledger_samples import (
    FAILURE,
    INFO,
    LEASE,
    NOW,
    PIPELINE,
    SPEC,
    Planned,
    add,
    drive,
    found,
    many,
    planned,
    video,
)


class PlanContract:
    """Recording what a listing found."""

    def test_a_planned_job_reads_back_as_it_was_planned(self, ledger: Ledger) -> None:
        """Nothing of the video or the spec is lost or rounded, and the rest is blank."""
        key, ref, spec = planned()
        assert ledger.plan(PIPELINE, [(key, ref, spec)], NOW) == 1
        expected = JobRecord(
            key=key,
            video=ref,
            spec=spec,
            state=JobState.PLANNED,
            attempts=0,
            token="",
            job_id="",
            service="",
            result_key="",
            info=None,
            content=None,
            failure=None,
            submitted_at=None,
            lease_owner="",
            lease_until=None,
            updated_at=NOW,
        )
        actual = ledger.job(key)
        assert expected == actual
        # A video's equality leaves these out.
        assert actual is not None
        assert (ref.size, ref.modified, ref.name) == (actual.video.size, actual.video.modified, actual.video.name)

    def test_an_unknown_job_is_none(self, ledger: Ledger) -> None:
        """Reading what was never planned is no error."""
        assert ledger.job("0" * 32) is None
        assert list(ledger.jobs()) == []
        assert ledger.story("0" * 32) == []

    def test_planning_again_counts_and_changes_nothing(self, ledger: Ledger) -> None:
        """A nightly listing leaves what is known where it stands."""
        assert ledger.plan(PIPELINE, many(3), NOW) == 3
        submitted = drive(ledger, planned(video(1))[0], JobState.SUBMITTED)
        assert ledger.plan(PIPELINE, many(5), NOW + timedelta(days=1)) == 2
        assert submitted == ledger.job(submitted.key)
        assert ledger.plan(PIPELINE, [], NOW) == 0

    def test_a_new_version_or_another_spec_is_another_job(self, ledger: Ledger) -> None:
        """Only the same inference of the same bytes is the same job."""
        other_spec = InferenceSpec("roboflow", (ModelRef("players", "3"),), 5.0)
        batch = [planned(), planned(video(version="v2")), planned(spec=other_spec)]
        assert ledger.plan(PIPELINE, batch, NOW) == 3
        assert [spec for _, _, spec in batch] == [job.spec for job in ledger.jobs()]

    def test_pipelines_share_a_job_and_each_keeps_its_name(self, ledger: Ledger) -> None:
        """It is paid once, and each pipeline's routes call the video what that pipeline calls it."""
        key = add(ledger, planned(video(name="a/match.mp4")), "first")
        assert ledger.plan("second", [planned(video(name="cup/match.mp4"))], NOW) == 0
        assert [job.video.name for job in ledger.jobs("first")] == ["a/match.mp4"]
        assert [job.video.name for job in ledger.jobs("second")] == ["cup/match.mp4"]
        assert found(ledger, key, "first").video.name == "a/match.mp4"
        assert found(ledger, key, "second").video.name == "cup/match.mp4"
        assert found(ledger, key).video.name in {"a/match.mp4", "cup/match.mp4"}
        claimed = ledger.claim(key, "me", LEASE, NOW, pipeline="second")
        assert claimed is not None
        assert claimed.video.name == "cup/match.mp4"
        moved = ledger.move(key, JobState.PLANNED, JobState.SUBMITTING, "me", NOW, pipeline="second")
        assert moved.video.name == "cup/match.mp4"
        assert [job.key for job in ledger.jobs()] == [key]
        assert list(ledger.jobs("third")) == []

    def test_the_latest_name_counts(self, ledger: Ledger) -> None:
        """A pipeline whose prefix was changed sees its known videos under their new names."""
        key = add(ledger, planned(video(name="2026/match.mp4")))
        assert ledger.plan(PIPELINE, [planned(video(name="match.mp4"))], NOW) == 0
        assert found(ledger, key).video.name == "match.mp4"

    def test_a_video_listed_twice_is_one_job(self, ledger: Ledger) -> None:
        """Overlapping sources pay once, and the name does not change from night to night."""
        listing = [planned(video(name="a/x.mp4")), planned(video(name="b/x.mp4"))]
        assert [ledger.plan(PIPELINE, listing, NOW) for _ in range(3)] == [1, 0, 0]
        assert [job.video.name for job in ledger.jobs(PIPELINE)] == ["b/x.mp4"]

    def test_planning_streams(self, ledger: Ledger) -> None:
        """Of 3,000 videos never more than 1,000 are held back, and what was taken stays if the listing breaks."""
        behind = []

        def listing() -> Iterator[Planned]:
            for number, job in enumerate(many(3000)):
                if number % 250 == 0:
                    behind.append(number - ledger.counts()[0][JobState.PLANNED])
                yield job
            raise ConnectionError("the bucket went away")

        with pytest.raises(ConnectionError):
            ledger.plan(PIPELINE, listing(), NOW)
        assert max(behind) <= 1000
        assert ledger.counts()[0][JobState.PLANNED] >= 2000

    @pytest.mark.parametrize("uri", ["https://bucket.example/x.mp4?X-Amz-Signature=5ec7e7", "HTTP://host/x.mp4"])
    def test_an_address_to_fetch_is_never_planned(self, ledger: Ledger, uri: str) -> None:
        """A signed URL cannot get into the ledger as a video, nor its signature into the error."""
        with pytest.raises(ValueError, match="no storage URI") as caught:
            ledger.plan(PIPELINE, [planned(), planned(replace(video(), uri=uri))], NOW)
        assert "5ec7e7" not in str(caught.value)
        assert list(ledger.jobs()) == []

    def test_a_time_without_a_zone_is_refused(self, ledger: Ledger) -> None:
        """A clock that does not say where it hangs cannot end leases."""
        naive = datetime(2026, 3, 1)  # noqa: DTZ001
        key = add(ledger)
        with pytest.raises(ValueError, match="no time zone"):
            ledger.plan(PIPELINE, [], naive)
        with pytest.raises(ValueError, match="no time zone"):
            ledger.plan(PIPELINE, [planned(replace(video(1), modified=naive))], NOW)
        with pytest.raises(ValueError, match="no time zone"):
            ledger.claim(key, "me", LEASE, naive)
        with pytest.raises(ValueError, match="no time zone"):
            list(ledger.jobs(seen_since=naive))

    def test_times_come_back_in_utc(self, ledger: Ledger) -> None:
        """A time given in another zone is the same moment, to the microsecond."""
        there = datetime(2026, 3, 1, 4, 30, 0, 1, tzinfo=timezone(timedelta(hours=2)))
        job = planned(replace(video(), modified=there))
        ledger.plan(PIPELINE, [job], there)
        record = found(ledger, job[0])
        assert (there, there) == (record.video.modified, record.updated_at)
        assert record.updated_at.tzinfo is UTC


class StreamContract:
    """Reading many jobs."""

    def test_jobs_come_oldest_first(self, ledger: Ledger) -> None:
        """In the order in which they became known."""
        keys = [add(ledger, planned(video(number))) for number in (3, 1, 2)]
        assert keys == [job.key for job in ledger.jobs()]

    def test_jobs_are_filtered_by_state_uri_and_pipeline(self, ledger: Ledger) -> None:
        """Every filter narrows, and all hold together."""
        ledger.plan(PIPELINE, many(4), NOW)
        add(ledger, planned(video(1, version="v2")), "other")
        keys = [key for key, _, _ in many(4)]
        drive(ledger, keys[1], JobState.FAILED)
        drive(ledger, keys[2], JobState.UNKNOWN)
        stopped = [JobState.UNKNOWN, JobState.FAILED]
        assert keys[1:3] == [job.key for job in ledger.jobs(states=stopped)]
        assert [keys[0], keys[3]] == [job.key for job in ledger.jobs(PIPELINE, [JobState.PLANNED])]
        assert ["v1", "v2"] == [job.video.version for job in ledger.jobs(uri=video(1).uri)]
        assert ["v1"] == [job.video.version for job in ledger.jobs(PIPELINE, uri=video(1).uri)]
        assert [] == list(ledger.jobs("other", stopped, uri=video(1).uri))

    def test_jobs_that_left_the_sources_can_be_left_out(self, ledger: Ledger) -> None:
        """``seen_since`` keeps to what the listings since then have seen."""
        ledger.plan(PIPELINE, many(3), NOW)
        tonight = NOW + timedelta(days=1)
        ledger.plan(PIPELINE, [planned(video(1)), planned(video(7))], tonight)
        seen = [planned(video(number))[0] for number in (1, 7)]
        assert seen == [job.key for job in ledger.jobs(PIPELINE, seen_since=tonight)]
        assert seen == [job.key for job in ledger.jobs(seen_since=tonight)]
        assert 4 == len(list(ledger.jobs(PIPELINE, seen_since=NOW)))
        assert [] == list(ledger.jobs("other", seen_since=NOW))

    def test_ten_thousand_jobs_stream_while_they_are_moved(self, ledger: Ledger) -> None:
        """Each comes once, none is loaded long before it is reached, and the stream blocks no writer."""
        assert ledger.plan(PIPELINE, many(10_000), NOW) == 10_000
        stream = ledger.jobs(PIPELINE, [JobState.PLANNED])
        first = next(stream)
        drive(ledger, first.key, JobState.SUBMITTED)
        last = planned(video(9_999))[0]
        drive(ledger, last, JobState.FAILED)
        keys = [first.key, *(job.key for job in stream)]
        assert [key for key, _, _ in many(9_999)] == keys

    def test_a_stream_that_is_dropped_harms_nobody(self, ledger: Ledger) -> None:
        """Reading a few and walking away leaves nothing locked."""
        ledger.plan(PIPELINE, many(600), NOW)
        for _ in range(40):
            next(ledger.jobs())
        assert ledger.plan("other", many(1), NOW) == 0

    def test_counts_name_every_state(self, ledger: Ledger) -> None:
        """Zeros included, of one pipeline or of all."""
        ledger.plan(PIPELINE, many(3), NOW)
        add(ledger, planned(video(9)), "other")
        drive(ledger, planned(video(2))[0], JobState.EXPIRED)
        blank = dict.fromkeys(JobState, 0)
        assert ({**blank, JobState.PLANNED: 2, JobState.EXPIRED: 1}, {}) == ledger.counts(PIPELINE)
        assert ({**blank, JobState.PLANNED: 3, JobState.EXPIRED: 1}, {}) == ledger.counts()
        assert (blank, {}) == ledger.counts("nobody")

    def test_the_oldest_job_in_flight_is_the_one_submitted_first(self, ledger: Ledger) -> None:
        """Of those that are at a service: what ended, failed or was never answered is not waited for."""
        assert ledger.oldest_in_flight() is None
        waits = [JobState.UNKNOWN, JobState.SUCCEEDED, JobState.PLANNED, JobState.SUBMITTED, JobState.SUBMITTED]
        keys = [add(ledger, planned(video(number))) for number in range(len(waits))]
        for hours, (key, state) in enumerate(zip(keys, waits, strict=True)):
            drive(ledger, key, state, now=NOW + timedelta(hours=hours))
        assert NOW + timedelta(hours=3) == ledger.oldest_in_flight()
        ledger.move(keys[3], JobState.SUBMITTED, JobState.SUCCEEDED, "me", NOW)
        assert NOW + timedelta(hours=4) == ledger.oldest_in_flight()


class LeaseContract:
    """Who may work on a job."""

    def test_a_free_job_is_claimed(self, ledger: Ledger) -> None:
        """The record shows the lease."""
        key = add(ledger)
        claimed = ledger.claim(key, "me", LEASE, NOW)
        assert claimed is not None
        assert ("me", NOW + LEASE) == (claimed.lease_owner, claimed.lease_until)
        assert claimed == ledger.job(key)
        assert claimed.updated_at == NOW

    def test_leases_go_by_one_clock(self, ledger: Ledger) -> None:
        """Which is the caller's, for as long as the database's agrees with it."""
        assert ledger.lease_time(NOW) == NOW

    def test_a_lease_keeps_others_off_until_it_has_passed(self, ledger: Ledger) -> None:
        """Up to its last microsecond, and not beyond: a dead process is waited for no longer than its term."""
        key = add(ledger)
        ledger.claim(key, "dead", LEASE, NOW)
        assert ledger.claim(key, "me", LEASE, NOW + LEASE - timedelta(microseconds=1)) is None
        taken = ledger.claim(key, "me", LEASE, NOW + LEASE)
        assert taken is not None
        assert "me" == taken.lease_owner

    def test_our_own_lease_is_renewed(self, ledger: Ledger) -> None:
        """A sign of life in time keeps the job ours."""
        key = add(ledger)
        ledger.claim(key, "me", LEASE, NOW)
        renewed = ledger.claim(key, "me", LEASE, NOW + timedelta(minutes=1))
        assert renewed is not None
        assert NOW + timedelta(minutes=3) == renewed.lease_until

    def test_all_leases_of_an_owner_are_renewed_at_once(self, ledger: Ledger) -> None:
        """Those of others are not, nor what was given back, was taken over or is nobody's."""
        keys = [add(ledger, planned(video(number))) for number in range(6)]
        for key in keys[:4]:
            ledger.claim(key, "me", LEASE, NOW)
        ledger.claim(keys[4], "other", LEASE, NOW)
        ledger.release(keys[2], "me")
        ledger.claim(keys[3], "other", LEASE, NOW + LEASE)
        later = NOW + LEASE + timedelta(minutes=1)
        before = [found(ledger, key).updated_at for key in keys]
        assert 2 == ledger.renew("me", LEASE, later)
        until = {key: found(ledger, key).lease_until for key in keys}
        assert [later + LEASE] * 2 + [None, NOW + 2 * LEASE, NOW + LEASE, None] == [until[key] for key in keys]
        assert before == [found(ledger, key).updated_at for key in keys]
        assert 0 == ledger.renew("nobody", LEASE, later)

    def test_only_the_owner_gives_a_lease_back(self, ledger: Ledger) -> None:
        """And then it is free at once; giving back what is nobody's is no error."""
        key = add(ledger)
        ledger.claim(key, "me", LEASE, NOW)
        ledger.release(key, "other")
        assert ledger.claim(key, "other", LEASE, NOW) is None
        ledger.release(key, "me")
        ledger.release(key, "me")
        assert ("", None) == (found(ledger, key).lease_owner, found(ledger, key).lease_until)
        assert ledger.claim(key, "other", LEASE, NOW) is not None

    def test_a_lease_needs_a_name(self, ledger: Ledger) -> None:
        """The empty owner means nobody."""
        key = add(ledger)
        uses: list[Callable[[], object]] = [
            lambda: ledger.claim(key, "", LEASE, NOW),
            lambda: ledger.release(key, ""),
            lambda: ledger.renew("", LEASE, NOW),
            lambda: ledger.move(key, JobState.PLANNED, JobState.SUBMITTING, "", NOW),
        ]
        for use in uses:
            with pytest.raises(ValueError, match="owner"):
                use()

    def test_a_job_that_is_not_there_is_a_conflict(self, ledger: Ledger) -> None:
        """Whoever works on it believes something that is not so."""
        key = "f" * 32
        uses: list[Callable[[], object]] = [
            lambda: ledger.claim(key, "me", LEASE, NOW),
            lambda: ledger.move(key, JobState.PLANNED, JobState.SUBMITTING, "me", NOW),
            lambda: ledger.set_info(key, INFO),
            lambda: ledger.plan_deliveries(PIPELINE, key, {"results": "a"}, NOW),
        ]
        for use in uses:
            with pytest.raises(LedgerConflict, match=key):
                use()
        ledger.release(key, "me")


class InfoContract:
    """What probing a video found."""

    def test_info_is_kept_exactly(self, ledger: Ledger) -> None:
        """The frame rate stays a fraction, the duration every digit."""
        key = add(ledger)
        ledger.set_info(key, INFO)
        assert INFO == found(ledger, key).info

    def test_info_belongs_to_the_video_version(self, ledger: Ledger) -> None:
        """Another spec's job need not probe again; another version must. The last word counts."""
        key = add(ledger)
        same = add(ledger, planned(spec=InferenceSpec("local", (ModelRef("oidv4", "1"),), 2.0)))
        changed = add(ledger, planned(video(version="v2")))
        ledger.set_info(key, INFO)
        ledger.set_info(key, replace(INFO, frame_count=900))
        assert replace(INFO, frame_count=900) == found(ledger, same).info
        assert found(ledger, changed).info is None

    def test_a_failure_is_kept_exactly(self, ledger: Ledger) -> None:
        """Stage, code, message and hint, for the dead-letter list."""
        key = add(ledger)
        ledger.claim(key, "me", LEASE, NOW)
        failed = ledger.move(key, JobState.PLANNED, JobState.FAILED, "me", NOW, failure=FAILURE)
        assert FAILURE == failed.failure == found(ledger, key).failure
        assert SPEC == failed.spec
