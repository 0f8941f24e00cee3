"""What is drawn is where it should be, in its colour, and never leaves the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.sinks.draw import Image, Painter, Shape

WIDTH, HEIGHT = 320, 240
NO_POINTS = np.zeros((0, 2), np.float32)


def shape(
    edges: tuple[float, float, float, float] = (100, 100, 200, 180),
    *,
    label: str = "",
    key: int = 1,
    outlines: tuple[np.ndarray, ...] = (),
    points: np.ndarray = NO_POINTS,
) -> Shape:
    return Shape(edges=edges, label=label, colour_key=key, outlines=outlines, points=points)


def canvas() -> Image:
    return np.zeros((HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter(WIDTH, HEIGHT)


def lit(image: Image) -> NDArray[np.bool_]:
    return np.asarray(image.any(axis=2))


def test_a_box_is_an_outline_at_its_edges(painter: Painter) -> None:
    """The four sides are coloured, the inside and the rest of the picture are not."""
    image = canvas()
    painter.paint(image, [shape()])
    drawn = lit(image)
    for y, x in ((100, 150), (180, 150), (140, 100), (140, 200)):
        assert drawn[y, x]
    assert not drawn[140, 150]
    drawn[60:185, 95:205] = False
    assert not drawn.any()


def test_a_key_has_one_colour(painter: Painter) -> None:
    """The same key gives the same colour on every picture, other keys give others."""
    colours = []
    for key in (1, 2, 3, 1, 1 + 10**12):
        image = canvas()
        painter.paint(image, [shape(key=key)])
        colours.append(tuple(image[140, 100]))
    assert colours[0] == colours[3]
    assert 3 == len(set(colours[:3]))


def test_a_label_stands_above_its_box(painter: Painter) -> None:
    """The plate touches the box's top left corner from above."""
    image = canvas()
    painter.paint(image, [shape(label="person 0.87 #3")])
    plate = lit(image)[:97]
    rows, columns = np.flatnonzero(plate.any(axis=1)), np.flatnonzero(plate.any(axis=0))
    assert 100 == columns[0]
    assert 80 < rows[0] < 90
    assert 60 < columns[-1] - columns[0] < 140


@pytest.mark.parametrize(
    "edges", [(0, 0, 30, 20), (300, 0, 320, 20), (310, 230, 330, 250), (-50, -50, 20, 20), (-20, -20, 400, 300)]
)
def test_labels_stay_in_the_picture(painter: Painter, edges: tuple[float, float, float, float]) -> None:
    """At a border the plate is moved in, never cut."""
    without, with_label = canvas(), canvas()
    painter.paint(without, [shape(edges)])
    painter.paint(with_label, [shape(edges, label="person 0.87 #3")])
    free = canvas()
    painter.paint(free, [shape((100, 100, 101, 101), label="person 0.87 #3")])
    plate = (free == free[99, 100]).all(axis=2).sum()
    changed = ((with_label != without).any(axis=2) | (with_label == without[-1, -1]).all(axis=2)).sum()
    assert changed > plate * 0.5
    rows, columns = np.nonzero((with_label != without).any(axis=2))
    assert columns.max() - columns.min() > 50
    assert rows.max() - rows.min() > 8


def test_labels_of_one_place_do_not_cover_each_other(painter: Painter) -> None:
    """A box around another one moves its label out of the way of the smaller's."""
    alone, both = canvas(), canvas()
    face = shape((100, 100, 150, 150), label="face 0.55 #2", key=2)
    painter.paint(alone, [face])
    painter.paint(both, [face, shape((100, 100, 160, 200), label="person 0.87 #1", key=1)])
    assert (alone[85:99, 100:170] == both[85:99, 100:170]).all()
    below = both[203:213, 101:180]
    assert lit(below).mean() > 0.9


def test_text_is_light_on_dark_and_dark_on_light(painter: Painter) -> None:
    """Whatever a key's colour, its text stands out from the plate."""
    for key in range(21):
        image = canvas()
        painter.paint(image, [shape(label="WWWWWWWW", key=key)])
        plate = image[86:97, 102:160].astype(int) @ (0.114, 0.587, 0.299)
        assert np.ptp(plate) > 90, key


def test_long_and_odd_text(painter: Painter) -> None:
    """A name too long for the picture is shortened; control characters and other scripts do no harm."""
    for label in ("x" * 500, "W" * 48, "line\nbreak\0\x1b[31m", "日本 עברית 🎥", "\udcff", " ", ""):
        image = canvas()
        painter.paint(image, [shape(label=label)], caption=label)


