"""The results route."""

from __future__ import annotations

import errno
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.domain.errors import StorageUnavailable
from tasks.domain.predictions import Predictions
from tasks.domain.video import VideoRef
from tasks.sinks.base import Delivery, Sink
from tasks.sinks.results import ResultsSink
from tasks.storage.base import ConditionsUnknown, Storage
from tests.contracts.deliveries import make_delivery
from tests.contracts.memory_storage import MemoryStorage, contents
from tests.contracts.sinks import SEEN, SinkContract


def write_table(predictions: Predictions, target: Path) -> None:
    """Stands in for the table writer, which is no business of the sinks."""
    target.write_text(f"table of {predictions.frame_index.tolist()}")


def results_sink(store: Storage, limit: int = 50_000_000) -> ResultsSink:
    return ResultsSink(store, write_parquet=write_table, combined_limit=limit)


class TestContract(SinkContract):
    """Keeps every sink's promises."""

    def make_sink(self, store: Storage) -> Sink:
        return results_sink(store)


def delivery_of(folder: Path, name: str, results: bytes) -> Delivery:
    """A delivery whose results file has exactly these bytes."""
    delivery = make_delivery(folder, SEEN, name=name)
    delivery.results_file.write_bytes(results)
    return delivery


def test_the_json_is_kept_byte_for_byte(tmp_path: Path) -> None:
    """What comes out of the .json.gz is what the service sent, spaces and all."""
    store = MemoryStorage()
    sent = b' {"frame_offset": [0,  6],\n"football": [null, {"predictions": []}]}\n'

    receipt = results_sink(store).deliver(delivery_of(tmp_path, "cup/final.mp4", sent))

    assert sent == gzip.decompress(store.read("cup/final.mp4.json.gz"))
    assert ("mem://box/cup/final.mp4.json.gz", "mem://box/cup/final.mp4.parquet") == receipt.outputs


def test_the_compressed_bytes_hold_no_time_and_no_name(tmp_path: Path) -> None:
    """The header of RFC 1952 says: no time (bytes 4 to 7), no file name (flag 8)."""
    store = MemoryStorage()

    results_sink(store).deliver(delivery_of(tmp_path, "a.mp4", b"{}"))

    packed = store.read("a.mp4.json.gz")
    assert (0, bytes(4)) == (packed[3] & 8, packed[4:8])


def test_the_table_is_what_the_writer_wrote(tmp_path: Path) -> None:
    """Predictions reach the injected writer, its file reaches the store."""
    store = MemoryStorage()

    results_sink(store).deliver(make_delivery(tmp_path, SEEN, name="a.mp4"))

    assert b"table of [0, 6, 12, 18, 24]" == store.read("a.mp4.parquet")


@pytest.mark.parametrize(
    ("formats", "expected"),
    [(["json"], ["a.mp4.json.gz", "results.json"]), (["parquet"], ["a.mp4.parquet"])],
)
def test_only_the_formats_asked_for_are_written(tmp_path: Path, formats: list[str], expected: list[str]) -> None:
    """Without ``json`` there is no combined JSON either."""
    store, delivery = MemoryStorage(), make_delivery(tmp_path, SEEN, name="a.mp4")
    sink = ResultsSink(store, write_parquet=write_table, formats=formats)

    sink.deliver(delivery)
    sink.finish([delivery])

    assert expected == sorted(contents(store))


def test_the_combined_file_has_the_guides_shape(tmp_path: Path) -> None:
    """``json.load(...)["video1.mp4"]["model"]`` finds what the service said."""
    store = MemoryStorage()
    delivery = make_delivery(tmp_path, SEEN, name="video1.mp4")

    receipt = results_sink(store).finish([delivery])

    results = json.loads(store.read("results.json"))
    assert json.loads(delivery.results_file.read_bytes()) == results["video1.mp4"]
    assert [0, 6, 12, 18, 24] == results["video1.mp4"]["frame_offset"]
    assert receipt is not None
    assert ("mem://box/results.json",) == receipt.outputs


def test_the_combined_file_keeps_earlier_videos_and_replaces_the_same(tmp_path: Path) -> None:
    """Runs add to it; the order in which they ran does not show."""
    one, other = MemoryStorage(), MemoryStorage()
    a, b, newer_a = (
        delivery_of(tmp_path / n, f"{n[0]}.mp4", n.encode().join([b'"', b'"'])) for n in _folders(tmp_path)
    )
    for deliveries in ([a], [b], [newer_a]):
        results_sink(one).finish(deliveries)
    for deliveries in ([newer_a, b],):
        results_sink(other).finish(deliveries)

    assert {"a.mp4": "a2", "b.mp4": "b1"} == json.loads(one.read("results.json"))
    assert one.read("results.json") == other.read("results.json")


def _folders(tmp_path: Path) -> list[str]:
    names = ["a1", "b1", "a2"]
    for name in names:
        (tmp_path / name).mkdir()
    return names


def test_an_unchanged_combined_file_is_not_written_again(tmp_path: Path) -> None:
    """Delivering the same again leaves even the version as it was."""
    store, delivery = MemoryStorage(), make_delivery(tmp_path, SEEN)
    results_sink(store).finish([delivery])
    before = store.stat("results.json")

    results_sink(store).finish([delivery])

    assert before == store.stat("results.json")


