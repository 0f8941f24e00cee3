"""What a model says of whole frames: classes, best prompts, classes on the picture, text. Pure arithmetic."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import Bool, Int64, ModelPredictions, TaskType
from tasks.sinks.detections import Selected
from tasks.sinks.labelbox.mapping import SeenModel
from tasks.sinks.labelbox.style import BOXED, Kind, Prompts

Float64 = NDArray[np.float64]
_BACKGROUND = "background"
_PROMPTS_HINT = (
    "embeddings are vectors, not annotations: name a file of text prompts' embeddings with "
    "`models: {clip: {prompts: FILE}}` in the route, or take them from the results route"
)


@dataclass(frozen=True, slots=True)
class Statements:
    """M statements about frames, sorted by ``sample``; none twice in one frame.

    Attributes:
        names: What can be said.
        sample: int64 [M], position in ``Predictions.frame_index``.
        code: int64 [M], index into ``names``.
        confidence: float64 [M] in [0, 1].
        looked: bool [F], False for samples that nothing was said about because nobody looked.
        unread: Samples that were left out because what the service gave cannot be read.
    """

    names: tuple[str, ...]
    sample: Int64
    code: Int64
    confidence: Float64
    looked: Bool
    unread: int = 0


def statements_of(mapping: SeenModel, found: Selected | None, *, every: bool = False) -> Statements:
    """Say what the model says of each frame, as far as it is sure enough and the class is not omitted.

    Args:
        mapping: The model, and what becomes of it.
        found: The model's detections where it has any; they then make the statements.
        every: Several about one frame, whatever the model's question takes.

    Raises:
        DeliveryFailed: Embeddings without prompts to compare them with, or of another length.
    """
    model = mapping.model
    if mapping.task in BOXED and found is not None:
        said = _texts(model, found, mapping) if mapping.question is Kind.TEXT else _presence(model, found)
    elif mapping.task is TaskType.EMBEDDING:
        said = _best_prompts(model, mapping.style.prompts, mapping.style.temperature)
    elif mapping.task is TaskType.SEMANTIC_SEGMENTATION:
        said = _shown_classes(model, mapping.style.min_share)
    else:
        said = _labels(model)
    sure = said.confidence >= (0.0 if mapping.min_confidence is None else mapping.min_confidence)
    wanted = np.array([not mapping.omits(name) for name in said.names], np.bool_)
    kept = np.flatnonzero(sure & wanted[said.code]) if len(said.code) else np.zeros(0, np.int64)
    if mapping.question is not Kind.CHECKLIST and not every:
        kept = _surest_of_each(said.sample, said.confidence, kept)
    return Statements(said.names, said.sample[kept], said.code[kept], said.confidence[kept], said.looked, said.unread)


def _surest_of_each(sample: Int64, confidence: Float64, rows: Int64) -> Int64:
    """Keep one row per sample, the surest; of equals the first."""
    order = rows[np.lexsort((-confidence[rows], sample[rows]))]
    first = np.ones(len(order), np.bool_)
    first[1:] = np.diff(sample[order]) != 0
    return order[first]


def _labels(model: ModelPredictions) -> Statements:
    """Classes of a classifier that were chosen."""
    labels = model.labels
    rows = np.flatnonzero(labels.chosen)
    return Statements(
        model.classes,
        labels.sample[rows].astype(np.int64),
        labels.class_code[rows].astype(np.int64),
        _rounded(labels.confidence[rows]),
        model.inferred,
    )


def _presence(model: ModelPredictions, found: Selected) -> Statements:
    """Classes of which an object is seen, as sure as the surest of them."""
    sample = model.objects.sample[found.row].astype(np.int64)
    code = model.objects.class_code[found.row].astype(np.int64)
    order = np.lexsort((-found.confidence, code, sample))
    first = np.ones(len(order), np.bool_)
    first[1:] = (np.diff(sample[order]) != 0) | (np.diff(code[order]) != 0)
    kept = order[first]
    return Statements(model.classes, sample[kept], code[kept], found.confidence[kept], model.inferred)


def _texts(model: ModelPredictions, found: Selected, mapping: SeenModel) -> Statements:
    """What the classes in a frame spell, read as lines of text; as sure as they are on average."""
    sample = model.objects.sample[found.row].astype(np.int64)
    codes: dict[str, int] = {}
    rows: list[tuple[int, int, float]] = []
    samples, starts = np.unique(sample, return_index=True)
    for at, here in zip(samples.tolist(), np.split(np.arange(len(sample)), starts)[1:], strict=True):
        names = [model.classes[code] for code in model.objects.class_code[found.row[here]].tolist()]
        wanted = [index for index, name in enumerate(names) if not mapping.omits(name)]
        if wanted:
            spelled = _read(found.edges[here[wanted]], [mapping.word(names[index]) for index in wanted])
            confidence = float(found.confidence[here[wanted]].mean())
            rows.append((at, codes.setdefault(spelled, len(codes)), confidence))
    columns = np.array(rows, np.float64).reshape(-1, 3)
    return Statements(
        tuple(codes), columns[:, 0].astype(np.int64), columns[:, 1].astype(np.int64), columns[:, 2], model.inferred
    )


def _read(edges: Int64, names: list[str]) -> str:
    """Put names in reading order: lines from the top, each from the left.

    Single characters make words; longer names are words themselves.
    """
    lines: list[list[int]] = []
    middle = edges[:, 1] + edges[:, 3]
    for index in np.argsort(middle, kind="stable").tolist():
        # A line is as high as its first box: what has its middle in there belongs to it.
        if lines and middle[index] < 2 * edges[lines[-1][0], 3]:
            lines[-1].append(index)
        else:
            lines.append([index])
    between = "" if all(len(name) == 1 for name in names) else " "
    in_order = (sorted(line, key=lambda index: int(edges[index, 0])) for line in lines)
    return "\n".join(between.join(names[index] for index in line) for line in in_order)


def _best_prompts(model: ModelPredictions, prompts: Prompts | None, temperature: float) -> Statements:
    """The prompt that each frame is nearest to, as likely as the softmax of their cosines makes it."""
    if prompts is None:
        raise DeliveryFailed(
            f"model {model.model!r} predicts embeddings, and there is nothing to compare them with", hint=_PROMPTS_HINT
        )
    nothing = np.zeros(0, np.int64)
    if model.embedding is None:
        return Statements(prompts.names, nothing, nothing, np.zeros(0), model.inferred)
    if model.embedding.shape[1] != prompts.vectors.shape[1]:
        raise DeliveryFailed(
            f"model {model.model!r} gives embeddings of {model.embedding.shape[1]} numbers, the prompts have "
            f"{prompts.vectors.shape[1]}",
            hint="embed the prompts with the text half of the very model that embedded the frames",
        )
    sample = np.flatnonzero(model.inferred)
    vectors = model.embedding[sample].astype(np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors / np.where(length > 0, length, 1.0) @ prompts.vectors.T
    scaled = np.exp((cosine - cosine.max(axis=1, keepdims=True)) / temperature)
    likely = scaled / scaled.sum(axis=1, keepdims=True)
    code = likely.argmax(axis=1)
    return Statements(prompts.names, sample, code, _rounded(likely[np.arange(len(code)), code]), model.inferred)


def _shown_classes(model: ModelPredictions, min_share: float) -> Statements:
    """Classes that cover enough of a frame's label map, but the background."""
    codes = {name: code for code, name in enumerate(model.classes)}
    looked, unread = model.inferred.copy(), 0
    rows: list[tuple[int, int, float]] = []
    for sample, frame in sorted(model.frames.items()):
        shares = _shares(frame)
        if shares is None:
            looked[sample], unread = False, unread + 1
            continue
        rows += [
            (sample, codes[name], confidence)
            for name, share, confidence in shares
            if share >= min_share and name.lower() != _BACKGROUND
        ]
    columns = np.array(sorted(rows), np.float64).reshape(-1, 3)
    where, code = columns[:, 0].astype(np.int64), columns[:, 1].astype(np.int64)
    return Statements(model.classes, where, code, _rounded(columns[:, 2]), looked, unread)


