"""COCO annotations as LightlyOne's singletons. No I/O.

Source: the COCO data format (cocodataset.org, "Data format"), in which labels have no score and
predictions in the same shape have one. LightlyOne takes labels for predictions; how sure it is to
be of them is for their owner to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import msgspec
import numpy as np

from tasks.domain.errors import InputInvalid
from tasks.domain.video import printable
from tasks.sinks.lightly.masks import Crop, decoded, filled, trimmed, uncompressed
from tasks.sinks.lightly.schema import Category, TaskSchema, slot_in
from tasks.sinks.lightly.singletons import Bounds, Detection, Instance, Singleton, Skeleton

CocoTask = Literal["object-detection", "instance-segmentation", "keypoint-detection"]
Id = int | str


class CocoImage(msgspec.Struct):
    """An image, or a frame of a video under the name that LightlyOne gives it."""

    id: Id
    file_name: str
    width: int | None = None
    height: int | None = None


class CocoCategory(msgspec.Struct):
    """A class."""

    id: Id
    name: str
    supercategory: str | None = None
    keypoints: list[str] | None = None
    skeleton: list[Any] | None = None


class CocoMask(msgspec.Struct):
    """A mask in run lengths, as numbers or compressed."""

    size: tuple[int, int]
    counts: str | list[int]


class CocoAnnotation(msgspec.Struct):
    """A labelled or predicted object."""

    image_id: Id
    category_id: Id
    bbox: list[float] | None = None
    segmentation: list[list[float]] | CocoMask | None = None
    keypoints: list[float] | None = None
    score: float | None = None


class CocoDataset(msgspec.Struct):
    """A COCO file; parts that are not named here are ignored."""

    images: list[CocoImage]
    annotations: list[CocoAnnotation]
    categories: list[CocoCategory]


def read_coco(data: bytes) -> CocoDataset:
    """Decode a COCO file.

    Raises:
        InputInvalid: It is none.
    """
    try:
        return msgspec.json.decode(data, type=CocoDataset)
    except msgspec.ValidationError as error:
        raise InputInvalid(
            f"this is no COCO dataset: {error}",
            hint="a dataset has images, annotations and categories; a bare list of results has no file names",
        ) from None
    except (msgspec.DecodeError, RecursionError):
        raise InputInvalid("this is no JSON") from None


@dataclass(frozen=True, slots=True)
class Conversion:
    """A COCO dataset that has been found fit to be written.

    Args:
        dataset: What :func:`read_coco` gave.
        task_type: The kind of task that it becomes.
        label_score: Score of annotations that have none.
        counts: What was taken and what was left out, as files are asked for.
    """

    dataset: CocoDataset
    task_type: CocoTask
    label_score: float | None
    counts: Counter[str]

    def categories(self) -> list[Category]:
        """The task's categories, in the file's order."""
        with_points = self.task_type == "keypoint-detection"
        numbered: dict[Id, int] = {}
        for annotation in self.dataset.annotations if with_points else ():
            slots = len(annotation.keypoints or ()) // 3
            numbered[annotation.category_id] = max(slots, numbered.get(annotation.category_id, 0))
        categories = []
        for category in self.dataset.categories:
            more: dict[str, Any] = {"supercategory": category.supercategory} if category.supercategory else {}
            keypoints: Sequence[str] = ()
            if with_points:
                keypoints = category.keypoints or [str(slot) for slot in range(numbered.get(category.id, 0))]
                more |= {"skeleton": category.skeleton} if category.skeleton else {}
            categories.append(Category(category.name, tuple(keypoints), more))
        return categories

    def files(self, schema: TaskSchema) -> Iterator[tuple[str, list[Singleton]]]:
        """Each image's ``file_name`` and what stands in its file; images without annotations are empty."""
        names = {category.id: category.name for category in self.dataset.categories}
        own_slots = {category.name: category.keypoints for category in self.categories()}
        of_image: dict[Id, list[CocoAnnotation]] = {image.id: [] for image in self.dataset.images}
        for annotation in self.dataset.annotations:
            of_image[annotation.image_id].append(annotation)
        for image in self.dataset.images:
            made: list[Singleton] = []
            for annotation in of_image.pop(image.id):
                name = names[annotation.category_id]
                singleton = self._singleton(annotation, image, name, schema, own_slots[name])
                if isinstance(singleton, str):
                    self.counts[singleton] += 1
                else:
                    made.append(singleton)
            self.counts["files"] += 1
            self.counts["predictions"] += len(made)
            yield image.file_name, made

    def _singleton(
        self, annotation: CocoAnnotation, image: CocoImage, name: str, schema: TaskSchema, slots: Sequence[str]
    ) -> Singleton | str:
        """What is written of an annotation, or why nothing is: it lacks what the task is about."""
        number, score = schema.ids[name], self._score(annotation)
        box = _bounds(annotation.bbox, image) if annotation.bbox else None
        if self.task_type == "instance-segmentation":
            crop = _mask(annotation, image) if annotation.segmentation else None
            extent = crop.extent if crop else None
            if crop is None or extent is None:
                return "without_mask"
            left, top, right, bottom = extent
            around = box.enclosing(extent) if box else Bounds(left, top, right - left, bottom - top)
            return Instance(number, crop.run_lengths(_size(image)), score, around)
        if box is None:
            return "outside" if annotation.bbox else "without_box"
        if self.task_type == "object-detection":
            return Detection(number, box, score)
        if not annotation.keypoints:
            return "without_keypoints"
        return Skeleton(number, _keypoints(annotation, schema.keypoints[name], slots, score), score, box)

    def _score(self, annotation: CocoAnnotation) -> float:
        return annotation.score if annotation.score is not None else self.label_score or 0.0


