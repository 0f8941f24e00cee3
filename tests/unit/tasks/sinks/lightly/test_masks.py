"""Masks in run lengths, against Lightly's own encoder, COCO's format and another library's polygons."""

from __future__ import annotations

import numpy as np
import pytest
import supervision
from hypothesis import given, settings
from hypothesis import strategies as st
from labelformat.model.binary_mask_segmentation import RLEDecoderEncoder
from numpy.typing import NDArray

from tasks.sinks.lightly.masks import Crop, decoded, filled, trimmed, uncompressed, whole

Mask = NDArray[np.bool_]


@st.composite
def masks(draw: st.DrawFn, most: int = 24) -> Mask:
    """Any mask: noise, nothing, everything, a rectangle that touches any edge."""
    height, width = draw(st.integers(1, most)), draw(st.integers(1, most))
    if draw(st.booleans()):
        bits = draw(st.binary(min_size=height * width, max_size=height * width))
        return (np.frombuffer(bits, np.uint8) > draw(st.integers(0, 255))).reshape(height, width)
    mask = np.zeros((height, width), np.bool_)
    rows, columns = (sorted(draw(st.tuples(st.integers(0, side), st.integers(0, side)))) for side in (height, width))
    mask[rows[0] : rows[1], columns[0] : columns[1]] = True
    return mask


def by_lightly(mask: Mask) -> list[int]:
    encoded: list[int] = RLEDecoderEncoder.encode_row_wise_rle(mask.astype(np.int_))
    return encoded


def test_the_documents_example() -> None:
    """The mask of LightlyOne's documentation, and its run lengths."""
    mask = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]], np.bool_)

    assert [2, 2, 1, 3, 3, 1] == whole(mask).run_lengths((4, 3))


@settings(max_examples=300)
@given(masks())
def test_run_lengths_are_those_of_lightlys_encoder(mask: Mask) -> None:
    """Of the whole frame, and of the part of it that holds the mask."""
    size = (mask.shape[1], mask.shape[0])

    assert by_lightly(mask) == whole(mask).run_lengths(size)
    assert by_lightly(mask) == trimmed(mask).run_lengths(size)


@settings(max_examples=200)
@given(masks(10), st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))
def test_a_crop_counts_over_the_whole_frame(mask: Mask, left: int, top: int, right: int, bottom: int) -> None:
    """Wherever it lies, also over the full width, where runs go on in the next row."""
    frame = np.pad(mask, ((top, bottom), (left, right)))

    assert by_lightly(frame) == Crop(mask, left, top).run_lengths((frame.shape[1], frame.shape[0]))


@settings(max_examples=200)
@given(masks())
def test_the_extent_is_where_the_pixels_are(mask: Mask) -> None:
    """None for an empty mask."""
    rows, columns = np.nonzero(mask)
    expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None

    assert expected == whole(mask).extent
    assert expected == trimmed(mask).extent


def in_columns(mask: Mask) -> list[int]:
    """COCO's uncompressed run lengths, one pixel after the other."""
    counts, last = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != last:
            counts.append(0)
        counts[-1] += 1
        last = pixel
    return counts


@settings(max_examples=200)
@given(masks())
def test_coco_masks_come_back_whole(mask: Mask) -> None:
    """Run lengths down the columns, as numbers and as another library compresses them to text."""
    height, width = mask.shape
    compressed = supervision.mask_to_rle(mask, compressed=True)
    text = compressed if isinstance(compressed, str) else bytes(compressed).decode()

    assert (mask == decoded(height, width, in_columns(mask))).all()
    assert (mask == decoded(height, width, text)).all()


@pytest.mark.parametrize("text", ["P", "hello world", "\x00", "0é0", "o" * 40])
def test_text_that_is_no_run_lengths_is_refused(text: str) -> None:
    """It ends in mid-number, or holds characters that are none of the sixty-four."""
    with pytest.raises(ValueError, match="run lengths"):
        uncompressed(text)


@pytest.mark.parametrize("counts", [[], [5], [4, 3], [7, -1], "5"])
def test_run_lengths_that_do_not_cover_the_mask_are_refused(counts: list[int] | str) -> None:
    """Six pixels, no more and no less, none of them negative."""
    with pytest.raises(ValueError, match="pixels for a mask of 3x2"):
        decoded(2, 3, counts)


def blob(seed: int) -> Mask:
    """A lump of circles, in one piece, without holes."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:60, :80]
    centre, mask = random.integers(5, 55, 2), np.zeros((60, 80), np.bool_)
    for _ in range(4):
        radius = random.integers(4, 25)
        mask |= (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
        centre = np.clip(centre + random.integers(-3, 4, 2), 0, 59)
    return mask


@pytest.mark.parametrize("seed", range(40))
def test_an_outline_that_was_traced_gives_its_mask_back(seed: int) -> None:
    """Pixel for pixel, for outlines as models' masks are turned into, cut at the frame's edges too."""
    mask = blob(seed)
    (traced,) = supervision.mask_to_polygons(mask)

    crop = filled([traced.astype(np.float64) + 0.3], (80, 60))

    assert by_lightly(mask) == crop.run_lengths((80, 60))


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ([(2, 1), (4, 1), (4, 2), (2, 2)], (2, 1, 5, 3)),
        ([(-5, -5), (3, -5), (3, 3), (-5, 3)], (0, 0, 4, 4)),
        ([(-1e30, -1e30), (1e30, -1e30), (1e30, 1e30), (-1e30, 1e30)], (0, 0, 10, 8)),
        ([(3, 3)], (3, 3, 4, 4)),
        ([(3, 3), (5, 3)], (3, 3, 6, 4)),
        ([(1.4, 1.6), (1.4, 1.6)], (1, 2, 2, 3)),
        ([(20, 20), (30, 20), (30, 30)], None),
        ([(-9, 2), (-3, 2), (-3, 5)], None),
        ([], None),
    ],
)
def test_polygons_are_cut_at_the_frame(
    corners: list[tuple[float, float]], expected: tuple[int, int, int, int] | None
) -> None:
    """Corners are pixels; a point and a line have some, what lies outside has none."""
    assert expected == filled([np.array(corners, np.float64).reshape(-1, 2)], (10, 8)).extent


def test_polygons_of_one_object_are_one_mask() -> None:
    """Something stands in front of it and cuts it in two."""
    parts = [np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float), np.array([(5, 0), (6, 0), (6, 1), (5, 1)], float)]

    assert [0, 2, 3, 2, 1, 2, 3, 2, 1] == filled(parts, (8, 2)).run_lengths((8, 2))
