"""What a frame's display matrix asks of a player: one of four turns, mirrored or not."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from av.sidedata.sidedata import Type

from tasks.domain.errors import VideoUnreadable

# Parts of a matrix that are this small beside the others come of rounding: about one degree.
_SLIGHT = 0.02
# (from x to x, from y to y) or, where the sides change places, (from y to x, from x to y): the signs.
_STRAIGHT = {(1, 1): (0, False), (-1, -1): (180, False), (-1, 1): (0, True), (1, -1): (180, True)}
_CROSSED = {(1, -1): (90, False), (-1, 1): (270, False), (-1, -1): (90, True), (1, 1): (270, True)}


class Orientation(NamedTuple):
    """How a decoded frame is brought upright: turned, then mirrored.

    Attributes:
        rotation: Counter-clockwise degrees: 0, 90, 180 or 270.
        mirrored: Whether left and right are exchanged afterwards.
    """

    rotation: int = 0
    mirrored: bool = False


def orientation_of(frame: Any) -> Orientation:
    """Read a decoded frame's display matrix, as players do.

    Raises:
        VideoUnreadable: It turns by another angle or shears the picture.
    """
    data = frame.side_data.get(Type.DISPLAYMATRIX)
    return Orientation() if data is None else orientation_by(struct.unpack("9i", bytes(data)))


def orientation_by(matrix: tuple[int, ...]) -> Orientation:
    """Tell the orientation by a 3 x 3 matrix (ISO/IEC 14496-12, 6.2.2): x' = a*x + c*y, y' = b*x + d*y.

    Scale and place in the window are the player's affair. A matrix of zeros, which some software
    writes, shows nothing if taken at its word; players take it for none.

    Raises:
        VideoUnreadable: See :func:`orientation_of`.
    """
    a, b, _, c, d = matrix[:5]
    if not any((a, b, c, d)):
        return Orientation()
    if a and d and max(abs(b), abs(c)) <= _SLIGHT * min(abs(a), abs(d)):
        return Orientation(*_STRAIGHT[_sign(a), _sign(d)])
    if b and c and max(abs(a), abs(d)) <= _SLIGHT * min(abs(b), abs(c)):
        return Orientation(*_CROSSED[_sign(c), _sign(b)])
    raise VideoUnreadable(
        "the video's display matrix neither turns by a multiple of 90 degrees nor mirrors",
        hint="players differ in what they make of it: encode the video upright, then upload it again",
    )


def _sign(number: int) -> int:
    return -1 if number < 0 else 1
