"""The lightly route's sink: order of writing, and repair of what an earlier delivery left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import msgspec
import numpy as np

from tasks.domain.job import InferenceSpec
from tasks.domain.predictions import Int64, ModelPredictions
from tasks.sinks.base import Delivery, Receipt
from tasks.sinks.checks import choose_models, require_frames
from tasks.sinks.geometry import orientation_warning
from tasks.sinks.lightly.frames import Fill, frames_in, sources
from tasks.sinks.lightly.names import (
    PREDICTIONS,
    READABLE_SUFFIXES,
    FrameNames,
    frame_names,
    path_in_input,
    task_slug,
)
from tasks.sinks.lightly.schema import ensure_schema, list_task
from tasks.sinks.lightly.singletons import KINDS, Detection, Singletons
from tasks.storage.base import Storage


class _FrameFile(msgspec.Struct, frozen=True, gc=False):
    """What stands in one frame's file."""

    file_name: str
    predictions: list[Detection]


class LightlySink:
    """Writes a file per frame into ``.lightly/predictions`` of a LightlyOne datasource.

    The main model's task is ``task_name``; another model of the job gets
    ``<task_name>-<model>``. A frame that was looked at and is empty gets a file without
    predictions; a frame that was not looked at gets none.

    Args:
        datasource: Bound to the root of the Lightly datasource.
        task_name: Brought into the letters that LightlyOne allows.
        input_root: URI of the root of the *input* datasource, with its trailing slash; frames
            are named by the video's path below it. By default that path is the video's name.
        fill: What frames between the inferred ones get: nothing, the ``nearest`` inferred
            frame's predictions, or the last one's (``hold``). Copies count as predictions in
            LightlyOne's statistics.
        max_hold: How far, in video time, predictions are copied at most.
        min_confidence: Detections under it are left out.
    """

    def __init__(
        self,
        datasource: Storage,
        *,
        task_name: str,
        input_root: str = "",
        fill: Fill = "none",
        max_hold: timedelta = timedelta(seconds=1),
        min_confidence: float | None = None,
    ) -> None:
        self._store = datasource
        self._task_name = task_slug(task_name)
        self._input_root = input_root
        self._fill = fill
        self._max_hold = max_hold
        self._min_confidence = min_confidence

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
        require_frames(delivery.predictions, delivery.info)
        models, warnings = choose_models(delivery.predictions, KINDS, "LightlyOne")
        if turned := orientation_warning(delivery.info):
            warnings.append(turned)
        outputs, counts = [], {"video_frames": delivery.info.frame_count}
        for model in models:
            task = self._task_of(model, delivery.spec)
            for name, count in self._deliver_model(delivery, model, task, path).items():
                counts[name] = counts.get(name, 0) + count
            outputs.append(f"{self._store.root}{PREDICTIONS}{task}/")
        return Receipt(outputs=tuple(outputs), counts=counts, warnings=tuple(warnings))

    def finish(self, delivered: Sequence[Delivery]) -> Receipt | None:
        """Nothing spans videos here: each delivery lists its task itself."""

    def _deliver_model(self, delivery: Delivery, model: ModelPredictions, task: str, path: str) -> dict[str, int]:
        """Deliver one model's predictions to its task; return the counts."""
        predictions, info = delivery.predictions, delivery.info
        names = frame_names(path, info)
        reach = frames_in(self._max_hold, info.fps)
        source = sources(predictions.frame_index, model.inferred, info.frame_count, self._fill, reach)
        task_type, singletons_of = KINDS[model.task]
        classes = (*delivery.model_classes.get(model.model, ()), *model.classes)
        written = 0
        counts = {}
        if (source >= 0).any():
            ids = ensure_schema(self._store, task, task_type, classes)
            singletons = singletons_of(model, info, ids, self._min_confidence)
            written = self._store.write_many(_files(task, names, source, singletons), content_type="application/json")
            counts = singletons.counts
        stale = self._remove_stale(task, names, source)
        if written:
            list_task(self._store, task)
        not_inferred = int((~model.inferred).sum())
        extra = {"not_inferred": not_inferred, "stale_removed": stale}
        return {"frames": written, **counts, **{name: count for name, count in extra.items() if count}}

    def _remove_stale(self, task: str, names: FrameNames, source: Int64) -> int:
        """Delete files of this video's frames that this delivery did not write; return how many."""
        stale = []
        for item in self._store.list(names.prefix(task)):
            number = names.number(task, item.key)
            if number is not None and not _is_written(number, names.digits, source):
                stale.append(item.key)
        for key in stale:
            self._store.delete(key)
        return len(stale)

    def _task_of(self, model: ModelPredictions, spec: InferenceSpec) -> str:
        """Name the model's task from what was asked, so that every video of a pipeline agrees."""
        able = [ref for ref in spec.models if ref.project != "clip"]
        if len(able) <= 1 or model.model in (able[0].project, str(able[0])):
            return self._task_name
        return task_slug(f"{self._task_name}-{model.model}")


def _files(task: str, names: FrameNames, source: Int64, singletons: Singletons) -> Iterator[tuple[str, bytes]]:
    """Encode the file of every frame that has a source, in order."""
    encoder = msgspec.json.Encoder()
    frames = np.flatnonzero(source >= 0)
    last, detections = -1, list[Detection]()
    for frame, sample in zip(frames.tolist(), source[frames].tolist(), strict=True):
        if sample != last:
            last, detections = sample, singletons.of(sample)
        yield names.key(task, frame), encoder.encode(_FrameFile(f"{names.frame(frame)}.png", detections))


def _is_written(number: str, digits: int, source: Int64) -> bool:
    """Tell whether a frame number, as it is spelled in a name, is one that was just written."""
    return len(number) == digits and int(number) < len(source) and bool(source[int(number)] >= 0)
