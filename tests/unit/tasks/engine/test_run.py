"""A video through models, into the JSON that the hosted service would have written."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tasks.domain.errors import (
    FpsTooHigh,
    ModelInvalid,
    ReelrouteError,
    StorageUnavailable,
    VideoEmpty,
    VideoTooLarge,
    VideoTruncated,
    VideoUnreadable,
)
from tasks.engine.bundled import bundled_model
from tasks.engine.detectors import Detected, Detector, load_detector
from tasks.engine.geometry import Image, corners, overlap
from tasks.engine.http_range import open_url
from tasks.engine.run import infer_video
from tests.clips import sample_footage, write_clip
from tests.onnx_models import colour_model, constant_model, gather_model
from tests.range_server import serve

ClipPath = Callable[[str], Path]


def ticking() -> Callable[[], float]:
    ticks = count()
    return lambda: next(ticks) / 4


def infer(path: Path, models: dict[str, Detector], target: Path, fps: float = 5, **options: Any) -> dict[str, Any]:
    with path.open("rb") as file:
        frames = infer_video(file, models, fps=fps, target=target, **{"confidence": None} | options)
    results: dict[str, Any] = json.loads(target.read_bytes())
    assert frames == len(results["frame_offset"])
    return results


@pytest.fixture(scope="module")
def bundled() -> Detector:
    return load_detector(bundled_model())


@pytest.fixture
def dog(tmp_path: Path) -> Detector:
    """Finds one dog, 32 x 32 in a 64 x 64 input, in every frame."""
    output = np.zeros((1, 300, 6), np.float32)
    output[0, 0] = (16, 16, 48, 48, 0.75, 1)
    return load_detector(constant_model(tmp_path / "dog.onnx", {"output0": output}))


def test_the_street_video_shows_cars_people_and_bicycles(bundled: Detector, tmp_path: Path) -> None:
    """The demo: ten seconds at five frames per second, with every kind of road user found."""
    results = infer(sample_footage("bikes.mp4"), {"oidv4": bundled}, tmp_path / "results.json")
    assert list(range(0, 250, 5)) == results["frame_offset"]
    assert [k / 5 for k in range(50)] == results["time_offset"]
    assert ["frame_offset", "time_offset", "oidv4"] == list(results)
    found = Counter(p["class"] for frame in results["oidv4"] for p in frame["predictions"])
    assert min(found["Car"], found["Person"], found["Bicycle"]) > 5
    for frame in results["oidv4"]:
        assert {"width": 640, "height": 272} == frame["image"]
        for p in frame["predictions"]:
            assert bundled.classes[p["class_id"]] == p["class"]
            assert 0.35 <= p["confidence"] <= 1
            assert -0.01 <= p["x"] - p["width"] / 2 < p["x"] + p["width"] / 2 <= 640.01
            assert -0.01 <= p["y"] - p["height"] / 2 < p["y"] + p["height"] / 2 <= 272.01


def test_a_drawn_film_has_no_road_users(bundled: Detector, tmp_path: Path) -> None:
    """Looked at and empty is an empty list, and no car is seen where there is none."""
    results = infer(sample_footage("bigbuckbunny.mp4"), {"oidv4": bundled}, tmp_path / "results.json", fps=2)
    found = Counter(p["class"] for frame in results["oidv4"] for p in frame["predictions"])
    assert [] in [frame["predictions"] for frame in results["oidv4"]]
    assert not {"Car", "Person", "Bicycle"} & set(found)


def test_the_json_is_spelled_as_the_hosted_service_does(dog: Detector, tmp_path: Path) -> None:
    """Byte for byte: offsets, then one list per model, each frame with time, image and predictions."""
    target = tmp_path / "results.json"
    path = write_clip(tmp_path / "ntsc.mp4", fps=Fraction(30000, 1001), size=(128, 64))
    infer(path, {"pets": dog}, target, fps=15, clock=ticking(), max_duration_s=60)
    begin = b'{"frame_offset":[0,2,4,6,8,10,12,14,16,18,20,22,24,26,28],"time_offset":[0.0,0.0667,0.1335,'
    frame = (
        b'{"time":0.25,"image":{"width":128,"height":64},"predictions":[{"x":64.0,"y":32.0,"width":64.0,'
        b'"height":64.0,"confidence":0.75,"class":"dog","class_id":1}]}'
    )
    written = target.read_bytes()
    assert written.startswith(begin)
    assert written.endswith(b'"pets":[' + b",".join([frame] * 15) + b"]}")


def test_several_models_share_one_decode(clip: ClipPath, dog: Detector, tmp_path: Path) -> None:
    """Each model has its own list, in the order given, all of one length."""
    colours = load_detector(colour_model(tmp_path / "colours.onnx", detr=False))
    results = infer(
        clip("faststart.mp4"), {"pets": dog, "colours": colours}, tmp_path / "results.json", confidence=0.01
    )
    assert ["frame_offset", "time_offset", "pets", "colours"] == list(results)
    assert {6} == {len(column) for column in results.values()}


def test_rotated_video_is_inferred_as_it_is_seen(clip: ClipPath, dog: Detector, tmp_path: Path) -> None:
    """The stated image size is that of the upright frame."""
    results = infer(clip("left.mp4"), {"pets": dog}, tmp_path / "results.json", fps=1)
    assert {"width": 96, "height": 160} == results["pets"][0]["image"]


def test_a_frame_on_which_a_model_fails_is_null(tmp_path: Path, dog: Detector) -> None:
    """The other frames, and the other models on that frame, are not affected."""

    def flash(index: int, width: int, height: int) -> Image:
        return np.full((height, width, 3), 255 if index == 10 else 0, np.uint8)

    # letterboxed frames have grey bars; a square one of the model's size has none
    path = write_clip(tmp_path / "flash.mp4", size=(64, 64), frames=20, picture=flash, codec_options={"qp": "0"})
    fragile = load_detector(gather_model(tmp_path / "fragile.onnx"))
    results = infer(path, {"fragile": fragile, "pets": dog}, tmp_path / "results.json")
    assert [False, False, True, False] == [frame is None for frame in results["fragile"]]
    assert None not in results["pets"]


def test_a_model_that_never_works_fails_the_video(clip: ClipPath, tmp_path: Path, dog: Detector) -> None:
    """Results of nothing but null would look like success."""
    fragile = load_detector(gather_model(tmp_path / "fragile.onnx"))
    with pytest.raises(ModelInvalid, match="fragile failed on each of 6 frames"):
        infer(clip("faststart.mp4"), {"pets": dog, "fragile": fragile}, tmp_path / "results.json")
    assert [] == list(tmp_path.glob("*results*"))


@pytest.mark.parametrize(
    ("data", "fps", "error"),
    [(b"", 5, VideoEmpty), (b"text" * 500, 5, VideoUnreadable), (None, 26, FpsTooHigh), (None, 0.1, VideoTooLarge)],
)
def test_a_failure_leaves_nothing_behind(
    data: bytes | None, fps: float, error: type[ReelrouteError], clip: ClipPath, dog: Detector, tmp_path: Path
) -> None:
    """No results, no parts; an older file at the target stays as it was."""
    folder = tmp_path / "out"
    folder.mkdir()
    target = folder / "results.json"
    target.write_text("older")
    body = clip("faststart.mp4").read_bytes() if data is None else data
    with pytest.raises(error):
        infer_video(
            io.BytesIO(body),
            {"pets": dog},
            fps=fps,
            confidence=None,
            target=target,
            max_duration_s=1.0 if fps < 1 else None,
        )
    assert [("results.json", "older")] == [(path.name, path.read_text()) for path in folder.iterdir()]


def test_damage_on_the_way_leaves_no_results(clip: ClipPath, dog: Detector, tmp_path: Path) -> None:
    """Half a video's predictions are not its predictions."""
    data = bytearray(clip("mpeg4.avi").read_bytes())
    data[len(data) // 2 : len(data) * 3 // 4] = bytes(len(data) * 3 // 4 - len(data) // 2)
    with pytest.raises(VideoTruncated, match="of the video's 30 frames"):
        infer_video(io.BytesIO(bytes(data)), {"pets": dog}, fps=5, confidence=None, target=tmp_path / "results.json")
    assert not (tmp_path / "results.json").exists()


def test_a_folder_that_is_not_there_is_named_as_such(clip: ClipPath, dog: Detector, tmp_path: Path) -> None:
    """A failure to write is one of writing, not of the video."""
    with pytest.raises(StorageUnavailable, match="could not be written: No such file"):
        infer(clip("faststart.mp4"), {"pets": dog}, tmp_path / "missing" / "results.json")


def test_a_video_behind_a_url_gives_the_same_results(clip: ClipPath, dog: Detector, tmp_path: Path) -> None:
    """Whether the index is in front or behind, and although the connection breaks."""
    for name in ("faststart.mp4", "b_frames.mp4", "vp9.webm"):
        expected = infer(clip(name), {"pets": dog}, tmp_path / "local.json", clock=ticking())
        with serve(clip(name).read_bytes()) as server, open_url(server.url) as file:
            infer_video(file, {"pets": dog}, fps=5, confidence=None, target=tmp_path / "remote.json", clock=ticking())
        assert expected == json.loads((tmp_path / "remote.json").read_bytes())


def test_memory_does_not_grow_with_the_video(dog: Detector, tmp_path: Path) -> None:
    """Twenty times the frames take no more memory, although the JSON is twenty times as long."""

    def peak(frames: int) -> int:
        path = write_clip(
            tmp_path / f"{frames}.mp4", frames=frames, size=(64, 64), codec_options={"preset": "ultrafast"}
        )
        tracemalloc.start()
        try:
            with path.open("rb") as file:
                infer_video(file, {"pets": dog}, fps=25, confidence=None, target=tmp_path / f"{frames}.json")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(1000) < peak(50) + 300_000


def moving_square(size: int) -> Callable[[int, int, int], Image]:
    """A bright red square that crosses a dark frame from left to right."""

    def picture(index: int, width: int, height: int) -> Image:
        image = np.full((height, width, 3), 20, np.uint8)
        x, y = square_corner(index)
        image[y : y + size, x : x + size] = (230, 20, 20)
        return image

    return picture


def square_corner(index: int) -> tuple[int, int]:
    return 4 + 3 * index, 20 + index


class SquareFinder:
    """A stand-in for a perfect model: finds the red pixels of the frame it is given."""

    def detect(self, rgb: Image, confidence: float | None = None) -> list[Detected]:
        ys, xs = np.nonzero((rgb[..., 0] > 120) & (rgb[..., 1] < 100))
        x0, x1, y0, y1 = (float(edge) for edge in (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1))
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        return [Detected(x=x, y=y, width=x1 - x0, height=y1 - y0, confidence=1.0, class_name="square", class_id=0)]


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi"])
def test_boxes_lie_on_the_moving_object(suffix: str, tmp_path: Path) -> None:
    """Frame index, time and position belong together: each box is where the object was in that very frame."""
    codec = {".mp4": "libx264", ".webm": "libvpx-vp9", ".avi": "mpeg4"}[suffix]
    path = write_clip(tmp_path / f"square{suffix}", codec=codec, b_frames=0, picture=moving_square(24))
    results = infer(path, {"finder": cast(Detector, SquareFinder())}, tmp_path / "results.json")
    for index, frame in zip(results["frame_offset"], results["finder"], strict=True):
        (p,) = frame["predictions"]
        x, y = square_corner(index)
        truth = np.array([[x, y, x + 24, y + 24]], float)
        found = corners(np.array([[p["x"], p["y"], p["width"], p["height"]]]))[0]
        assert overlap(found, truth)[0] > 0.8
