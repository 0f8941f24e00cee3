"""Where objects are on the frames between samples: linear between two sightings of a track.

That is also how Labelbox fills the frames between keyframes. Needs track ids; a detection without
one stands for itself.
"""

from __future__ import annotations

import numpy as np

from tasks.domain.predictions import Float32, Int64, ModelPredictions

# An object that was looked for once and not found was overlooked, so the box goes on. After more
# than one miss it goes on only within about a second, or boxes would glide over what is no object.
_BRIDGED_MISSES = 1
_BRIDGED_FRAMES = 30


class Interpolator:
    """Answers which boxes to draw on any frame, in time proportional to the boxes drawn.

    Args:
        model: One model's predictions, with track ids.
        frame_index: int64 [F], frame of each sample.
    """

    def __init__(self, model: ModelPredictions, frame_index: Int64) -> None:
        self._box = model.objects.box
        looked = frame_index[model.inferred]
        spacing = int(np.median(np.diff(looked))) if len(looked) > 1 else _BRIDGED_FRAMES
        before, after, first, last = _spans(model, frame_index, spacing)
        self._before, self._after, self._first, self._last = before, after, first, last
        sample = model.objects.sample
        self._from, self._to = frame_index[sample[before]], frame_index[sample[after]]
        self._frame_index = frame_index
        self._spans, self._start = _by_interval(frame_index, first, last)

    def at(self, frame_index: int) -> tuple[Int64, Float32]:
        """Give the objects of one frame, always in the order of their tracks.

        On a sample's own frame these are its detections. Between two sightings of a track the
        box moves linearly. It bridges samples that were not inferred, one that missed the
        object, and more of those within 30 frames. Before its first and after its last sighting
        a box stands still for half the distance of two samples, so that nothing flickers.

        Returns:
            int64 [n], rows of the model's ``objects``: of the nearer sighting, the earlier of
            two; and float32 [n, 4], centre x, centre y, width, height.
        """
        interval = int(np.searchsorted(self._frame_index, frame_index, "right"))
        spans = self._spans[self._start[interval] : self._start[interval + 1]]
        spans = spans[(self._first[spans] <= frame_index) & (frame_index <= self._last[spans])]
        before, after = self._before[spans], self._after[spans]
        since, until = frame_index - self._from[spans], self._to[spans] - frame_index
        share = (since / np.maximum(since + until, 1))[:, None]
        start, end = self._box[before], self._box[after]
        return np.where(since <= until, before, after), (start + share * (end - start)).astype(np.float32)


def _spans(model: ModelPredictions, frame_index: Int64, spacing: int) -> tuple[Int64, Int64, Int64, Int64]:
    """Cut the tracks into spans of frames, in the order of tracks and time.

    Returns:
        Row before and row after (the same row where a box stands still), first frame and last.
    """
    objects = model.objects
    row = np.lexsort((objects.sample, objects.track)).astype(np.int64)
    sample, track = objects.sample[row].astype(np.int64), objects.track[row]
    frame, ordinal = frame_index[sample], np.cumsum(model.inferred)[sample]
    near = (np.diff(ordinal) <= _BRIDGED_MISSES + 1) | (np.diff(frame) <= _BRIDGED_FRAMES)
    linked = (np.diff(track) == 0) & (track[1:] >= 0) & (np.diff(sample) > 0) & near
    no_next, no_previous = np.append(~linked, True)[: len(row)], np.append(True, ~linked)[: len(row)]
    link = np.flatnonzero(linked)
    tail, head = np.flatnonzero(no_next), np.flatnonzero(no_previous)
    # A frame half-way between two samples belongs to the earlier one.
    kept_after, kept_before = spacing // 2, (spacing - 1) // 2
    at = np.concatenate((link, tail, head))
    before = np.concatenate((row[link], row[tail], row[head]))
    after = np.concatenate((row[link + 1], row[tail], row[head]))
    first = np.concatenate((frame[link], frame[tail], frame[head] - kept_before))
    last = np.concatenate((frame[link + 1] - 1, frame[tail] + kept_after, frame[head] - 1))
    order = np.argsort(at, kind="stable")
    return before[order], after[order], first[order], last[order]


def _by_interval(frame_index: Int64, first: Int64, last: Int64) -> tuple[Int64, Int64]:
    """Index spans by the interval between samples that they touch.

    Returns:
        Spans of all intervals one after the other, and where each of the F + 1 intervals starts
        (the first lies before the first sample).
    """
    low = np.searchsorted(frame_index, first, "right")
    count = np.searchsorted(frame_index, last, "right") - low + 1
    span = np.repeat(np.arange(len(first)), count)
    within = np.arange(len(span)) - np.repeat(np.cumsum(count) - count, count)
    interval = low[span] + within
    start = np.zeros(len(frame_index) + 2, np.int64)
    np.cumsum(np.bincount(interval, minlength=len(frame_index) + 1), out=start[1:])
    return span[np.argsort(interval, kind="stable")], start
