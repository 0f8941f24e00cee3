"""How players bring a coded picture upright: turn it counter-clockwise, then mirror it left and right."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

A = TypeVar("A", bound=np.generic)


def to_upright(picture: NDArray[A], rotation: int, *, mirrored: bool) -> NDArray[A]:
    """Bring a coded picture [height, width, ...] upright; a view of it.

    Args:
        rotation: Counter-clockwise degrees, a multiple of 90.
        mirrored: Whether left and right are then exchanged.
    """
    turned = np.rot90(picture, rotation // 90)
    return turned[:, ::-1] if mirrored else turned


def to_coded(picture: NDArray[A], rotation: int, *, mirrored: bool) -> NDArray[A]:
    """Undo :func:`to_upright`."""
    return np.rot90(picture[:, ::-1] if mirrored else picture, -rotation // 90)