def conversion_of(dataset: CocoDataset, task_type: CocoTask, label_score: float | None) -> Conversion:
    """Check a dataset from end to end, so that writing it cannot fail on what it says.

    Raises:
        InputInvalid: It contradicts itself, a number cannot be one, or a label has no score and
            ``label_score`` is None. The message says where.
    """
    _check_images(dataset, task_type)
    categories = {category.id for category in dataset.categories}
    _refuse_twice("categories", [category.name for category in dataset.categories])
    _refuse_twice("categories", [category.id for category in dataset.categories])
    skeletons = {category.id: len(category.keypoints) for category in dataset.categories if category.keypoints}
    images = {image.id: image for image in dataset.images}
    for number, annotation in enumerate(dataset.annotations):
        where = f"annotations[{number}]"
        if annotation.image_id not in images:
            raise InputInvalid(f"{where}: there is no image {annotation.image_id}")
        if annotation.category_id not in categories:
            raise InputInvalid(f"{where}: there is no category {annotation.category_id}")
        if annotation.score is None and label_score is None:
            raise InputInvalid(
                f"{where} has no score: it is a label, not a prediction",
                hint="say how sure of labels to be: --label-score 1.0",
            )
        if annotation.score is not None and not 0 <= annotation.score <= 1:
            raise InputInvalid(f"{where}: {annotation.score} is no score from 0 to 1")
        _check_box(where, annotation)
        if task_type == "instance-segmentation":
            _check_mask(where, annotation, images[annotation.image_id])
        if task_type == "keypoint-detection" and annotation.keypoints:
            own = len(annotation.keypoints) // 3
            slots = skeletons.setdefault(annotation.category_id, own)
            if len(annotation.keypoints) % 3 or own != slots or not all(map(isfinite, annotation.keypoints)):
                raise InputInvalid(f"{where}: keypoints are not x, y, v of {slots} points")
    return Conversion(dataset, task_type, label_score, Counter())


