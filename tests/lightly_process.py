"""A delivery in a process of its own, to be killed: ``python -m tests.lightly_process DATASOURCE FRAMES EVERY``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tasks.sinks.base import Delivery
from tasks.sinks.lightly.sink import LightlySink
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.contracts.deliveries import Box, make_delivery, video_info


def delivery_of(folder: Path, frames: int, every: int) -> Delivery:
    """A video of ``frames`` frames whose every ``every``-th was inferred, each with a box of its own."""
    info = video_info(frame_count=frames)
    boxes = [[Box(50 + sample % 500, 180, 40, 80)] for sample in range((frames - 1) // every + 1)]
    return make_delivery(folder, boxes, every=every, info=info)


def deliver(uri: str, frames: int, every: int) -> None:
    """Deliver it to task ``players`` of a datasource."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_storage(uri, StorageOptions(create=True))
        LightlySink(store, task_name="players").deliver(delivery_of(Path(folder), frames, every))


if __name__ == "__main__":
    deliver(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
