"""Follow detected objects through time: every detection gets the id of the object that it shows.

Meant for 2 to 10 samples per second, where an object's boxes often do not overlap from one sample
to the next. Each track is a constant-velocity Kalman filter in seconds; a sample's detections are
given to tracks by one optimal assignment (Hungarian) whose cost is -2 log likelihood, with lengths
in units of the object's own size. Each pair is judged twice and the better counts: as steady
motion, and as a turn or a bounce, which may end anywhere within reach of the last position.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tasks.domain.predictions import Bool, Int64, ModelPredictions, Objects, Predictions
from tasks.predictions.times import sample_times

Float64 = NDArray[np.float64]

# Chosen on synthetic scenes (straight, turning, jittery, 2 to 10 samples per second). Standard
# deviations of motion are in sizes of the object, size being the root of its box's area.
_NOISE = 0.05  # of a detected centre
_NOISE_PX = 1.5  # the same, for small objects
_SPEED = 2.0  # per second, of an object seen once
_ACCELERATION = 1.0  # per second and root second
_REACH_REST, _REACH_SPEED = 0.1, 1.5  # of a turn: at once, and more per second
_LOG_SIZE = 0.12  # of the logarithm of width and of height, between samples
# Costs. A pair that costs more than _LIMIT is no pair.
_LIMIT = 8.0
_TURN = 4.0  # for not moving on as before
_SIZE_CAP = 10.0  # a changed size never costs more: people bend, and leave the picture bit by bit
_MISSED = 0.5  # per sample in which the object was not found
_SEEN_ONCE = 4.0  # many things that are seen once are nothing
_UNSURE = 3.0  # times (1 - confidence): a sure detection comes before a doubtful one beside it
# A track ends when it is not found for so long; the longer of the two, so that 1 fps works too.
_LOST_S = 2.0
_LOST_SAMPLES = 3
_ONCE_SAMPLES = 2  # of what was seen a single time

# Columns of a track's state. Centre and velocity are independent in x and y with one variance.
_CENTRE, _VELOCITY, _LOG_BOX = slice(0, 2), slice(2, 4), slice(7, 9)
_VAR_CENTRE, _COVARIANCE, _VAR_VELOCITY = 4, 5, 6
_CLASS, _TIME, _ORDINAL, _SEEN, _ID = range(9, 14)
_COLUMNS = 14


def assign_tracks(predictions: Predictions) -> Predictions:
    """Give every detection of every model a track id.

    Ids are at least 1, unique per model over the whole video, used once per sample, and the same
    at every call. Ids that the service gave are kept (moved up by one where it counts from 0); of
    two detections with one id in a sample the surer keeps it. Detections without an id are
    followed among themselves, class by class.
    """
    times = sample_times(predictions)
    return replace(predictions, models=tuple(_tracked(model, times) for model in predictions.models))


def _tracked(model: ModelPredictions, times: Float64) -> ModelPredictions:
    objects = model.objects
    track = _given(objects)
    rows = np.flatnonzero(track < 0)
    if len(rows):
        highest = max(int(track.max()), 0)
        even = replace(objects, box=_in_one_size(model))
        track[rows] = highest + _follow(even, rows, times, model.inferred)
    return replace(model, objects=replace(objects, track=track))


def _in_one_size(model: ModelPredictions) -> NDArray[np.float32]:
    """Boxes in pixels of the first image: where a video changes its size, an object's place in it stays."""
    size = model.image_size.astype(np.float32)
    known: Bool = np.all(size > 0, axis=1, keepdims=False).reshape(-1)
    if not known.any():
        return model.objects.box
    scale = np.where(known[:, None], size[known][0] / np.maximum(size, 1), np.float32(1))
    return model.objects.box * np.tile(scale, 2)[model.objects.sample].astype(np.float32)


