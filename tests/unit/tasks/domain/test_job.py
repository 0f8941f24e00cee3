"""A job's identity, and the ways between its states."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.job import (
    DELIVERY_MOVES,
    FOUNDATION_MODELS,
    JOB_MOVES,
    DeliveryState,
    InferenceSpec,
    JobState,
    ModelRef,
    job_key,
)
from tasks.domain.video import VideoRef

NOW = datetime(2026, 11, 21, tzinfo=UTC)
VIDEO = VideoRef(uri="s3://b/a/clip 1.mp4", version="v1", size=10, modified=NOW, name="clip 1.mp4")
SPEC = InferenceSpec("roboflow", (ModelRef("players", "2"), ModelRef("clip", "1")), 5.0, 0.4)

TEXT = st.text(max_size=8)
MODELS = st.builds(ModelRef, TEXT, TEXT, TEXT)
SPECS = st.builds(
    InferenceSpec,
    TEXT,
    st.lists(MODELS, min_size=1, max_size=3).map(tuple),
    st.floats(1, 120),
    st.none() | st.floats(0, 1),
)
VIDEOS = st.builds(VideoRef, uri=TEXT, version=TEXT, size=st.integers(0, 9), modified=st.just(NOW), name=TEXT)


def test_a_key_is_the_same_for_ever() -> None:
    """The key of a given job never changes between releases: it is in people's ledgers."""
    assert job_key(VIDEO, SPEC) == "8230a3390ba5357ca66fbd878aaf345e"


@given(VIDEOS, SPECS)
def test_a_key_is_short_and_plain(video: VideoRef, spec: InferenceSpec) -> None:
    """32 hex digits, whatever the names hold."""
    key = job_key(video, spec)
    assert len(key) == 32
    assert set(key) <= set("0123456789abcdef")


@given(VIDEOS, SPECS, TEXT, st.integers(0, 9))
def test_what_a_pipeline_calls_a_video_is_no_part_of_it(
    video: VideoRef, spec: InferenceSpec, name: str, size: int
) -> None:
    """Two pipelines that see the same version under other names share the job."""
    other = dataclasses.replace(video, name=name, size=size, modified=NOW + timedelta(days=1))
    assert job_key(video, spec) == job_key(other, spec)
    assert video == other


@given(st.tuples(VIDEOS, SPECS), st.tuples(VIDEOS, SPECS))
def test_different_jobs_have_different_keys(
    one: tuple[VideoRef, InferenceSpec], two: tuple[VideoRef, InferenceSpec]
) -> None:
    """Same key, same video version and same spec; and the other way round."""
    assert (job_key(*one) == job_key(*two)) == (one == two)


@pytest.mark.parametrize(
    "spec",
    [
        dataclasses.replace(SPEC, backend="local"),
        dataclasses.replace(SPEC, fps=5.5),
        dataclasses.replace(SPEC, confidence=None),
        dataclasses.replace(SPEC, confidence=0.41),
        dataclasses.replace(SPEC, models=SPEC.models[::-1]),
        dataclasses.replace(SPEC, models=SPEC.models[:1]),
        dataclasses.replace(SPEC, models=(ModelRef("players", "3"), SPEC.models[1])),
        dataclasses.replace(SPEC, models=(ModelRef("players", "2", "sha"), SPEC.models[1])),
    ],
)
def test_every_part_of_a_spec_counts(spec: InferenceSpec) -> None:
    """Another backend, rate, threshold, model, version, file or order of models is another job."""
    assert job_key(VIDEO, spec) != job_key(VIDEO, SPEC)


def test_a_whole_number_is_the_same_number() -> None:
    """5 and 5.0 frames per second, 1 and 1.0 confidence are one job, as YAML may give either."""
    assert job_key(VIDEO, SPEC) == job_key(VIDEO, dataclasses.replace(SPEC, fps=5))
    one = dataclasses.replace(SPEC, confidence=1)
    assert job_key(VIDEO, one) == job_key(VIDEO, dataclasses.replace(SPEC, confidence=1.0))


def test_names_that_are_not_unicode_have_keys() -> None:
    """File names with lone surrogates (bytes that are no UTF-8) are videos too."""
    odd = dataclasses.replace(VIDEO, uri="file:///v/\udcff.mp4")
    assert job_key(odd, SPEC) != job_key(VIDEO, SPEC)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("players-x1/2", ModelRef("players-x1", "2")),
        ("a/10", ModelRef("a", "10")),
        ("clip", ModelRef("clip", "1")),
        ("gaze", ModelRef("gaze", "1")),
    ],
)
def test_a_model_is_read_and_written_alike(text: str, ref: ModelRef) -> None:
    """What is parsed prints as it was written."""
    assert ModelRef.parse(text) == ref
    assert str(ref) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "players",
        "players/",
        "/2",
        "players/two",
        "ws/players/2",
        "players/2/",
        "players/-1",
        "players/1.0",
        "players/²",
        "clip2",
    ],
)
def test_what_is_no_model_says_how_to_write_one(text: str) -> None:
    """The error shows the forms there are."""
    with pytest.raises(ValueError, match="project-slug/version"):
        ModelRef.parse(text)


@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True), st.integers(0, 10**6))
def test_any_slug_and_version_is_a_model(project: str, version: int) -> None:
    """Parsing is the inverse of printing."""
    ref = ModelRef.parse(f"{project}/{version}")
    assert (ref.project, ref.version) == (project, str(version))
    assert str(ref) == (project if project in FOUNDATION_MODELS else f"{project}/{version}")


def test_every_state_has_its_ways() -> None:
    """No state is forgotten, none leads to itself."""
    assert set(JOB_MOVES) == set(JobState)
    assert set(DELIVERY_MOVES) == set(DeliveryState)
    assert not [state for state, ways in JOB_MOVES.items() if state in ways]
    assert not [state for state, ways in DELIVERY_MOVES.items() if state in ways]


def test_a_paid_job_is_never_lost_or_paid_again() -> None:
    """Succeeded ends only where results are gone; only submitting leads into doubt, only a person out of it."""
    assert JOB_MOVES[JobState.SUCCEEDED] == {JobState.FAILED}
    assert [state for state, ways in JOB_MOVES.items() if JobState.UNKNOWN in ways] == [JobState.SUBMITTING]
    assert [state for state, ways in JOB_MOVES.items() if JobState.SUBMITTING in ways] == [JobState.PLANNED]
    assert JobState.PLANNED not in JOB_MOVES[JobState.SUBMITTED]


def test_every_state_can_be_reached() -> None:
    """From planned to each of them."""
    seen, ahead = set(), [JobState.PLANNED]
    while ahead:
        state = ahead.pop()
        seen.add(state)
        ahead += JOB_MOVES[state] - seen
    assert seen == set(JobState)


def test_states_are_words() -> None:
    """They stand in ledgers and reports as plain text."""
    assert [str(state) for state in JobState] == [
        "planned", "submitting", "submitted", "succeeded", "failed", "expired", "unknown",
    ]  # fmt: skip
    assert [str(state) for state in DeliveryState] == ["pending", "delivering", "delivered", "failed"]
