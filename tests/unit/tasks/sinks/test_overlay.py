"""Shapes are where the model saw things, on the upright picture, and move with their boxes between samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import Labels, ModelPredictions, TaskType
from tasks.domain.video import VideoInfo
from tasks.predictions.interpolate import Interpolator
from tasks.sinks.overlay import Overlay
from tests.contracts.deliveries import Box, Frames, model_predictions, video_info

INFO = video_info(size=(640, 360))


def overlay(
    frames: Frames,
    *,
    every: int = 10,
    info: VideoInfo = INFO,
    min_confidence: float | None = None,
    model: ModelPredictions | None = None,
) -> Overlay:
    frame_index = np.arange(len(frames), dtype=np.int64) * every
    return Overlay(model or model_predictions(frames), frame_index, info, Interpolator, min_confidence)


def with_shapes(model: ModelPredictions, **columns: Any) -> ModelPredictions:
    objects: Any = model.objects
    return replace(model, objects=replace(objects, **columns))


def test_a_detection_becomes_a_labelled_box() -> None:
    """Edges, class, confidence and track of a detection, coloured by its track."""
    (shape,) = overlay([[Box(100, 80, 40, 20, "player", 0.874, track=3)]]).shapes(0)
    assert [80, 70, 120, 90] == list(shape.edges)
    assert "player 0.87 #3" == shape.label
    assert 3 == shape.colour_key
    assert 0 == len(shape.outlines)
    assert (0, 2) == shape.points.shape


def test_without_a_track_the_class_gives_the_colour() -> None:
    """Things that nobody follows are coloured by what they are."""
    first, second = overlay([[Box(1, 1, 2, 2, "a"), Box(9, 9, 2, 2, "b")]]).shapes(0)
    assert ("a 0.50", 0) == (first.label, first.colour_key)
    assert ("b 0.50", 1) == (second.label, second.colour_key)


def test_boxes_move_between_samples() -> None:
    """Interpolation is asked for every frame, not only for the inferred ones."""
    seen = overlay([[Box(100, 80, 40, 20, track=1)], [Box(200, 80, 40, 20, track=1)]])
    assert [80, 90, 130, 180] == [seen.shapes(frame)[0].edges[0] for frame in (0, 1, 5, 10)]


def test_boxes_are_scaled_from_the_inferred_image() -> None:
    """A service that looked at half-sized images is drawn at full size."""
    half = model_predictions([[Box(100, 80, 40, 20)]], size=(320, 180))
    (shape,) = overlay([[]], model=half).shapes(0)
    assert (160, 140, 240, 180) == shape.edges


@pytest.mark.parametrize(
    ("rotation", "expected"), [(90, (0, 620, 10, 640)), (180, (620, 350, 640, 360)), (270, (350, 0, 360, 20))]
)
def test_boxes_of_the_coded_picture_are_turned(rotation: int, expected: tuple[float, ...]) -> None:
    """A service that did not turn a phone's video is drawn upright all the same, masks and points included."""
    frames = [[Box(10, 5, 20, 10)]]
    model = model_predictions(frames)
    if rotation == 180:  # both pictures have one size, so the boxes count as upright
        expected = (0, 0, 20, 10)
    corner = np.array([[20, 10]], np.float32)
    model = with_shapes(
        model,
        polygon=corner.repeat(3, axis=0),
        polygon_start=np.array([0, 3]),
        keypoint=np.array([[20, 10, 1]], np.float32),
        keypoint_class=np.zeros(1, np.int32),
        keypoint_start=np.array([0, 1]),
    )
    (shape,) = overlay(frames, model=model, info=video_info(size=(640, 360), rotation=rotation)).shapes(0)
    assert expected == shape.edges
    turned = {90: (10, 620), 180: (20, 10), 270: (350, 20)}[rotation]
    assert pytest.approx(turned) == tuple(shape.points[0])
    assert pytest.approx(turned) == tuple(shape.outlines[0][0])


def test_confidence_has_a_floor() -> None:
    """What is below it is neither drawn nor counted; what is exactly at it is."""
    frames = [[Box(100, 80, 40, 20, confidence=0.4, track=1), Box(9, 9, 2, 2, confidence=0.39, track=2)]]
    seen = overlay(frames, min_confidence=0.4)
    assert ["player 0.40 #1"] == [shape.label for shape in seen.shapes(0)]
    assert (1, 1) == (seen.objects, seen.tracks)
    everything = overlay(frames)
    assert (2, 2) == (everything.objects, everything.tracks)


