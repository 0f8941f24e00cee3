"""Processes that share a ledger, for tests: ``python -m tests.contracts.ledger_process race|work URL OWNER``."""

from __future__ import annotations

import sys

from tasks.domain.errors import LedgerConflict
from tasks.domain.job import DeliveryState, JobState
from tasks.ledger.base import Ledger
from tasks.ledger.open import open_ledger
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE, many, planned, video

RACED = 40


def win(ledger: Ledger, key: str, owner: str) -> bool:
    """Try to be the one who submits a job."""
    try:
        if ledger.claim(key, owner, LEASE, NOW) is None:
            return False
        ledger.move(key, JobState.PLANNED, JobState.SUBMITTING, owner, NOW, token=owner)
    except LedgerConflict:
        return False
    return True


def race(ledger: Ledger, owner: str) -> None:
    """Plan and go for the same jobs as the others; print the keys of those that we won."""
    ledger.plan(PIPELINE, many(RACED), NOW)
    for key, _, _ in many(RACED):
        if win(ledger, key, owner):
            print(key, flush=True)


def work(ledger: Ledger, owner: str) -> None:
    """Take job after job through all states for ever; print each move after it was acknowledged."""
    number = 0
    while True:
        key, ref, spec = planned(video(number, version=owner))
        number += 1
        ledger.plan(PIPELINE, [(key, ref, spec)], NOW)
        ledger.claim(key, owner, LEASE, NOW)
        state = JobState.PLANNED
        for to in (JobState.SUBMITTING, JobState.SUBMITTED, JobState.SUCCEEDED):
            ledger.move(key, state, to, owner, NOW, token=f"{owner}-{number}", job_id=f"job-{number}")
            state = to
            print(key, to, flush=True)
        ledger.plan_deliveries(PIPELINE, key, {"results": "a"}, NOW)
        ledger.claim_delivery(PIPELINE, key, "results", owner, LEASE, NOW)
        ledger.finish_delivery(PIPELINE, key, "results", owner, DeliveryState.DELIVERED, NOW)
        ledger.release(key, owner)


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    shared = open_ledger(sys.argv[2])
    {"race": race, "work": work}[sys.argv[1]](shared, sys.argv[3])
    shared.close()
