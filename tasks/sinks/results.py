"""The results route: what the service said, kept as it came, and as a table.

    <name>.json.gz     the service's JSON, byte for byte, compressed
    <name>.parquet     the same as a table: a row for each detection, label or frame without any
    results.json       {"<name>": results, ...} for everything together, while it stays small; not in
                       stores that refuse conditional writes

``<name>`` is the video's name with its suffix, so ``a.mp4`` and ``a.avi`` do not meet.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tasks.domain.errors import ObjectMissing
from tasks.domain.predictions import Predictions
from tasks.sinks.base import Delivery, Receipt
from tasks.sinks.staging import staging
from tasks.sinks.swap import swap
from tasks.storage.base import ConditionsUnknown, Storage

COMBINED = "results.json"
_Combined = dict[str, msgspec.Raw]


class ResultsSink:
    """Keeps each video's results, and one ``results.json`` of them all.

    Args:
        store: Bound to the folder or prefix that the results go to.
        write_parquet: Writes predictions as a table to a path; the same predictions must give
            the same bytes.
        formats: Which of ``json`` and ``parquet`` to keep; ``results.json`` needs ``json``.
        combined_limit: ``results.json`` is not let grow beyond this many bytes.
    """

    def __init__(
        self,
        store: Storage,
        *,
        write_parquet: Callable[[Predictions, Path], None],
        formats: Sequence[str] = ("json", "parquet"),
        combined_limit: int = 50_000_000,
    ) -> None:
        self._store = store
        self._write_parquet = write_parquet
        self._formats = frozenset(formats)
        self._combined_limit = combined_limit

    def deliver(self, delivery: Delivery) -> Receipt:
        """Store one video's results in each format; nothing is held whole in memory."""
        outputs = []
        with staging(delivery.results_file.parent, "results") as folder:
            if "json" in self._formats:
                packed = folder / "results.json.gz"
                _compress(delivery.results_file, packed)
                outputs.append(self._upload(f"{delivery.video.name}.json.gz", packed, "application/gzip"))
            if "parquet" in self._formats:
                table = folder / "results.parquet"
                self._write_parquet(delivery.predictions, table)
                outputs.append(self._upload(f"{delivery.video.name}.parquet", table, "application/vnd.apache.parquet"))
        return Receipt(outputs=tuple(outputs), counts={"frames": len(delivery.predictions)})

    def finish(self, delivered: Sequence[Delivery]) -> Receipt | None:
        """Merge the run's results into ``results.json``, unless that would make it too large.

        Videos of earlier runs stay in it; a video that was delivered again is replaced. Reads
        each delivery's ``results_file``.
        """
        if "json" not in self._formats or not delivered:
            return None
        size = max(sum(d.results_file.stat().st_size for d in delivered), self._size_there())
        if size > self._combined_limit:
            return Receipt(outputs=(), warnings=(self._too_large(size),))
        added: _Combined = {}
        warnings = []
        for delivery in delivered:
            raw = _embeddable(delivery)
            if raw is None:
                warnings.append(
                    f"{delivery.video} is not in {COMBINED}: its name or its results are not plain JSON text"
                )
            else:
                added[delivery.video.name] = raw
        try:
            refusal = self._merge(added)
        except ConditionsUnknown as error:
            refusal = [f"{COMBINED} was not written: {error.message}; read the .json.gz of each video instead"]
        outputs = () if refusal else (f"{self._store.root}{COMBINED}",)
        return Receipt(outputs=outputs, counts={"videos": len(added)}, warnings=(*warnings, *refusal))

    def _merge(self, added: _Combined) -> list[str]:
        """Add results to the combined file by compare-and-swap; return why not, if not."""
        refusal: list[str] = []

        def change(there: bytes | None) -> bytes | None:
            refusal.clear()
            try:
                combined = msgspec.json.decode(there, type=_Combined) if there else {}
            except msgspec.DecodeError:
                refusal.append(f"{COMBINED} was left alone: what is there is no combined results; move it away")
                return None
            merged = msgspec.json.encode(dict(sorted({**combined, **added}.items())))
            if len(merged) > self._combined_limit:
                refusal.append(self._too_large(len(merged)))
                return None
            return None if merged == there else merged

        swap(self._store, COMBINED, change, content_type="application/json")
        return refusal

    def _upload(self, key: str, source: Path, content_type: str) -> str:
        """Upload and return the URI."""
        self._store.upload(key, source, content_type=content_type)
        return self._store.root + key

    def _size_there(self) -> int:
        """Size of the combined file as it is, 0 if there is none."""
        try:
            return self._store.stat(COMBINED).size
        except ObjectMissing:
            return 0

    def _too_large(self, size: int) -> str:
        limit = self._combined_limit / 1e6
        return (
            f"{COMBINED} was left as it was: with this run it would be at least {size / 1e6:.3g} MB, "
            f"of {limit:.3g} MB allowed; read the .json.gz of each video instead"
        )


def _compress(source: Path, target: Path) -> None:
    """Gzip a file, streaming; the same bytes in give the same bytes out (no time, no name)."""
    with (
        source.open("rb") as plain,
        target.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed,
    ):
        shutil.copyfileobj(plain, packed, 1 << 20)


def _embeddable(delivery: Delivery) -> msgspec.Raw | None:
    """Return the results as a JSON value, or None if they or the name cannot be part of a JSON text."""
    try:
        delivery.video.name.encode()
        return msgspec.json.decode(delivery.results_file.read_bytes(), type=msgspec.Raw)
    except (UnicodeEncodeError, msgspec.DecodeError):
        return None
