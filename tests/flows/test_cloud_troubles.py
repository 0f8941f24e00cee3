"""What goes wrong with buckets while and before a pipeline runs, told by name; the service is a real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from config.load import load_pipeline
from config.settings import Settings
from tasks.discover import record_listing
from tasks.doctor import examine
from tasks.domain.errors import (
    AccessDenied,
    JobFailed,
    LocationMissing,
    ObjectMissing,
    ReelrouteError,
    StorageUnavailable,
)
from tasks.domain.job import JobState
from tasks.domain.video import SignedUrl
from tasks.infer import advance
from tasks.ledger.base import JobRecord
from tasks.plan import make_plan
from tasks.run import Run, open_run
from tests.clips import write_clip
from tests.flows.clouds import CLOUDS, SIGNATURES, Cloud, enter, write_pipeline

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
SECRET = "d3Jvbmc="


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    """A second of video at 25 frames/s."""
    return write_clip(tmp_path / "clip.mp4", frames=25).read_bytes()


@pytest.fixture(params=CLOUDS)
def name(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each cloud's; state is below the test's folder, and services of our own find the project."""
    monkeypatch.setenv("REELROUTE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for variable in ("ROBOFLOW_API_KEY", "ROBOFLOW_API_URL", "REELROUTE_RESULTS_URL"):
        monkeypatch.delenv(variable, raising=False)
    return str(request.param)


@pytest.fixture
def cloud(name: str, request: pytest.FixtureRequest, tmp_path: Path, clip: bytes) -> Cloud:
    """A cloud with one video."""
    cloud = enter(name, request, tmp_path)
    cloud.store(cloud.videos).write("a.mp4", clip)
    return cloud


# --- before anything is paid -----------------------------------------------------------------------


def refused(pipeline: str) -> ReelrouteError:
    """What ends a run of the pipeline before its service is even started."""

    async def run() -> None:
        async with open_run(pipeline):
            pytest.fail("the run would have begun")

    with pytest.raises(ReelrouteError) as caught:
        asyncio.run(run())
    assert caught.value.hint
    assert not any(mark in f"{caught.value} {caught.value.hint}" for mark in SIGNATURES)
    return caught.value


@pytest.mark.parametrize("where", ["source", "route"])
def test_a_missing_bucket_is_told(cloud: Cloud, tmp_path: Path, where: str) -> None:
    """A route's as soon as a source's; nothing is written."""
    nowhere = f"{cloud.videos.partition('://')[0]}://no-such-bucket-at-all/x/"
    place = {"videos": nowhere} if where == "source" else {"out": nowhere}
    error = refused(write_pipeline(tmp_path, cloud, cloud, **place))
    assert (LocationMissing, 2) == (type(error), error.exit_code)
    assert "no-such-bucket-at-all" in str(error)
    assert where == "source" or str(error).startswith("route results: ")
    assert [] == list(cloud.store(cloud.out).list())


def test_wrong_credentials_are_told(cloud: Cloud, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is not repeated."""
    if name == "s3":  # the emulator takes any secret, but no session that it has not given out
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
        monkeypatch.setenv("AWS_SESSION_TOKEN", SECRET)
    elif name == "gcs":
        path = Path(cloud.environment["GOOGLE_APPLICATION_CREDENTIALS"])
        path.write_text(json.dumps(json.loads(path.read_text()) | {"private_key": _another_key()}))
    else:
        text = cloud.environment["AZURE_STORAGE_CONNECTION_STRING"]
        key = text.partition("AccountKey=")[2].partition(";")[0]
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text.replace(key, SECRET))
    error = refused(write_pipeline(tmp_path, cloud, cloud))
    assert (True, 3) == (isinstance(error, AccessDenied), error.exit_code)
    assert SECRET not in f"{error} {error.hint}"


def _another_key() -> str:
    pem, pkcs8, bare = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(pem, pkcs8, bare).decode()


def test_an_endpoint_that_does_not_answer_is_told(
    cloud: Cloud, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the pipeline file's own key, too."""
    keys = 'endpoint_url: "http://127.0.0.1:9"'
    if name == "azure":
        monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
        monkeypatch.setenv("AZURE_STORAGE_KEY", "a2V5")
        keys += ", account: reelroute"
    error = refused(write_pipeline(tmp_path, cloud, cloud, keys=f", {keys}", out=f"{tmp_path}/out/"))
    assert (StorageUnavailable, 3) == (type(error), error.exit_code)


# --- while it runs ---------------------------------------------------------------------------------


@asynccontextmanager
async def running(pipeline: str) -> AsyncIterator[tuple[Run, JobRecord]]:
    """A run that has listed its one video and found nothing wrong with it."""
    async with open_run(pipeline) as run:
        await asyncio.to_thread(record_listing, run)
        plan = await asyncio.to_thread(make_plan, run, 0)
        (key,) = plan.todo
        job = run.ledger.job(key, pipeline="yard")
        assert job is not None
        yield run, job


async def infer(run: Run, key: str) -> JobRecord:
    """Submit a planned job and wait for its end, as a video's task does; return what the ledger says then."""
    async with run.holding(key) as job:
        assert job is not None
        with suppress(JobFailed):
            await advance(run, job, wait=True)
    ended = run.ledger.job(key)
    assert ended is not None
    assert not any(mark in str(ended) for mark in SIGNATURES)
    return ended


async def failure(run: Run, url: SignedUrl) -> JobFailed:
    """Have the service run a job on a URL that it cannot read; return what it says."""
    job_id = await run.backend.submit(url, run.spec, run.models)
    while True:
        try:
            assert not (await run.backend.check(job_id)).done
        except JobFailed as error:
            return error
        await run.sleep(0.2)


def changed(signed: SignedUrl) -> SignedUrl:
    """The URL with one letter of its signature changed."""
    url, place = signed.url, len(signed.url) - 5
    return SignedUrl(f"{url[:place]}{'B' if url[place] == 'A' else 'A'}{url[place + 1 :]}", signed.expires_at)


async def test_a_url_that_was_changed_or_has_ended_is_refused_and_told_as_such(cloud: Cloud, tmp_path: Path) -> None:
    """The store refuses it, the service says so, and the ledger has the code; the right URL goes through."""
    async with running(write_pipeline(tmp_path, cloud, cloud)) as (run, job):
        good = await asyncio.to_thread(run.stores.grant, job.video)
        assert isinstance(good, SignedUrl)
        store, key = run.stores.locate(job.video)
        ended = await asyncio.to_thread(store.sign, key, timedelta(seconds=1))
        await asyncio.sleep(2.5)
        for url in (changed(good), ended):
            error = await failure(run, url)
            assert "access_denied" == error.code, str(error)
            assert urlsplit(url.url).query not in f"{error} {error.hint}"
            assert not any(mark in f"{error} {error.hint}" for mark in SIGNATURES)
        assert JobState.SUCCEEDED is (await infer(run, job.key)).state


async def test_an_object_that_is_deleted_before_it_is_submitted_is_a_failure_by_name(
    cloud: Cloud, tmp_path: Path
) -> None:
    """The look right before submitting finds it gone: nothing is sent, and the job is failed with the reason."""
    async with running(write_pipeline(tmp_path, cloud, cloud)) as (run, job):
        cloud.store(cloud.videos).delete("a.mp4")
        with pytest.raises(ObjectMissing):
            await infer(run, job.key)
        failed = run.ledger.job(job.key)
        assert failed is not None
        assert JobState.FAILED is failed.state
        assert failed.failure is not None
        assert ("sign", "object_missing", "") == (failed.failure.stage, failed.failure.code, failed.job_id)


async def test_an_object_that_is_deleted_after_the_listing_is_not_submitted(cloud: Cloud, tmp_path: Path) -> None:
    """The look at each video before it is paid for finds it gone."""
    async with open_run(write_pipeline(tmp_path, cloud, cloud)) as run:
        await asyncio.to_thread(record_listing, run)
        cloud.store(cloud.videos).delete("a.mp4")
        assert [] == (await asyncio.to_thread(make_plan, run, 0)).todo
        (job,) = run.ledger.jobs("yard")
        assert job.failure is not None
        assert ("probe", "object_missing", None) == (job.failure.stage, job.failure.code, job.submitted_at)


async def test_an_object_that_is_replaced_is_another_video(cloud: Cloud, tmp_path: Path, clip: bytes) -> None:
    """Replaced after the listing, it is not submitted as what it was; the next listing has the new version."""
    pipeline = write_pipeline(tmp_path, cloud, cloud)
    async with open_run(pipeline) as run:
        await asyncio.to_thread(record_listing, run)
        longer = write_clip(tmp_path / "longer.mp4", frames=30).read_bytes()
        cloud.store(cloud.videos).write("a.mp4", longer)
        assert [] == (await asyncio.to_thread(make_plan, run, 0)).todo
        (old,) = run.ledger.jobs("yard")
        assert old.failure is not None
        assert "replaced after it was listed" in old.failure.message
    async with running(pipeline) as (run, job):
        assert (old.video.uri, len(longer)) == (job.video.uri, job.video.size)
        assert old.video.version != job.video.version
        assert old.key != job.key


async def test_doctor_tries_everything_and_leaves_nothing(cloud: Cloud, tmp_path: Path) -> None:
    """All is well, the service really fetched nothing, and the buckets are as they were."""
    found = await examine(load_pipeline(write_pipeline(tmp_path, cloud, cloud)), Settings.load())
    assert [] == [finding for finding in found if finding.status != "ok"]
    tried = [finding.check for finding in found if finding.subject == "sources[0]"]
    assert ["list", "read", "sign", "lifetime", "fetch"] == tried
    assert [] == list(cloud.store(cloud.out).list())
    assert ["a.mp4"] == [item.key for item in cloud.store(cloud.videos).list()]
    assert not any(mark in str(found) for mark in SIGNATURES)
    assert not (tmp_path / "home").exists()
