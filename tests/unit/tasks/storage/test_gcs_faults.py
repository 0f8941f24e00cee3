"""What goes wrong at Cloud Storage is tried again, or named; nothing half is taken for whole."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from google.oauth2.credentials import Credentials as UserCredentials

from tasks.domain.errors import (
    AccessDenied,
    InputInvalid,
    LocationMissing,
    ObjectMissing,
    PreconditionFailed,
    ReelrouteError,
    StorageUnavailable,
)
from tasks.storage import gcs as module
from tasks.storage.base import Storage
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.emulators.gcs_gate import GcsGate, error
from tests.emulators.proxy import Answer, Fault, Request

BUSY = Fault(Answer(503, b"SlowDown", {"Retry-After": "0"}))
BIG = bytes(range(256)) * 4096 * 33  # two pieces of a download


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same retries, sooner over."""
    quick = module.RETRY.with_delay(initial=0.01, maximum=0.02, multiplier=1.0).with_timeout(1.0)
    monkeypatch.setattr(module, "RETRY", quick)


@pytest.fixture
def storage(gcs: GcsGate) -> Storage:
    name = f"videos-{uuid.uuid4().hex[:12]}"
    gcs.make_bucket(name)
    return open_storage(f"gs://{name}/2026/", StorageOptions(endpoint_url=gcs.url, credentials=gcs.service_account))


def first(count: int, fault: Fault, *, method: str = "") -> Callable[[Request], Fault | None]:
    """Break the first requests by a method, except those for tokens."""
    numbers = itertools.count()

    def decide(request: Request) -> Fault | None:
        if request.path == "/token" or method not in ("", request.method):
            return None
        return fault if next(numbers) < count else None

    return decide


EVERYTHING: dict[str, Callable[[Storage, Path], object]] = {
    "list": lambda storage, _: list(storage.list()),
    "stat": lambda storage, _: storage.stat("a.mp4"),
    "read": lambda storage, _: storage.read("a.mp4"),
    "range": lambda storage, _: storage.read("a.mp4", 1, 2),
    "download": lambda storage, folder: storage.download("a.mp4", folder / "target"),
    "write": lambda storage, _: storage.write("b.mp4", b"x"),
    "upload": lambda storage, folder: storage.upload("b.mp4", folder / "source"),
    "write_many": lambda storage, _: storage.write_many(iter([("b.mp4", b"x")]), content_type="video/mp4"),
    "delete": lambda storage, _: storage.delete("a.mp4"),
    "check_write": lambda storage, _: storage.check_write(),
}


@pytest.mark.parametrize("fault", [BUSY, Fault()], ids=["503", "reset"])
@pytest.mark.parametrize("name", EVERYTHING)
def test_a_passing_fault_is_tried_again(
    storage: Storage, gcs: GcsGate, tmp_path: Path, name: str, fault: Fault
) -> None:
    """A busy moment or a reset connection costs a second try and nothing else."""
    storage.write("a.mp4", b"content")
    (tmp_path / "source").write_bytes(b"content")
    gcs.fault = first(2, fault)
    EVERYTHING[name](storage, tmp_path)


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_store_that_stays_busy_is_unavailable(storage: Storage, gcs: GcsGate, tmp_path: Path, name: str) -> None:
    """What does not pass is a failure that may be tried later, with the host and no query."""
    storage.write("a.mp4", b"content")
    (tmp_path / "source").write_bytes(b"content")
    gcs.fault = first(10_000, BUSY)
    with pytest.raises(StorageUnavailable) as failed:
        EVERYTHING[name](storage, tmp_path)
    assert "?" not in str(failed.value)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("cut", [0, 1, 1000])
def test_a_download_goes_on_after_a_reset(storage: Storage, gcs: GcsGate, tmp_path: Path, cut: int) -> None:
    """Connections that break in mid-body are made again, and every byte arrives once."""
    storage.write("a.mp4", BIG)
    gcs.fault = lambda request: Fault(cut_after=cut) if "/download/" in request.path and next(numbers) % 2 else None
    numbers = itertools.count(1)
    storage.download("a.mp4", tmp_path / "target")
    assert BIG == (tmp_path / "target").read_bytes()


