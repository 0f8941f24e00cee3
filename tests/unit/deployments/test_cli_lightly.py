"""``reelroute lightly from-coco``: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.contracts.tree_reader import ROOT
from tests.flows.conftest import Finished, Yard

COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 50}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 5]}],
}


def from_coco(folder: Path, *arguments: str, content: object = COCO, datasource: str = "") -> Finished:
    file = folder / "labels.json"
    file.write_text(json.dumps(content))
    to = datasource or str(folder / "out")
    return Yard(folder).reelroute("lightly", "from-coco", str(file), "--datasource", to, *arguments)


def test_a_file_becomes_a_task(tmp_path: Path) -> None:
    """Machines get the task, its place and the counts."""
    ended = from_coco(tmp_path, "--task-name", "cats", "--label-score", "1", "--json")

    assert 0 == ended.code, ended.stderr
    assert {
        "task": "cats",
        "location": f"file://{tmp_path}/out/{ROOT}cats/",
        "counts": {"files": 1, "predictions": 1},
        "categories": {"cat": 0},
        "exit_code": 0,
    } == ended.json
    assert ["cats"] == json.loads((tmp_path / "out" / ROOT / "tasks.json").read_text())


def test_people_are_told_in_words(tmp_path: Path) -> None:
    """Where it went, and what was left out."""
    ended = from_coco(tmp_path, "--task-name", "cats", "--label-score", "1", "--type", "instance-segmentation")

    assert 0 == ended.code, ended.stderr
    assert f"out/{ROOT}cats/: 1 without mask, 1 files, 0 predictions" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "content", "datasource", "said"),
    [
        (["--task-name", "cats"], COCO, "", "--label-score"),
        (["--task-name", "///"], COCO, "", "cannot name a LightlyOne task"),
        (["--task-name", "cats"], [], "", "no COCO dataset"),
        (["--task-name", "cats"], COCO, "gcs://bucket", "kind of store"),
        (["--task-name", "cats", "--label-score", "2"], COCO, "", "--label-score"),
        (["--task-name", "cats", "--type", "classification"], COCO, "", "--type"),
    ],
)
def test_what_is_wrong_with_the_arguments_is_exit_code_2(
    tmp_path: Path, arguments: list[str], content: object, datasource: str, said: str
) -> None:
    """In words, with nothing written."""
    ended = from_coco(tmp_path, *arguments, content=content, datasource=datasource)

    assert 2 == ended.code
    assert said in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_exit_code_2(tmp_path: Path) -> None:
    """As an object, for machines."""
    ended = Yard(tmp_path).reelroute(
        "lightly", "from-coco", "none.json", "--datasource", str(tmp_path), "--task-name", "t", "--json"
    )

    assert (2, "input_invalid") == (ended.code, ended.json["error"]["code"])


def test_a_task_that_the_file_does_not_fit_is_exit_code_1(tmp_path: Path) -> None:
    """It keeps its kind."""
    schema = tmp_path / "out" / ROOT / "cats/schema.json"
    schema.parent.mkdir(parents=True)
    schema.write_text('{"task_type": "classification", "categories": []}')

    ended = from_coco(tmp_path, "--task-name", "cats", "--label-score", "1", "--json")

    assert (1, "delivery_failed") == (ended.code, ended.json["error"]["code"])