def test_text_grows_with_the_picture() -> None:
    """On a picture three times as large, text is about three times as high."""
    heights = []
    for scale in (1, 3):
        painter = Painter(640 * scale, 360 * scale)
        image = np.zeros((360 * scale, 640 * scale, 3), np.uint8)
        painter.paint(image, [], caption="caption")
        heights.append(lit(image).any(axis=1).sum())
    assert 2.3 < heights[1] / heights[0] < 3.7


def test_a_caption_stands_at_the_bottom_left(painter: Painter) -> None:
    """It is dark, so that it reads on any picture."""
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    painter.paint(image, [], caption="goal 0.93")
    assert (image[HEIGHT - 1, 0] < 60).all()
    assert (image[: HEIGHT // 2] == 128).all()


def test_a_mask_tints_what_it_covers(painter: Painter) -> None:
    """The inside of the outline is mixed with the colour, and nothing else is."""
    image = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    triangle = np.array([[50, 50], [150, 50], [50, 150]], np.float32)
    painter.paint(image, [shape((200, 200, 210, 210), outlines=(triangle,))])
    assert (image[70, 70] != 100).any()
    assert (image[140, 140] == 100).all()
    assert (image[70, 70] > 30).all(), "what is under the mask stays visible"


@pytest.mark.parametrize("shift", [(-102, -102), (280, 200), (-1000, 0), (0, 1000), (-60, 100), (10, 10)])
def test_a_mask_may_lie_outside(painter: Painter, shift: tuple[int, int]) -> None:
    """Only the part in the picture is tinted."""
    image = canvas()
    square = np.array([[0, 0], [100, 0], [100, 100], [0, 100]], np.float32) + np.array(shift, np.float32)
    painter.paint(image, [shape((300, 5, 310, 15), outlines=(square,))])
    image[:25, 290:] = 0
    expected = canvas()
    left, top = (max(0, side) for side in shift)
    expected[top : max(0, shift[1] + 100), left : max(0, shift[0] + 100)] = 1
    assert 500 > (lit(image) != lit(expected)).sum()
    assert lit(image).any() == lit(expected).any()


@pytest.mark.parametrize("edges", [(-50, 10, -1, 60), (330, 10, 400, 60), (10, 250, 60, 300), (10, -99, 60, -9)])
def test_nothing_is_drawn_of_what_is_outside(painter: Painter, edges: tuple[float, float, float, float]) -> None:
    """A box that left the picture leaves no label at its edge."""
    image = canvas()
    painter.paint(image, [shape(edges, label="gone")])
    assert not lit(image).any()


def test_a_mask_of_a_point_or_a_line_does_no_harm(painter: Painter) -> None:
    """Degenerate outlines are drawn as little as they are."""
    for outline in ([[5, 5]], [[5, 5], [50, 50]], [[5, 5]] * 4):
        painter.paint(canvas(), [shape(outlines=(np.array(outline, np.float32),))])


def test_points_are_dots(painter: Painter) -> None:
    """Each keypoint in the picture gets a dot; those outside get none."""
    image = canvas()
    points = np.array([[50, 60], [250, 100], [-5, 10], [400, 400]], np.float32)
    painter.paint(image, [shape((200, 200, 210, 210), points=points)])
    image[190:] = 0
    drawn = lit(image)
    assert drawn[60, 50]
    assert drawn[100, 250]
    assert drawn.sum() < 100


def test_small_boxes_are_drawn_over_large_ones(painter: Painter) -> None:
    """Where edges meet, the smaller box is seen, in whichever order they come."""
    small, large = shape((100, 100, 120, 120), key=1), shape((100, 100, 250, 220), key=2)
    pictures = []
    for order in ([small, large], [large, small]):
        image = canvas()
        painter.paint(image, order)
        pictures.append(image)
    assert (pictures[0] == pictures[1]).all()
    alone = canvas()
    painter.paint(alone, [small])
    assert (pictures[0][100, 110] == alone[100, 110]).all()


edge = st.floats(-1e9, 1e9, width=32)


@given(
    edges=st.tuples(edge, edge, edge, edge),
    points=st.lists(st.tuples(edge, edge), max_size=3),
    key=st.integers(0, 2**53),
)
@settings(max_examples=100, deadline=None)
def test_no_geometry_breaks_the_painter(
    painter: Painter, edges: tuple[float, float, float, float], points: list[tuple[float, float]], key: int
) -> None:
    """Any finite numbers are drawn, or not, without an error."""
    corners = np.array(points, np.float32).reshape(-1, 2)
    outlines = (corners,) if len(corners) else ()
    painter.paint(canvas(), [shape(edges, label="x", key=key, points=corners, outlines=outlines)])


@pytest.mark.parametrize("size", [(2, 2), (16, 8), (8, 300), (4_000, 2)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    """Text larger than the picture is cut."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    Painter(*size).paint(image, [shape((0, 0, 5, 5), label="person 0.87")], caption="caption")
    assert lit(image).any()
