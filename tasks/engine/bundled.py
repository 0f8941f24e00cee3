"""The model that comes with reelroute: a small general detector, so that everything runs without an account."""

from __future__ import annotations

from pathlib import Path

BUNDLED_PROJECT = "oidv4"
BUNDLED_VERSION = "1"


def bundled_model() -> Path:
    """The ONNX file of ``oidv4/1``; its model card and notice lie beside it."""
    return Path(__file__).parent / "models" / "ssd_mobilenet_v2_oidv4.onnx"
