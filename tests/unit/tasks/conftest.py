"""What tests of the steps share."""

from __future__ import annotations

from pathlib import Path

import pytest

import tasks.job_ids
from tests.clips import write_clip
from tests.rig import Rig


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of video at 25 frames/s, made once."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=25)


@pytest.fixture
def rig(tmp_path: Path, clip: Path) -> Rig:
    """A pipeline over a folder with two videos."""
    rig = Rig(tmp_path)
    for name in ("a.mp4", "sub/b.mp4"):
        target = rig.videos / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(clip.read_bytes())
    return rig


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders for temporary files that are the test's own: ``lasting`` and ``passing``."""
    for name in ("lasting", "passing"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tasks.job_ids, "_LASTING", tmp_path / "lasting")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "passing"))