def _given(objects: Objects) -> Int64:
    """Return the service's own ids, at least 1 and unique in each sample; -1 where there is none."""
    track = np.where(objects.track < 0, np.int64(-1), objects.track)
    if (track == 0).any():
        track[track >= 0] += 1
    order = np.lexsort((-objects.confidence, track, objects.sample))
    sample, ordered = objects.sample[order], track[order]
    twin = (sample[1:] == sample[:-1]) & (ordered[1:] == ordered[:-1])
    track[order[1:][twin]] = -1
    return track


def _follow(objects: Objects, rows: Int64, times: Float64, inferred: Bool) -> Int64:
    """Return an id from 1 on for each of ``rows``, which are in the order of time."""
    ids = np.zeros(len(rows), np.int64)
    columns = np.column_stack(
        (
            objects.box[rows, :2],
            np.log(np.maximum(objects.box[rows, 2:], 1.0)),
            objects.class_code[rows],
            objects.confidence[rows],
        )
    ).astype(np.float64)
    samples, starts = np.unique(objects.sample[rows], return_index=True)
    # Samples that were not inferred are not misses.
    ordinals = np.cumsum(inferred)[samples]
    looked = times[inferred]
    lost_s = max(_LOST_S, _LOST_SAMPLES * float(np.median(np.diff(looked)))) if len(looked) > 1 else _LOST_S
    tracks = np.zeros((0, _COLUMNS))
    used = 0
    for sample, ordinal, start, end in zip(samples, ordinals, starts, [*starts[1:], len(rows)], strict=True):
        now, found = times[sample], columns[start:end]
        tracks = _alive(tracks, now, ordinal, lost_s)
        taken, owner = _step(tracks, found, now, ordinal)
        ids[start:end][taken] = tracks[owner, _ID]
        new = np.setdiff1d(np.arange(len(found)), taken, assume_unique=True)
        ids[start:end][new] = np.arange(used + 1, used + 1 + len(new))
        tracks = np.concatenate((tracks, _started(found[new], now, ordinal, ids[start:end][new])))
        used += len(new)
    return ids


def _alive(tracks: Float64, now: float, ordinal: int, lost_s: float) -> Float64:
    """Drop tracks that were not found for too long; what was seen once, sooner."""
    recent = now - tracks[:, _TIME] <= lost_s + 1e-9
    return tracks[recent & ((tracks[:, _SEEN] > 1) | (ordinal - tracks[:, _ORDINAL] <= _ONCE_SAMPLES))]


def _started(found: Float64, now: float, ordinal: int, ids: Int64) -> Float64:
    """Begin a track at each detection, standing still for all we know."""
    tracks = np.zeros((len(found), _COLUMNS))
    tracks[:, _CENTRE], tracks[:, _LOG_BOX], tracks[:, _CLASS] = found[:, :2], found[:, 2:4], found[:, 4]
    size = np.exp(found[:, 2:4].mean(axis=1))
    tracks[:, _VAR_CENTRE] = _noise(size)
    tracks[:, _VAR_VELOCITY] = (_SPEED * size) ** 2
    tracks[:, _TIME], tracks[:, _ORDINAL], tracks[:, _SEEN], tracks[:, _ID] = now, ordinal, 1, ids
    return tracks


def _noise(size: Float64) -> Float64:
    """Variance of a detected centre."""
    return (_NOISE * size) ** 2 + _NOISE_PX**2


