"""Every store is opened as the pipeline file says, once, and a video is found in the right one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.pipeline import Pipeline
from tasks.domain.errors import KeyUnsafe, NotSignable
from tasks.domain.video import SignedUrl, VideoRef
from tasks.inference.base import LocalVideo
from tasks.storage.loopback import FileUrlSigner
from tasks.storage.options import StorageOptions
from tasks.stores import Stores
from tests.unit.tasks.clouds import Clouds, clouds

__all__ = ["clouds"]  # a fixture


def pipeline(*sources: dict[str, Any], routes: list[dict[str, Any]] | None = None) -> Pipeline:
    return Pipeline.model_validate(
        {
            "name": "yard",
            "sources": list(sources),
            "inference": {"backend": "local", "model": "oidv4/1"},
            "routes": routes or [{"to": "results", "uri": "/out"}],
        }
    )


def video(uri: str) -> VideoRef:
    return VideoRef(uri=uri, version="1", size=1, modified=datetime(2026, 1, 1, tzinfo=UTC), name="v.mp4")


def test_a_source_is_opened_with_its_keys(clouds: Clouds) -> None:
    """Endpoint and account from the file; what a block holds, under the file's own keys."""
    secret = object()
    blocks = {("s3", "minio"): StorageOptions(credentials=secret, endpoint_url="http://10.0.0.1:9000")}
    stores = Stores(
        pipeline(
            {"uri": "s3://a/x/m-", "credentials": "minio"},
            {"uri": "s3://b/", "credentials": "minio", "endpoint_url": "http://10.0.0.2:9000"},
            {"uri": "az://c/", "account": "acme"},
        ),
        blocks=blocks,
    )
    assert ["m-", "", ""] == [stores.source(source)[1] for source in stores._pipeline.sources]
    assert StorageOptions(credentials=secret, endpoint_url="http://10.0.0.1:9000") == clouds.options("s3://a/x/")
    assert StorageOptions(credentials=secret, endpoint_url="http://10.0.0.2:9000") == clouds.options("s3://b/")
    assert StorageOptions(account="acme") == clouds.options("az://c/")


def test_a_route_is_opened_with_its_own_keys(clouds: Clouds) -> None:
    """Not with those of the source; without a route, the environment decides."""
    routes = [{"to": "results", "uri": "az://out/", "account": "acme"}]
    stores = Stores(pipeline({"uri": "az://in/", "account": "other"}, routes=routes))
    stores.output("az://out/", stores._pipeline.routes[0])
    stores.output("s3://results/")
    assert "acme" == clouds.options("az://out/").account
    assert StorageOptions() == clouds.options("s3://results/")


def test_a_store_is_opened_once_whoever_asks(clouds: Clouds) -> None:
    """Clients are slow to make, and eight threads ask for the same one."""
    stores = Stores(pipeline({"uri": "s3://a/"}))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: stores.locate(video(f"s3://a/{n}.mp4")), range(64)))
    assert 1 == len(clouds.opened)
    assert {id(clouds.bucket("s3://a/"))} == {id(store) for store, _ in found}


@pytest.mark.parametrize(
    ("uri", "root", "key"),
    [
        ("s3://a/x/m-1.mp4", "s3://a/x/", "m-1.mp4"),
        ("s3://a/y/n.mp4", "s3://a/y/", "n.mp4"),
        ("s3://a/y/deep/o.mp4", "s3://a/y/deep/", "o.mp4"),
        ("s3://a/y/deeper//p?#%20.mp4", "s3://a/y/", "deeper//p?#%20.mp4"),
        ("s3://a/gone/q.mp4", "s3://a/", "gone/q.mp4"),
        ("gs://elsewhere/q.mp4", "gs://elsewhere/", "q.mp4"),
    ],
)
def test_a_video_is_found_below_the_nearest_source(clouds: Clouds, uri: str, root: str, key: str) -> None:
    """Also one that no source lists any more: its bucket is opened as the sources that share it say."""
    stores = Stores(
        pipeline(
            {"uri": "s3://a/x/m-", "endpoint_url": "http://h:1"},
            {"uri": "s3://a/y/", "endpoint_url": "http://h:1"},
            {"uri": "s3://a/y/deep/", "endpoint_url": "http://h:1"},
        )
    )
    store, found = stores.locate(video(uri))
    assert (root, key) == (store.root, found)
    assert ("http://h:1" if uri.startswith("s3") else None) == clouds.options(root).endpoint_url


def test_a_cloud_video_is_signed_and_never_uploaded(clouds: Clouds) -> None:
    """A cloud that cannot sign is an error; only local files have the other way."""
    stores = Stores(pipeline({"uri": "s3://a/"}))
    signed = stores.grant(video("s3://a/v.mp4"))
    assert isinstance(signed, SignedUrl)
    assert signed.url.startswith("http://127.0.0.1:9/v.mp4?")
    for error in (NotSignable("no key"), KeyUnsafe("dots")):
        clouds.bucket("s3://a/").refuses["sign"] = error
        with pytest.raises(type(error)):
            stores.grant(video("s3://a/v.mp4"))


def test_a_local_file_is_signed_once_there_is_a_signer(tmp_path: Path) -> None:
    """Before, it is uploaded; stores that were opened before that still sign."""
    (tmp_path / "v.mp4").write_bytes(b"x")
    stores = Stores(pipeline({"uri": str(tmp_path)}))
    file = video(f"file://{tmp_path}/v.mp4")
    assert isinstance(stores.grant(file), LocalVideo)
    stores.signer = FileUrlSigner("http://127.0.0.1:9", b"secret")
    assert isinstance(stores.grant(file), SignedUrl)


def test_a_folder_that_is_written_to_is_made(tmp_path: Path) -> None:
    """A source's is not."""
    stores = Stores(pipeline({"uri": str(tmp_path / "in")}))
    stores.output(f"file://{tmp_path}/out/").write("a", b"x")
    assert b"x" == (tmp_path / "out" / "a").read_bytes()
