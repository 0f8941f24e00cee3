"""The labelbox route without upload: NDJSON that can be imported into a model run or a project by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from tasks.sinks.base import Delivery, Receipt
from tasks.sinks.labelbox.lines import Line
from tasks.sinks.labelbox.ndjson import annotate, features_of
from tasks.sinks.labelbox.ontology_file import ONTOLOGY, completed
from tasks.sinks.labelbox.style import Style
from tasks.sinks.staging import staging
from tasks.sinks.swap import swap
from tasks.storage.base import Storage


class LabelboxFileSink:
    """Writes ``<name>.ndjson`` per video, and ``ontology.json`` with all features that the lines may name.

    The data row is named by its global key, which is the video's URI as far as Labelbox allows.

    Args:
        store: Bound to the folder or prefix that the files go to.
        style: How predictions become annotations.
    """

    def __init__(self, store: Storage, style: Style) -> None:
        self._store = store
        self._style = style

    def deliver(self, delivery: Delivery) -> Receipt:
        """Write one video's file; an empty one where nothing was found, and so nothing to upload.

        Raises:
            DeliveryFailed: Labelbox would not take the video, the predictions do not fit it, or they
                cannot become what the style asks for.
        """
        annotations = annotate(delivery, self._style)
        key = f"{delivery.video.name}.ndjson"
        with staging(delivery.results_file.parent, "annotations") as folder:
            target = folder / "lines.ndjson"
            write_lines(annotations.lines, target)
            self._store.upload(key, target, content_type="application/x-ndjson")
        return Receipt(
            outputs=(self._store.root + key,), counts=annotations.counts, warnings=tuple(annotations.warnings)
        )

    def finish(self, delivered: Sequence[Delivery]) -> Receipt | None:
        """Add to ``ontology.json`` what the delivered videos' lines may name, and take nothing away."""
        features = [feature for delivery in delivered for feature in features_of(delivery, self._style)]
        if not features:
            return None
        swap(self._store, ONTOLOGY, lambda document: completed(document, features), content_type="application/json")
        return Receipt(outputs=(self._store.root + ONTOLOGY,), counts={})


def write_lines(lines: Iterable[Line], target: Path) -> None:
    """Write NDJSON to a local file, a line at a time."""
    encode = msgspec.json.Encoder().encode_into
    with target.open("wb") as file:
        buffer = bytearray()
        for line in lines:
            encode(line, buffer)
            buffer += b"\n"
            file.write(buffer)
