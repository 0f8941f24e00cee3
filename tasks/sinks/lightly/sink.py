"""The lightly route's sink: order of writing, and repair of what an earlier delivery left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import BinaryIO, Literal

import msgspec
import numpy as np

from tasks.domain.errors import DeliveryFailed
from tasks.domain.job import InferenceSpec
from tasks.domain.predictions import Bool, Int64, ModelPredictions, TaskType
from tasks.domain.video import VideoInfo
from tasks.domain.wording import count_of
from tasks.sinks.base import Delivery, Receipt
from tasks.sinks.checks import choose_models, require_frames
from tasks.sinks.geometry import orientation_warning
from tasks.sinks.lightly.frames import Fill, frames_in, sources
from tasks.sinks.lightly.kinds import KINDS, OF_TASK_TYPE, Kind
from tasks.sinks.lightly.names import (
    PREDICTIONS,
    READABLE_SUFFIXES,
    FrameNames,
    file_key,
    frame_names,
    path_in_input,
    task_slug,
)
from tasks.sinks.lightly.objects import skeletons
from tasks.sinks.lightly.schema import Category, ensure_schema, list_task, task_type_of
from tasks.sinks.lightly.singletons import FrameFile, Setting, Singleton
from tasks.sinks.lightly.sizes import frame_sizes, without_doubtful_copies
from tasks.sinks.sizes import misfit_warnings, only, without_misfits
from tasks.storage.base import Storage

FrameCount = Literal["auto", "decode"]
SingletonsOf = Callable[[int], Sequence[Singleton]]

# Files of an earlier delivery that are removed at once.
_REMOVERS = 16
# An index may be off by so many frames where a damaged or odd file decodes to less than it lists.
_UNSURE = 2


class LightlySink:
    """Writes a file per frame into ``.lightly/predictions`` of a LightlyOne datasource.

    The main model's task is ``task_name``; another model of the job gets
    ``<task_name>-<model>``. A frame that was looked at and is empty gets a file without
    predictions (but for a classification, which cannot be empty); one that was not looked at gets none.

    Args:
        datasource: Bound to the root of the Lightly datasource.
        task_name: Brought into the letters that LightlyOne allows.
        input_root: URI of the root of the *input* datasource, with its trailing slash; frames
            are named by the video's path below it. By default that path is the video's name.
        fill: What frames between the inferred ones get: nothing, the ``nearest`` inferred
            frame's predictions, or the last one's (``hold``). Copies count as predictions in
            LightlyOne's statistics.
        max_gap: How far, in video time, predictions are copied at most.
        min_confidence: Predictions under it are left out.
        keypoints: Class name -> names of all its keypoints, in their order. Of other classes the
            task's first delivery decides.
        frame_count: ``decode`` decodes each video to count its frames, ``auto`` only where another
            count than the prober's would change the names of files.
        count_frames: Decodes a video and counts; None takes the prober's word for it.
    """

    def __init__(
        self,
        datasource: Storage,
        *,
        task_name: str,
        input_root: str = "",
        fill: Fill = "none",
        max_gap: timedelta = timedelta(seconds=1),
        min_confidence: float | None = None,
        keypoints: Mapping[str, Sequence[str]] | None = None,
        frame_count: FrameCount = "auto",
        count_frames: Callable[[BinaryIO], int] | None = None,
    ) -> None:
        self._store = datasource
        self._task_name = task_slug(task_name)
        self._input_root = input_root
        self._fill = fill
        self._max_gap = max_gap
        self._min_confidence = min_confidence
        self._keypoints = keypoints or {}
        self._frame_count = frame_count
        self._count_frames = count_frames

    def deliver(self, delivery: Delivery) -> Receipt:
        """Write one video's frames, remove files that an earlier delivery left, list the task.

        The schema comes first and the list of tasks last, so that a worker that runs meanwhile
        never finds a task that it cannot read.

        Raises:
            DeliveryFailed: The predictions are of a kind that is not written, do not fit the
                video, or a shared document of the datasource is unusable.
        """
        if delivery.video.suffix.lower() not in READABLE_SUFFIXES:
            return Receipt(
                outputs=(),
                warnings=(
                    f"{delivery.video} was left out: LightlyOne does not read {delivery.video.suffix or 'such'} files",
                ),
            )
        path = path_in_input(delivery.video, self._input_root)
        delivery = replace(delivery, info=self._counted(delivery))
        require_frames(delivery.predictions, delivery.info)
        models, warnings = choose_models(delivery.predictions, KINDS, "LightlyOne")
        if turned := orientation_warning(delivery.info):
            warnings.append(turned)
        fitting, left_out = without_misfits(models, delivery.info)
        warnings += misfit_warnings(left_out)
        outputs, counts = [], Counter({"video_frames": delivery.info.frame_count})
        for model, misfit in zip(fitting, left_out, strict=True):
            task = self._task_of(model, delivery.spec)
            counts.update(self._deliver_model(delivery, model, misfit, task, path, warnings))
            outputs.append(f"{self._store.root}{PREDICTIONS}{task}/")
        return Receipt(outputs=tuple(outputs), counts=dict(counts), warnings=tuple(warnings))

    def finish(self, delivered: Sequence[Delivery]) -> Receipt | None:
        """Nothing spans videos here: each delivery lists its task itself."""

    def _counted(self, delivery: Delivery) -> VideoInfo:
        """The video's facts, its frames counted by decoding where the prober's count may not do.

        Raises:
            VideoUnreadable: It cannot be decoded to its end.
        """
        info, index = delivery.info, delivery.predictions.frame_index
        beyond = len(index) > 0 and int(index[-1]) >= info.frame_count
        near = len(str(max(info.frame_count - _UNSURE, 0))) != len(str(info.frame_count + _UNSURE))
        if self._count_frames is None or not (self._frame_count == "decode" or beyond or near):
            return info
        with delivery.open_video() as video:
            return replace(info, frame_count=self._count_frames(video))

    def _deliver_model(
        self, delivery: Delivery, model: ModelPredictions, misfit: Bool, task: str, path: str, warnings: list[str]
    ) -> dict[str, int]:
        """Deliver one model's predictions to its task, but for the misfits among its samples; return the counts."""
        names, info = frame_names(path, delivery.info), delivery.info
        kind = self._kind_of(model, task)
        reach = frames_in(self._max_gap, info.fps)
        speaks = kind.speaks(model, info, self._min_confidence)
        sizes = frame_sizes(model, info, misfit)
        if unknown := int((speaks & ~misfit & (sizes.number < 0)).sum()):
            said = count_of(unknown, "inferred frame was", "inferred frames were")
            warnings.append(f"{said} left out: the video has another size there, and the service does not tell which")
        index = delivery.predictions.frame_index
        source = sources(index, speaks & (sizes.number >= 0), info.frame_count, self._fill, reach)
        source = without_doubtful_copies(source, index, sizes)
        counts = Counter({"frames": 0})
        # Looked for first: most often there is nothing yet, and what is written now is not stale.
        stale = self._stale(task, names, source)
        if (source >= 0).any():
            classes = delivery.model_classes.get(model.model, ())
            wanted = self._categories(model, classes, kind)
            schema = ensure_schema(self._store, task, kind.task_type, wanted, classes=classes, fixed=kind.fixed)
            setting = Setting(info, schema.ids, schema.keypoints, self._min_confidence)
            parts = [
                kind.write(only(model, sizes.number == number), replace(setting, info=each))
                for number, each in enumerate(sizes.infos)
            ]
            counts["frames"] = self._write(task, names, source, lambda sample: parts[sizes.number[sample]].of(sample))
            for part in parts:
                counts.update(part.counts)
            warnings += dict.fromkeys(said for part in parts for said in part.warnings)
        counts["not_inferred"] = int((~model.inferred).sum())
        counts["stale_removed"] = self._remove(stale)
        if counts["frames"]:
            list_task(self._store, task)
        return {name: count for name, count in counts.items() if count or name == "frames"}

    def _kind_of(self, model: ModelPredictions, task: str) -> Kind:
        """What the model's task is; where nothing was ever found, what the task has been so far."""
        there = OF_TASK_TYPE.get(task_type_of(self._store, task)) if model.task is TaskType.NONE else None
        return there or KINDS[model.task]

    def _categories(self, model: ModelPredictions, classes: Sequence[str], kind: Kind) -> list[Category]:
        shown = skeletons(model) if model.task is TaskType.KEYPOINT_DETECTION else {}
        named = {**shown, **self._keypoints} if kind.task_type == "keypoint-detection" else {}
        return [Category(name, tuple(named.get(name, ()))) for name in dict.fromkeys((*classes, *model.classes))]

    def _write(self, task: str, names: FrameNames, source: Int64, singletons_of: SingletonsOf) -> int:
        """Write the files of all frames that have a source; of a video that turns out to be wrong, none stays."""
        try:
            return self._store.write_many(_files(task, names, source, singletons_of), content_type="application/json")
        except DeliveryFailed:
            self._remove(self._stale(task, names, np.full_like(source, -1)))
            raise

    def _stale(self, task: str, names: FrameNames, source: Int64) -> list[str]:
        """Keys of files of this video's frames that a delivery does not write."""
        found = ((item.key, names.number(task, item.key)) for item in self._store.list(names.prefix(task)))
        return [key for key, number in found if number and not _is_written(number, names.digits, source)]

    def _remove(self, keys: Sequence[str]) -> int:
        if not keys:
            return 0
        with ThreadPoolExecutor(_REMOVERS) as pool:
            return sum(1 for _ in pool.map(self._store.delete, keys))

    def _task_of(self, model: ModelPredictions, spec: InferenceSpec) -> str:
        """Name the model's task from what was asked, so that every video of a pipeline agrees."""
        able = [ref for ref in spec.models if ref.project != "clip"]
        if len(able) <= 1 or model.model in (able[0].project, str(able[0])):
            return self._task_name
        return task_slug(f"{self._task_name}-{model.model}")


def _files(task: str, names: FrameNames, source: Int64, singletons_of: SingletonsOf) -> Iterator[tuple[str, bytes]]:
    """Encode the file of every frame that has a source, in order."""
    encoder = msgspec.json.Encoder()
    frames = np.flatnonzero(source >= 0)
    said: Sequence[Singleton] = ()
    last = -1
    for frame, sample in zip(frames.tolist(), source[frames].tolist(), strict=True):
        if sample != last:
            last, said = sample, singletons_of(sample)
        name = names.frame(frame)
        yield file_key(task, name), encoder.encode(FrameFile(f"{name}.png", said))


def _is_written(number: str, digits: int, source: Int64) -> bool:
    """Tell whether a frame number, as it is spelled in a name, is one that is written."""
    return len(number) == digits and int(number) < len(source) and bool(source[int(number)] >= 0)
