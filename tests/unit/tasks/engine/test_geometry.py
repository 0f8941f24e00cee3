"""Images fit, boxes come back, duplicates go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from tasks.engine.geometry import (
    MOST_DETECTIONS,
    Boxes,
    Fit,
    corners,
    letterbox,
    overlap,
    place,
    resized,
    stretch,
    suppressed,
)

sides = st.integers(1, 4000)
sizes = st.tuples(sides, sides)
canvases = st.tuples(st.integers(32, 1280), st.integers(32, 1280))
shares = st.tuples(*[st.floats(0, 1)] * 4)


def box_in(size: tuple[int, int], share: tuple[float, float, float, float]) -> Boxes:
    (x0, x1), (y0, y1) = sorted(share[:2]), sorted(share[2:])
    return np.array([[x0 * size[0], y0 * size[1], x1 * size[0], y1 * size[1]]])


@given(image=sizes, canvas=canvases, share=shares, kept=st.booleans())
def test_a_box_comes_back_to_where_it_was(
    image: tuple[int, int], canvas: tuple[int, int], share: tuple[float, float, float, float], kept: bool
) -> None:
    """Onto the canvas and back is the same box, for any sizes, stretched or letterboxed."""
    fit = letterbox(image, canvas) if kept else stretch(image, canvas)
    box = box_in(image, share)
    assert fit.to_image(fit.to_canvas(box)) == pytest.approx(box, abs=1e-6 * max(image))


@given(image=sizes, canvas=canvases)
def test_a_letterboxed_image_lies_within_its_canvas(image: tuple[int, int], canvas: tuple[int, int]) -> None:
    """It touches two opposite edges, is centred to within a pixel, and keeps its proportions to within half a pixel."""
    fit = letterbox(image, canvas)
    spare = [canvas[axis] - fit.inner[axis] for axis in (0, 1)]
    assert 0 in spare
    for axis in (0, 1):
        assert 0 <= fit.pad[axis] <= spare[axis]
        assert abs(2 * fit.pad[axis] - spare[axis]) <= 1
    ratio = min(canvas[0] / image[0], canvas[1] / image[1])
    for axis in (0, 1):
        assert abs(fit.inner[axis] - max(1, image[axis] * ratio)) <= 0.5


@given(image=sizes, canvas=canvases, share=shares)
def test_boxes_are_clipped_to_the_image(
    image: tuple[int, int], canvas: tuple[int, int], share: tuple[float, float, float, float]
) -> None:
    """What a model says about the grey bars or beyond never leaves the image."""
    x0, y0, x1, y1 = letterbox(image, canvas).to_image(box_in(canvas, share) * 2 - 50)[0]
    assert 0 <= x0 <= x1 <= image[0]
    assert 0 <= y0 <= y1 <= image[1]


@pytest.mark.parametrize(
    ("image", "canvas", "expected"),
    [
        ((640, 272), (640, 640), ((640, 272), (0, 184))),
        ((1920, 1080), (640, 640), ((640, 360), (0, 140))),
        ((1080, 1920), (640, 640), ((360, 640), (140, 0))),
        ((1280, 721), (640, 640), ((640, 360), (0, 140))),
        ((640, 471), (640, 640), ((640, 471), (0, 84))),
        ((320, 320), (640, 640), ((640, 640), (0, 0))),
    ],
)
def test_letterboxes_are_those_of_the_training(
    image: tuple[int, int], canvas: tuple[int, int], expected: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    """Sizes and paddings as Ultralytics computes them, an odd pixel going below."""
    fit = letterbox(image, canvas)
    assert expected == (fit.inner, fit.pad)


def test_a_letterboxed_image_is_drawn_on_grey() -> None:
    """Bars are 114 in every channel, the image is in the middle."""
    image = np.full((10, 20, 3), 200, np.uint8)
    drawn = place(image, letterbox((20, 10), (40, 40)))
    assert (40, 40, 3) == drawn.shape
    assert (drawn[:10] == 114).all()
    assert (drawn[30:] == 114).all()
    assert (drawn[10:30] == 200).all()


def test_a_stretched_image_fills_its_canvas() -> None:
    """No bars."""
    image = np.full((10, 20, 3), 200, np.uint8)
    assert (place(image, stretch((20, 10), (30, 30))) == 200).all()


@settings(max_examples=40, deadline=None)
@given(
    source=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    target=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    seed=st.integers(0, 1000),
)
def test_resizing_is_bilinear_between_pixel_centres(
    source: tuple[int, int], target: tuple[int, int], seed: int
) -> None:
    """Each target pixel is what scipy interpolates at its centre, with edges held."""
    image = np.random.default_rng(seed).integers(0, 256, (source[1], source[0], 3), dtype=np.uint8)
    y = (np.arange(target[1]) + 0.5) * source[1] / target[1] - 0.5
    x = (np.arange(target[0]) + 0.5) * source[0] / target[0] - 0.5
    grid = np.meshgrid(y, x, indexing="ij")
    expected = np.stack(
        [map_coordinates(image[..., c].astype(float), grid, order=1, mode="nearest") for c in range(3)], axis=-1
    )
    assert resized(image, target) == pytest.approx(expected, abs=1e-3)


def test_resizing_to_the_same_size_changes_nothing() -> None:
    """The pixels are the pixels, as floats."""
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    assert np.array_equal(image.astype(np.float32), resized(image, (5, 4)))


def test_centred_boxes_become_corners() -> None:
    """Half the size to each side."""
    assert [[5.0, 15.0, 15.0, 25.0]] == corners(np.array([[10.0, 20.0, 10.0, 10.0]])).tolist()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1.0),
        ([0, 0, 10, 10], [5, 0, 15, 10], 1 / 3),
        ([0, 0, 10, 10], [10, 0, 20, 10], 0.0),
        ([0, 0, 10, 10], [2, 2, 4, 4], 0.04),
        ([3, 3, 3, 3], [3, 3, 3, 3], 0.0),
    ],
    ids=["same", "a third", "touching", "inside", "two points"],
)
def test_overlap_is_intersection_over_union(first: list[float], second: list[float], expected: float) -> None:
    """By hand."""
    assert pytest.approx(expected) == overlap(np.array(first, float), np.array([second], float))[0]


def test_the_better_of_two_that_overlap_stays() -> None:
    """Above the threshold the worse one goes; at it, both stay."""
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]])
    scores = np.array([0.5, 0.9, 0.4], np.float32)
    classes = np.zeros(3, np.intp)
    assert [1, 2] == suppressed(boxes, scores, classes, 0.5).tolist()
    assert [1, 0, 2] == suppressed(boxes, scores, classes, 9 / 11).tolist()


def test_different_classes_do_not_suppress_each_other() -> None:
    """A rider and the bicycle stay both."""
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    assert [0, 1] == suppressed(boxes, np.array([0.9, 0.8], np.float32), np.array([0, 1]), 0.5).tolist()


def test_nothing_in_nothing_out() -> None:
    """No candidates are no detections."""
    assert [] == suppressed(np.zeros((0, 4)), np.zeros(0, np.float32), np.zeros(0, np.intp), 0.5).tolist()


def test_a_flood_is_bounded() -> None:
    """Thousands of separate boxes end as the best few hundred."""
    count = 2000
    boxes = np.array([[i * 20.0, 0, i * 20 + 10, 10] for i in range(count)])
    scores = np.linspace(0, 1, count, dtype=np.float32)
    kept = suppressed(boxes, scores, np.zeros(count, np.intp), 0.5)
    assert list(range(count - 1, count - 1 - MOST_DETECTIONS, -1)) == kept.tolist()


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 40), threshold=st.floats(0.05, 0.95))
def test_survivors_do_not_overlap_and_the_others_do(seed: int, count: int, threshold: float) -> None:
    """No two survivors of a class overlap too much, and everything else overlaps a better survivor of its class."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 50, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 40, (count, 2))], axis=1)
    scores, classes = rng.uniform(0, 1, count).astype(np.float32), rng.integers(0, 3, count)
    kept = suppressed(boxes, scores, classes, threshold).tolist()

    def clashes(one: int, other: int) -> bool:
        return bool(classes[one] == classes[other] and overlap(boxes[one], boxes[[other]])[0] > threshold)

    assert not any(clashes(a, b) for a in kept for b in kept if a != b)
    for gone in set(range(count)) - set(kept):
        assert any(clashes(stays, gone) and scores[stays] >= scores[gone] for stays in kept)


def test_a_fit_knows_its_two_scales() -> None:
    """Stretching scales each axis by its own factor."""
    fit = Fit((100, 50), (300, 300), (300, 300), (0, 0))
    assert [[30.0, 60.0, 300.0, 300.0]] == fit.to_canvas(np.array([[10.0, 10.0, 100.0, 50.0]])).tolist()