def test_runs_that_finish_together_lose_no_video(tmp_path: Path) -> None:
    """Eight runs end at the same moment; the combined file has all eight videos."""
    store = MemoryStorage()
    deliveries = [make_delivery(tmp_path, SEEN, name=f"{n}.mp4") for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda d: results_sink(store).finish([d]), deliveries))

    assert {f"{n}.mp4" for n in range(8)} == set(json.loads(store.read("results.json")))


def test_somebody_elses_write_in_between_is_merged(tmp_path: Path) -> None:
    """A write between our read and our write is read again, not overwritten."""
    store = MemoryStorage()
    ours, theirs = (make_delivery(tmp_path, SEEN, name=name) for name in ("ours.mp4", "theirs.mp4"))

    def be_faster(key: str) -> None:
        store.before_write = lambda key: None
        results_sink(store).finish([theirs])

    store.before_write = be_faster
    results_sink(store).finish([ours])

    assert {"ours.mp4", "theirs.mp4"} == set(json.loads(store.read("results.json")))


@pytest.mark.parametrize(("there", "new"), [(0, 998), (600, 500), (0, 5000), (5000, 1)])
def test_the_combined_file_does_not_outgrow_its_limit(tmp_path: Path, there: int, new: int) -> None:
    """Beyond the limit it stays as it was, the receipt says so, and the run is not failed."""
    store = MemoryStorage()
    if there:
        results_sink(store).finish([delivery_of(tmp_path, "old.mp4", b'"%s"' % (b"x" * there))])
    before = contents(store)

    receipt = results_sink(store, limit=1000).finish([delivery_of(tmp_path, "new.mp4", b'"%s"' % (b"x" * new))])

    assert before == contents(store)
    assert receipt is not None
    assert () == receipt.outputs
    assert "0.001 MB allowed" in receipt.warnings[0]


def test_the_limit_counts_bytes_of_the_file_that_would_be_written(tmp_path: Path) -> None:
    """One byte under the limit is written, one over is not; names and braces count."""
    size = len(b'{"a.mp4":"xxxxx"}')
    for limit, expected in ((size, {"results.json"}), (size - 1, set())):
        store = MemoryStorage()
        results_sink(store, limit=limit).finish([delivery_of(tmp_path, "a.mp4", b'"xxxxx"')])

        assert expected == set(contents(store))


@pytest.mark.parametrize("there", [b"[1, 2]", b"not JSON", b'{"a": 1', b"\xff"])
def test_a_stranger_in_its_place_is_left_alone(tmp_path: Path, there: bytes) -> None:
    """A ``results.json`` that we did not write is neither overwritten nor a failure."""
    store = MemoryStorage()
    store.write("results.json", there)

    receipt = results_sink(store).finish([make_delivery(tmp_path, SEEN)])

    assert there == store.read("results.json")
    assert receipt is not None
    assert "left alone" in receipt.warnings[0]


def test_what_cannot_be_part_of_json_is_left_out_of_it(tmp_path: Path) -> None:
    """A name of stray bytes or a broken file costs its own entry, not the others."""
    store = MemoryStorage()
    good = make_delivery(tmp_path, SEEN, name="good.mp4")
    stray = replace(good, video=_named(good.video, "stray\udcff.mp4"))
    broken = delivery_of(tmp_path, "broken.mp4", b'{"frame_offset": [')

    receipt = results_sink(store).finish([stray, good, broken])

    assert {"good.mp4"} == set(json.loads(store.read("results.json")))
    assert receipt is not None
    assert 2 == len(receipt.warnings)
    assert "stray\\udcff.mp4" in receipt.warnings[0]


def _named(video: VideoRef, name: str) -> VideoRef:
    return replace(video, name=name)


def test_finishing_a_run_without_deliveries_touches_nothing() -> None:
    """No deliveries, no combined file."""
    store = MemoryStorage()

    assert results_sink(store).finish([]) is None
    assert {} == contents(store)


def test_a_full_local_disk_is_retried_and_leaves_nothing(tmp_path: Path) -> None:
    """Trouble with staging, which is done beside the results, is retryable, and what was staged is gone."""
    delivery = make_delivery(tmp_path, SEEN)
    staged = []

    def fail(predictions: Predictions, target: Path) -> None:
        target.write_text("half")
        staged.append(target)
        raise OSError(errno.ENOSPC, "No space left on device")

    sink = ResultsSink(MemoryStorage(), write_parquet=fail)
    with pytest.raises(StorageUnavailable, match="No space left"):
        sink.deliver(delivery)

    assert delivery.results_file.parent == staged[0].parent.parent
    assert not staged[0].parent.exists()


class WithoutConditions(MemoryStorage):
    """A store that says that it knows no ``if_match``."""

    def write(
        self, key: str, data: bytes, *, content_type: str = "application/octet-stream", if_match: str | None = None
    ) -> str:
        if if_match is not None:
            raise ConditionsUnknown("cannot write: the store knows no conditional writes")
        return super().write(key, data, content_type=content_type)


def test_without_conditional_writes_each_video_has_its_results(tmp_path: Path) -> None:
    """Only the file that runs share is missing, and the receipt says so."""
    store, delivery = WithoutConditions(), make_delivery(tmp_path, SEEN)
    sink = results_sink(store)
    sink.deliver(delivery)
    receipt = sink.finish([delivery])
    assert receipt is not None
    assert () == receipt.outputs
    assert ["results.json was not written"] == [warning.partition(":")[0] for warning in receipt.warnings]
    assert {"cup/final.mp4.json.gz", "cup/final.mp4.parquet"} == set(contents(store))
