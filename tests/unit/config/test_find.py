"""Finding a pipeline file by its path or its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.load import find_pipeline, load_pipeline
from config.problems import PipelineInvalid
from tasks.domain.errors import InputInvalid


@pytest.fixture
def folders(here: Path, sound: str) -> Path:
    """A project's folder with two pipelines, and the working directory's own with two others."""
    for name in (
        "project/pipelines/night.yaml",
        "project/pipelines/day.yml",
        "config/pipelines/mine.yaml",
        "config/pipelines/day.yaml",
    ):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(sound, encoding="utf-8")
    return here / "project" / "pipelines"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("night", "project/pipelines/night.yaml"),
        ("night.yaml", "project/pipelines/night.yaml"),
        ("night.yml", "project/pipelines/night.yaml"),
        ("mine", "config/pipelines/mine.yaml"),
        ("day", "config/pipelines/day.yaml"),
        ("./project/pipelines/day.yml", "project/pipelines/day.yml"),
        ("project/pipelines/night.yaml", "project/pipelines/night.yaml"),
    ],
)
def test_a_pipeline_is_a_path_or_a_name(folders: Path, here: Path, name: str, expected: str) -> None:
    """The working directory's own pipelines come before the project's."""
    assert here / expected == find_pipeline(name, folder=folders).absolute()


def test_a_file_name_means_the_file_that_is_here(folders: Path, here: Path, sound: str) -> None:
    """What `ls` shows comes before what is in folders of pipelines."""
    (here / "night.yaml").write_text(sound, encoding="utf-8")
    assert here / "night.yaml" == find_pipeline("night.yaml", folder=folders).absolute()
    assert folders / "night.yaml" == find_pipeline("night", folder=folders)


@pytest.mark.parametrize(
    ("name", "meant"), [("nigth", "night"), ("mine2", "mine"), ("nigth.yaml", "night"), ("./nigth.yaml", "night")]
)
def test_an_unknown_name_gets_the_nearest_one(folders: Path, name: str, meant: str) -> None:
    """And the list of all."""
    with pytest.raises(InputInvalid, match="there is no pipeline") as caught:
        find_pipeline(name, folder=folders)
    assert f"did you mean '{meant}'?" in caught.value.hint
    assert "known pipelines: day, mine, night" in caught.value.hint


@pytest.mark.parametrize("name", ["", "zzz", "a\0b", "../x", "a\nb", "é", "x" * 5000, "/", ".", "~nosuchuser/x"])
def test_nonsense_is_no_pipeline(folders: Path, name: str) -> None:
    """Whatever is typed, it is a mistake of input and no crash."""
    with pytest.raises(InputInvalid, match="there is no pipeline"):
        load_pipeline(name, folder=folders)


def test_a_folder_is_no_pipeline(folders: Path) -> None:
    """Not even the folder of pipelines."""
    with pytest.raises(InputInvalid, match="there is no pipeline file"):
        load_pipeline(f"{folders}/", folder=folders)


def test_no_pipelines_at_all_is_said(here: Path) -> None:
    """Rather than an empty list."""
    with pytest.raises(InputInvalid) as caught:
        find_pipeline("a", folder=here)
    assert "there are no pipelines" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_said(here: Path, sound: str) -> None:
    """With the system's own reason."""
    (here / "a.yaml").write_text(sound, encoding="utf-8")
    (here / "a.yaml").chmod(0)
    with pytest.raises(InputInvalid, match=r"cannot read a\.yaml: Permission denied"):
        load_pipeline("a.yaml")


def test_files_are_named_as_one_would_open_them(
    folders: Path, here: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Relative below the working directory, absolute elsewhere."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "b.yaml"
    elsewhere.write_text("a: 1", encoding="utf-8")
    (folders / "night.yaml").write_text("a: 1", encoding="utf-8")
    named = []
    for name in ("night", str(elsewhere)):
        with pytest.raises(PipelineInvalid) as caught:
            load_pipeline(name, folder=folders)
        named.append(caught.value.problems[0].file)
    assert ["project/pipelines/night.yaml", str(elsewhere)] == named
