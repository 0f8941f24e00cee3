"""What reading configuration loads, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"prefect", "numpy", "pandas", "sqlalchemy", "boto3", "httpx", "av", "onnxruntime", "roboflow", "labelbox"}


@pytest.mark.parametrize("module", ["config.pipeline", "config.load", "config.settings"])
def test_configuration_is_quick_to_import(module: str) -> None:
    """`reelroute --help` answers at once, so nothing heavy comes along."""
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set() == HEAVY & set(loaded)
    assert "pydantic" in loaded


def test_the_models_need_no_yaml() -> None:
    """Pipelines can be made in Python."""
    code = "import sys, config.pipeline; print('yaml' in sys.modules)"
    assert "False\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
