"""A table of odd videos: what each route says of which frame, when and where, against the number that the frame shows.

``pytest -s`` prints it: frames that were compared, and the worst error in seconds and in pixels of the film.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from tasks.domain.job import InferenceSpec, ModelRef
from tasks.domain.predictions import Predictions
from tasks.domain.video import VideoRef
from tasks.engine.detectors import load_detector
from tasks.engine.probe import probe
from tasks.engine.run import infer_video
from tasks.plan import sampled_frames_of
from tasks.predictions.interpolate import Interpolator
from tasks.predictions.parse import parse_results
from tasks.predictions.tables import write_parquet
from tasks.predictions.track import assign_tracks
from tasks.sinks.base import Delivery, Sink
from tasks.sinks.labelbox.sink import LabelboxFileSink
from tasks.sinks.labelbox.style import Style
from tasks.sinks.lightly.sink import LightlySink
from tasks.sinks.results import ResultsSink
from tasks.sinks.video import VideoSink
from tests.clips import Image
from tests.contracts.memory_storage import MemoryStorage
from tests.odd_clips import FILM, oriented, place, resized, variable

CASES = FILM.parent
FPS = 5
_BLUE = 12  # of the colours of tracks
_CLUSTER = b"\x1f\x43\xb6\x75"
# How coded pictures are brought upright, by their display matrix; places are parts of width and height.
ORIENTATIONS: dict[str, tuple[tuple[int, int, int, int], Callable[[float, float], tuple[float, float]]]] = {
    "turned 90": ((0, -1, 1, 0), lambda x, y: (y, 1 - x)),
    "turned 180": ((-1, 0, 0, -1), lambda x, y: (1 - x, 1 - y)),
    "turned 270": ((0, 1, -1, 0), lambda x, y: (1 - y, x)),
    "mirrored, turned 90": ((0, -1, -1, 0), lambda x, y: (1 - y, 1 - x)),
    "mirrored, turned 180": ((1, 0, 0, -1), lambda x, y: (x, 1 - y)),
    "mirrored, turned 270": ((0, 1, 1, 0), lambda x, y: (y, x)),
}


@dataclass(frozen=True)
class Case:
    """A clip and the truth about it.

    Attributes:
        path: Where it is.
        times: When each frame is shown, in seconds.
        first: Which frame of the film the first one is; the film's square begins a new row at its frame 60.
        upright: A place in the coded picture -> in the upright one.
        sizes: Coded size of each frame.
        loose: Seconds by which the clock of the clip may be off.
    """

    path: Path
    times: list[float]
    first: int = 0
    upright: Callable[[float, float], tuple[float, float]] = lambda x, y: (x, y)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    loose: float = 1e-3

    def size(self, frame: int) -> tuple[int, int]:
        return self.sizes[frame] if self.sizes else (320, 240)

    def fits(self, frame: int) -> bool:
        (width, height), (first_width, first_height) = self.size(frame), self.size(0)
        return width * first_height == height * first_width

    def coded(self, frame: int) -> tuple[float, float] | None:
        """Where the square is; None where it is in a new row."""
        number = frame + self.first
        return place(number) if number < 60 else None


def steady(path: Path, frames: int = 60, fps: int = 25, **facts: object) -> Case:
    return Case(path, [index / fps for index in range(frames)], **facts)  # type: ignore[arg-type]


def of_sizes(folder: Path, name: str, *sizes: tuple[int, int], codec: str = "libvpx", muxer: str | None = None) -> Case:
    path = resized(folder / name, *sizes, codec=codec, muxer=muxer)
    return steady(path, 12 * len(sizes), sizes=[size for size in sizes for _ in range(12)])


def variable_case(folder: Path) -> Case:
    path, times = variable(folder / "variable.mp4")
    return Case(path, times)


def cut_recording(path: Path) -> Case:
    """A browser's recording of two seconds: the first two clusters (Matroska, RFC 9559) of a longer one."""
    first, *clusters = (CASES / "mediarecorder_30fps.webm").read_bytes().split(_CLUSTER)
    path.write_bytes(_CLUSTER.join([first, *clusters[:2]]))
    return steady(path, 61, 30, loose=0.06)


