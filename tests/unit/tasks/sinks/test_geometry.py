"""Placing boxes: scaling, turning, clipping."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.errors import DeliveryFailed
from tasks.sinks.geometry import PlacedBoxes, edges_of, orientation_warning, place_boxes, snap, turned
from tests.contracts.deliveries import Box, model_predictions, video_info

ROTATIONS = (0, 90, 180, 270)
sides = st.integers(16, 4000)


@st.composite
def boxes_inside(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """A frame's size, and left, top, right, bottom of a box of whole pixels within it."""
    width, height = draw(st.integers(4, 60)), draw(st.integers(4, 60))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    return (width, height), (left, top, right, bottom)


def box_of(edges: Any) -> Box:
    left, top, right, bottom = edges
    return Box((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)


def test_centre_becomes_corners() -> None:
    """Roboflow's x, y are the centre of the box."""
    assert [[1475.0, 2.0, 1665.0, 637.0]] == edges_of(np.array([[1570, 319.5, 190, 635]], np.float32)).tolist()


@settings(deadline=None)
@given(boxes_inside(), st.sampled_from(ROTATIONS))
def test_boxes_turn_as_pixels_do(case: tuple[tuple[int, int], tuple[int, int, int, int]], degrees: int) -> None:
    """numpy turns the picture counter-clockwise; the box turned is where its pixels went."""
    size, edges = case
    picture = np.zeros((size[1], size[0]))
    picture[edges[1] : edges[3], edges[0] : edges[2]] = 1

    rows, columns = np.nonzero(np.rot90(picture, degrees // 90))

    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert expected == turned(np.array([edges], float), size, degrees)[0].tolist()


@settings(deadline=None)
@given(boxes_inside(), st.sampled_from(ROTATIONS))
def test_turning_back_gives_the_box_back(case: tuple[tuple[int, int], tuple[int, int, int, int]], degrees: int) -> None:
    """Turning there and back is nothing."""
    (width, height), edges = case
    box = np.array([edges], float)
    size = (height, width) if degrees % 180 else (width, height)

    assert box.tolist() == turned(turned(box, (width, height), degrees), size, -degrees).tolist()


@settings(deadline=None)
@given(
    boxes_inside(),
    st.sampled_from(ROTATIONS),
    st.integers(1, 8),
    st.booleans(),
    st.booleans(),
)
def test_a_placed_box_covers_its_object(
    case: tuple[tuple[int, int], tuple[int, int, int, int]],
    rotation: int,
    scale: int,
    inferred_upright: bool,
    upright: bool,
) -> None:
    """Whichever way the service saw a frame, and however small, the box lies on the object's pixels."""
    (width, height), edges = case
    coded = np.zeros((height, width))
    coded[edges[1] : edges[3], edges[0] : edges[2]] = 1
    # By size alone nobody can tell a frame from one on its head: those count as upright.
    inferred_upright |= rotation == 180 or (rotation % 180 == 90 and abs(width - height) <= 1)
    seen = np.rot90(coded, rotation // 90) if inferred_upright else coded
    rows, columns = np.nonzero(seen)
    found = box_of((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    info = video_info(size=(width * scale, height * scale), rotation=rotation)
    model = model_predictions([[found]], size=(seen.shape[1], seen.shape[0]))

    placed = place_boxes(model, info, upright=upright)

    rows, columns = np.nonzero(np.rot90(coded, rotation // 90) if upright else coded)
    expected = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) * scale
    assert (info.display_size if upright else (info.width, info.height)) == (placed.width, placed.height)
    np.testing.assert_allclose(expected, placed.edges[0], atol=1e-3)


@pytest.mark.parametrize(
    ("inferred", "coded", "rotation"),
    [
        ((1000, 563), (1920, 1080), 0),  # 562.5 rounded
        ((1000, 562), (1920, 1080), 0),
        ((640, 360), (640, 360), 180),
        ((360, 640), (1920, 1080), 90),
        ((640, 360), (1920, 1080), 90),
        ((3840, 2160), (1920, 1080), 0),
        ((0, 0), (1920, 1080), 270),
    ],
)
def test_every_scaling_of_the_video_is_taken(inferred: tuple[int, int], coded: tuple[int, int], rotation: int) -> None:
    """A side may be rounded, the frame may be turned; a size that is not given is the full one."""
    info = video_info(size=coded, rotation=rotation)

    place_boxes(model_predictions([[]], size=inferred), info, upright=True)


@pytest.mark.parametrize("inferred", [(640, 640), (640, 480), (1080, 1920), (640, 0), (0, 360), (1920, 1088)])
def test_another_shape_is_refused(inferred: tuple[int, int]) -> None:
    """An image that is no scaling of the frame belongs to another video, or was padded."""
    model = model_predictions([[Box(10, 10, 4, 4)]], size=inferred)

    with pytest.raises(DeliveryFailed, match=f"{inferred[0]}x{inferred[1]}"):
        place_boxes(model, video_info(size=(1920, 1080)), upright=True)


def test_another_shape_is_refused_even_where_nothing_was_found() -> None:
    """A wrong image in any frame means that the results are not this video's."""
    model = model_predictions([[], []], size=(640, 360))
    model.image_size[1] = (500, 500)

    with pytest.raises(DeliveryFailed):
        place_boxes(model, video_info(), upright=False)


def test_frames_that_were_not_inferred_need_no_size() -> None:
    """A null frame has no image."""
    model = model_predictions([None, [Box(10, 10, 4, 4)], None])

    assert [[8, 8, 12, 12]] == place_boxes(model, video_info(), upright=True).edges.tolist()


def test_each_frame_is_scaled_by_its_own_image() -> None:
    """Images of two sizes in one video are each brought to the frame."""
    model = model_predictions([[Box(64, 36, 10, 10)], [Box(32, 18, 5, 5)]], size=(640, 360))
    model.image_size[1] = (320, 180)

    first, second = place_boxes(model, video_info(size=(640, 360)), upright=True).edges.tolist()

    assert first == second


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", [0, 1, 2, 3, 5])
def test_numbers_that_are_none_are_refused(bad: float, field: int) -> None:
    """NaN and infinity in a box or a confidence fail the delivery."""
    values: list[Any] = [1, 2, 3, 4, "player", 0.5]
    values[field] = bad
    model = model_predictions([[Box(*values)]])

    with pytest.raises(DeliveryFailed, match="football"):
        place_boxes(model, video_info(), upright=True)


def test_a_negative_side_is_refused() -> None:
    """A box of negative width is no box."""
    with pytest.raises(DeliveryFailed):
        place_boxes(model_predictions([[Box(50, 50, -10, 10)]]), video_info(), upright=True)


def placed(*edges: tuple[float, float, float, float], size: tuple[int, int] = (100, 50)) -> PlacedBoxes:
    return PlacedBoxes(np.array(edges, dtype=float).reshape(-1, 4), *size)


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ((10, 10, 20, 20), (100, 100, 200, 200)),
        ((10.04, 10.06, 20, 20), (100, 101, 200, 200)),
        ((-5, -5, 5, 5), (0, 0, 50, 50)),
        ((95, 45, 500, 500), (950, 450, 1000, 500)),
        ((-1e6, -1e6, 1e6, 1e6), (0, 0, 1000, 500)),
        ((30, 30, 30, 30), (300, 300, 310, 310)),  # no area
        ((99.9, 49.9, 100.5, 51), (990, 490, 1000, 500)),  # a sliver at the edge
        ((-3, -3, 0.01, 0.01), (0, 0, 10, 10)),
    ],
)
def test_boxes_are_clipped_and_never_under_a_pixel(
    edges: tuple[float, float, float, float], expected: tuple[int, int, int, int]
) -> None:
    """What reaches beyond the frame is cut off; a sliver is widened inwards."""
    grid, visible = snap(placed(edges), per_pixel=10)

    assert [True] == visible.tolist()
    assert list(expected) == grid[0].tolist()


@pytest.mark.parametrize(
    "edges", [(-5, 10, 0, 20), (10, -5, 20, 0), (100, 10, 110, 20), (10, 50, 20, 60), (-9, -9, -1, -1)]
)
def test_boxes_outside_are_told(edges: tuple[float, float, float, float]) -> None:
    """A box that at most touches the frame is not in it."""
    assert [False] == snap(placed(edges), per_pixel=10)[1].tolist()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-5000, 9000)] * 4), max_size=5),
    sides,
    sides,
    st.sampled_from([1, 10, 100]),
)
def test_snapped_boxes_are_boxes_in_the_frame(
    raw: list[tuple[float, float, float, float]], width: int, height: int, per_pixel: int
) -> None:
    """Whatever goes in: what is visible comes out within the frame, a pixel or more each way, and near its place."""
    edges = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in raw]

    grid, visible = snap(placed(*edges, size=(width, height)), per_pixel=per_pixel)

    for box, was in zip(grid[visible], np.array(edges).reshape(-1, 4)[visible], strict=True):
        left, top, right, bottom = box
        assert 0 <= left <= right - per_pixel
        assert 0 <= top <= bottom - per_pixel
        assert right <= width * per_pixel
        assert bottom <= height * per_pixel
        clipped = np.clip(was, 0, [width, height, width, height])
        assert np.abs(box / per_pixel - clipped).max() <= 1 + 0.5 / per_pixel


@pytest.mark.parametrize(
    ("size", "rotation", "warns"),
    [((640, 360), 0, False), ((640, 360), 90, False), ((640, 360), 180, True), ((360, 360), 90, True)],
)
def test_a_doubtful_orientation_is_said(size: tuple[int, int], rotation: int, warns: bool) -> None:
    """Where no size can tell whether the service turned the frame, the receipt says what was assumed."""
    warning = orientation_warning(video_info(size=size, rotation=rotation))

    assert warns == (warning is not None)
