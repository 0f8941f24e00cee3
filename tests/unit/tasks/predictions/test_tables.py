from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.predictions.tables import detections_table, write_parquet
from tasks.predictions.track import assign_tracks
from tests.unit.tasks.predictions.samples import box, frame, parsed, results

ALWAYS = [
    *("kind", "model", "frame", "time_s", "track", "class", "class_id", "confidence"),
    *("x", "y", "width", "height", "image_width", "image_height"),
]


def written(content: Any, tmp_path: Path, **options: Any) -> list[dict[str, Any]]:
    """Rows of the Parquet file of these results."""
    path = tmp_path / "table.parquet"
    write_parquet(assign_tracks(parsed(content)), path, **options)
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def test_a_row_says_all_about_a_detection(tmp_path: Path) -> None:
    """Which model, when, who, what, how sure, where, in an image of what size."""
    (row,) = written(results(None, frame(box())), tmp_path)
    assert {
        "kind": "object",
        "model": "cars",
        "frame": 6,
        "time_s": 0.25,
        "track": 1,
        "class": "car",
        "class_id": 3,
        "confidence": 0.75,
        "x": 100.0,
        "y": 50.0,
        "width": 40.0,
        "height": 20.0,
        "image_width": 640,
        "image_height": 360,
    } == row


def test_a_frame_where_nothing_was_seen_has_a_row_and_one_not_looked_at_has_none(tmp_path: Path) -> None:
    """Empty and not inferred stay apart; rows are in the order of frames."""
    rows = written(results(frame(), frame(box()), None, frame()), tmp_path)
    assert [("nothing", 0), ("object", 6), ("nothing", 18)] == [(row["kind"], row["frame"]) for row in rows]
    assert {None} == {rows[0][name] for name in ("track", "class", "class_id", "confidence", "x", "width")}


def test_columns_that_nobody_fills_are_left_out(tmp_path: Path) -> None:
    """Boxes alone have the same columns in every file, also where there is not one box."""
    assert ALWAYS == list(written(results(frame(box())), tmp_path)[0])
    write_parquet(parsed(results(None)), tmp_path / "empty.parquet")
    empty = pq.read_table(tmp_path / "empty.parquet")
    assert (ALWAYS, 0) == (empty.column_names, len(empty))


def test_files_of_many_videos_are_one_table(tmp_path: Path) -> None:
    """Types do not depend on what a video holds, so a folder reads as a whole."""
    folder = tmp_path / "all"
    folder.mkdir()
    contents = [results(None), results(frame()), results(frame(box(class_id=None), image=None)), results(frame(box()))]
    for position, content in enumerate(contents):
        write_parquet(parsed(content), folder / f"{position}.parquet", extra={"video": f"{position}.mp4"})
    together = pd.read_parquet(folder)
    assert ["video", *ALWAYS] == list(together.columns)
    assert ["1.mp4", "2.mp4", "3.mp4"] == together["video"].tolist()


def test_extra_columns_stand_in_front(tmp_path: Path) -> None:
    """In the order given, the same in every row."""
    rows = written(results(frame(box()), frame()), tmp_path, extra={"video": "a.mp4", "job": "k"})
    assert ["video", "job", "kind"] == list(rows[0])[:3]
    assert [("a.mp4", "k")] * 2 == [(row["video"], row["job"]) for row in rows]


def test_masks_and_keypoints_are_columns_of_lists(tmp_path: Path) -> None:
    """Null where a detection has none."""
    outline = [{"x": 1, "y": 2}, {"x": 3, "y": 4}, {"x": 5, "y": 7}]
    nose = {"x": 1, "y": 2, "confidence": 0.5, "class": "nose", "class_id": 0}
    mask = {"size": [2, 3], "counts": [2, 4]}
    rows = written(results(frame(box(points=outline), box(keypoints=[nose]), box(rle=mask))), tmp_path)
    assert [[1.0, 2.0, 3.0, 4.0, 5.0, 7.0], None, None] == [row["polygon"] for row in rows]
    named = {"name": "nose", "x": 1.0, "y": 2.0, "confidence": 0.5}
    assert [None, [named], None] == [row["keypoints"] for row in rows]
    assert [None, None, mask] == [row["mask"] and json.loads(row["mask"]) for row in rows]


