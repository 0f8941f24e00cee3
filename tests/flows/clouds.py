"""Clouds on loopback as whole runs use them: by what is in the environment, or by keys of the pipeline file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tasks.storage.base import Storage
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.emulators.azure import AzureEmulator
from tests.emulators.gcs_gate import GcsGate
from tests.emulators.s3 import REGION, S3Emulator

CLOUDS = ("s3", "gcs", "azure")
# What a signed URL of each cloud cannot do without.
SIGNATURES = ("X-Amz-Signature", "X-Goog-Signature", "sig=")

PIPELINE = """
name: yard
sources: [{sources}]
inference: {{backend: local, model: oidv4/1, fps: 5, confidence: 0.3, poll_interval: 1s{inference}}}
routes:
  - {{to: results, uri: "{out}results", formats: [json, parquet]{keys}}}
  - {{to: lightly, datasource: "{out}lightly", task_name: yard{keys}}}
  - {{to: labelbox, upload: false, uri: "{out}labelbox"{keys}}}
  - {{to: video, uri: "{out}annotated"{keys}}}
"""


@dataclass(frozen=True)
class Cloud:
    """One cloud with a bucket for videos and one for what is made of them.

    Attributes:
        videos, out: URIs of the two, with their slash.
        environment: What the cloud's SDK finds its credentials by, and its endpoint where it can.
        endpoint_url: What a pipeline file has to say besides. (Google's SDK takes an endpoint in
            the environment for an emulator that wants no credentials.)
    """

    videos: str
    out: str
    environment: Mapping[str, str] = field(repr=False)
    endpoint_url: str | None = None

    @property
    def keys(self) -> str:
        """What stands beside its URIs in a pipeline file, in YAML's flow style."""
        return f', endpoint_url: "{self.endpoint_url}"' if self.endpoint_url else ""

    def store(self, uri: str) -> Storage:
        """A store of the cloud, for a test's own use; the environment must be this cloud's."""
        return open_storage(uri, StorageOptions(endpoint_url=self.endpoint_url))


def enter(name: str, request: pytest.FixtureRequest, folder: Path) -> Cloud:
    """Make the buckets in ``s3``, ``gcs`` or ``azure``, and set this process's environment for it."""
    emulator = request.getfixturevalue(name)
    cloud = _BUILD[name](emulator, folder)
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for variable, value in cloud.environment.items():
        monkeypatch.setenv(variable, value)
    return cloud


def _s3(emulator: S3Emulator, folder: Path) -> Cloud:
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_S3": emulator.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    return Cloud(f"s3://{emulator.new_bucket()}/in/", f"s3://{emulator.new_bucket()}/", environment)


def _gcs(gate: GcsGate, folder: Path) -> Cloud:
    key = folder / "service-account.json"
    key.write_text(json.dumps(gate.service_account))
    videos, out = (f"yard-{kind}-{folder.name.lower().replace('_', '-')}"[:60] for kind in ("in", "out"))
    for bucket in (videos, out):
        gate.make_bucket(bucket)
    environment = {
        "GOOGLE_APPLICATION_CREDENTIALS": str(key),
        "NO_GCE_CHECK": "true",
        "CLOUDSDK_CONFIG": os.devnull,
    }
    return Cloud(f"gs://{videos}/in/", f"gs://{out}/", environment, gate.url)


def _azure(emulator: AzureEmulator, folder: Path) -> Cloud:
    environment = {"AZURE_STORAGE_CONNECTION_STRING": emulator.connection_string()}
    videos, out = emulator.new_container(), emulator.new_container()
    return Cloud(f"az://{videos}/in/", f"az://{out}/", environment)


_BUILD: Mapping[str, Callable[[Any, Path], Cloud]] = {"s3": _s3, "gcs": _gcs, "azure": _azure}


def write_pipeline(
    folder: Path, to: Cloud, *sources: Cloud, out: str = "", videos: str = "", keys: str = "", inference: str = ""
) -> str:
    """Write a pipeline from clouds to a cloud into the folder; return its path.

    Args:
        out, videos, keys: Stand in for the clouds' own.
        inference: Appended to that section.
    """
    path = folder / "yard.yaml"
    listed = ", ".join(f'{{uri: "{videos or cloud.videos}"{keys or cloud.keys}}}' for cloud in sources)
    written = "" if out.startswith("/") else to.keys
    path.write_text(PIPELINE.format(sources=listed, out=out or to.out, keys=written, inference=inference))
    return str(path)
