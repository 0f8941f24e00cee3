"""What every ledger promises about its inbox."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tasks.domain.errors import LedgerConflict
from tasks.domain.upload import UploadEvent, upload_key
from tasks.ledger.base import Ledger
from tasks.ledger.inbox import Batch, BatchState, Received, Upload
from tests.contracts.ledger_races import together
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE

MINUTE = timedelta(minutes=1)
LATER = NOW + timedelta(hours=2)
LIVE = (BatchState.FORMED, BatchState.STARTED, BatchState.RUNNING)


def event(number: int = 0, *, version: str = "v1", sequencer: str = "0A", key: str = "") -> UploadEvent:
    """An upload; equal numbers and versions are the same."""
    name = key or f"2026/match-{number}.mp4"
    return UploadEvent(scheme="s3", container="archive", key=name, version=version, size=number, sequencer=sequencer)


def put(ledger: Ledger, *events: UploadEvent, pipeline: str = PIPELINE) -> list[Received]:
    return ledger.put_uploads([(pipeline, one) for one in events], NOW)


def form(ledger: Ledger, *, owner: str = "drain", most: int = 1000, pipeline: str = PIPELINE) -> Batch:
    """A batch of what waits, which must be something."""
    batch = ledger.form_batch(pipeline, owner, LEASE, NOW, most=most)
    assert batch is not None
    return batch


def claimed(ledger: Ledger, batch: Batch, owner: str = "run") -> list[Upload]:
    """The batch's uploads, which must be ours to have."""
    uploads = ledger.claim_batch(batch.id, owner, LEASE, NOW)
    assert uploads is not None
    return uploads


def number_waiting(ledger: Ledger) -> int:
    return sum(count for (_, state), count in ledger.inbox_counts().items() if state == "waiting")


class PutContract:
    """What is told once, twice, late or in the wrong order."""

    def test_an_event_is_kept_as_it_came(self, ledger: Ledger) -> None:
        """Whatever its key holds."""
        odd = event(key="a\0b/\ud800 é%20+\\.mp4")
        assert [Received.NEW] == put(ledger, odd)
        [upload] = claimed(ledger, form(ledger))
        key = upload_key(PIPELINE, odd.uri, "v1")
        assert Upload(key, odd.uri, "v1", 0, NOW, 1) == upload

    def test_duplicates_are_known(self, ledger: Ledger) -> None:
        """Within one call, across calls, while they are taken and when they are done."""
        assert [Received.NEW, Received.DUPLICATE] == put(ledger, event(), event())
        assert [Received.DUPLICATE] == put(ledger, event())
        batch = form(ledger)
        assert [Received.DUPLICATE] == put(ledger, event())
        [upload] = claimed(ledger, batch)
        ledger.finish_batch(batch.id, "run", {upload.key: "succeeded"}, NOW)
        assert [Received.DUPLICATE] == put(ledger, event())
        assert {} == ledger.inbox_counts()

    def test_pipelines_do_not_share(self, ledger: Ledger) -> None:
        """Each that wants an object sees to it."""
        put(ledger, event())
        assert [Received.NEW] == put(ledger, event(), pipeline="other")
        assert {(PIPELINE, "waiting"): 1, ("other", "waiting"): 1} == ledger.inbox_counts()

    @pytest.mark.parametrize("at_once", [True, False])
    def test_the_latest_version_counts(self, ledger: Ledger, at_once: bool) -> None:
        """However they come, only the latest of those that wait is seen to."""
        first, second, third = (event(version=f"v{n}", sequencer=f"0{n}") for n in (1, 2, 3))
        order = (second, first, third)
        answers = put(ledger, *order) if at_once else [put(ledger, one)[0] for one in order]
        assert [Received.NEW, Received.SUPERSEDED, Received.NEW] == answers
        assert ["v3"] == [upload.version for upload in claimed(ledger, form(ledger))]

    def test_sequencers_that_cannot_be_compared_drop_nothing(self, ledger: Ledger) -> None:
        """Of another length, or none: both are seen to."""
        put(ledger, event(version="v1", sequencer="0B"), event(version="v2", sequencer="00A"))
        assert [Received.NEW] == put(ledger, event(version="v3", sequencer=""))
        assert 3 == form(ledger).size

    def test_the_same_bytes_again_wait_again(self, ledger: Ledger) -> None:
        """An object that was deleted and uploaded anew has its old ETag and a later sequencer."""
        put(ledger, event(sequencer="0A"))
        batch = form(ledger)
        ledger.finish_batch(batch.id, *_gone(ledger, batch), NOW)
        assert [Received.NEW] == put(ledger, event(sequencer="0B"))
        assert [Received.DUPLICATE] == put(ledger, event(sequencer="0B"))
        assert 1 == number_waiting(ledger)

    def test_a_later_sequencer_of_one_that_waits_is_a_duplicate(self, ledger: Ledger) -> None:
        """It is going to be looked up as it is then."""
        put(ledger, event(sequencer="0A"))
        assert [Received.DUPLICATE] == put(ledger, event(sequencer="0B"))
        assert [Received.SUPERSEDED] == put(ledger, event(version="v0", sequencer="0A"))

    def test_many_at_once(self, ledger: Ledger) -> None:
        """More than fit into one query, half of them twice."""
        told = [event(number % 800) for number in range(1200)]
        answers = put(ledger, *told)
        assert (800, 400) == (answers.count(Received.NEW), answers.count(Received.DUPLICATE))
        waits = ledger.waiting(NOW)[PIPELINE]
        assert (800, NOW, NOW) == (waits.count, waits.oldest, waits.newest)

    def test_threads_that_tell_the_same_count_it_once(self, ledger: Ledger) -> None:
        """Two deliveries of one message at the same moment."""
        assert 50 == together(lambda _: put(ledger, *map(event, range(50))).count(Received.NEW))
        assert 50 == number_waiting(ledger)


