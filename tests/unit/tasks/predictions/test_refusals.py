from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.domain.errors import ResultInvalid
from tasks.domain.predictions import TaskType
from tasks.predictions.parse import parse_bytes
from tests.unit.tasks.predictions.samples import box, frame, refusal, results

# --- what is no results JSON ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "an empty object"),
        ({"status": 2, "job_id": "j", "message": "failed"}, "a job's status"),
        ({"job_id": "j"}, "a job's status"),
        ({"error": "not found"}, "an error message"),
        ({"message": "Too Many Requests"}, "an error message"),
        ({"cars": [None]}, "no frame_offset"),
        ([], "expected `object`, got `array`"),
        (None, "expected `object`, got `null`"),
        (b"", "empty"),
        (b" \n ", "empty"),
        (b"<!DOCTYPE html><html></html>", "HTML or XML page"),
        (b"\n  <?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "HTML or XML page"),
        (b'{"frame_offset": [0, 6], "cars": [{"pred', "cut short"),
        (b'{"frame_offset": [0], "cars": [null]} trailing', "no JSON"),
        (b"Internal Server Error", "no JSON"),
        (b"\x1f\x8b\x08\x00", "no JSON"),
        (b'{"\xff": 1}', "not UTF-8"),
        (b'{"frame_offset": [0], "cars": [NaN, ', "cut short"),
        (b'{"frame_offset": [0], "cars": [nan]}', "no JSON"),
        (b'{"a":' + b"[" * 200_000, "too deeply"),
        (b'{"frame_offset":[0],"cars":[{"predictions":' + b"[" * 90_000 + b"]" * 90_000 + b"}]}", "too deeply"),
        ({"frame_offset": [0, 6]}, "no model's predictions"),
        ({"frame_offset": [0], "cars": "gone"}, "no model's predictions"),
        ({"frame_offset": [], "time_offset": [], "cars": []}, "frame_offset is empty"),
        ({"frame_offset": "0", "cars": [None]}, "frame_offset: expected a list"),
    ],
)
def test_what_is_no_results_is_said_to_be_what_it_is(content: Any, said: str) -> None:
    """Each thing that is stored as results by mistake is called by its name."""
    assert said in refusal(content)


def test_an_error_body_is_not_quoted() -> None:
    """Error texts of services hold signed URLs and keys; none of it is repeated."""
    text = refusal({"error": "GET https://bucket/v.mp4?X-Amz-Signature=abc failed", "message": "api_key=secret"})
    assert "abc" not in text
    assert "secret" not in text


def test_an_empty_object_hints_at_the_frame_rate() -> None:
    """The known cause of {} is named."""
    with pytest.raises(ResultInvalid) as caught:
        parse_bytes(b"{}")
    assert "inference.fps" in caught.value.hint


def test_every_cut_is_noticed() -> None:
    """Results that end anywhere before their end are refused."""
    whole = json.dumps(results(frame(box()), None, model="cars")).encode()
    for end in range(len(whole)):
        refusal(whole[:end])


# --- what is inconsistent ---------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["cars", "time_offset"])
@pytest.mark.parametrize("length", [1, 4])
def test_lists_of_different_lengths_are_refused(key: str, length: int) -> None:
    """The message names the list and both lengths."""
    value = [None] * length
    said = refusal(results(None, None, None) | {key: value})
    assert f"{key} has {length} entries, but there are 3 frame offsets" == said