QVGA, HALF, VGA, TALL = (320, 240), (160, 120), (640, 480), (240, 320)
MAKERS: dict[str, Callable[[Path], Case]] = {
    "no default rate": lambda folder: cut_recording(folder / "recording.webm"),
    "variable rate": variable_case,
    "zero matrix": lambda _: steady(CASES / "mp4box_zero_matrix.mp4"),
    "mirrored": lambda _: steady(CASES / "mirrored_matrix.mp4", upright=lambda x, y: (1 - x, y)),
    "open GOP": lambda _: steady(CASES / "hevc_opengop_cut_102_98.mp4", 98, first=25),
    "thumbnail first": lambda _: steady(CASES / "thumb_track_first.mov"),
    "last delta huge": lambda _: steady(CASES / "last_delta_huge.mp4"),
    "grows": lambda folder: of_sizes(folder, "grows.webm", QVGA, VGA),
    "shrinks": lambda folder: of_sizes(folder, "shrinks.webm", VGA, HALF, codec="libvpx-vp9"),
    "several sizes": lambda folder: of_sizes(
        folder, "several.mpg", QVGA, VGA, HALF, QVGA, codec="libx264", muxer="mpegts"
    ),
    "turns": lambda folder: of_sizes(folder, "turns.webm", QVGA, TALL),
    "turns and back": lambda folder: of_sizes(folder, "back.webm", QVGA, TALL, VGA, TALL, QVGA),
    **{
        name: lambda folder, matrix=matrix, upright=upright: steady(  # type: ignore[misc]
            oriented(folder / "oriented.mp4", matrix), upright=upright
        )
        for name, (matrix, upright) in ORIENTATIONS.items()
    },
}


class Said(NamedTuple):
    """What a route says of one frame: when it is shown, and the middle of the object as part of width and height."""

    frame: int
    time_s: float | None
    place: tuple[float, float]


def delivery_of(case: Case, folder: Path) -> Delivery:
    """Probe and infer a clip as a run does, up to the routes."""
    target = folder / "results.json"
    with case.path.open("rb") as file:
        info = probe(file)
        detector = load_detector(CASES / "finds_the_red_square.onnx")
        infer_video(file, {"square": detector}, fps=FPS, confidence=0.4, target=target)
    name, now = case.path.name, datetime(2026, 5, 1, tzinfo=UTC)
    return Delivery(
        video=VideoRef(uri=f"file:///films/{name}", version="1", size=1000, modified=now, name=name),
        info=info,
        job_key="a" * 32,
        spec=InferenceSpec(backend="local", models=(ModelRef("square", "1"),), fps=FPS),
        model_classes={},
        predictions=assign_tracks(parse_results(target)),
        results_file=target,
        open_video=lambda: case.path.open("rb"),
    )


def delivered(sink: Callable[[MemoryStorage], Sink], delivery: Delivery) -> tuple[MemoryStorage, tuple[str, ...]]:
    store = MemoryStorage()
    return store, sink(store).deliver(delivery).warnings


def by_results(case: Case, delivery: Delivery) -> list[Said]:
    """The JSON, and the table that has to say the same; each box in pixels of its own frame, all of one track."""
    store, warnings = delivered(lambda store: ResultsSink(store, write_parquet=write_parquet), delivery)
    name = delivery.video.name
    results = json.loads(gzip.decompress(store.read(f"{name}.json.gz")))
    table = pq.read_table(io.BytesIO(store.read(f"{name}.parquet"))).to_pylist()
    said = []
    for frame, seconds, element in zip(results["frame_offset"], results["time_offset"], results["square"], strict=True):
        width, height = element["image"]["width"], element["image"]["height"]
        own = case.size(frame)
        assert (width, height) == (own[::-1] if delivery.info.rotation % 180 else own)
        said += [Said(frame, seconds, (box["x"] / width, box["y"] / height)) for box in element["predictions"]]
    assert () == warnings
    rows = [(row["frame"], row["x"] / row["image_width"], row["y"] / row["image_height"]) for row in table]
    np.testing.assert_allclose(rows, [(each.frame, *each.place) for each in said], atol=1e-6)
    seen = {row["track"] for row in table if case.coded(row["frame"])}
    assert 1 == len(seen)
    return said


