"""Planning: estimates are exact, budgets are kept, and bad videos are told before anything is paid."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.budget import Budget
from tasks.choose import Allowance, Estimate, in_threads
from tasks.domain.errors import FpsTooHigh, ObjectMissing, VideoEmpty, VideoReplaced, VideoUnreadable
from tasks.domain.job import JobState
from tasks.domain.video import VideoInfo
from tasks.plan import Assessment, assess, make_plan, sampled_frames_of
from tests.rig import Rig

CASES = Path(__file__).parents[2] / "cases"
RATES = st.sampled_from(
    [Fraction(10), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(15, 2)]
)


def info(frames: int, fps: Fraction = Fraction(25)) -> VideoInfo:
    """A video of so many frames."""
    return VideoInfo(
        width=160,
        height=96,
        rotation=0,
        fps=fps,
        frame_count=frames,
        duration_s=float(frames / fps),
        container="mp4",
        codec="h264",
    )


@given(st.integers(0, 3000), RATES, st.integers(1, 60))
def test_the_estimate_counts_the_frames_that_sampling_takes(frames: int, fps: Fraction, wanted: int) -> None:
    """The closed formula agrees with taking frame int(k * fps / wanted + 0.5) for k = 0, 1, …; none if it is slower."""
    taken = 0
    while wanted <= fps and int(taken * fps / wanted + Fraction(1, 2)) < frames:
        taken += 1

    assert taken == sampled_frames_of(info(frames, fps), wanted)


def found(rig: Rig, minutes: float, frames: int = 1000) -> Assessment:
    """An assessment of a video of some length."""
    video = rig.listed(rig.run())[0].video
    return Assessment(video, info(int(minutes * 60 * 25)), frames, None)


@pytest.mark.parametrize(
    ("budget", "limit", "taken"),
    [
        (Budget(), 0, 5),
        (Budget(), 2, 2),
        (Budget(max_videos=3), 0, 3),
        (Budget(max_video_minutes=25), 0, 2),
        (Budget(cost_per_1000_frames=0.5, max_cost=2), 0, 4),
        (Budget(max_videos=4, max_video_minutes=10), 3, 1),
    ],
)
def test_a_limit_stops_before_it_is_exceeded(rig: Rig, budget: Budget, limit: int, taken: int) -> None:
    """Of five ten-minute videos with 1,000 frames each, as many are taken as every limit allows."""
    allowance = Allowance(budget.limits, limit)
    refusals = [allowance.refuses(found(rig, 10)) for _ in range(5)]

    assert taken == refusals.count("")
    assert taken == allowance.spent.videos


def test_a_short_video_still_fits_where_a_long_one_did_not(rig: Rig) -> None:
    """What is left of a budget is used."""
    allowance = Allowance(Budget(max_video_minutes=15).limits)

    assert ["", "budget.max_video_minutes 15", ""] == [allowance.refuses(found(rig, m)) for m in (10, 10, 5)]


def test_cost_is_unknown_without_a_rate(rig: Rig) -> None:
    """We do not make prices up."""
    assert None is Estimate().plus(found(rig, 1), None).cost
    assert Estimate(1, 1000, 1.0, 0.2) == Estimate().plus(found(rig, 1), 0.2)


def test_videos_to_do_are_probed_once_and_remembered(rig: Rig) -> None:
    """A plan fills in each job's facts, and the next one reads them from the ledger."""
    run = rig.run()
    rig.listed(run)

    plan = make_plan(run, 0)

    assert 2 == len(plan.todo)
    assert (2, 10) == (plan.estimate.videos, plan.estimate.frames)
    for job in run.ledger.jobs("yard"):
        assert job.info is not None
        assert (25, Fraction(25)) == (job.info.frame_count, job.info.fps)


def test_a_bad_video_is_given_up_before_anything_is_paid(rig: Rig) -> None:
    """One text file among videos is recorded with stage and code; the others are planned."""
    (rig.videos / "notes.mp4").write_text("not a video")
    run = rig.run()
    rig.listed(run)

    plan = make_plan(run, 0)

    failed = list(run.ledger.jobs("yard", [JobState.FAILED]))
    assert 2 == len(plan.todo)
    assert [("notes.mp4", "probe", "video_unreadable")] == [
        (job.video.name, job.failure.stage, job.failure.code) for job in failed if job.failure
    ]


def test_videos_beyond_the_limit_stay_planned_and_are_counted(rig: Rig) -> None:
    """`--limit 1` takes one; the other waits, with the reason."""
    run = rig.run()
    rig.listed(run)

    plan = make_plan(run, 1)

    assert 1 == len(plan.todo)
    assert {"--limit 1": 1} == plan.left_out