def test_a_download_that_cannot_be_finished_leaves_nothing(storage: Storage, gcs: GcsGate, tmp_path: Path) -> None:
    """A body that always breaks is a failure, and no file."""
    storage.write("a.mp4", b"content")
    gcs.fault = lambda request: Fault(cut_after=3) if "/download/" in request.path else None
    with pytest.raises(StorageUnavailable):
        storage.download("a.mp4", tmp_path / "target")
    assert [] == list(tmp_path.iterdir())


def test_a_short_answer_is_never_taken_for_whole(storage: Storage, gcs: GcsGate, tmp_path: Path) -> None:
    """Fewer bytes than there are, sent as if they were all, are noticed by every way of reading."""
    storage.write("a.mp4", b"0123456789")
    gcs.fault = lambda request: Fault(at_most=3) if "/download/" in request.path else None
    for start, length in ((0, None), (0, 10), (2, 8), (2, None), (0, 100)):
        with pytest.raises(StorageUnavailable):
            storage.read("a.mp4", start, length)
    gcs.fault = lambda request: Fault(at_most=0) if "/download/" in request.path else None
    with pytest.raises(StorageUnavailable):
        storage.download("a.mp4", tmp_path / "target")
    assert [] == list(tmp_path.iterdir())


def test_an_object_replaced_during_a_download_is_not_mixed(storage: Storage, gcs: GcsGate, tmp_path: Path) -> None:
    """Pieces of two versions never end up in one file."""
    storage.write("a.mp4", BIG)
    replaced: list[int] = []

    def replace(request: Request) -> Fault | None:
        if "/download/" in request.path and "bytes=0-" not in request.headers.get("range", "") and not replaced:
            replaced.append(1)
            storage.write("a.mp4", BIG[::-1])
        return None

    gcs.fault = replace
    with pytest.raises(StorageUnavailable):
        storage.download("a.mp4", tmp_path / "target")
    assert [] == list(tmp_path.iterdir())
    storage.download("a.mp4", tmp_path / "target")
    assert BIG[::-1] == (tmp_path / "target").read_bytes()


def test_a_lost_answer_is_not_somebody_elses_write(storage: Storage, gcs: GcsGate) -> None:
    """A conditional write that happened, and whose answer got lost, is known for our own."""
    gcs.fault = first(1, Fault(lose_answer=True), method="POST")
    version = storage.write("a.json", b"1", if_match="")
    assert version == storage.stat("a.json").version
    gcs.fault = first(1, Fault(lose_answer=True), method="POST")
    assert storage.write("a.json", b"2", if_match=version) == storage.stat("a.json").version
    with pytest.raises(PreconditionFailed):
        storage.write("a.json", b"3", if_match=version)


@pytest.mark.parametrize("version", ["0", "etag", "-1", "1795298379052006", "²"])
def test_a_version_that_never_was_holds_nowhere(storage: Storage, version: str) -> None:
    """Any text as ``if_match`` is a condition, and "0" is not a way to create."""
    with pytest.raises(PreconditionFailed):
        storage.write("a.json", b"1", if_match=version)
    with pytest.raises(ObjectMissing):
        storage.stat("a.json")


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_missing_bucket_is_named(gcs: GcsGate, tmp_path: Path, name: str) -> None:
    """No bucket is another error than no object, whatever is tried."""
    (tmp_path / "source").write_bytes(b"content")
    options = StorageOptions(endpoint_url=gcs.url, credentials=gcs.service_account)
    storage = open_storage("gs://no-such-bucket-here/x/", options)
    with pytest.raises(LocationMissing, match="no-such-bucket-here"):
        EVERYTHING[name](storage, tmp_path)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("list", "storage.objects.list"),
        ("read", "storage.objects.get"),
        ("download", "storage.objects.get"),
        ("write", "storage.objects.create"),
        ("write_many", "storage.objects.create"),
        ("check_write", "storage.objects.create"),
        ("delete", "storage.objects.delete"),
    ],
)
def test_the_missing_right_is_named(storage: Storage, gcs: GcsGate, tmp_path: Path, name: str, right: str) -> None:
    """A 403 says which permission the account needs, and no retry is wasted on it."""
    denied = Fault(error(403, "reelroute@test-project.iam.gserviceaccount.com does not have access."))
    gcs.fault = lambda request: denied if request.path != "/token" else None
    with pytest.raises(AccessDenied) as refused:
        EVERYTHING[name](storage, tmp_path)
    assert right in refused.value.hint


