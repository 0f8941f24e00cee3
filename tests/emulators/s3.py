"""An S3 on loopback: ministack, which checks signatures and sessions, behind a proxy that injects faults."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.emulators import process, proxy
from tests.emulators.install import installed

REGION = "eu-west-1"


@dataclass
class S3Emulator:
    """Where it listens, and keys that it knows.

    Attributes:
        url: Of the emulator itself.
        faults: A proxy in front of it; tests that set its ``fault`` must ``reset`` it.
    """

    url: str
    faults: proxy.Proxy
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @cached_property
    def session(self) -> boto3.Session:
        """The owner of everything in it."""
        return boto3.Session("test", "test", region_name=REGION)

    @cached_property
    def client(self) -> Any:
        """A plain boto3 client of the owner, to set things up with."""
        return self.session.client("s3", endpoint_url=self.url, config=Config(signature_version="s3v4"))

    def new_bucket(self) -> str:
        """Make an empty bucket; return its name."""
        name = f"bucket-{next(self._numbers)}"
        self.client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return name


def hide_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 find neither credentials nor settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)


@contextmanager
def running() -> Iterator[S3Emulator]:
    """Start it for the length of the block, on ephemeral ports of loopback only."""
    port = process.free_port()
    env = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        # It would listen for things and sensors, too, on ports of its own choice.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # Refuse requests without credentials.
        "AUTH": "true",
    }
    with (
        process.started([str(installed("ministack") / "bin/ministack")], port=port, env=env),
        proxy.serve(proxy.Proxy(port)) as faults,
    ):
        yield S3Emulator(f"http://127.0.0.1:{port}", faults)