def _check_images(dataset: CocoDataset, task_type: CocoTask) -> None:
    _refuse_twice("images", [image.id for image in dataset.images])
    _refuse_twice("images", [stem_of(image.file_name) for image in dataset.images])
    for number, image in enumerate(dataset.images):
        segments = image.file_name.split("/")
        if any(segment in ("", ".", "..") for segment in segments) or not image.file_name.isprintable():
            raise InputInvalid(
                f"images[{number}]: {printable(image.file_name)!r} is no path below the input datasource",
                hint="LightlyOne matches predictions to images by their path below the input datasource",
            )
        if stem_of(image.file_name) == "schema":
            raise InputInvalid(
                f"images[{number}]: the predictions of {image.file_name} would stand where the task's schema does",
                hint="rename the image",
            )
        if task_type == "instance-segmentation" and min(image.width or 0, image.height or 0) < 1:
            raise InputInvalid(f"images[{number}] has no width and height, over which masks are written")


def stem_of(file_name: str) -> str:
    """A path without its extension."""
    folder, slash, name = file_name.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return folder + slash + (stem if dot and stem else name)


def _refuse_twice(where: str, values: Sequence[Id]) -> None:
    again = [value for value, count in Counter(values).items() if count > 1]
    if again:
        raise InputInvalid(f"{where}: {printable(str(again[0]))!r} is there twice")


def _check_box(where: str, annotation: CocoAnnotation) -> None:
    box = annotation.bbox
    if box and (len(box) != 4 or not all(map(isfinite, box)) or min(box[2:]) < 0):
        raise InputInvalid(f"{where}: bbox is not x, y, width, height")


def _check_mask(where: str, annotation: CocoAnnotation, image: CocoImage) -> None:
    said = annotation.segmentation
    if isinstance(said, CocoMask):
        try:
            runs = uncompressed(said.counts) if isinstance(said.counts, str) else np.array(said.counts, np.int64)
        except (ValueError, OverflowError):
            runs = np.zeros(0, np.int64)
        width, height = _size(image)
        if said.size != (height, width) or (runs < 0).any() or int(runs.sum()) != height * width:
            raise InputInvalid(f"{where}: segmentation is no mask of the image's {width}x{height} pixels")
    elif any(len(corners) % 2 or not all(map(isfinite, corners)) for corners in said or ()):
        raise InputInvalid(f"{where}: segmentation is not lists of x, y")


def _size(image: CocoImage) -> tuple[int, int]:
    return image.width or 0, image.height or 0


def _bounds(bbox: Sequence[float], image: CocoImage) -> Bounds | None:
    """A box within the image, as far as its size is known, a pixel wide and high at least; None if it lies outside."""
    x, y, width, height = bbox
    most = (image.width or float("inf"), image.height or float("inf"))
    if x >= most[0] or y >= most[1] or x + width <= 0 or y + height <= 0:
        return None
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + width, most[0]), min(y + height, most[1])
    left, top = max(min(left, most[0] - 1), 0.0), max(min(top, most[1] - 1), 0.0)
    return Bounds(
        round(left, 2),
        round(top, 2),
        max(round(right - left, 2), 1.0),
        max(round(bottom - top, 2), 1.0),
    )


def _mask(annotation: CocoAnnotation, image: CocoImage) -> Crop:
    said = annotation.segmentation
    if isinstance(said, CocoMask):
        return trimmed(decoded(*said.size, said.counts))
    polygons = [np.array(corners, np.float64).reshape(-1, 2) for corners in said or ()]
    return filled(polygons, _size(image))


def _keypoints(annotation: CocoAnnotation, known: Sequence[str], own: Sequence[str], score: float) -> list[float]:
    """x, y, score of each of the task's slots; a label's points are as sure as it is, unlabelled ones 0, 0, 0."""
    points = [[0.0, 0.0, 0.0] for _ in known]
    for number, (x, y, v) in enumerate(zip(*[iter(annotation.keypoints or ())] * 3, strict=True)):
        place = slot_in(known, own[number], number)
        if place is None or v <= 0:
            continue
        is_flag = annotation.score is None or v > 1
        points[place] = [max(round(x, 2), 0.0), max(round(y, 2), 0.0), score if is_flag else v]
    return [value for point in points for value in point]