def by_labelbox(case: Case, delivery: Delivery) -> list[Said]:
    """Keyframes, and straight lines between them on frames that were inferred; pixels of the first picture, upright."""
    store, warnings = delivered(lambda store: LabelboxFileSink(store, Style(keyframe_tolerance=0)), delivery)
    require_told(case, delivery, warnings)
    said = []
    width, height = delivery.info.display_size
    objects = [json.loads(line) for line in store.read(f"{delivery.video.name}.ndjson").splitlines()]
    assert 1 == sum(case.coded(line["segments"][0]["keyframes"][0]["frame"] - 1) is not None for line in objects)
    for segment in (segment for line in objects for segment in line["segments"]):
        frames, boxes = zip(*((key["frame"] - 1, key["bbox"]) for key in segment["keyframes"]), strict=True)
        x = [(box["left"] + box["width"] / 2) / width for box in boxes]
        y = [(box["top"] + box["height"] / 2) / height for box in boxes]
        said += [
            Said(frame, None, (float(np.interp(frame, frames, x)), float(np.interp(frame, frames, y))))
            for frame in delivery.predictions.frame_index.tolist()
            if frames[0] <= frame <= frames[-1]
        ]
    return sorted(said)


def by_lightly(case: Case, delivery: Delivery) -> list[Said]:
    """A file per frame, numbered by what decodes; pixels of that frame as it is coded."""
    store, warnings = delivered(lambda store: LightlySink(store, task_name="square"), delivery)
    require_told(case, delivery, warnings)
    said = []
    stem, _, suffix = delivery.video.name.rpartition(".")
    digits = len(str(len(case.times)))
    for frame in delivery.predictions.frame_index.tolist():
        key = f".lightly/predictions/square/{stem}-{frame:0{digits}}-{suffix}.json"
        if not case.fits(frame):
            assert not list(store.list(key))
            continue
        width, height = case.size(frame)
        for found in json.loads(store.read(key))["predictions"]:
            x, y, wide, high = found["bbox"]
            assert wide == pytest.approx(width / 20, abs=2)
            assert high == pytest.approx(height / 15, abs=2)
            said.append(Said(frame, None, case.upright((x + wide / 2) / width, (y + high / 2) / height)))
    return said


def by_copy(case: Case, delivery: Delivery) -> list[Said]:
    """Every frame of the copy: its time, and the box that is drawn around the square."""
    blue = replace(delivery, predictions=tracks_from(delivery.predictions, _BLUE))
    store, warnings = delivered(lambda store: VideoSink(store, interpolate=Interpolator), blue)
    require_told(case, delivery, warnings)
    name = delivery.video.name
    key = name if name.endswith(".mp4") else f"{name}.mp4"
    said = []
    size = delivery.info.display_size
    with av.open(io.BytesIO(store.read(key))) as container:
        for index, frame in enumerate(container.decode(video=0)):
            assert size == (frame.width, frame.height)
            picture = frame.to_ndarray(format="rgb24")
            seconds = float(frame.pts * frame.time_base)
            assert seconds == pytest.approx(case.times[index], abs=case.loose)
            if (coded := case.coded(index)) is None:
                continue
            middle = case.upright(*coded)
            if not case.fits(index):
                assert barred(picture)
            elif drawn := drawn_around(picture, middle):
                said.append(Said(index, seconds, drawn))
    assert len(case.times) == index + 1
    return said


def tracks_from(predictions: Predictions, first: int) -> Predictions:
    """The same with other numbers: a track's number is its colour."""
    (model,) = predictions.models
    objects = replace(model.objects, track=model.objects.track - 1 + first)
    return replace(predictions, models=(replace(model, objects=objects),))


