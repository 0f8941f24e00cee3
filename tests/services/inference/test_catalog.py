"""The models that a service offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.services.inference.app import create_app
from deployments.services.inference.catalog import Catalog
from deployments.services.inference.settings import ServiceSettings
from tasks.domain.errors import ModelInvalid, ModelUnknown
from tasks.domain.predictions import TaskType
from tasks.engine.bundled import bundled_model


@pytest.fixture(scope="module")
def own_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of the user's, which happens to be a copy of the bundled one."""
    path = tmp_path_factory.mktemp("models") / "own.onnx"
    path.write_bytes(bundled_model().read_bytes())
    return path


@pytest.fixture(scope="module")
def catalog(own_model: Path) -> Catalog:
    return Catalog.load({"players.v2": own_model})


def test_the_bundled_model_and_the_users_own_are_offered(catalog: Catalog, own_model: Path) -> None:
    """Each with what the file says of itself."""
    assert list(catalog.models) == ["oidv4", "players.v2"]
    own = catalog.find("players.v2", "1", "object-detection")
    assert (own.path, own.task) == (own_model, TaskType.OBJECT_DETECTION)
    assert own.classes == catalog.models["oidv4"].classes


@pytest.mark.parametrize(
    ("name", "version", "kind"),
    [
        ("oidv4", "2", "object-detection"),
        ("oidv4", "01", "object-detection"),
        ("oidv4", "", "object-detection"),
        ("OIDV4", "1", "object-detection"),
        ("", "1", "object-detection"),
        ("oidv4", "1", "instance-segmentation"),
        ("oidv4", "1", "clip-embed-image"),
        ("clip", "1", "clip-embed-image"),
        ("gaze", "1", "gaze-detection"),
    ],
)
def test_what_is_not_offered_is_refused_with_a_way_out(catalog: Catalog, name: str, version: str, kind: str) -> None:
    """The hint names what there is."""
    with pytest.raises(ModelUnknown) as refused:
        catalog.find(name, version, kind)
    assert refused.value.hint


@pytest.mark.parametrize(
    "name",
    ["oidv4", "clip", "gaze", "frame_offset", "time_offsets", "", "a/b", "..", "-a", "a b", "ä", "a" * 101],
)
def test_an_unfit_name_is_refused(name: str, own_model: Path) -> None:
    """It would clash with another model, with a key of the results, or with a path of the API."""
    with pytest.raises(ModelInvalid):
        Catalog.load({name: own_model})


def test_a_bad_model_file_is_an_error_before_serving(tmp_path: Path) -> None:
    """Missing, empty, or something else."""
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "text.onnx").write_text("no model")
    for name in ("missing.onnx", "empty.onnx", "text.onnx", "."):
        settings = ServiceSettings(api_key="key", state_dir=tmp_path / "state", models={"own": tmp_path / name})
        with pytest.raises(ModelInvalid):
            create_app(settings)
