"""What goes wrong at Azure is tried again, or named; nothing half is taken for whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobServiceClient, LinearRetry, StandardBlobTier

from tasks.domain.errors import (
    AccessDenied,
    CredentialsRefused,
    InputInvalid,
    LocationMissing,
    ObjectMissing,
    PreconditionFailed,
    ReelrouteError,
    StorageUnavailable,
)
from tasks.storage import azure_access
from tasks.storage.azure_errors import RIGHTS, translate
from tasks.storage.base import Storage
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.emulators.azure import AzureEmulator
from tests.emulators.proxy import Answer, Fault, Request


def says(status: int, code: str) -> Fault:
    """The service's answer with one of its error codes."""
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>no</Message></Error>'
    return Fault(Answer(status, body.encode(), {"x-ms-error-code": code, "Content-Type": "application/xml"}))


BUSY = says(503, "ServerBusy")
BIG = bytes(range(256)) * 4096 * 17  # three pieces of a download


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number of retries, at once."""
    monkeypatch.setattr(
        azure_access, "retry_policy", lambda: LinearRetry(backoff=0, retry_total=3, random_jitter_range=0)
    )


@pytest.fixture
def container(azure: AzureEmulator) -> str:
    return azure.new_container()


@pytest.fixture
def storage(azure: AzureEmulator, container: str) -> Storage:
    options = StorageOptions(credentials=azure.connection_string(azure.proxied))
    return open_storage(f"az://{container}/2026/", options)


def first(count: int, fault: Fault, *, method: str = "") -> Callable[[Request], Fault | None]:
    """Break the first requests by a method."""
    numbers = itertools.count()
    return lambda request: fault if method in ("", request.method) and next(numbers) < count else None


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
    storage: Storage, azure: AzureEmulator, tmp_path: Path, name: str, fault: Fault
) -> None:
    """A busy moment or a reset connection costs a second try and nothing else."""
    storage.write("a.mp4", b"content")
    (tmp_path / "source").write_bytes(b"content")
    azure.faults.fault = first(2, fault)
    EVERYTHING[name](storage, tmp_path)


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_store_that_stays_busy_is_unavailable(
    storage: Storage, azure: AzureEmulator, tmp_path: Path, name: str
) -> None:
    """What does not pass is a failure that may be tried later, with no query in its text."""
    storage.write("a.mp4", b"content")
    (tmp_path / "source").write_bytes(b"content")
    azure.faults.fault = first(10_000, BUSY)
    with pytest.raises(StorageUnavailable) as failed:
        EVERYTHING[name](storage, tmp_path)
    assert "?" not in str(failed.value)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("cut", [0, 1, 1000])
def test_a_download_goes_on_after_a_reset(storage: Storage, azure: AzureEmulator, tmp_path: Path, cut: int) -> None:
    """Connections that break in mid-body are made again, and every byte arrives once."""
    storage.write("a.mp4", BIG)
    numbers = itertools.count(1)
    azure.faults.fault = lambda request: Fault(cut_after=cut) if request.method == "GET" and next(numbers) % 2 else None
    storage.download("a.mp4", tmp_path / "target")
    assert BIG == (tmp_path / "target").read_bytes()


def test_a_download_that_cannot_be_finished_leaves_nothing(
    storage: Storage, azure: AzureEmulator, tmp_path: Path
) -> None:
    """A body that always breaks is a failure, and no file."""
    storage.write("a.mp4", b"content")
    azure.faults.fault = lambda request: Fault(cut_after=3) if request.method == "GET" else None
    with pytest.raises(StorageUnavailable):
        storage.download("a.mp4", tmp_path / "target")
    assert [] == list(tmp_path.iterdir())


def test_a_short_answer_is_never_taken_for_whole(storage: Storage, azure: AzureEmulator, tmp_path: Path) -> None:
    """Fewer bytes than there are, sent as if they were all, are noticed by every way of reading."""
    storage.write("a.mp4", b"0123456789")
    azure.faults.fault = lambda request: Fault(at_most=3) if request.method == "GET" else None
    for start, length in ((0, None), (0, 10), (2, 8), (2, None), (0, 100)):
        with pytest.raises(StorageUnavailable):
            storage.read("a.mp4", start, length)
    with pytest.raises(StorageUnavailable):
        storage.download("a.mp4", tmp_path / "target")
    assert [] == list(tmp_path.iterdir())


def test_an_object_replaced_during_a_download_is_not_mixed(
    storage: Storage, azure: AzureEmulator, tmp_path: Path
) -> None:
    """Pieces of two versions never end up in one file."""
    storage.write("a.mp4", BIG)
    replaced: list[int] = []

    def replace(request: Request) -> Fault | None:
        ranged = request.headers.get("x-ms-range", request.headers.get("range", "bytes=0-"))
        if request.method == "GET" and not ranged.startswith("bytes=0-") and not replaced:
            replaced.append(1)
            storage.write("a.mp4", BIG[::-1])
        return None

    azure.faults.fault = replace
    with pytest.raises(StorageUnavailable, match="changed"):
        storage.download("a.mp4", tmp_path / "target")
    assert [] == list(tmp_path.iterdir())
    storage.download("a.mp4", tmp_path / "target")
    assert BIG[::-1] == (tmp_path / "target").read_bytes()


def test_a_lost_answer_is_not_somebody_elses_write(storage: Storage, azure: AzureEmulator) -> None:
    """A conditional write that happened, and whose answer got lost, is known for our own."""
    azure.faults.fault = first(1, Fault(lose_answer=True), method="PUT")
    version = storage.write("a.json", b"1", if_match="")
    assert version == storage.stat("a.json").version
    azure.faults.fault = first(1, Fault(lose_answer=True), method="PUT")
    assert storage.write("a.json", b"2", if_match=version) == storage.stat("a.json").version
    with pytest.raises(PreconditionFailed):
        storage.write("a.json", b"3", if_match=version)


@pytest.mark.parametrize("version", ["0", "*", "etag", '"', "0x8DABC"])
def test_a_version_that_never_was_holds_nowhere(storage: Storage, version: str) -> None:
    """Any text as ``if_match`` is a condition on that text."""
    for _ in range(2):
        with pytest.raises((PreconditionFailed, InputInvalid)):
            storage.write("a.json", b"1", if_match=version)
        with pytest.raises(ObjectMissing):
            storage.stat("a.json")


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_missing_container_is_named(azure: AzureEmulator, tmp_path: Path, name: str) -> None:
    """No container is another error than no blob, whatever is tried."""
    (tmp_path / "source").write_bytes(b"content")
    storage = open_storage("az://no-such-container/x/", StorageOptions(credentials=azure.connection_string()))
    with pytest.raises(LocationMissing, match="no-such-container"):
        EVERYTHING[name](storage, tmp_path)


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_missing_right_is_named(storage: Storage, azure: AzureEmulator, tmp_path: Path, name: str) -> None:
    """A 403 says which role the identity needs, and no retry is wasted on it."""
    (tmp_path / "source").write_bytes(b"content")
    azure.faults.fault = lambda request: says(403, "AuthorizationPermissionMismatch")
    with pytest.raises(AccessDenied) as refused:
        EVERYTHING[name](storage, tmp_path)
    action = {"stat": "read", "range": "read", "download": "read"}.get(name, name)
    wanted = RIGHTS[action if action in RIGHTS else "write"]
    assert wanted in refused.value.hint


def test_a_prefix_that_is_forbidden_leaves_the_others_alone(storage: Storage, azure: AzureEmulator) -> None:
    """Access to one prefix may be denied while the rest of the container works."""
    storage.write("open/a.mp4", b"x")
    denied = says(403, "AuthorizationPermissionMismatch")
    azure.faults.fault = lambda request: denied if "closed/" in request.arguments.get("prefix", "") else None
    with pytest.raises(AccessDenied):
        list(storage.list("closed/"))
    assert ["open/a.mp4"] == [found.key for found in storage.list("open/")]


def test_a_wrong_key_is_reported_and_not_shown(azure: AzureEmulator, container: str) -> None:
    """A key that is not the account's is an access problem."""
    wrong = azure.connection_string().replace(azure.key, "d3Jvbmc=")
    with pytest.raises(AccessDenied) as refused:
        list(open_storage(f"az://{container}/", StorageOptions(credentials=wrong)).list())
    assert "d3Jvbmc" not in str(refused.value)
    assert "AuthenticationFailed" in str(refused.value) or "AuthorizationFailure" in str(refused.value)