def test_rows_stay_their_own_after_filtering() -> None:
    """Labels, masks and points belong to the detection that they came with, also when others are left out."""
    frames = [[Box(10, 10, 4, 4, "a", 0.1), Box(50, 50, 4, 4, "b", 0.9), Box(90, 90, 4, 4, "c", 0.8)]]
    model = with_shapes(
        model_predictions(frames),
        polygon=np.array([[1, 1], [2, 1], [1, 2], [91, 91], [92, 91], [91, 92]], np.float32),
        polygon_start=np.array([0, 3, 3, 6]),
        keypoint=np.array([[51, 51, 0.9], [52, 52, 0.1]], np.float32),
        keypoint_class=np.zeros(2, np.int32),
        keypoint_start=np.array([0, 0, 2, 2]),
    )
    b, c = overlay(frames, model=model, min_confidence=0.5).shapes(0)
    assert ("b 0.90", "c 0.80") == (b.label, c.label)
    assert ([[51, 51]], 0) == (b.points.tolist(), len(b.outlines)), "a point that is hardly sure is not drawn"
    assert [[91, 91], [92, 91], [91, 92]] == c.outlines[0].tolist()


def test_masks_and_points_move_with_their_box() -> None:
    """Half-way to a box twice as large, the outline is half-way there and half as much larger."""
    frames = [[Box(100, 100, 40, 40, track=1)], [Box(200, 100, 80, 80, track=1)]]
    model = with_shapes(
        model_predictions(frames),
        polygon=np.array([[80, 80], [120, 80], [120, 120], [80, 120]], np.float32),
        polygon_start=np.array([0, 4, 4]),
        keypoint=np.array([[100, 80, 1]], np.float32),
        keypoint_class=np.zeros(1, np.int32),
        keypoint_start=np.array([0, 1, 1]),
    )
    (shape,) = overlay(frames, model=model).shapes(5)
    assert [120, 70, 180, 130] == list(shape.edges)
    assert [[120, 70], [180, 70], [180, 130], [120, 130]] == shape.outlines[0].tolist()
    assert [[150, 70]] == shape.points.tolist()


def test_a_box_without_extent_moves_its_mask_unstretched() -> None:
    """A degenerate box divides nothing by zero."""
    frames = [[Box(100, 100, 0, 0, track=1)], [Box(200, 100, 80, 80, track=1)]]
    model = with_shapes(
        model_predictions(frames),
        polygon=np.array([[90, 90], [110, 90], [100, 110]], np.float32),
        polygon_start=np.array([0, 3, 3]),
    )
    (shape,) = overlay(frames, model=model).shapes(5)
    assert [[140, 90], [160, 90], [150, 110]] == shape.outlines[0].tolist()


def column_major(mask: np.ndarray) -> list[int]:
    """COCO's run lengths of a mask: zeros first, down the columns."""
    flat = mask.flatten(order="F").astype(int)
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate(([0], changes, [len(flat)]))).tolist()
    return [0, *runs] if flat[0] else runs


def test_a_run_length_mask_is_outlined() -> None:
    """A mask of the inferred image, here half as large, is where it belongs on the picture."""
    mask = np.zeros((180, 320), bool)
    mask[20:61, 100:151] = True
    model = model_predictions([[Box(125, 40, 50, 40)]], size=(320, 180))
    model = with_shapes(model, rle={0: (180, 320, column_major(mask))})
    (shape,) = overlay([[]], model=model).shapes(0)
    (outline,) = shape.outlines
    assert [[200, 40], [300, 120]] == [outline.min(axis=0).tolist(), outline.max(axis=0).tolist()]


def test_a_mask_of_another_size_than_the_image_is_scaled_too() -> None:
    """Some services give masks at the model's own resolution."""
    mask = np.zeros((90, 160), bool)
    mask[10:31, 50:76] = True
    model = with_shapes(model_predictions([[Box(250, 80, 100, 80)]]), rle={0: (90, 160, column_major(mask))})
    (shape,) = overlay([[]], model=model).shapes(0)
    assert [[200, 40], [300, 120]] == [shape.outlines[0].min(axis=0).tolist(), shape.outlines[0].max(axis=0).tolist()]


