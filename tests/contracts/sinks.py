"""What every sink promises, whatever it writes. A sink's own tests inherit ``SinkContract``."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from tasks.domain.errors import StorageUnavailable
from tasks.sinks.base import Delivery, Sink
from tasks.storage.base import Storage
from tasks.storage.local import LocalStorage
from tests.contracts.deliveries import Box, Frames, make_delivery
from tests.contracts.memory_storage import FailingStorage, MemoryStorage, contents

SEEN: Frames = [
    [Box(320, 180, 40, 80, track=1), Box(100, 50, 10, 10, "ball", 0.9, track=2)],
    [Box(330, 181, 40, 80, track=1)],
    None,
    [],
    [Box(350, 186, 40, 80, track=1), Box(600, 300, 12, 10, "ball", 0.7, track=3)],
]
# The same video as it was inferred earlier, on other frames.
SEEN_BEFORE: Frames = [[Box(300 + i, 180, 40, 80, track=1), Box(9, 9, 4, 4, "ball", track=2)] for i in range(13)]

ODD_NAMES = [
    "with space/and more.mp4",
    "100%25 #1?&=+.mp4",
    "line\nbreak.mp4",
    unicodedata.normalize("NFC", "café.mp4"),
    unicodedata.normalize("NFD", "café.mp4"),
    "日本/🎥.mp4",
    "..dots.v2.final..mp4",
    "quo'te\"d, (b)[r]{a}.mp4",
    "back\\slash.mp4",
    "SHOUTED.MP4",
    "-.mp4",
]


class SinkContract:
    """Promises 5 and 7 of a route: one copy, repaired after a crash, any name."""

    def make_sink(self, store: Storage) -> Sink:
        """Build the sink under test on a store."""
        raise NotImplementedError

    def make_delivery(self, folder: Path, frames: Frames, *, name: str = "cup/final.mp4", every: int = 6) -> Delivery:
        """Build a delivery; a sink that needs more than predictions overrides this."""
        return make_delivery(folder, frames, name=name, every=every)

    @pytest.fixture(params=["memory", "folder"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
        """An empty store of each kind that needs no emulator."""
        return MemoryStorage() if request.param == "memory" else LocalStorage(tmp_path / "out", create=True)

    def test_a_delivery_says_where_it_went(self, store: Storage, tmp_path: Path) -> None:
        """A receipt names places below the store's root, and something is there."""
        receipt = self.make_sink(store).deliver(self.make_delivery(tmp_path, SEEN))

        assert receipt.outputs
        keys = list(contents(store))
        for uri in receipt.outputs:
            assert any((store.root + key).startswith(uri) for key in keys)

    def test_delivering_twice_leaves_one_copy(self, store: Storage, tmp_path: Path) -> None:
        """A second delivery, by another process, changes no byte."""
        delivery = self.make_delivery(tmp_path, SEEN)
        for expected in (None, "same"):
            sink = self.make_sink(store)
            sink.deliver(delivery)
            sink.finish([delivery])
            if expected is None:
                first = contents(store)

        assert first == contents(store)

    def test_a_newer_delivery_replaces_an_older_one(self, store: Storage, tmp_path: Path) -> None:
        """Nothing of an earlier inference of the video stays behind."""
        clean = MemoryStorage()
        self.make_sink(clean).deliver(self.make_delivery(tmp_path, SEEN))

        self.make_sink(store).deliver(self.make_delivery(tmp_path, SEEN_BEFORE, every=5))
        self.make_sink(store).deliver(self.make_delivery(tmp_path, SEEN))

        assert contents(clean) == contents(store)

    def test_a_crash_anywhere_is_repaired_by_the_next_delivery(self, tmp_path: Path) -> None:
        """However many changes went through before the crash, the next delivery makes it whole."""
        delivery = self.make_delivery(tmp_path, SEEN)
        clean = MemoryStorage()
        self.make_sink(clean).deliver(delivery)
        for changes in range(100):
            store = MemoryStorage()
            self.make_sink(store).deliver(self.make_delivery(tmp_path, SEEN_BEFORE, every=5))
            failing = FailingStorage(store, changes)
            try:
                self.make_sink(failing).deliver(delivery)
            except StorageUnavailable:
                assert not failing.survived

            self.make_sink(store).deliver(delivery)

            assert contents(clean) == contents(store)
            if failing.survived:
                break
        else:
            pytest.fail("a delivery of five frames makes a hundred changes")
        assert changes > 0

    @pytest.mark.parametrize("frames", [[], [[]], [[], [], []], [None, None], [None, []]], ids=repr)
    def test_a_video_with_nothing_in_it_is_delivered(self, store: Storage, tmp_path: Path, frames: Frames) -> None:
        """No predictions, and no frames, are no failure."""
        delivery = self.make_delivery(tmp_path, frames)
        for _ in range(2):
            sink = self.make_sink(store)
            assert not sink.deliver(delivery).warnings
            sink.finish([delivery])

    @pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
    def test_odd_names_come_through(self, store: Storage, tmp_path: Path, name: str) -> None:
        """A name is used verbatim: never normalised, encoded or stripped."""
        delivery = self.make_delivery(tmp_path, SEEN, name=name)

        sink = self.make_sink(store)
        receipt = sink.deliver(delivery)
        sink.finish([delivery])

        assert not receipt.warnings
        stem = name.rpartition(".")[0]
        assert any(stem in key for key in contents(store))

    def test_videos_of_similar_names_do_not_touch_each_other(self, store: Storage, tmp_path: Path) -> None:
        """Delivering one video again changes no file of those whose names begin alike."""
        names = ["a.mp4", "a-1.mp4", "a-1-2.mp4", "a-1-mp4.mp4", "a.mov", "a.mp4.mp4", "sub/a.mp4", "A.mp4", "a.MP4"]
        names += [unicodedata.normalize(form, "é.mp4") for form in ("NFC", "NFD")]
        for name in names:
            self.make_sink(store).deliver(self.make_delivery(tmp_path, SEEN, name=name))
        before = contents(store)
        for name in names:
            self.make_sink(store).deliver(self.make_delivery(tmp_path, SEEN_BEFORE, name=name, every=5))
            self.make_sink(store).deliver(self.make_delivery(tmp_path, SEEN, name=name))

            assert before == contents(store)
