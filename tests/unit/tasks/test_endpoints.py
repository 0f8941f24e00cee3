"""Our service reads private addresses only where a pipeline's own sources are there."""

from __future__ import annotations

from typing import Any

import pytest

from config.pipeline import Pipeline
from tasks.endpoints import any_private, endpoint_of, is_private
from tasks.storage.options import StorageOptions

AZURITE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
)


def pipeline(*sources: dict[str, Any]) -> Pipeline:
    return Pipeline.model_validate(
        {
            "name": "yard",
            "sources": list(sources),
            "inference": {"backend": "local", "model": "oidv4/1"},
            "routes": [{"to": "results", "uri": "/out"}],
        }
    )


def resolve(host: str) -> list[str]:
    return {"minio.office": ["10.1.2.3"], "s3.example.com": ["93.184.216.34"], "localhost": ["127.0.0.1"]}.get(host, [])


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://127.0.0.1:9000", True),
        ("http://[::1]:9000", True),
        ("http://localhost:9000", True),
        ("http://minio.office:9000/path", True),
        ("http://192.168.1.5", True),
        ("http://169.254.169.254", True),
        ("https://s3.example.com", False),
        ("https://8.8.8.8", False),
        ("https://nobody.knows.it", False),
        ("", False),
        ("http://[::1", False),
        ("http://999.1.1.1", False),
        ("https://acme.blob.core.windows.net", False),
    ],
)
def test_private_is_what_the_internet_does_not_reach(endpoint: str, expected: bool) -> None:
    """By address where the endpoint is one, by name otherwise; what cannot be read is not private."""
    assert expected is is_private(endpoint, resolve)


@pytest.mark.parametrize(
    ("source", "env", "expected"),
    [
        ({"uri": "s3://b/"}, {}, ""),
        (
            {"uri": "s3://b/", "endpoint_url": "http://minio:9000"},
            {"AWS_ENDPOINT_URL": "http://x"},
            "http://minio:9000",
        ),
        ({"uri": "s3://b/"}, {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://b"}, "http://b"),
        ({"uri": "s3://b/"}, {"STORAGE_EMULATOR_HOST": "http://a"}, ""),
        ({"uri": "gs://b/"}, {"STORAGE_EMULATOR_HOST": "localhost:4443"}, "http://localhost:4443"),
        ({"uri": "az://c/"}, {"AZURE_STORAGE_CONNECTION_STRING": AZURITE}, "http://127.0.0.1:10000/devstoreaccount1"),
        (
            {"uri": "az://c/"},
            {"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"},
            "http://127.0.0.1:10000",
        ),
        ({"uri": "az://c/"}, {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=acme;AccountKey=eA=="}, ""),
        ({"uri": "/videos"}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, ""),
    ],
)
def test_an_endpoint_is_found_where_the_sdk_finds_it(
    source: dict[str, Any], env: dict[str, str], expected: str
) -> None:
    """The pipeline file comes before the environment, and each cloud has its own variable."""
    assert expected == endpoint_of(pipeline(source).sources[0], {}, env)


def test_a_block_may_name_the_endpoint() -> None:
    """As its own parameter, or within a connection string; the file's key comes first."""
    source = {"uri": "s3://b/", "credentials": "minio"}
    blocks = {("s3", "minio"): StorageOptions(endpoint_url="http://10.0.0.1:9000")}
    assert "http://10.0.0.1:9000" == endpoint_of(pipeline(source).sources[0], blocks, {})
    own = pipeline(source | {"endpoint_url": "http://10.0.0.2"})
    assert "http://10.0.0.2" == endpoint_of(own.sources[0], blocks, {})
    azure = {("az", "dev"): StorageOptions(credentials=AZURITE)}
    assert any_private(pipeline({"uri": "az://c/", "credentials": "dev"}), azure, {}, resolve)


def test_one_private_source_is_enough_and_folders_are_none() -> None:
    """A pipeline over folders or public clouds starts a service that stays out of private networks."""
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}
    assert not any_private(pipeline({"uri": "/videos"}, {"uri": "gs://b/"}), {}, env, resolve)
    assert any_private(pipeline({"uri": "/videos"}, {"uri": "s3://b/"}), {}, env, resolve)