def test_an_endpoint_that_does_not_answer_is_named(azure: AzureEmulator) -> None:
    """Nobody listens: the host is shown, and it may be tried later."""
    options = StorageOptions(credentials=azure.connection_string("http://127.0.0.1:9/reelroute"))
    with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1:9 does not answer"):
        list(open_storage("az://videos/", options).list())


def test_a_file_that_cannot_be_read_is_not_uploaded(storage: Storage, tmp_path: Path) -> None:
    """The local file is what is wrong, and is named."""
    with pytest.raises(InputInvalid, match="source"):
        storage.upload("a.mp4", tmp_path / "source")


def test_archived_blobs_are_listed_as_such(storage: Storage, azure: AzureEmulator, container: str) -> None:
    """A blob in the archive tier is marked, and reading it says what to do; cool ones are only named."""
    for name in ("hot.mp4", "cool.mp4", "archived.mp4"):
        storage.write(name, b"x")
    with BlobServiceClient.from_connection_string(azure.connection_string()) as service:
        for name, tier in (("cool.mp4", StandardBlobTier.COOL), ("archived.mp4", StandardBlobTier.ARCHIVE)):
            service.get_blob_client(container, f"2026/{name}").set_standard_blob_tier(tier)
    found = {each.key: each for each in storage.list()}
    assert {"hot.mp4": "", "cool.mp4": "Cool", "archived.mp4": "Archive"} == {
        key: each.storage_class for key, each in found.items()
    }
    assert ["archived.mp4"] == [key for key, each in found.items() if each.archived]
    assert found["archived.mp4"] == storage.stat("archived.mp4")
    with pytest.raises(AccessDenied, match="archive") as refused:
        storage.read("archived.mp4")
    assert "rehydrate" in refused.value.hint