def test_a_prefix_that_is_forbidden_leaves_the_others_alone(storage: Storage, gcs: GcsGate) -> None:
    """Access to one prefix may be denied while the rest of the bucket works."""
    storage.write("open/a.mp4", b"x")
    gcs.fault = lambda request: Fault(error(403, "no")) if "closed/" in request.arguments.get("prefix", "") else None
    with pytest.raises(AccessDenied):
        list(storage.list("closed/"))
    assert ["open/a.mp4"] == [found.key for found in storage.list("open/")]


def test_tokens_that_end_are_renewed(storage: Storage, gcs: GcsGate) -> None:
    """A key's token that is no longer accepted is replaced in mid-work."""
    storage.write("a.mp4", b"x")
    gcs.tokens.clear()
    assert b"x" == storage.read("a.mp4")


def test_a_token_that_cannot_be_renewed_is_reported(gcs: GcsGate, storage: Storage) -> None:
    """A bare token that has expired is an access problem, and is not shown."""
    user = UserCredentials("ya29.expired")
    with pytest.raises(AccessDenied) as refused:
        list(open_storage(storage.root, StorageOptions(endpoint_url=gcs.url, credentials=user)).list())
    assert "ya29" not in str(refused.value)
    assert refused.value.hint


def test_a_revoked_key_is_reported(gcs: GcsGate, storage: Storage) -> None:
    """A key that Google no longer takes is an access problem."""
    gcs.fault = lambda request: Fault(Answer(400, b'{"error": "invalid_grant"}')) if request.path == "/token" else None
    with pytest.raises(AccessDenied):
        storage.read("a.mp4")


def test_an_endpoint_that_does_not_answer_is_named() -> None:
    """Nobody listens: the host is shown, and it may be tried later."""
    options = StorageOptions(endpoint_url="http://127.0.0.1:9", credentials=UserCredentials("ya29.token"))
    with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1:9 does not answer"):
        list(open_storage("gs://videos/", options).list())


@pytest.mark.parametrize("bucket", ["-videos", "videos-", ".", "_"])
def test_a_name_that_no_bucket_has_is_refused_at_once(bucket: str) -> None:
    """A bucket's name that the SDK refuses is an error of input."""
    with pytest.raises(InputInvalid):
        open_storage(f"gs://{bucket}/")


@pytest.mark.parametrize("problem", ["missing", "folder"])
def test_a_file_that_cannot_be_read_is_not_uploaded(storage: Storage, tmp_path: Path, problem: str) -> None:
    """The local file is what is wrong, and is named."""
    source = tmp_path / "source"
    if problem == "folder":
        source.mkdir()
    with pytest.raises(InputInvalid, match="source"):
        storage.upload("a.mp4", source)


def test_the_placeholder_of_the_root_is_no_object(storage: Storage, gcs: GcsGate) -> None:
    """A zero-byte object with the root's own name is left out; those of folders below it are listed."""
    options = StorageOptions(endpoint_url=gcs.url, credentials=gcs.service_account)
    open_storage(storage.root.removesuffix("2026/"), options).write("2026/", b"")
    storage.write("folder/", b"")
    assert ["folder/"] == [found.key for found in storage.list()]


def test_errors_of_ours_are_all_that_comes_out(storage: Storage, gcs: GcsGate, tmp_path: Path) -> None:
    """Whatever the answer's status, the error is one of ours."""
    storage.write("a.mp4", b"content")
    (tmp_path / "source").write_bytes(b"content")
    for status in (400, 401, 409, 410, 418):
        gcs.fault = lambda request, status=status: (  # type: ignore[misc]
            Fault(error(status, "no")) if request.path != "/token" else None
        )
        for attempt in EVERYTHING.values():
            with pytest.raises(ReelrouteError):
                attempt(storage, tmp_path)
