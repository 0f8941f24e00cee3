"""How LightlyOne names things."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.errors import DeliveryFailed, InputInvalid
from tasks.domain.video import VideoRef
from tasks.sinks.lightly.names import frame_names, path_in_input, schema_key, task_slug
from tests.contracts.deliveries import video_info


@pytest.mark.parametrize(
    ("frame_count", "index", "expected"),
    [
        (9, 8, "v-8-mp4"),
        (10, 9, "v-09-mp4"),  # the width of the count, not of the last index
        (100, 99, "v-099-mp4"),
        (200, 99, "v-099-mp4"),
        (1000, 99, "v-0099-mp4"),
        (1000, 999, "v-0999-mp4"),
    ],
)
def test_frame_numbers_are_as_wide_as_the_frame_count(frame_count: int, index: int, expected: str) -> None:
    """LightlyOne's own examples, and both sides of a power of ten."""
    assert expected == frame_names("v.mp4", video_info(frame_count=frame_count)).frame(index)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("sub/video_1.mp4", "sub/video_1-007-mp4"),
        ("a.v2.mp4", "a.v2-007-mp4"),
        ("a.mp4.MP4", "a.mp4-007-MP4"),
        ("dir.v1/b.mov", "dir.v1/b-007-mov"),
        (" lead and trail .mp4", " lead and trail -007-mp4"),
    ],
)
def test_the_extension_is_after_the_last_dot_with_its_case(path: str, expected: str) -> None:
    """Everything before it belongs to the name."""
    assert expected == frame_names(path, video_info(frame_count=100)).frame(7)


names = st.text(st.sampled_from("ab-.0129é"), min_size=1, max_size=6)


@settings(deadline=None)
@given(names, names, st.integers(1, 2000), st.data())
def test_a_frame_belongs_to_one_video(one: str, other: str, frame_count: int, data: st.DataObject) -> None:
    """The number of a key is found for its own video and for no other, however alike their names."""
    index = data.draw(st.integers(0, frame_count - 1))
    info = video_info(frame_count=frame_count)
    own, foreign = frame_names(f"{one}.mp4", info), frame_names(f"{other}.mp4", info)

    key = own.key("task", index)

    assert index == int(own.number("task", key) or -1)
    assert key.startswith(own.prefix("task"))
    assert (one == other) == (foreign.number("task", key) is not None)


@pytest.mark.parametrize(
    "key",
    [
        "a-1-2-mp4.json",  # of a-1.mp4
        "a-1-mov.json",
        "a-1-mp4.json.json",
        "a-1-mp4-json",
        "a--mp4.json",
        "a-٣-mp4.json",  # a digit, but none of ours
        "b-1-mp4.json",
        "sub/a-1-mp4.json",
        "schema.json",
    ],
)
def test_keys_of_other_things_have_no_number(key: str) -> None:
    """Only files that this video's frames can have are ever removed."""
    own = frame_names("a.mp4", video_info())

    assert own.number("task", f".lightly/predictions/task/{key}") is None
    assert own.number("task", f".lightly/predictions/other/{key}") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("football-players", "football-players"),
        ("proj/3", "proj-3"),
        ("my task #1 (new)", "my-task-1-new-"),
        ("größe", "gr-e"),
        ("a_b+c=d,e.f@g:h", "a_b+c=d,e.f@g:h"),
    ],
)
def test_task_names_are_brought_into_the_letters_allowed(text: str, expected: str) -> None:
    """A slash would make a folder of it."""
    assert expected == task_slug(text)


@pytest.mark.parametrize("text", ["", ".", "..", "///", "日本"])
def test_a_task_needs_a_name(text: str) -> None:
    """A folder cannot be called nothing, or be the one above."""
    with pytest.raises(InputInvalid):
        task_slug(text)


def test_the_schema_is_in_the_tasks_folder() -> None:
    """As the documentation draws it."""
    assert ".lightly/predictions/players/schema.json" == schema_key("players")


def video(uri: str, name: str = "final.mp4") -> VideoRef:
    return VideoRef(uri=uri, version="1", size=1, modified=datetime(2026, 1, 1, tzinfo=UTC), name=name)


@pytest.mark.parametrize(
    ("input_root", "expected"),
    [
        ("", "final.mp4"),
        ("s3://b/2026/", "cup/final.mp4"),
        ("s3://b/2026", "cup/final.mp4"),
        ("s3://b/", "2026/cup/final.mp4"),
    ],
)
def test_the_path_is_the_one_below_the_input_datasource(input_root: str, expected: str) -> None:
    """A source may list a part of what LightlyOne reads."""
    assert expected == path_in_input(video("s3://b/2026/cup/final.mp4"), input_root)


def test_a_video_elsewhere_is_refused() -> None:
    """LightlyOne could never match it."""
    with pytest.raises(DeliveryFailed, match="s3://b/2025/"):
        path_in_input(video("s3://b/2026/cup/final.mp4"), "s3://b/2025/")


def test_a_name_that_is_no_text_is_refused() -> None:
    """A file name of stray bytes can stand in no JSON."""
    with pytest.raises(DeliveryFailed, match=r"\\udcff"):
        path_in_input(video("file:///a\udcff.mp4", "a\udcff.mp4"), "")
