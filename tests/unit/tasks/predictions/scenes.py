"""Synthetic footage with known identities, and how well tracks match them.

A scene is 1280 x 720 pixels and 40 seconds. Twenty objects of 40 to 120 pixels in width and height
are in it at any time, all of one class. Half of them bounce off the edges; the others cross the
picture and are replaced by a new object as they leave. Each moves in a straight line at up to
``fastest`` pixels per second. Of the detections 10 % are missed, centre and size are off by 2
pixels (standard deviation), and there are 0.5 false ones per sample, anywhere, of any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tasks.domain.predictions import Predictions
from tests.unit.tasks.predictions.samples import parsed

PICTURE = np.array([1280.0, 720.0])
SECONDS = 40
OBJECTS = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """Detections without tracks, and whom each row shows (-1: nobody)."""

    predictions: Predictions
    identity: NDArray[np.int64]


def make_scene(seed: int, *, fps: float, fastest: float) -> Scene:
    """Film a scene; the same seed gives the same scene."""
    random = np.random.default_rng(seed)
    times = np.arange(int(SECONDS * fps)) / fps
    seen: list[list[tuple[Floats, int]]] = [[] for _ in times]
    identity = 0
    for place in range(OBJECTS):
        if place % 2:
            _film(random, seen, identity, times, _bouncing(random, times, fastest))
            identity += 1
            continue
        now = 0.0
        while now < SECONDS:
            path, gone = _crossing(random, times - now, fastest, enters=now > 0)
            _film(random, seen, identity, times, path, since=now, until=now + gone)
            now, identity = now + gone, identity + 1
    frames, shown = [], []
    for found in seen:
        for _ in range(random.poisson(0.5)):
            found.append((np.concatenate((random.uniform(0, PICTURE), random.uniform(40, 120, 2))), -1))
        order = random.permutation(len(found))
        frames.append({"predictions": [_said(random, *found[row]) for row in order]})
        shown += [found[row][1] for row in order]
    offsets = np.round(times * 30).astype(int).tolist()
    content = {"frame_offset": offsets, "time_offset": times.tolist(), "things": frames}
    return Scene(parsed(content), np.array(shown, np.int64))


def _film(
    random: np.random.Generator,
    seen: list[list[tuple[Floats, int]]],
    identity: int,
    times: Floats,
    centres: Floats,
    *,
    since: float = 0.0,
    until: float = np.inf,
) -> None:
    """Detect one object wherever it is in the picture and is not missed."""
    size = random.uniform(40, 120, 2)
    for sample in np.flatnonzero((times >= since) & (times < until) & (random.random(len(times)) >= 0.1)):
        noise = random.normal(0, 2, 4)
        seen[sample].append((np.concatenate((centres[sample], size)) + noise, identity))


def _velocity(random: np.random.Generator, slowest: float, fastest: float) -> Floats:
    angle, speed = random.uniform(0, 2 * np.pi), random.uniform(slowest, fastest)
    return np.array([np.cos(angle), np.sin(angle)]) * speed


def _bouncing(random: np.random.Generator, times: Floats, fastest: float) -> Floats:
    """Fold a straight line at the edges."""
    free = random.uniform(0, PICTURE) + times[:, None] * _velocity(random, 0, fastest)
    folded: Floats = PICTURE - np.abs(free % (2 * PICTURE) - PICTURE)
    return folded


def _crossing(random: np.random.Generator, times: Floats, fastest: float, *, enters: bool) -> tuple[Floats, float]:
    """A straight line, from within or from an edge, and after how many seconds it leaves the picture."""
    start, velocity = random.uniform(0, PICTURE), _velocity(random, fastest / 10, fastest)
    if enters:
        axis, side = random.integers(2), random.integers(2)
        start[axis] = PICTURE[axis] * side
        velocity[axis] = abs(velocity[axis]) * (1 - 2 * side)
    leaves = np.where(velocity > 0, (PICTURE - start) / velocity, -start / velocity)
    return start + times[:, None] * velocity, float(leaves.min())


def _said(random: np.random.Generator, found: Floats, identity: int) -> dict[str, Any]:
    """One detection as the service writes it; a false one is on average less sure."""
    confidence = random.normal(0.7, 0.15) if identity >= 0 else random.normal(0.45, 0.12)
    x, y, width, height = found.tolist()
    return {
        "x": x,
        "y": y,
        "width": max(width, 4.0),
        "height": max(height, 4.0),
        "confidence": float(np.clip(confidence, 0.25, 0.99)),
        "class": "thing",
        "class_id": 0,
    }


def idf1(identity: NDArray[np.int64], track: NDArray[np.int64]) -> float:
    """Share of detections that the best one-to-one naming of tracks gets right (Ristani et al. 2016).

    Counted over detections: missed ones, which no tracker could name, are left out.
    """
    true = identity >= 0
    people, person = np.unique(identity[true], return_inverse=True)
    tracks, given = np.unique(track, return_inverse=True)
    together = np.zeros((len(people), len(tracks)), np.int64)
    np.add.at(together, (person, given[true]), 1)
    right = together[linear_sum_assignment(together, maximize=True)].sum()
    return float(2 * right / (true.sum() + len(track)))


def switches(identity: NDArray[np.int64], track: NDArray[np.int64]) -> int:
    """How often an object's next detection has another track than its last."""
    order = np.argsort(identity, kind="stable")
    identity, track = identity[order], track[order]
    same = (identity[1:] == identity[:-1]) & (identity[1:] >= 0)
    return int((same & (track[1:] != track[:-1])).sum())