@pytest.mark.parametrize("counts", [[1, 2, 3], [], "garbage\x01", "é"])
def test_a_mask_that_cannot_be_read_is_noted(counts: str | list[int]) -> None:
    """The box is drawn without it, and the mask is counted once."""
    model = with_shapes(model_predictions([[Box(250, 80, 100, 80)]]), rle={0: (90, 160, counts)})
    seen = overlay([[]], model=model)
    for _ in range(3):
        (shape,) = seen.shapes(0)
    assert 0 == len(shape.outlines)
    assert {0} == seen.bad_masks


# --- captions ------------------------------------------------------------------------------


def labelled(samples: list[list[tuple[str, float, bool]] | None]) -> ModelPredictions:
    """A classification model's columns."""
    rows = [(sample, *label) for sample, labels in enumerate(samples) for label in labels or ()]
    classes = tuple(dict.fromkeys(name for _, name, _, _ in rows))
    labels = Labels(
        sample=np.array([row[0] for row in rows], np.int32),
        class_code=np.array([classes.index(row[1]) for row in rows], np.int32),
        confidence=np.array([row[2] for row in rows], np.float32),
        chosen=np.array([row[3] for row in rows], np.bool_),
    )
    model = model_predictions([None if each is None else [] for each in samples], task=TaskType.CLASSIFICATION)
    return replace(model, classes=classes, labels=labels)


def test_a_caption_names_the_chosen_classes() -> None:
    """The classes that the service chose, with their confidence, and no others."""
    model = labelled([[("goal", 0.93, True), ("crowd", 0.6, True), ("foul", 0.5, False)]])
    assert "goal 0.93 · crowd 0.60" == overlay([[]], model=model).caption(0)
    assert "goal 0.93" == overlay([[]], model=model, min_confidence=0.7).caption(0)
    assert [] == overlay([[]], model=model).shapes(0)


def test_a_caption_is_of_the_nearest_sample() -> None:
    """Between samples the nearer one counts, the earlier where both are as near; what was not inferred counts not."""
    model = labelled([[("a", 1, True)], None, [("b", 1, True)], []])
    seen = overlay([[]] * 4, model=model)
    assert ["a 1.00"] * 11 + ["b 1.00"] * 15 + [""] * 5 == [seen.caption(frame) for frame in range(31)]
    assert "" == seen.caption(10_000)


@given(
    samples=st.lists(st.booleans(), min_size=1, max_size=12).filter(any),
    frame=st.integers(0, 130),
)
def test_the_nearest_sample_is_the_nearest(samples: list[bool], frame: int) -> None:
    """Bisection finds what a look at every inferred sample finds."""
    model = labelled([[(f"s{index}", 1, True)] if inferred else None for index, inferred in enumerate(samples)])
    inferred = [index for index, each in enumerate(samples) if each]
    nearest = min(inferred, key=lambda index: (abs(index * 10 - frame), index))
    assert f"s{nearest} 1.00" == overlay([[]] * len(samples), model=model).caption(frame)


def test_without_labels_there_is_no_caption() -> None:
    """Detections alone give none."""
    assert "" == overlay([[Box(1, 1, 2, 2)]]).caption(0)


# --- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize("box", [Box(float("nan"), 1, 2, 2), Box(1, 1, float("inf"), 2), Box(1, 1, -2, 2)])
def test_what_is_no_box_is_refused(box: Box) -> None:
    """Results that cannot be trusted are not drawn."""
    with pytest.raises(DeliveryFailed):
        overlay([[box]])


def test_results_of_another_video_are_refused() -> None:
    """Inferred images of another shape belong elsewhere."""
    with pytest.raises(DeliveryFailed, match="no scaling"):
        overlay([[]], model=model_predictions([[Box(1, 1, 2, 2)]], size=(500, 500)))


@pytest.mark.parametrize("frames", [[], [[]], [None], [None, []]], ids=repr)
def test_nothing_seen_is_nothing_drawn(frames: Frames) -> None:
    """No samples, or none with anything in it."""
    seen = overlay(frames)
    assert [] == seen.shapes(0)
    assert "" == seen.caption(0)
    assert (0, 0) == (seen.objects, seen.tracks)
