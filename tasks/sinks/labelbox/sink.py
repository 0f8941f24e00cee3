"""The labelbox-file route: NDJSON that can be uploaded to a model run or a project by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec

from tasks.sinks.base import Delivery, Receipt
from tasks.sinks.labelbox.ndjson import Style, annotate
from tasks.storage.base import Storage


class LabelboxFileSink:
    """Writes ``<name>.ndjson`` per video, in the format of Labelbox' video predictions.

    The data row is named by its global key, which is the video's URI as far as Labelbox allows.

    Args:
        store: Bound to the folder or prefix that the files go to.
        min_confidence: Detections under it are left out.
        max_gap: An object that is looked for and missed for longer gets a new segment.
        keyframe_tolerance: Pixels by which an interpolated edge may be off.
        classes: Class name -> feature name in the ontology; others keep their name.
    """

    def __init__(
        self,
        store: Storage,
        *,
        min_confidence: float | None = None,
        max_gap: timedelta = timedelta(seconds=1),
        keyframe_tolerance: float = 2.0,
        classes: Mapping[str, str] | None = None,
    ) -> None:
        self._store = store
        self._style = Style(min_confidence, max_gap, keyframe_tolerance, classes or {})

    def deliver(self, delivery: Delivery) -> Receipt:
        """Write one video's file; an empty one where nothing was found, and so nothing to upload.

        Raises:
            DeliveryFailed: No model predicts boxes, or the predictions do not fit the video.
        """
        annotations = annotate(delivery, self._style)
        key = f"{delivery.video.name}.ndjson"
        self._store.write(
            key, msgspec.json.Encoder().encode_lines(annotations.lines), content_type="application/x-ndjson"
        )
        return Receipt(
            outputs=(self._store.root + key,), counts=annotations.counts, warnings=tuple(annotations.warnings)
        )

    def finish(self, delivered: Sequence[Delivery]) -> Receipt | None:
        """Nothing spans videos here."""
