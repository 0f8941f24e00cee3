"""What a model says of whole frames as LightlyOne's singletons: one class, or a map of classes. No I/O."""

from __future__ import annotations

import base64
import binascii
import io
from collections import Counter
from collections.abc import Mapping
from math import fsum

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import Bool, ModelPredictions, TaskType
from tasks.domain.video import VideoInfo
from tasks.sinks.geometry import Float64, is_upright, place_map, require_placeable
from tasks.sinks.lightly.masks import trimmed
from tasks.sinks.lightly.singletons import Classification, Segment, Setting, Singleton, Singletons

_NOT_TRUSTED = "the results cannot be trusted; the results route still keeps them as they came"


def classified(model: ModelPredictions, info: VideoInfo, min_confidence: float | None) -> Bool:  # noqa: ARG001
    """bool [F], samples whose frames get a file: those with a class that is sure enough.

    An empty file of a classification is not allowed.

    Raises:
        DeliveryFailed: A confidence is no number.
    """
    if not np.isfinite(model.labels.confidence).all():
        raise DeliveryFailed(f"model {model.model!r} gave a class a confidence that is no number", hint=_NOT_TRUSTED)
    best = _best(model)
    return model.inferred & (best > 0) & (best >= (min_confidence or 0.0))


def classification(model: ModelPredictions, setting: Setting) -> Singletons:
    """A frame's class with the probability of every class of the schema.

    Services leave out classes under their threshold: what the listed ones lack to 1 is shared out
    evenly among those, none of which gets more than the weakest that is listed. The scores of a
    multi-label model are independent of each other: its strongest class is taken for *the* class
    and the scores are brought to a sum of 1, of which the receipt warns.
    """
    labels, best = model.labels, _best(model)
    speaks = classified(model, setting.info, setting.min_confidence)
    counts = Counter(
        classified=int(speaks.sum()),
        without_class=int((model.inferred & (best == 0)).sum()),
        below_confidence=int((model.inferred & (best > 0) & ~speaks).sum()),
    )
    confidence = _confidence(model)
    start = np.searchsorted(labels.sample, np.arange(len(model.inferred) + 1))
    order = sorted(set(setting.ids.values()))
    place = np.array([order.index(setting.ids[name]) for name in model.classes], np.int64)
    exclusive = model.task is TaskType.CLASSIFICATION

    def of(sample: int) -> list[Singleton]:
        own = slice(start[sample], start[sample + 1])
        where = place[labels.class_code[own]]
        # The class that a single-label model names as its top one is the class, whatever the rounding.
        preferred = confidence[own] + (2.0 * labels.chosen[own] if exclusive else 0.0)
        listed = dict(zip(where.tolist(), confidence[own].tolist(), strict=True))
        probabilities = _distribution(listed, len(order), exclusive=exclusive)
        return [Classification(order[int(where[preferred.argmax()])], probabilities)]

    warnings = []
    if not exclusive and speaks.any():
        warnings.append(
            f"model {model.model!r} gives several classes to a frame, and LightlyOne takes one: the strongest was "
            "taken, and the scores were brought to a sum of 1"
        )
    return Singletons(of, counts, warnings)


def _confidence(model: ModelPredictions) -> Float64:
    # Float32 keeps no more digits than these.
    return model.labels.confidence.astype(np.float64).round(6).clip(0, 1)


def _best(model: ModelPredictions) -> Float64:
    """float64 [F], the highest confidence of each sample."""
    best = np.zeros(len(model.inferred))
    np.maximum.at(best, model.labels.sample, _confidence(model))
    return best


def _distribution(listed: Mapping[int, float], size: int, *, exclusive: bool) -> list[float]:
    """Probabilities that add up to 1, of which only ``listed`` are known (place -> score, not all 0)."""
    probabilities = [listed.get(place, 0.0) for place in range(size)]
    missing = size - len(listed)
    rest = 1.0 - fsum(probabilities)
    if exclusive and missing and rest > 0:
        share = min(rest / missing, *listed.values())
        probabilities = [listed.get(place, share) for place in range(size)]
    total = fsum(probabilities)
    return [probability / total for probability in probabilities]


def mapped(model: ModelPredictions, info: VideoInfo, min_confidence: float | None) -> Bool:  # noqa: ARG001
    """bool [F], samples whose frames get a file: those of which there is a map.

    Raises:
        DeliveryFailed: The inferred images do not fit the video.
    """
    require_placeable(model, info)
    return model.inferred & np.isin(np.arange(len(model.inferred)), list(model.frames))


def semantic_segmentation(model: ModelPredictions, setting: Setting) -> Singletons:
    """The pixels of each class that a frame shows, and how sure the model is of them, by the median.

    The service's maps are decoded when their frame is asked for; what is wrong with one shows then.
    A service that gives no confidence has its segments written with score 1, of which the receipt warns.
    """
    counts, warnings = Counter[str](), list[str]()

    def of(sample: int) -> list[Singleton]:
        maps = model.frames[sample]
        labels = _decoded_map(maps["segmentation_mask"], model, setting.info)
        certain = None
        if maps.get("confidence_mask"):
            certain = _decoded_map(maps["confidence_mask"], model, setting.info)
        elif not warnings:
            warnings.append(f"model {model.model!r} gives no confidence: its segments have score 1")
        made: list[Singleton] = []
        for value in np.unique(labels).tolist():
            name = maps["class_map"].get(str(value))
            if name is None:
                counts["pixels_without_class"] += int((labels == value).sum())
                continue
            mask = labels == value
            score = 1.0 if certain is None else round(float(np.median(certain[mask])) / 255, 6)
            if score < (setting.min_confidence or 0.0):
                counts["below_confidence"] += 1
                continue
            run_lengths = trimmed(mask).run_lengths((setting.info.width, setting.info.height))
            made.append(Segment(setting.ids[name], run_lengths, score))
        counts["segments"] += len(made)
        return made

    return Singletons(of, counts, warnings)


def _decoded_map(text: str, model: ModelPredictions, info: VideoInfo) -> NDArray[np.uint8]:
    """Decode a base64 PNG with a value per pixel, and bring it to the coded frame.

    Raises:
        DeliveryFailed: It is none, or not of this video's shape.
    """
    try:
        # Data URLs come with a head.
        with Image.open(io.BytesIO(base64.b64decode(text.rpartition(",")[2], validate=True)), formats=["PNG"]) as png:
            if png.mode not in ("L", "P", "1"):
                raise DeliveryFailed(
                    f"model {model.model!r} gave a map of classes in {png.mode}, not one number per pixel",
                    hint=_NOT_TRUSTED,
                )
            is_upright(png.size, info)
            labels = np.asarray(png).astype(np.uint8)
    except (binascii.Error, ValueError, OSError, SyntaxError, Image.DecompressionBombError):
        raise DeliveryFailed(
            f"model {model.model!r} gave a map of classes that is no base64 PNG", hint=_NOT_TRUSTED
        ) from None
    placed: NDArray[np.uint8] = place_map(labels, info, upright=False).astype(np.uint8, copy=False)
    return placed
