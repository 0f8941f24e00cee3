from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.domain.errors import ResultInvalid
from tasks.domain.predictions import TaskType
from tasks.predictions.parse import parse_bytes, parse_results
from tests.unit.tasks.predictions.samples import IMAGE, box, frame, only_model, parsed, results


def refusal(content: Any, **options: Any) -> str:
    """Parse what must be refused; return the message."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(ResultInvalid) as caught:
        parse_bytes(data, **options)
    assert "result_invalid" == caught.value.code
    return caught.value.message


# --- what the lists are called, and what may be missing ------------------------------------------


@pytest.mark.parametrize("frames", ["frame_offset", "frame_offsets"])
@pytest.mark.parametrize("times", ["time_offset", "time_offsets"])
def test_both_spellings_of_the_lists_are_read(frames: str, times: str) -> None:
    """Singular or plural, in any mix: the same results."""
    found = parsed({frames: [0, 6], times: [0.0, 0.25], "cars": [frame(box()), None]})
    assert [0, 6] == found.frame_index.tolist()
    assert [0.0, 0.25] == found.time_s.tolist()
    assert ["cars"] == [model.model for model in found.models]


@pytest.mark.parametrize("offsets", [[0, 6, 12], ["0", "6", "12"], [0.0, 6.0, 12.0], ["0", 6, 12.0]])
def test_frame_offsets_may_be_written_in_any_way_that_means_whole_numbers(offsets: list[Any]) -> None:
    """Text and floats without a fraction count as the whole numbers they are."""
    found = parsed(results(None, None, None, frame_offset=offsets))
    assert np.int64 == found.frame_index.dtype
    assert [0, 6, 12] == found.frame_index.tolist()


def test_numbers_in_predictions_may_be_text() -> None:
    """The numbers of a detection are read from text too."""
    model = only_model(results(frame(box("1.5", "2", confidence="0.5", class_id="7"))))  # type: ignore[arg-type]
    assert [[1.5, 2.0, 40.0, 20.0]] == model.objects.box.tolist()
    assert (7,) == model.class_ids


def test_times_that_are_missing_follow_from_the_frame_rate() -> None:
    """Without time_offset, or with holes in it, times are frame index over frame rate."""
    without = results(None, None)
    del without["time_offset"]
    assert [0.0, 0.25] == parsed(without, video_fps=24).time_s.tolist()
    holed = results(None, None, None, time_offset=[0.01, None, "0.51"])
    assert [0.01, 0.25, 0.51] == parsed(holed, video_fps=24.0).time_s.tolist()


def test_times_that_nothing_tells_are_not_a_number() -> None:
    """Without times and without a frame rate nothing is invented."""
    assert np.isnan(parsed({"frame_offset": [0, 6], "cars": [None, None]}).time_s).all()


def test_times_that_go_back_are_not_used() -> None:
    """A video with broken timestamps gets times from its frame rate instead."""
    assert [0.0, 0.25, 0.5] == parsed(
        results(None, None, None, time_offset=[9.5, 9.7, 0.1]), video_fps=24
    ).time_s.tolist()


def test_one_frame_is_enough() -> None:
    """A video of one sample is a result like any other."""
    assert 1 == len(parsed(results(frame(box()))))


def test_a_file_is_read_like_bytes(tmp_path: Path) -> None:
    """parse_results reads what parse_bytes reads."""
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results(frame(box()), None)))
    assert [100.0] == parse_results(path).models[0].objects.box[:, 0].tolist()


def test_a_file_that_is_not_there_is_a_named_error(tmp_path: Path) -> None:
    """No bare OSError leaves."""
    with pytest.raises(ResultInvalid, match="cannot be read"):
        parse_results(tmp_path / "none.json")


# --- models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "name"),
    [("cars", "cars"), ("cars/2", "cars"), ("team/cars", "team/cars"), ("/2", "/2"), ("2", "2"), ("a b", "a b")],
)
def test_a_model_goes_by_its_slug(key: str, name: str) -> None:
    """A version behind the slug is taken off, nothing else is."""
    assert name == only_model(results(frame(box()), model=key)).model


def test_two_versions_of_one_project_stay_apart() -> None:
    """Where the slug alone would be ambiguous the version stays."""
    found = parsed({"frame_offset": [0], "cars/2": [frame(box(1))], "cars/3": [frame(box(2))]})
    assert {"cars/2": 1.0, "cars/3": 2.0} == {model.model: float(model.objects.box[0, 0]) for model in found.models}


def test_models_keep_the_order_of_the_file() -> None:
    """The first model asked for stays the first."""
    members = {"z": [frame(box())], "a": [None], "clip": [[1.0]]}
    assert ["z", "a", "clip"] == [model.model for model in parsed({"frame_offset": [0], **members}).models]


@pytest.mark.parametrize(
    "more",
    [{"job_id": "x"}, {"status": 0}, {"fps": 5}, {"meta": {"a": [1]}}, {"note": None}, {"time": [1]}, {"ok": True}],
)
def test_members_that_are_no_model_are_ignored(more: dict[str, Any]) -> None:
    """What is no list of frames is not taken for a model."""
    assert ["cars"] == [model.model for model in parsed(results(frame(box())) | more).models]


def test_null_is_not_the_same_as_empty() -> None:
    """A frame that was not inferred and a frame without objects stay apart."""
    model = only_model(results(None, frame(), frame(box())))
    assert [False, True, True] == model.inferred.tolist()
    assert [2] == model.objects.sample.tolist()


def test_the_size_of_the_image_is_kept_per_frame() -> None:
    """Missing or null sizes are 0, 0."""
    sizes = [{"width": 640, "height": 360}, {"width": "320", "height": 180.0}, None, {"width": None, "height": 5}, {}]
    model = only_model(results(*(frame(box(), image=size) for size in sizes), {"predictions": []}, None))
    assert [[640, 360], [320, 180], [0, 0], [0, 5], [0, 0], [0, 0], [0, 0]] == model.image_size.tolist()


@pytest.mark.parametrize("frames", [[None, None], [frame(), frame()], [None, frame()]])
def test_a_model_that_never_predicted_has_no_kind_of_its_own(frames: list[Any]) -> None:
    """Its kind is what the control plane says, else none."""
    assert TaskType.NONE == only_model(results(*frames)).task
    for told in (TaskType.OBJECT_DETECTION, TaskType.KEYPOINT_DETECTION):
        model = only_model(results(*frames), tasks={"cars": told})
        assert (told, 0) == (model.task, len(model.objects))
    assert TaskType.NONE == only_model(results(*frames), tasks={"cars": TaskType.NONE}).task


def test_foundation_models_need_not_be_recognised() -> None:
    """clip and gaze are what they are, also when they never found anything."""
    assert TaskType.EMBEDDING == only_model(results(None, model="clip")).task
    assert TaskType.GAZE == only_model(results(frame(), model="gaze")).task


def test_a_kind_that_is_told_wins_and_may_name_the_version() -> None:
    """The control plane knows better than a single frame."""
    model = only_model(results(frame(box())), tasks={"cars/4": TaskType.INSTANCE_SEGMENTATION})
    assert TaskType.INSTANCE_SEGMENTATION == model.task


def test_frames_of_another_kind_than_told_are_refused() -> None:
    """Boxes are never read as labels, nor the other way round."""
    assert "cars[0]" in refusal(results(frame(box())), tasks={"cars": TaskType.CLASSIFICATION})
    labels = results({"predictions": [{"class": "a", "confidence": 1}], "top": "a"})
    assert "cars[0].predictions[0]" in refusal(labels, tasks={"cars": TaskType.OBJECT_DETECTION})
    assert "cars[0]" in refusal(results([0.5, 0.5]), tasks={"cars": TaskType.OBJECT_DETECTION})


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
    """One bad frame among good ones is not skipped."""
    assert "cars[1]" in refusal(results(frame(box()), broken))


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


def test_a_number_that_is_none_is_harmless_where_it_is_ignored() -> None:
    """Python writes NaN for a time it does not have; that must not cost the results."""
    model = only_model(results(frame(box(), time=float("nan")), frame(box(class_confidence=float("inf")))))
    assert 2 == len(model.objects)


# --- edges of the values ----------------------------------------------------------------------------


def test_confidences_are_clipped_to_the_last_bit() -> None:
    """A rounding error beyond 1 is 1; float32 columns never exceed [0, 1]."""
    model = only_model(results(frame(box(confidence=1.0000005), box(confidence=-5e-7), box(confidence=1))))
    assert [1.0, 0.0, 1.0] == model.objects.confidence.tolist()


def test_the_first_id_of_a_class_counts() -> None:
    """Classes are told apart by name; ids are the service's own, -1 where it gave none."""
    model = only_model(
        results(frame(box(name="b", class_id=9), box(name="a", class_id=None), box(name="b", class_id=1)))
    )
    assert (("b", "a"), (9, -1)) == (model.classes, model.class_ids)
    assert [0, 1, 0] == model.objects.class_code.tolist()


def test_columns_can_be_written_to() -> None:
    """What comes out is the caller's own, not a view of the text."""
    objects = only_model(results(frame(box(points=[{"x": 1, "y": 2}])))).objects
    for column in (objects.box, objects.confidence, objects.track, objects.polygon, objects.sample):
        assert column.flags.writeable
        assert column.flags.c_contiguous


def test_image_defaults_do_not_leak_between_parses() -> None:
    """Two parses share no state."""
    first, second = only_model(results(frame(box()))), only_model(results(frame(box(name="bus"))))
    first.objects.box[:] = 0
    assert (("bus",), 100.0) == (second.classes, second.objects.box[0, 0])
    assert IMAGE == {"width": 640, "height": 360}