def _shares(frame: dict[str, Any]) -> list[tuple[str, float, float]] | None:
    """Of each class in a label map, its share of the picture and its mean confidence; None for no label map."""
    labels, sure = _pixels(frame["segmentation_mask"]), None
    if labels is None:
        return None
    if frame.get("confidence_mask"):
        sure = _pixels(frame["confidence_mask"])
        if sure is None or sure.shape != labels.shape:
            return None
    flat = labels.ravel()
    count = np.bincount(flat, minlength=256)
    total = np.bincount(flat, weights=None if sure is None else sure.ravel() / 255, minlength=256)
    by_name: dict[str, tuple[int, float]] = {}
    for value, name in frame["class_map"].items():
        if value.isdecimal() and int(value) < 256 and count[int(value)]:
            pixels, confidence = by_name.get(name, (0, 0.0))
            by_name[name] = (pixels + int(count[int(value)]), confidence + float(total[int(value)]))
    return [(name, pixels / flat.size, confidence / pixels) for name, (pixels, confidence) in by_name.items()]


def _pixels(png: str) -> NDArray[np.uint8] | None:
    """Decode a base64 picture of one byte per pixel; None for anything else."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(base64.b64decode(png, validate=True))) as picture:
            pixels = np.asarray(picture)
    except (binascii.Error, UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return pixels if pixels.dtype == np.uint8 and pixels.ndim == 2 and pixels.size else None


def _rounded(confidence: NDArray[np.floating]) -> Float64:
    # Float32 keeps no more digits than these: rounding brings 0.4 back from 0.40000000596.
    return np.round(confidence.astype(np.float64), 6).clip(0.0, 1.0)


def by_sample(said: Statements) -> Iterator[tuple[int, slice]]:
    """Yield each sample about which something is said, and its statements."""
    samples, starts = np.unique(said.sample, return_index=True)
    for sample, start, end in zip(
        samples.tolist(), starts.tolist(), [*starts[1:].tolist(), len(said.sample)], strict=True
    ):
        yield sample, slice(start, end)