def test_folders_are_no_objects(storage: Storage, azure: AzureEmulator, container: str) -> None:
    """The folders that Hadoop's drivers and hierarchical accounts list, and the root's own, are left out."""
    with BlobServiceClient.from_connection_string(azure.connection_string()) as service:
        for name in ("2026/folder", "2026/"):
            service.get_blob_client(container, name).upload_blob(b"", metadata={"hdi_isfolder": "true"})
    storage.write("folder/a.mp4", b"x")
    assert ["folder/a.mp4"] == [found.key for found in storage.list()]


def test_errors_of_ours_are_all_that_comes_out(storage: Storage, azure: AzureEmulator, tmp_path: Path) -> None:
    """Whatever the answer's status, the error is one of ours."""
    storage.write("a.mp4", b"content")
    (tmp_path / "source").write_bytes(b"content")
    for status in (400, 401, 409, 410, 418):
        azure.faults.fault = lambda request, status=status: Fault(Answer(status, b"?"))  # type: ignore[misc]
        for attempt in EVERYTHING.values():
            with pytest.raises(ReelrouteError):
                attempt(storage, tmp_path)


def refused_with(status: int, code: str) -> HttpResponseError:
    """The SDK's error for an answer."""
    error = HttpResponseError("https://acct/videos?sig=s3cret")
    error.status_code = status
    error.error_code = code  # type: ignore[attr-defined]  # set by the storage SDK
    return error


@pytest.mark.parametrize(
    ("error", "action", "kind", "hint"),
    [
        (refused_with(403, "AuthorizationPermissionMismatch"), "sign", AccessDenied, "Delegator"),
        (refused_with(403, "AuthorizationFailure"), "read", AccessDenied, "firewall"),
        (refused_with(403, "KeyBasedAuthenticationNotPermitted"), "read", CredentialsRefused, "az login"),
        (refused_with(401, "InvalidAuthenticationInfo"), "read", CredentialsRefused, "az login"),
        (refused_with(409, "BlobBeingRehydrated"), "read", AccessDenied, "rehydrate"),
        (refused_with(409, "ContainerBeingDeleted"), "write", LocationMissing, "account"),
        (refused_with(400, "InvalidResourceName"), "list", InputInvalid, ""),
        (refused_with(500, "OperationTimedOut"), "read", StorageUnavailable, ""),
        (ClientAuthenticationError("DefaultAzureCredential: s3cret"), "list", CredentialsRefused, "az login"),
    ],
)
def test_errors_are_told_apart(error: HttpResponseError, action: str, kind: type[ReelrouteError], hint: str) -> None:
    """Each of the service's refusals leads to the error that says what to do, and shows no secret."""
    ours = translate(error, action, "az://videos/a.mp4", host="acct.blob.core.windows.net")
    assert kind is type(ours)
    assert hint in ours.hint
    assert "s3cret" not in str(ours)
