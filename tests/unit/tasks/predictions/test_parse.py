from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.domain.errors import ResultInvalid
from tasks.domain.predictions import TaskType
from tasks.predictions.parse import parse_results
from tests.unit.tasks.predictions.samples import IMAGE, box, frame, only_model, parsed, refusal, results

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


@pytest.mark.parametrize("factor", [1000, 24, 24_000, 0, 1 / 60], ids=["ms", "frames", "ticks", "nothing", "minutes"])
def test_times_in_another_unit_are_not_used(factor: float) -> None:
    """What the frame rate rules out for seconds is no time to go by; an uneven rate is."""
    wrong = results(None, None, None, time_offset=[0, 0.25 * factor, 0.5 * factor])
    assert [0, 0.25, 0.5] == parsed(wrong, video_fps=24).time_s.tolist()
    uneven = results(None, None, None, time_offset=[3600, 3600.01, 3602])
    assert [3600, 3600.01, 3602] == parsed(uneven, video_fps=24).time_s.tolist()
    assert [0, 250, 500] == parsed(results(None, None, None, time_offset=[0, 250, 500])).time_s.tolist()


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


def test_a_number_that_is_none_is_harmless_where_it_is_ignored() -> None:
    """Python writes NaN for a time it does not have; that must not cost the results."""
    model = only_model(results(frame(box(), time=float("nan")), frame(box(class_confidence=float("inf")))))
    assert 2 == len(model.objects)
