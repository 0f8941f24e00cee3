"""What every ledger promises about shards: lists of jobs that processes share."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from tasks.domain.job import Failure
from tasks.ledger.base import Ledger
from tasks.ledger.shard_base import ShardNotes
from tests.contracts.ledger_samples import FAILURE, LEASE, NOW, PIPELINE, add, many

SIGNED = "https://host/key?X-Amz-Signature=MARKED"
NOTES = ShardNotes(passing={"k": FAILURE}, warnings=("slow",), stopped=Failure("submit", "auth_refused", "no"))
THREADS = 6


def shared(ledger: Ledger, *sizes: int, batch: str = "b") -> tuple[list[str], list[list[str]]]:
    """A batch with shards of these sizes; their ids and their jobs."""
    keys = [add(ledger, job) for job in many(sum(sizes))]
    parts = [keys[sum(sizes[:i]) : sum(sizes[: i + 1])] for i in range(len(sizes))]
    return ledger.add_shards(PIPELINE, batch, parts, {"max_cost": 1.5}, NOW), parts


class ShardContract:
    """Each shard in one pair of hands, and done once."""

    def test_a_list_comes_back_as_it_was_written(self, ledger: Ledger) -> None:
        """Every job in its order, with the day and the share of the budget."""
        ids, parts = shared(ledger, 3, 2)

        for name, keys in zip(ids, parts, strict=True):
            shard = ledger.shard(name)
            assert shard is not None
            assert (tuple(keys), {"max_cost": 1.5}, NOW) == (shard.jobs, shard.spare, shard.began_at)
            assert ("b", PIPELINE, False, None, "") == (
                shard.batch,
                shard.pipeline,
                shard.done,
                shard.notes,
                shard.lease_owner,
            )
        assert ids == ledger.add_shards(PIPELINE, "b", parts, {}, NOW)
        assert ids == [shard.id for shard in ledger.shards("b")]
        assert ledger.shard("b-9") is None

    def test_each_claim_takes_another_shard(self, ledger: Ledger) -> None:
        """The one that was asked for, or else the next that is free; of this batch only."""
        ids, _ = shared(ledger, 1, 1, 1)
        ledger.add_shards(PIPELINE, "other", [[]], {}, NOW)

        taken = [ledger.claim_shard("b", f"owner-{n}", LEASE, NOW, first=ids[2]) for n in range(4)]

        assert [ids[2], ids[0], ids[1], None] == [shard and shard.id for shard in taken]

    def test_what_the_dead_held_is_free_when_its_lease_has_passed(self, ledger: Ledger) -> None:
        """Or at once, when somebody knows that they are dead; a renewal puts it off."""
        (name,), _ = shared(ledger, 1)
        assert ledger.claim_shard("b", "a", LEASE, NOW) is not None
        assert ledger.claim_shard("b", "b", LEASE, NOW + LEASE - timedelta(seconds=1)) is None
        assert ledger.claim_shard("b", "a", LEASE, NOW + LEASE / 2, first=name, only=True) is not None
        assert ledger.claim_shard("b", "b", LEASE, NOW + LEASE) is None
        assert ledger.claim_shard("b", "b", LEASE, NOW + 2 * LEASE) is not None
        assert ledger.claim_shard("b", "a", LEASE, NOW + 2 * LEASE, first=name, only=True) is None

        assert "b" in ledger.owners()
        assert 1 == ledger.abandon("b", NOW)
        assert ledger.claim_shard("b", "c", LEASE, NOW) is not None

    def test_a_shard_is_done_once_by_whoever_holds_it(self, ledger: Ledger) -> None:
        """Who has lost it cannot end it, and what was told of it is kept."""
        (name,), _ = shared(ledger, 1)
        ledger.claim_shard("b", "a", LEASE, NOW)
        assert not ledger.finish_shard(name, "b", NOTES, NOW)
        assert ledger.finish_shard(name, "a", NOTES, NOW)
        assert not ledger.finish_shard(name, "a", NOTES, NOW)

        (shard,) = ledger.shards("b")
        assert (True, NOTES, "", None) == (shard.done, shard.notes, shard.lease_owner, shard.lease_until)
        assert ledger.claim_shard("b", "c", LEASE, NOW + 9 * LEASE) is None

    def test_a_shard_given_back_is_there_for_others(self, ledger: Ledger) -> None:
        """Only its owner can give it back."""
        (name,), _ = shared(ledger, 1)
        ledger.claim_shard("b", "a", LEASE, NOW)
        ledger.release_shard(name, "b")
        assert ledger.claim_shard("b", "b", LEASE, NOW) is None
        ledger.release_shard(name, "a")
        assert ledger.claim_shard("b", "b", LEASE, NOW) is not None

    def test_no_signature_is_kept_in_what_is_told_of_a_shard(self, ledger: Ledger) -> None:
        """As with every other failure."""
        (name,), _ = shared(ledger, 1)
        ledger.claim_shard("b", "a", LEASE, NOW)
        told = Failure("submit", "service_unavailable", f"no answer from {SIGNED}")
        ledger.finish_shard(name, "a", ShardNotes(passing={"k": told}, stopped=told), NOW)

        assert "MARKED" not in str(ledger.shards("b"))

    def test_owners_that_come_at_once_share_without_overlap(self, ledger: Ledger) -> None:
        """Twelve shards, six threads: each shard is taken once."""
        ids, _ = shared(ledger, *([1] * 12))
        barrier = Barrier(THREADS)

        def take(owner: int) -> list[str]:
            barrier.wait()
            mine = []
            while shard := ledger.claim_shard("b", f"o-{owner}", LEASE, NOW):
                mine.append(shard.id)
                ledger.finish_shard(shard.id, f"o-{owner}", ShardNotes(), NOW)
            return mine

        with ThreadPoolExecutor(THREADS) as pool:
            taken = [name for part in pool.map(take, range(THREADS)) for name in part]
        # Who finds every free row locked by somebody else leaves; nobody takes one twice.
        assert Counter(taken).most_common(1)[0][1] == 1
        assert set(taken) <= set(ids)

    def test_an_owner_needs_a_name(self, ledger: Ledger) -> None:
        """Nobody is how a free shard looks."""
        shared(ledger, 1)
        with pytest.raises(ValueError, match="name"):
            ledger.claim_shard("b", "", LEASE, NOW)


class KeptPipelineContract:
    """Pipelines that have no file."""

    def test_a_text_is_kept_under_its_name(self, ledger: Ledger) -> None:
        """Verbatim; the last one counts."""
        assert ledger.kept_pipeline("adhoc-1") is None
        for text in ("name: a\n", "name: \\ \ud800 é\n"):
            ledger.keep_pipeline("adhoc-1", text, NOW)
            assert text == ledger.kept_pipeline("adhoc-1")