def _step(tracks: Float64, found: Float64, now: float, ordinal: int) -> tuple[Int64, Int64]:
    """Assign detections to tracks and move those on, in place; return the pairs (detection, track)."""
    from scipy.optimize import linear_sum_assignment

    ahead = _predicted(tracks, now)
    size = np.exp(tracks[:, _LOG_BOX].mean(axis=1))
    variance = ahead[:, _VAR_CENTRE] + _noise(size)
    steady = _motion_cost(ahead[:, _CENTRE], found[:, :2], variance, size)
    reach = size * (_REACH_REST + _REACH_SPEED * (now - tracks[:, _TIME]))
    turned = _motion_cost(tracks[:, _CENTRE], found[:, :2], reach**2, size) + _TURN
    cost = np.minimum(np.minimum(steady, turned) + _other_cost(tracks, found, ordinal), _LIMIT)
    owner, taken = linear_sum_assignment(cost)
    paired = cost[owner, taken] < _LIMIT
    owner, taken = owner[paired], taken[paired]
    _move_on(tracks, ahead, owner, found[taken], variance[owner], turned[owner, taken] < steady[owner, taken])
    tracks[owner, _TIME], tracks[owner, _ORDINAL] = now, ordinal
    tracks[owner, _SEEN] += 1
    return taken, owner


def _predicted(tracks: Float64, now: float) -> Float64:
    """Where constant velocity takes the tracks; a jolt of white noise acceleration widens what may be."""
    ahead = tracks.copy()
    dt = now - tracks[:, _TIME]
    size = np.exp(tracks[:, _LOG_BOX].mean(axis=1))
    jolt = (_ACCELERATION * size) ** 2
    ahead[:, _CENTRE] += tracks[:, _VELOCITY] * dt[:, None]
    ahead[:, _VAR_CENTRE] += (2 * tracks[:, _COVARIANCE] + dt * tracks[:, _VAR_VELOCITY]) * dt + jolt * dt**3 / 3
    ahead[:, _COVARIANCE] += dt * tracks[:, _VAR_VELOCITY] + jolt * dt**2 / 2
    ahead[:, _VAR_VELOCITY] += jolt * dt
    return ahead


def _motion_cost(expected: Float64, centre: Float64, variance: Float64, size: Float64) -> Float64:
    """[tracks, detections] -2 log density of a round Gaussian, with the size as unit of length."""
    away = ((centre[None] - expected[:, None]) ** 2).sum(axis=2)
    cost: Float64 = away / variance[:, None] + 2 * np.log(variance / size**2)[:, None]
    return cost


def _other_cost(tracks: Float64, found: Float64, ordinal: int) -> Float64:
    """[tracks, detections] cost of all but motion; no track ever takes a detection of another class."""
    changed: Float64 = ((found[None, :, 2:4] - tracks[:, None, _LOG_BOX]) ** 2).sum(axis=2) / _LOG_SIZE**2
    cost = changed / (1 + changed / _SIZE_CAP)
    cost += _MISSED * (ordinal - tracks[:, _ORDINAL] - 1)[:, None] + _SEEN_ONCE * (tracks[:, _SEEN] == 1)[:, None]
    cost += _UNSURE * (1 - found[:, 5])
    cost[tracks[:, _CLASS, None] != found[:, 4]] = np.inf
    return cost


def _move_on(tracks: Float64, ahead: Float64, owner: Int64, found: Float64, variance: Float64, turned: Bool) -> None:
    """Let each owner take its detection; one that turned starts anew from there."""
    after = ahead[owner]
    gain = after[:, _VAR_CENTRE] / variance
    gain_velocity = after[:, _COVARIANCE] / variance
    surprise = found[:, :2] - after[:, _CENTRE]
    after[:, _CENTRE] += gain[:, None] * surprise
    after[:, _VELOCITY] += gain_velocity[:, None] * surprise
    after[:, _VAR_VELOCITY] -= gain_velocity * after[:, _COVARIANCE]
    after[:, _COVARIANCE] *= 1 - gain
    after[:, _VAR_CENTRE] *= 1 - gain
    # Sizes are smoothed a little, so that one bad box is not what the next is compared with.
    after[:, _LOG_BOX] += 0.3 * (found[:, 2:4] - after[:, _LOG_BOX])
    anew = _started(found[turned], 0.0, 0, np.zeros(int(turned.sum()), np.int64))
    motion = slice(_CENTRE.start, _VAR_VELOCITY + 1)
    after[turned, motion] = anew[:, motion]
    tracks[owner] = after
