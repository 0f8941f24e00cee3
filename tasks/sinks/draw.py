"""Draw boxes, outlines, points and text on a picture.

supervision draws the shapes; text is set by Pillow, because supervision's is either without
anti-aliasing and accents or turns the whole picture around for every frame. Sizes follow the
picture's height, so that a 144-line clip stays readable and a 4K one does not look empty.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.predictions import Float32
from tasks.domain.video import printable

Image = NDArray[np.uint8]  # [height, width, 3], blue first
Colour = tuple[int, int, int]  # blue, green, red
Edges = tuple[float, float, float, float]  # left, top, right, bottom
Place = tuple[int, int, int, int]  # the same, of a label

_LONGEST_TEXT = 48
_FILL = 0.35  # opacity of a mask
_DARK, _LIGHT = (24, 24, 24), (255, 255, 255)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One thing to draw, in pixels of the picture.

    Attributes:
        edges: The box; nothing is drawn of a thing whose box lies outside.
        label: Text at the box.
        colour_key: Things of one key have one colour: a track's or a class's number.
        outlines: float32 [P, 2] polygons of its mask.
        points: float32 [K, 2] keypoints.
    """

    edges: Edges
    label: str
    colour_key: int
    outlines: Sequence[Float32] = ()
    points: Float32


class Painter:
    """Draws on pictures of one size."""

    def __init__(self, width: int, height: int) -> None:
        import supervision

        self._sv = supervision
        self._palette = supervision.ColorPalette.DEFAULT
        short = min(width, height)
        # Colour has half the resolution in an H.264 picture: a line of one pixel looks washed out.
        thickness = max(2, round(short / 320)) if short >= 200 else 1
        self._boxes = supervision.BoxAnnotator(
            color=self._palette, thickness=thickness, color_lookup=supervision.ColorLookup.TRACK
        )
        self._radius = max(2, round(short / 160))
        self._padding = max(2, round(short / 240))
        self._font = _font(max(11, round(short / 30)))
        self._stamp = lru_cache(maxsize=512)(self._rendered)

    def paint(self, image: Image, shapes: Sequence[Shape], caption: str = "") -> None:
        """Draw the shapes, then the caption at the bottom, in place.

        Larger boxes are drawn first, and smaller ones choose first where their label goes: what
        is small stays visible.
        """
        height, width = image.shape[:2]
        shapes = [shape for shape in shapes if _overlap(shape.edges, (0, 0, width, height))]
        shapes.sort(key=lambda shape: -_area(shape))
        for shape in shapes:
            for outline in shape.outlines:
                self._fill(image, outline, self._colour(shape.colour_key))
        if shapes:
            self._outline_boxes(image, shapes)
        for shape in shapes:
            self._mark_points(image, shape)
        taken: list[Place] = []
        for shape in (shape for shape in reversed(shapes) if shape.label):
            stamp = self._stamp(shape.label, self._colour(shape.colour_key))
            taken.append(self._put(image, stamp, _label_corners(shape, stamp), taken))
        if caption:
            stamp = self._stamp(caption, _DARK)
            self._put(image, stamp, [(0, image.shape[0] - stamp.shape[0])], [])

    def _outline_boxes(self, image: Image, shapes: Sequence[Shape]) -> None:
        edges = _near(image, np.array([shape.edges for shape in shapes]))
        keys = np.array([shape.colour_key for shape in shapes])
        self._boxes.annotate(image, self._sv.Detections(xyxy=np.rint(edges), tracker_id=keys))

    def _fill(self, image: Image, outline: Float32, colour: Colour) -> None:
        """Tint the inside of a polygon; only the part of the picture that it covers is touched."""
        height, width = image.shape[:2]
        outline = _near(image, outline)
        left, top = np.floor(outline.min(axis=0)).astype(int).clip(0)
        right, bottom = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 1, (width, height))
        if left >= right or top >= bottom:
            return
        part = image[top:bottom, left:right]
        inside = self._sv.polygon_to_mask(
            np.rint(outline - (left, top)).astype(np.int32), (int(right - left), int(bottom - top))
        ).astype(bool)
        part[inside] = (part[inside] * (1 - _FILL) + np.array(colour) * _FILL).astype(np.uint8)

    def _mark_points(self, image: Image, shape: Shape) -> None:
        if not len(shape.points):
            return
        height, width = image.shape[:2]
        seen = ((shape.points >= 0) & (shape.points < (width, height))).all(axis=1)
        annotator = self._sv.VertexAnnotator(color=self._palette.by_idx(shape.colour_key), radius=self._radius)
        annotator.annotate(image, self._sv.KeyPoints(xy=shape.points[seen][None]))

    def _colour(self, key: int) -> Colour:
        colour: Colour = self._palette.by_idx(key).as_bgr()
        return colour

    def _rendered(self, text: str, background: Colour) -> Image:
        """A line of text on a plate of its colour, dark or light whichever reads better."""
        from PIL import Image as Pictures
        from PIL import ImageDraw

        text = printable(text)
        text = text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
        ascent, descent = self._font.getmetrics()
        size = (round(self._font.getlength(text)) + 2 * self._padding, ascent + descent + self._padding)
        blue, green, red = background
        ink = _DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else _LIGHT
        plate = Pictures.new("RGB", size, background)
        ImageDraw.Draw(plate).text((self._padding, self._padding // 2), text, font=self._font, fill=ink)
        return np.asarray(plate)

    @staticmethod
    def _put(image: Image, stamp: Image, corners: Sequence[tuple[int, int]], taken: Sequence[Place]) -> Place:
        """Copy a stamp in, at the first corner where it covers no other; else at the first of all.

        It is moved so that it lies in the picture, and cut where it is larger than that.
        """
        height, width = image.shape[:2]
        stamp = stamp[:height, :width]
        rows, columns = stamp.shape[:2]
        places = [
            (x, y, x + columns, y + rows)
            for x, y in ((min(max(x, 0), width - columns), min(max(y, 0), height - rows)) for x, y in corners)
        ]
        place = next((place for place in places if not any(_overlap(place, other) for other in taken)), places[0])
        left, top, right, bottom = place
        image[top:bottom, left:right] = stamp
        return place


def _label_corners(shape: Shape, stamp: Image) -> list[tuple[int, int]]:
    """Where a label may go: above its box, below, inside at the top. Above is no choice at the picture's edge."""
    left, top, _, bottom = (round(edge) for edge in shape.edges)
    above = top - stamp.shape[0]
    return [(left, y) for y in ((above, bottom, top) if above >= 0 else (top, bottom))]


def _overlap(one: Edges, other: Edges) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _near(image: Image, coordinates: NDArray[np.floating]) -> NDArray[np.floating]:
    """Draw in what is far outside to not so far, where drawing is neither slow nor overflows."""
    far = 2 * max(image.shape[:2])
    return coordinates.clip(-far, 2 * far)


def _area(shape: Shape) -> float:
    left, top, right, bottom = shape.edges
    return (right - left) * (bottom - top)


def _font(size: int) -> Any:
    """DejaVu Sans, which comes with supervision's own dependency and has Latin, Greek and Cyrillic letters."""
    from PIL import ImageFont

    found = importlib.util.find_spec("matplotlib")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder, "mpl-data/fonts/ttf/DejaVuSans.ttf")
        if path.is_file():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)
