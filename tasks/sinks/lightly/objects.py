"""Found objects as LightlyOne's singletons: by their boxes, their keypoints or their masks. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import Bool, Int64, ModelPredictions
from tasks.domain.video import VideoInfo
from tasks.sinks.detections import Selected, select
from tasks.sinks.geometry import Size, is_upright, place_map, place_points, require_placeable
from tasks.sinks.lightly.masks import Crop, decoded, filled, trimmed
from tasks.sinks.lightly.schema import slot_in
from tasks.sinks.lightly.singletons import (
    Bounds,
    Detection,
    Instance,
    InWindows,
    Setting,
    Singleton,
    Singletons,
    Skeleton,
)

# Coordinates are written to a hundredth of a pixel.
_PER_PIXEL = 100
# Objects that are made at a time: boxes are small, a mask may be thousands of numbers.
_BOXES, _SKELETONS, _MASKS = 8192, 256, 16


def looked_at(model: ModelPredictions, info: VideoInfo, min_confidence: float | None) -> Bool:  # noqa: ARG001
    """bool [F], samples whose frames get a file: all that were inferred, whatever was found.

    Raises:
        DeliveryFailed: A box or point is none, or the inferred images do not fit the video.
    """
    require_placeable(model, info)
    return model.inferred


def object_detection(model: ModelPredictions, setting: Setting) -> Singletons:
    """Detections (or faces) as LightlyOne's object detection.

    Boxes are brought to the coded frame, clipped to it and at least one pixel wide and high;
    those that lie wholly outside, or under ``min_confidence``, are left out.
    """
    counts = Counter[str]()

    def make(part: ModelPredictions) -> list[Sequence[Singleton]]:
        found = _select(part, setting, counts)
        made = map(Detection, _categories(part, setting, found.row), _bounds(found), found.confidence.tolist())
        counts["objects"] += len(found.row)
        return _by_sample(part, found.row, list(made))

    return Singletons(InWindows(model, _BOXES, make).of, counts)


def keypoint_detection(model: ModelPredictions, setting: Setting) -> Singletons:
    """Objects with keypoints: every slot of the category's skeleton in its order, unseen ones as 0, 0, 0.

    An object of a class of which no keypoint is known is left out. Otherwise as :func:`object_detection`.
    """
    counts = Counter[str]()
    width, height = setting.info.width, setting.info.height
    slot = _slots(model, setting)

    def make(part: ModelPredictions) -> list[Sequence[Singleton]]:
        found = _select(part, setting, counts)
        objects = part.objects
        owner = np.repeat(np.arange(len(objects)), np.diff(objects.keypoint_start))
        said = objects.keypoint.astype(np.float64)
        xy = place_points(part, setting.info, said[:, :2], objects.sample[owner], upright=False)
        points = np.column_stack((xy.clip(0, (width, height)).round(2), said[:, 2].round(6).clip(0, 1)))
        kept, made = [], []
        category = _categories(part, setting, found.row)
        for row, number, bbox, score in zip(
            found.row.tolist(), category, _bounds(found), found.confidence.tolist(), strict=True
        ):
            code = int(objects.class_code[row])
            slots = len(setting.keypoints.get(part.classes[code], ()))
            if not slots:
                counts["without_keypoints"] += 1
                continue
            skeleton = np.zeros((slots, 3))
            own = slice(objects.keypoint_start[row], objects.keypoint_start[row + 1])
            skeleton[[slot[code, key] for key in objects.keypoint_class[own].tolist()]] = points[own]
            kept.append(row)
            made.append(Skeleton(number, skeleton.ravel().tolist(), score, bbox))
        counts["objects"] += len(kept)
        return _by_sample(part, np.array(kept, np.int64), made)

    return Singletons(InWindows(model, _SKELETONS, make).of, counts)


def instance_segmentation(model: ModelPredictions, setting: Setting) -> Singletons:
    """Objects with masks, in run lengths over the whole coded frame, and a box that encloses box and mask.

    An object without a mask, or whose mask lies wholly outside, is left out. Otherwise as
    :func:`object_detection`; a mask that cannot be decoded shows only when its frame is asked for.
    """
    counts = Counter[str]()
    frame = (setting.info.width, setting.info.height)

    def make(part: ModelPredictions) -> list[Sequence[Singleton]]:
        found = _select(part, setting, counts)
        kept, made = [], []
        for row, number, bbox, score in zip(
            found.row.tolist(),
            _categories(part, setting, found.row),
            _bounds(found),
            found.confidence.tolist(),
            strict=True,
        ):
            crop = _mask(part, row, setting)
            if crop is None:
                counts["without_mask"] += 1
            elif (extent := crop.extent) is None:
                counts["outside"] += 1
            else:
                kept.append(row)
                made.append(Instance(number, crop.run_lengths(frame), score, bbox.enclosing(extent)))
        counts["objects"] += len(kept)
        return _by_sample(part, np.array(kept, np.int64), made)

    return Singletons(InWindows(model, _MASKS, make).of, counts)


def skeletons(model: ModelPredictions) -> dict[str, list[str]]:
    """Class name -> names of the keypoint slots that its objects show, in the order of the service's numbers.

    A number that never shows up below one that does has its own number for a name.
    """
    objects = model.objects
    owner = np.repeat(objects.class_code, np.diff(objects.keypoint_start))
    found: dict[str, list[str]] = {}
    for code in np.unique(owner).tolist():
        seen = list(dict.fromkeys(objects.keypoint_class[owner == code].tolist()))
        numbered = {
            model.keypoint_ids[key]: model.keypoint_classes[key] for key in seen if model.keypoint_ids[key] >= 0
        }
        names = [numbered.get(number, str(number)) for number in range(max(numbered, default=-1) + 1)]
        others = [model.keypoint_classes[key] for key in seen if model.keypoint_ids[key] < 0]
        found[model.classes[code]] = list(dict.fromkeys([*names, *others]))
    return found


def _slots(model: ModelPredictions, setting: Setting) -> dict[tuple[int, int], int]:
    """(Class, keypoint name) -> its place in the category's skeleton, for all that occur.

    Raises:
        DeliveryFailed: The skeleton has no such keypoint.
    """
    objects = model.objects
    owner = np.repeat(objects.class_code, np.diff(objects.keypoint_start))
    places: dict[tuple[int, int], int] = {}
    for code, key in np.unique(np.column_stack((owner, objects.keypoint_class)), axis=0).tolist():
        name, slot = model.classes[code], model.keypoint_classes[key]
        known = setting.keypoints.get(name, ())
        place = slot_in(known, slot, model.keypoint_ids[key])
        if place is None:
            raise DeliveryFailed(
                f"the model finds a keypoint {slot!r} of {name!r}, which has only {', '.join(known) or 'none'} here",
                hint="name all keypoints in `keypoints` of the route, in their order, and deliver to a new task_name",
            )
        places[code, key] = place
    return places


def _select(part: ModelPredictions, setting: Setting, counts: Counter[str]) -> Selected:
    found = select(part, setting.info, upright=False, per_pixel=_PER_PIXEL, min_confidence=setting.min_confidence)
    counts.update(found.left_out)
    return found


def _categories(part: ModelPredictions, setting: Setting, row: Int64) -> list[int]:
    ids = np.array([setting.ids[name] for name in part.classes], np.int64)
    numbers: list[int] = ids[part.objects.class_code[row]].tolist()
    return numbers


def _bounds(found: Selected) -> Iterator[Bounds]:
    left, top, right, bottom = found.edges.T
    columns = (left, top, right - left, bottom - top)
    return map(Bounds, *((column / _PER_PIXEL).tolist() for column in columns))


def _by_sample(part: ModelPredictions, row: Int64, made: Sequence[Singleton]) -> list[Sequence[Singleton]]:
    """Deal singletons, one for each row, out to their samples."""
    ends = np.searchsorted(part.objects.sample[row], np.arange(len(part.inferred)), "right").tolist()
    return [made[begin:end] for begin, end in pairwise([0, *ends])]


def _mask(part: ModelPredictions, row: int, setting: Setting) -> Crop | None:
    """The mask of an object in the coded frame, or None if it has none."""
    objects, info = part.objects, setting.info
    frame: Size = (info.width, info.height)
    own = slice(objects.polygon_start[row], objects.polygon_start[row + 1])
    if own.start < own.stop:
        # A corner is the middle of a pixel; placing counts from the pixels' outer corners.
        corners = objects.polygon[own].astype(np.float64) + 0.5
        sample = np.full(len(corners), objects.sample[row], np.int32)
        return filled([place_points(part, info, corners, sample, upright=False) - 0.5], frame)
    if row not in objects.rle:
        return None
    return trimmed(place_map(_decoded(part, info, *objects.rle[row]), info, upright=False))


def _decoded(part: ModelPredictions, info: VideoInfo, height: int, width: int, counts: str | list[int]) -> Bool:
    is_upright((width, height), info)  # a mask of any other size is refused before it takes memory
    try:
        return decoded(height, width, counts)
    except ValueError as error:
        raise DeliveryFailed(
            f"model {part.model!r} predicted a mask that is none: {error}",
            hint="the results cannot be trusted; the results route still keeps them as they came",
        ) from None