def test_gaze_has_its_angles(tmp_path: Path) -> None:
    """Radians, beside the face's box."""
    gaze = {"face": box(name="face"), "yaw": 0.5, "pitch": -0.25}
    (row,) = written(results({"predictions": [gaze]}, model="gaze"), tmp_path)
    assert ("gaze", "face", 0.5, -0.25) == (row["model"], row["class"], row["yaw"], row["pitch"])


def test_labels_embeddings_and_maps_are_rows_of_their_own_kind(tmp_path: Path) -> None:
    """Everything that the job said is in one file, model by model."""
    label = {"class": "goal", "confidence": 0.75, "class_id": 4}
    road = {"segmentation_mask": "aGk=", "class_map": {"0": "road"}}
    content = results({"predictions": [label], "top": "goal"}, {"predictions": []}, None, model="scene")
    content |= {"clip": [[1.0, 2.0], None, [3.0, 4.0]], "ground": [None, {"predictions": road}, None]}
    rows = written(content, tmp_path)
    assert [
        ("scene", "label", 0),
        ("scene", "nothing", 6),
        ("clip", "embedding", 0),
        ("clip", "embedding", 12),
        ("ground", "label_map", 6),
    ] == [(row["model"], row["kind"], row["frame"]) for row in rows]
    assert ("goal", 4, 0.75, True) == tuple(rows[0][name] for name in ("class", "class_id", "confidence", "chosen"))
    assert [None, None, [1.0, 2.0], [3.0, 4.0], None] == [row["embedding"] for row in rows]


def test_the_same_predictions_give_the_same_bytes(tmp_path: Path) -> None:
    """A file that is delivered twice does not change."""
    content = results(frame(box(), box(300)), frame(), None)
    for name in ("a", "b"):
        write_parquet(assign_tracks(parsed(content)), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_is_overwritten_and_a_refusal_is_an_os_error(tmp_path: Path) -> None:
    """What the disk says reaches the caller."""
    path = tmp_path / "t.parquet"
    path.write_text("old")
    write_parquet(parsed(results(frame(box()))), path)
    assert 1 == len(pq.read_table(path))
    with pytest.raises(OSError, match="missing"):
        write_parquet(parsed(results(None)), tmp_path / "missing" / "t.parquet")


def test_the_data_frame_holds_detections_only() -> None:
    """Faces and boxes of all models, ids as whole numbers, no rows of other kinds."""
    content = results(frame(box(), box(300, name="bus")), frame(), frame(box())) | {"clip": [[1.0], None, None]}
    table = detections_table(assign_tracks(parsed(content)))
    assert [*ALWAYS[1:]] == list(table.columns)
    assert {"bus": 1, "car": 2} == table.groupby("class").size().to_dict()
    assert ("int64", "float32") == (str(table["track"].dtype), str(table["x"].dtype))
    assert [0, 0, 12] == table["frame"].tolist()


def test_the_data_frame_of_nothing_has_the_columns() -> None:
    """A notebook that plots per class does not fail on an empty video."""
    table = detections_table(parsed(results(None)))
    assert (0, ALWAYS[1:]) == (len(table), list(table.columns))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.lists(st.tuples(st.floats(0, 600, width=32), st.integers(0, 2)), max_size=4)),
        min_size=1,
        max_size=6,
    )
)
def test_ragged_columns_stay_with_their_rows(frames: list[Any]) -> None:
    """Polygons and names follow their detection through the sorting by frame."""
    made = [
        found
        if found is None
        else frame(*(box(x, name=f"n{x}", points=[{"x": x, "y": x}] * count) for x, count in found))
        for found in frames
    ]
    table = detections_table(parsed(results(*made)))
    said = [(sample, x, count) for sample, found in enumerate(frames) for x, count in found or ()]
    assert [6 * sample for sample, _, _ in said] == table["frame"].tolist()
    assert [f"n{x}" for _, x, _ in said] == table["class"].tolist()
    if any(count for _, _, count in said):
        polygons = [[] if polygon is None else polygon.tolist() for polygon in table["polygon"]]
        assert [[x, x] * count for _, x, count in said] == polygons