def test_only_todays_listing_is_planned(rig: Rig) -> None:
    """A video that was planned once and is no longer in the sources is not submitted."""
    rig.listed(rig.run())
    (rig.videos / "a.mp4").unlink()
    rig.clock.now = rig.clock.now.replace(hour=13)
    run = rig.run()
    rig.listed(run)

    assert 1 == len(make_plan(run, 0).todo)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda path: path.write_bytes(b""), VideoReplaced),
        (lambda path: path.unlink(), ObjectMissing),
        (lambda path: os.utime(path, (1, 1)), VideoReplaced),
    ],
    ids=["emptied", "deleted", "touched"],
)
def test_a_video_that_changed_since_it_was_listed_is_named(rig: Rig, change: object, error: type[Exception]) -> None:
    """What would be inferred must be what was listed."""
    run = rig.run()
    job = next(job for job in rig.listed(run) if job.video.name == "a.mp4")
    change(rig.videos / "a.mp4")  # type: ignore[operator]

    assert error is type(assess(run.pipeline, run.stores, job.video, None).error)


@pytest.mark.parametrize(("content", "error"), [(b"", VideoEmpty), (b"hello", VideoUnreadable)], ids=["empty", "text"])
def test_what_is_no_video_is_named_as_such(rig: Rig, content: bytes, error: type[Exception]) -> None:
    """The message names the video, so that a list of such messages can be read."""
    (rig.videos / "odd.mp4").write_bytes(content)
    run = rig.run()
    job = next(job for job in rig.listed(run) if job.video.name == "odd.mp4")

    assessment = assess(run.pipeline, run.stores, job.video, None)

    assert error is type(assessment.error)
    assert "odd.mp4" in str(assessment.error)


@pytest.mark.parametrize(("backend", "fails"), [("roboflow", True), ("local", False)])
def test_a_mirrored_video_goes_only_to_who_mirrors_it(rig: Rig, backend: str, fails: bool) -> None:
    """A hosted decoder may not: boxes would be elsewhere, so it is told before anything is paid."""
    (rig.videos / "mirrored.mp4").write_bytes((CASES / "mirrored_matrix.mp4").read_bytes())
    run = rig.run()
    (job,) = (job for job in rig.listed(run) if job.video.name == "mirrored.mp4")
    inference = run.pipeline.inference.model_copy(update={"backend": backend})
    pipeline = run.pipeline.model_copy(update={"inference": inference})

    seen = assess(pipeline, run.stores, job.video, None)

    assert fails == isinstance(seen.error, VideoUnreadable)
    if fails:
        assert "mirrored.mp4: its display matrix mirrors the picture" in str(seen.error)
        assert seen.error is not None
        assert "backend: local" in seen.error.hint
    else:
        assert 12 == seen.frames


def test_a_film_behind_pictures_is_noted(rig: Rig) -> None:
    """Whoever counts one picture elsewhere learns which track was taken; the estimate is the film's."""
    (rig.videos / "film.mov").write_bytes((CASES / "thumb_track_first.mov").read_bytes())
    run = rig.run()
    (job,) = (job for job in rig.listed(run) if job.video.name == "film.mov")

    seen = assess(run.pipeline, run.stores, job.video, None)

    assert ("the film is video track 2: what comes before it holds only pictures",) == seen.notes
    assert 12 == seen.frames


def test_more_frames_than_the_video_has_are_refused_with_both_figures(rig: Rig) -> None:
    """The hosted service would take the money and return nothing."""
    run = rig.run(inference=", confidence: 0.5")
    job = rig.listed(run)[0]
    slow = info(10, Fraction(4))

    error = assess(run.pipeline, run.stores, job.video, slow).error

    assert isinstance(error, FpsTooHigh)
    assert "5" in str(error)
    assert "4" in str(error)


def test_a_rate_that_does_not_divide_is_noted(rig: Rig) -> None:
    """Approximate frame offsets are told, not hidden."""
    run = rig.run()
    job = rig.listed(run)[0]

    assert 1 == len(assess(run.pipeline, run.stores, job.video, info(100, Fraction(24))).notes)
    assert () == assess(run.pipeline, run.stores, job.video, info(100, Fraction(25))).notes


def test_a_rate_that_was_only_rounded_is_not_noted(rig: Rig) -> None:
    """Some containers say 15.0001 for 15: it matters only once a whole frame has slipped."""
    run = rig.run()
    job = rig.listed(run)[0]
    nearly = Fraction(150001, 10000)

    assert () == assess(run.pipeline, run.stores, job.video, info(1000, nearly)).notes
    assert 1 == len(assess(run.pipeline, run.stores, job.video, info(1_000_000, nearly)).notes)


def test_threads_keep_the_order_and_do_not_run_ahead() -> None:
    """Results come in the order of the items, and only a window of items is taken at a time."""
    taken = []

    def items() -> object:
        for n in range(100):
            taken.append(n)
            yield n

    results = in_threads(lambda n: n * n, items(), 4)  # type: ignore[arg-type]
    first = next(results)

    assert 0 == first
    assert len(taken) <= 8
    assert [n * n for n in range(1, 100)] == list(results)