def barred(picture: Image) -> bool:
    """Whether a picture has black bars left and right."""
    return bool((picture[:, [2, -3]] < 30).all())


def drawn_around(picture: Image, middle: tuple[float, float]) -> tuple[float, float] | None:
    """Middle of the blue box around a place, by the inner edges of its lines; None if there is none."""
    height, width = picture.shape[:2]
    x, y = int(middle[0] * width), int(middle[1] * height)
    red, _, blue = np.moveaxis(picture.astype(int), 2, 0)
    is_blue = (blue > red + 60).astype(int)
    assert red[y, x] > blue[y, x] + 60 or is_blue[y, x]  # the square itself, or the label over it
    inner = [_inner(line, at) for line, at in ((is_blue[y], x), (is_blue[:, x], y))]
    return None if None in inner else (inner[0] / width, inner[1] / height)


def _inner(line: NDArray[np.int64], at: int) -> float | None:
    """Middle of the stretch around a pixel that has no line in it, between two lines."""
    before, after = np.flatnonzero(line[:at]), np.flatnonzero(line[at:])
    return (int(before[-1]) + at + int(after[0]) + 1) / 2 if len(before) and len(after) else None


def require_told(case: Case, delivery: Delivery, warnings: tuple[str, ...]) -> None:
    """Frames of another shape are left out, and no route is silent about them."""
    misfits = [frame for frame in delivery.predictions.frame_index.tolist() if not case.fits(frame)]
    told = [warning for warning in warnings if "another shape" in warning]
    assert len(told) == bool(misfits)
    if misfits:
        assert told[0].startswith(f"{len(misfits)} inferred frames were left out")


ROUTES: dict[str, Callable[[Case, Delivery], list[Said]]] = {
    "results": by_results,
    "labelbox": by_labelbox,
    "lightly": by_lightly,
    "video": by_copy,
}


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    """Lines of the table, printed when all cases are through."""
    lines = [f"{'case':22}{'route':10}{'frames':>7}{'s off':>9}{'px off':>8}"]
    yield lines
    print("", *lines, sep="\n")


def expected_frames(route: str, case: Case, sampled: list[int]) -> list[int]:
    """Frames of which a route has to say where the square is."""
    if route == "results":
        return [frame for frame in sampled if case.coded(frame)]
    frames = sampled
    if route == "video":  # all of them, up to half a step behind the last sample
        frames = list(range(min(len(case.times), sampled[-1] + (sampled[1] - sampled[0]) // 2 + 1)))
    return [frame for frame in frames if case.coded(frame) and case.fits(frame)]


@pytest.mark.parametrize("name", MAKERS)
def test_every_route_says_what_the_frame_shows(name: str, tmp_path: Path, table: list[str]) -> None:
    """Frames, times and places, by each route: nothing more than the truth, and nothing less."""
    case = MAKERS[name](tmp_path)
    delivery = delivery_of(case, tmp_path)
    sampled = delivery.predictions.frame_index.tolist()
    assert len(case.times) == delivery.info.frame_count
    assert len(sampled) == sampled_frames_of(delivery.info, FPS)  # the estimate
    assert len(sampled) == pytest.approx(FPS * case.times[-1], abs=1)
    for route, read in ROUTES.items():
        said = [each for each in read(case, delivery) if case.coded(each.frame)]
        assert expected_frames(route, case, sampled) == [each.frame for each in said]
        late = [abs(each.time_s - case.times[each.frame]) for each in said if each.time_s is not None]
        # behind its last sample a box stands still
        truth = [case.upright(*(case.coded(min(each.frame, sampled[-1])) or (0, 0))) for each in said]
        off = np.abs(np.array([each.place for each in said]) - truth) * (320, 240)
        table.append(f"{name:22}{route:10}{len(said):7}{max(late, default=0):9.4f}{off.max():8.2f}")
        assert max(late, default=0) <= case.loose
        assert off.max() <= (2 if route == "video" else 1)
