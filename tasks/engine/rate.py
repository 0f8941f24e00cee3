"""Frame rate and length of a film, from what its container states and what its timestamps show.

Containers state rates of 1000 frames/s (the ticks of a clock of 1 ms), of none at all, or averages
that one sample of days has spoilt. Timestamps show better; what is stated is believed if they agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import islice

import numpy as np
from numpy.typing import NDArray

# So many timestamps are looked at before all of them are.
_HEAD = 250
# Stated and shown rates agree within a quarter: variable rates and last frames of any length differ.
_AGREES = Fraction(5, 4)
# A longer gap, of no more frames than others, is a jump of the clock and no part of the film.
_JUMP_S = 600
_JUMP_GAPS = 50
# A rate that was measured is taken for the whole number that it nearly is.
_NEARLY = Fraction(1, 200)
# Of a picture that states no rate; players take it, too.
_FALLBACK = Fraction(25)
_HIGHEST = 480


def settled_rate(stated: Iterable[Fraction | None], stamps: Iterable[int | None], time_base: Fraction) -> Fraction:
    """Decide on the frame rate; timestamps are taken from the iterable only as far as they are needed.

    Args:
        stated: What the container states: the average first, then guesses.
        stamps: Of each frame, in any order within a few frames; None where it has none.
        time_base: Seconds per tick of a timestamp.
    """
    average, *guesses = stated
    rest = iter(stamps)
    seen = list(islice(rest, _HEAD))
    if average and _agree(average, shown_rate(seen, time_base)):
        return average
    seen += rest
    shown = shown_rate(seen, time_base)
    if shown is None:
        return next((rate for rate in (average, *guesses) if rate and rate <= _HIGHEST), _FALLBACK)
    if average and _agree(average, shown):
        return average
    whole = Fraction(round(shown))
    return whole if abs(whole - shown) <= shown * _NEARLY else shown


def shown_rate(stamps: Iterable[int | None], time_base: Fraction) -> Fraction | None:
    """Frames per second from one timestamp to the next, jumps left out; None if too few frames have one."""
    gaps = _gaps(stamps)
    if not len(gaps):
        return None
    limit = max(float(_JUMP_S / time_base), _JUMP_GAPS * float(np.median(gaps)))
    film = gaps[gaps <= limit]
    return Fraction(len(film)) / (int(film.sum()) * time_base) if film.any() else None


def settled_duration(
    stated: float | None, stamps: Iterable[int | None], time_base: Fraction, fps: Fraction, frames: int
) -> float:
    """Seconds of film: as the container states them, or by timestamps and count where those say otherwise."""
    gaps = _gaps(stamps) * float(time_base)
    film = gaps[gaps <= max(_JUMP_S, _JUMP_GAPS * float(np.median(gaps)))] if len(gaps) else gaps
    shown = float(film.sum() + 1 / fps) if film.any() else float(frames / fps)
    return stated if stated is not None and abs(stated - shown) <= max(shown / 4, 1.0) else shown


def _gaps(stamps: Iterable[int | None]) -> NDArray[np.int64]:
    """Ticks from each timestamp to the next in order of time; none if a tenth of them is missing."""
    listed = list(stamps)
    known = np.sort(np.array([stamp for stamp in listed if stamp is not None], np.int64))
    return np.diff(known) if len(known) * 10 >= len(listed) * 9 else np.zeros(0, np.int64)


def _agree(stated: Fraction, shown: Fraction | None) -> bool:
    return shown is not None and shown / _AGREES <= stated <= shown * _AGREES
