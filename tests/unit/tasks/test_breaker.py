"""A service that does not answer ends a run's submissions before much is in doubt."""

from __future__ import annotations

import asyncio

import pytest

from tasks.breaker import MOST_ODD, MOST_SILENT, Breaker
from tasks.domain.errors import (
    AuthRefused,
    NotTheService,
    RateLimited,
    ReelrouteError,
    RequestRefused,
    ServiceUnavailable,
    SlotsFull,
    StorageUnavailable,
    SubmissionUnknown,
)


class Sleeper:
    """A pause that takes no time; notes how long it should have been."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.goes_on = True

    async def __call__(self, seconds: float) -> bool:
        self.slept.append(seconds)
        await asyncio.sleep(0)
        return self.goes_on


async def submit(breaker: Breaker, fate: ReelrouteError | None) -> None:
    """One submission that ends so."""
    async with breaker.passage():
        await asyncio.sleep(0)
        if fate is not None:
            raise fate


async def ends(breaker: Breaker, *fates: ReelrouteError | None) -> None:
    """Submissions one after the other; those that fail do so with their own error."""
    for fate in fates:
        if fate is None:
            await submit(breaker, None)
        else:
            with pytest.raises(type(fate), match=fate.message):
                await submit(breaker, fate)


@pytest.mark.parametrize("error", [SubmissionUnknown("502"), NotTheService("log in"), NotTheService("moved")])
async def test_a_few_odd_answers_in_a_row_stop_submissions(error: ReelrouteError) -> None:
    """The reason says how many, and what came last; whoever comes then sends nothing."""
    breaker = Breaker(Sleeper())
    await ends(breaker, *[error] * MOST_ODD)

    with pytest.raises(ServiceUnavailable, match=f"{MOST_ODD} submissions in a row.*{error.message}") as caught:
        await submit(breaker, None)
    assert (caught.value, 3) == (breaker.reason, caught.value.exit_code)
    assert "ROBOFLOW_API_URL" in caught.value.hint


async def test_a_service_out_of_reach_has_more_patience() -> None:
    """Nothing is in doubt there: it is tried for a minute, each wait twice the last."""
    breaker = Breaker(pause := Sleeper())
    await ends(breaker, *[ServiceUnavailable("refused")] * MOST_SILENT)

    assert breaker.reason is not None
    assert [2.0, 4.0, 8.0, 16.0, 30.0] == pause.slept


@pytest.mark.parametrize("own", [None, RequestRefused("fps"), RateLimited("slow down"), AuthRefused("401")])
async def test_a_word_of_the_service_itself_begins_the_row_anew(own: ReelrouteError | None) -> None:
    """It is there, whatever it says."""
    breaker = Breaker(Sleeper())
    for _ in range(5):
        await ends(breaker, *[SubmissionUnknown("502")] * (MOST_ODD - 1), own)
    assert breaker.reason is None


@pytest.mark.parametrize("neutral", [SlotsFull("full"), StorageUnavailable("disk")])
async def test_what_is_not_about_the_service_counts_for_nothing(neutral: ReelrouteError) -> None:
    """Neither a word of it nor silence."""
    breaker = Breaker(Sleeper())
    await ends(breaker, *[SubmissionUnknown("502"), neutral] * (MOST_ODD - 1))
    assert breaker.reason is None
    await ends(breaker, SubmissionUnknown("502"))
    assert breaker.reason is not None


async def test_an_outage_from_the_first_submission_leaves_a_few_in_doubt() -> None:
    """However many workers there are: as long as the service has not answered once, one goes at a time."""
    breaker = Breaker(Sleeper())

    ended = await asyncio.gather(
        *(submit(breaker, SubmissionUnknown("502")) for _ in range(50)), return_exceptions=True
    )

    assert MOST_ODD == sum(isinstance(error, SubmissionUnknown) for error in ended)
    assert 50 - MOST_ODD == sum(error is breaker.reason for error in ended)


async def test_once_the_service_is_well_submissions_go_side_by_side() -> None:
    """Those that waited for the first one do not wait for each other."""
    breaker, inside, most = Breaker(Sleeper()), 0, 0
    gate = asyncio.Event()

    async def one(number: int) -> None:
        nonlocal inside, most
        async with breaker.passage():
            inside += 1
            most = max(most, inside)
            if number and inside == 9:
                gate.set()
            if number:
                await gate.wait()
            inside -= 1

    await asyncio.wait_for(asyncio.gather(*map(one, range(10))), 5)
    assert 9 == most


async def test_a_run_that_is_asked_to_stop_does_not_wait_for_the_service() -> None:
    """The wait ends, and nothing is sent."""
    breaker = Breaker(pause := Sleeper())
    await ends(breaker, ServiceUnavailable("refused"))
    pause.goes_on = False

    with pytest.raises(ServiceUnavailable, match="asked to stop"):
        await submit(breaker, None)
    assert breaker.reason is None