@pytest.mark.parametrize(
    ("offsets", "said"),
    [
        ([0, 6, 6], "frame_offset[2]: 6 does not come after 6"),
        ([0, 12, 6], "frame_offset[2]: 6 does not come after 12"),
        ([-1, 6, 12], "frame_offset[0]: expected `int` >= 0"),
        ([0, 6, None], "frame_offset[2]: expected `int`, got `null`"),
        ([0, 6.5, 7], "frame_offset[1]: expected `int`, got `float`"),
        ([0, "six", 7], "frame_offset[1]: expected `int`, got `str`"),
        ([0, True, 7], "frame_offset[1]: expected `int`, got `bool`"),
        ([0, 1, 2**70], "frame_offset[2]: expected `int` <="),
    ],
)
def test_frame_offsets_count_up_from_no_less_than_zero(offsets: list[Any], said: str) -> None:
    """Anything else would put boxes on the wrong frames."""
    assert refusal(results(None, None, None, frame_offset=offsets)).startswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": "left"}, "x: expected `float`, got `str`"),
        ({"x": None}, "x: expected `float`, got `null`"),
        ({"y": [1]}, "y: expected `float`, got `array`"),
        ({"x": float("nan")}, "x: expected a finite number, got nan"),
        ({"width": float("inf")}, "width: expected a finite number, got inf"),
        ({"y": -float("inf")}, "y: expected a finite number, got -inf"),
        ({"height": -1}, "height: expected a size, got -1.0"),
        ({"confidence": 1.5}, "confidence: expected a number from 0 to 1, got 1.5"),
        ({"confidence": float("nan")}, "confidence: expected a number from 0 to 1, got nan"),
        ({"class": None}, "class: expected `str`, got `null`"),
        ({"class_id": "one"}, "class_id: expected `int | null`, got `str`"),
        ({"tracker_id": -2}, "tracker_id: expected `int` >= -1"),
        ({"points": [{"x": 1, "y": 1}, {"x": 1}]}, "points[1]: object missing required field `y`"),
        ({"points": [{"x": 1, "y": float("nan")}]}, "points[0].y: expected a finite number"),
        ({"keypoints": [{"x": 1, "y": 1, "confidence": 2}]}, "keypoints[0].confidence: expected a number from 0 to 1"),
        ({"rle": {"size": [2, 2], "counts": [1, 2]}}, "rle.counts: 3 pixels, where size says 2 x 2"),
        ({"rle": {"size": [2], "counts": "a"}}, "rle.size: expected `array` of length 2"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(change: dict[str, Any], said: str) -> None:
    """Model, sample, prediction and field lead to the value in the file."""
    found = refusal(results(None, frame(box(), box()), frame(box(), box() | change, box())))
    assert found.startswith(f"cars[2].predictions[1].{said}")


@pytest.mark.parametrize("key", ["x", "y", "width", "height", "confidence", "class"])
def test_what_makes_a_detection_must_be_there(key: str) -> None:
    """A detection without one of its parts is refused."""
    broken = box()
    del broken[key]
    assert f"cars[0].predictions[0]: object missing required field `{key}`" == refusal(results(frame(broken)))


@pytest.mark.parametrize("broken", [3, "x", True, [1, "a"], {}, {"error": "oom"}, {"predictions": None}])
def test_a_frame_of_no_known_shape_is_refused(broken: Any) -> None:
    """One bad frame among good ones is not skipped, and neither is a first one."""
    assert "cars[1]" in refusal(results(frame(box()), broken))
    assert "cars[0]" in refusal(results(broken, frame()))


def test_a_number_that_no_column_holds_is_refused() -> None:
    """Beyond float32, or beyond JSON numbers altogether."""
    assert "cars[0]: a number is too large" == refusal(results(frame(box(1e300))))
    assert "number out of range" in refusal(json.dumps(results(frame(box()))).replace("100", "1e999").encode())


def test_text_that_is_not_utf_8_is_refused() -> None:
    """Class names are text."""
    data = json.dumps(results(frame(box(name="NAME")))).encode().replace(b"NAME", b"\xff\xfe")
    assert "cars[0]: text is not UTF-8" == refusal(data)


def test_a_model_that_is_known_must_have_frames() -> None:
    """An object in place of a known model's list is not ignored."""
    content = results(frame(box())) | {"clip": {"error": "out of memory"}}
    assert "clip: expected a list of frames, got something else" == refusal(content, tasks={"clip": TaskType.EMBEDDING})


def test_a_model_name_with_control_characters_is_refused() -> None:
    """Names end in logs and file names."""
    assert "\n" not in refusal(results(frame(box()), model="a\nb"))