def _gone(ledger: Ledger, batch: Batch) -> tuple[str, dict[str, str]]:
    return "run", {upload.key: "gone" for upload in claimed(ledger, batch)}


class BatchContract:
    """From waiting to done, whoever dies on the way."""

    def test_a_batch_takes_the_oldest(self, ledger: Ledger) -> None:
        """So many, of one pipeline; the others wait."""
        put(ledger, *map(event, range(5)))
        put(ledger, event(9), pipeline="other")
        first, second = form(ledger, most=3), form(ledger, most=3)
        assert (3, 2) == (first.size, second.size)
        assert [0, 1, 2] == [upload.size for upload in claimed(ledger, first)]
        assert ledger.form_batch(PIPELINE, "drain", LEASE, NOW, most=3) is None
        assert {first.id, second.id} == {batch.id for batch in ledger.batches(LIVE)}

    def test_nobody_takes_what_another_took(self, ledger: Ledger) -> None:
        """Eight drains at once."""
        put(ledger, *map(event, range(200)))

        def drain(number: int) -> int:
            taken = 0
            while batch := ledger.form_batch(PIPELINE, f"drain-{number}", LEASE, NOW, most=7):
                taken += batch.size
            return taken

        assert 200 == together(drain)
        seen = [upload.key for batch in ledger.batches(LIVE) for upload in claimed(ledger, batch)]
        assert (200, 200) == (len(seen), len(set(seen)))

    def test_a_run_sees_to_its_batch(self, ledger: Ledger) -> None:
        """Started, claimed, renewed, finished; and then it is over."""
        put(ledger, event(1), event(2))
        batch = form(ledger)
        ledger.start_batch(batch.id, "run-1", LEASE, NOW)
        [started] = ledger.batches([BatchState.STARTED])
        assert ("run-1", "") == (started.run, started.lease_owner)
        uploads = claimed(ledger, batch)
        assert uploads == claimed(ledger, batch)
        assert ledger.claim_batch(batch.id, "another", LEASE, NOW) is None
        assert 0 == ledger.finish_batch(batch.id, "run", {upload.key: "succeeded" for upload in uploads}, NOW)
        assert ledger.claim_batch(batch.id, "run", LEASE, NOW) is None
        assert [] == ledger.batches(LIVE)
        assert ledger.oldest_upload() is None

    def test_a_run_may_begin_before_we_know_of_it(self, ledger: Ledger) -> None:
        """The answer to its start comes late, and disturbs nothing."""
        put(ledger, event())
        batch = form(ledger)
        claimed(ledger, batch)
        ledger.start_batch(batch.id, "run-1", LEASE, NOW)
        [running] = ledger.batches([BatchState.RUNNING])
        assert ("run-1", "run") == (running.run, running.lease_owner)

    def test_what_a_run_leaves_waits_again_longer_each_time(self, ledger: Ledger) -> None:
        """A minute, two, four … an hour at most."""
        put(ledger, event())
        now, waits = NOW, []
        for _ in range(9):
            batch = ledger.form_batch(PIPELINE, "drain", LEASE, now, most=9)
            assert batch is not None
            assert ledger.claim_batch(batch.id, "run", LEASE, now)
            assert 1 == ledger.finish_batch(batch.id, "run", {}, now)
            minutes = next(m for m in range(1, 62) if ledger.waiting(now + m * MINUTE))
            waits.append(minutes)
            now += minutes * MINUTE
        assert [1, 2, 4, 8, 16, 32, 60, 60, 60] == waits

    def test_a_formed_batch_is_taken_over(self, ledger: Ledger) -> None:
        """When who formed it has died; its id stays, so that its run is not started twice."""
        put(ledger, event())
        batch = form(ledger, owner="drain-1")
        assert not ledger.hold_batch(batch.id, "drain-2", LEASE, NOW)
        assert ledger.hold_batch(batch.id, "drain-1", LEASE, NOW)
        assert ledger.hold_batch(batch.id, "drain-2", LEASE, LATER)
        ledger.start_batch(batch.id, "run-1", LEASE, LATER)
        assert not ledger.hold_batch(batch.id, "drain-2", LEASE, LATER)

    def test_a_dead_runs_uploads_come_back(self, ledger: Ledger) -> None:
        """Once; and the dead run's word does not count any more."""
        put(ledger, event())
        batch = form(ledger)
        [upload] = claimed(ledger, batch)
        [seen] = ledger.batches([BatchState.RUNNING])
        assert ledger.give_back(batch.id, seen, LATER)
        assert not ledger.give_back(batch.id, seen, LATER)
        with pytest.raises(LedgerConflict, match="not ours any more"):
            ledger.finish_batch(batch.id, "run", {upload.key: "succeeded"}, LATER)
        assert 1 == number_waiting(ledger)

    def test_a_run_that_lives_keeps_its_batch(self, ledger: Ledger) -> None:
        """It has renewed its lease since somebody saw it as dead."""
        put(ledger, event())
        batch = form(ledger)
        claimed(ledger, batch)
        [seen] = ledger.batches([BatchState.RUNNING])
        ledger.claim_batch(batch.id, "run", LEASE, NOW + MINUTE)
        assert not ledger.give_back(batch.id, seen, LATER)

    def test_another_run_takes_over_a_dead_ones(self, ledger: Ledger) -> None:
        """When its lease has passed and nobody has given it back yet."""
        put(ledger, event())
        batch = form(ledger)
        claimed(ledger, batch)
        assert ledger.claim_batch(batch.id, "next", LEASE, LATER)

    def test_an_unknown_batch_is_nobodys(self, ledger: Ledger) -> None:
        """None rather than an error: a run may be started by hand with anything."""
        assert ledger.claim_batch("0" * 32, "run", LEASE, NOW) is None
        assert not ledger.hold_batch("0" * 32, "drain", LEASE, NOW)
        ledger.start_batch("0" * 32, "run-1", LEASE, NOW)

    def test_what_is_done_is_forgotten_in_time(self, ledger: Ledger) -> None:
        """What waits never is."""
        put(ledger, event(1))
        batch = form(ledger)
        ledger.finish_batch(batch.id, *_gone(ledger, batch), NOW)
        put(ledger, event(2))
        assert 0 == ledger.prune_inbox(NOW)
        assert 0 == ledger.prune_inbox(NOW + MINUTE, pipeline="other")
        assert 1 == ledger.prune_inbox(NOW + MINUTE, dry_run=True)
        assert 1 == ledger.prune_inbox(NOW + MINUTE, pipeline=PIPELINE)
        assert [Received.NEW, Received.DUPLICATE] == put(ledger, event(1), event(2))
        assert NOW == ledger.oldest_upload()

    def test_an_object_has_a_story(self, ledger: Ledger) -> None:
        """Every version for every pipeline: when it came, where it is, what became of it."""
        odd = "a\0b/\ud800 é%20+\\.mp4"
        first, second = (event(key=odd, version=f"v{n}", sequencer=f"0{n}") for n in (1, 2))
        put(ledger, first, second, event(7))
        put(ledger, second, pipeline="other")
        batch = form(ledger)
        ledger.finish_batch(batch.id, *_gone(ledger, batch), LATER)
        told = ledger.uploads_of(second.uri)
        assert [(PIPELINE, "v1"), (PIPELINE, "v2"), ("other", "v2")] == [(one.pipeline, one.version) for one in told]
        assert ["superseded", "gone", ""] == [one.outcome for one in told]
        assert ["done", "done", "waiting"] == [one.state for one in told]
        assert [("", 0), (batch.id, 1), ("", 0)] == [(one.batch, one.attempts) for one in told]
        assert {NOW} == {one.received_at for one in told}
        assert [NOW, LATER, NOW] == [one.updated_at for one in told]
        assert [] == ledger.uploads_of("s3://archive/nowhere.mp4")
        assert (NOW, None) == (ledger.oldest_upload("other"), ledger.oldest_upload(PIPELINE))
