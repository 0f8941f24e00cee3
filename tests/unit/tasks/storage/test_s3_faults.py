"""What goes wrong between us and S3 is tried again, or named with a code and a hint; never half an object."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest

from tasks.domain.errors import (
    AccessDenied,
    InputInvalid,
    KeyUnsafe,
    LocationMissing,
    ObjectMissing,
    PreconditionFailed,
    ReelrouteError,
    StorageUnavailable,
)
from tasks.storage.base import ObjectInfo
from tasks.storage.ranged import open_ranged
from tasks.storage.s3 import S3Storage
from tests.emulators.proxy import Answer, Fault, Request
from tests.emulators.s3 import S3Emulator

BIG = bytes(range(256)) * 20_000


@pytest.fixture
def store(s3: S3Emulator) -> S3Storage:
    """A store behind the proxy that can break requests."""
    return S3Storage(s3.new_bucket(), "in/", session=s3.session, endpoint_url=s3.faults.url)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore tries again without waiting seconds in between."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))


def refusal(status: int, code: str, extra: str = "", **headers: str) -> Fault:
    body = (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>https://x/?X-Amz-Signature=1</Message>{extra}</Error>"
    )
    return Fault(answer=Answer(status, body.encode(), {"Content-Type": "application/xml", **headers}))


def first(count: int, fault: Fault, method: str = "") -> Callable[[Request], Fault | None]:
    """Break the first ``count`` requests, of one method if it is named."""
    left = [count]

    def decide(request: Request) -> Fault | None:
        if method not in ("", request.method) or not left[0]:
            return None
        left[0] -= 1
        return fault

    return decide


EVERY_CALL: dict[str, Callable[[S3Storage], object]] = {
    "list": lambda store: list(store.list()),
    "stat": lambda store: store.stat("key"),
    "read": lambda store: store.read("key"),
    "range": lambda store: store.read("key", 2, 3),
    "download": lambda store: store.download("key", Path("/nowhere/at/all")),
    "write": lambda store: store.write("key", b"x"),
    "create": lambda store: store.write("key", b"x", if_match=""),
    "write_many": lambda store: store.write_many(iter([("key", b"x")]), content_type="text/plain"),
    "delete": lambda store: store.delete("key"),
    "check_write": lambda store: store.check_write(),
}


# --- trouble that passes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [refusal(503, "SlowDown"), refusal(500, "InternalError"), Fault()], ids=["503", "500", "reset"]
)
@pytest.mark.parametrize("call", ["list", "stat", "read", "range", "write", "create", "write_many", "delete"])
def test_a_short_trouble_is_not_noticed(store: S3Storage, s3: S3Emulator, call: str, fault: Fault) -> None:
    """Two refusals or resets in a row are tried again, whatever was asked."""
    if call != "create":
        store.write("key", b"0123456789")
    s3.faults.fault = first(2, fault)
    EVERY_CALL[call](store)


def test_a_body_that_breaks_is_read_again(store: S3Storage, s3: S3Emulator) -> None:
    """A reset in the middle of a body gives the whole range in the end."""
    store.write("key", BIG)
    s3.faults.fault = first(2, Fault(cut_after=1000), "GET")
    assert BIG == store.read("key")
    s3.faults.fault = first(2, Fault(cut_after=1000), "GET")
    assert BIG[500:5_000_500] == store.read("key", 500, 5_000_000)


def test_a_download_goes_on_where_it_broke(store: S3Storage, s3: S3Emulator, tmp_path: Path) -> None:
    """After each reset only the rest is asked for, and the file is whole."""
    store.write("key", BIG)
    s3.faults.fault = first(2, Fault(cut_after=1_500_000), "GET")
    store.download("key", tmp_path / "target")
    assert hashlib.sha256(BIG).digest() == hashlib.sha256((tmp_path / "target").read_bytes()).digest()
    assert [tmp_path / "target"] == list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [None, 4_000])
def test_a_short_answer_is_not_taken_for_whole(store: S3Storage, s3: S3Emulator, length: int | None) -> None:
    """Fewer bytes than the range has, politely ended, are asked for again, and refused if they stay few."""
    store.write("key", BIG)
    s3.faults.fault = first(1, Fault(at_most=1000), "GET")
    assert BIG[:length] == store.read("key", 0, length)
    s3.faults.fault = first(100, Fault(at_most=1000), "GET")
    with pytest.raises(StorageUnavailable):
        store.read("key", 0, length)


def test_short_answers_make_no_short_file(store: S3Storage, s3: S3Emulator, tmp_path: Path) -> None:
    """A download whose bodies end early goes on until it has every byte; without any progress it fails."""
    store.write("key", BIG[:5_000])
    s3.faults.fault = first(4, Fault(at_most=1000), "GET")
    store.download("key", tmp_path / "target")
    assert BIG[:5_000] == (tmp_path / "target").read_bytes()
    s3.faults.fault = first(100, Fault(cut_after=0), "GET")
    with pytest.raises(StorageUnavailable):
        store.download("key", tmp_path / "other")
    assert [tmp_path / "target"] == list(tmp_path.iterdir())


def test_a_lost_answer_to_a_conditional_write_is_not_somebody_elses(store: S3Storage, s3: S3Emulator) -> None:
    """S3 took the write, we did not hear it, and the second try is refused: it is ours all the same."""
    s3.faults.fault = first(1, Fault(lose_answer=True), "PUT")
    version = store.write("new", b"mine", if_match="")
    assert (version, b"mine") == (store.stat("new").version, store.read("new"))
    s3.faults.fault = first(1, Fault(lose_answer=True), "PUT")
    assert store.write("new", b"mine too", if_match=version) == store.stat("new").version


def test_a_retried_write_still_loses_to_another_one(store: S3Storage, s3: S3Emulator) -> None:
    """After a reset, other bytes under the name are somebody else's."""
    store.write("new", b"theirs")
    s3.faults.fault = first(1, Fault(), "PUT")
    with pytest.raises(PreconditionFailed):
        store.write("new", b"mine", if_match="")
    assert b"theirs" == store.read("new")


def test_a_conflict_with_a_write_under_way_is_a_lost_race(store: S3Storage, s3: S3Emulator) -> None:
    """S3 answers 409 while another conditional write is not decided yet."""
    s3.faults.fault = first(1, refusal(409, "ConditionalRequestConflict"), "PUT")
    with pytest.raises(PreconditionFailed):
        store.write("new", b"mine", if_match="")


def test_an_upload_in_parts_survives_a_reset(store: S3Storage, s3: S3Emulator, tmp_path: Path) -> None:
    """A part that breaks is sent again; the object has the file's bytes and its content type."""
    source = tmp_path / "source"
    source.write_bytes(BIG * 4)
    s3.faults.fault = first(2, Fault(), "PUT")
    version = store.upload("big", source, content_type="video/mp4")
    assert version.endswith("-2")
    assert "video/mp4" == s3.client.head_object(Bucket=store.root.split("/")[2], Key="in/big")["ContentType"]
    assert hashlib.sha256(BIG * 4).digest() == hashlib.sha256(store.read("big")).digest()


def test_an_upload_that_fails_leaves_nothing(store: S3Storage, s3: S3Emulator, tmp_path: Path) -> None:
    """Neither half an object nor parts that cost money."""
    source = tmp_path / "source"
    source.write_bytes(BIG * 4)
    s3.faults.fault = lambda request: refusal(403, "AccessDenied") if "partNumber=2" in request.query else None
    with pytest.raises(AccessDenied):
        store.upload("big", source)
    s3.faults.reset()
    assert [] == list(store.list())
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket=store.root.split("/")[2])


# --- trouble that stays -----------------------------------------------------------------------


@pytest.mark.parametrize("call", EVERY_CALL)
@pytest.mark.parametrize(
    ("fault", "expected", "hinted"),
    [
        (refusal(503, "SlowDown"), StorageUnavailable, "busy"),
        (Fault(), StorageUnavailable, "endpoint_url"),
        (refusal(400, "ExpiredToken"), AccessDenied, "session token"),
        (refusal(403, "InvalidAccessKeyId"), AccessDenied, "AWS_ACCESS_KEY_ID"),
        (refusal(403, "AccessDenied"), AccessDenied, "s3:"),
        (
            refusal(301, "PermanentRedirect", **{"x-amz-bucket-region": "ap-southeast-3"}),
            InputInvalid,
            "ap-southeast-3",
        ),
    ],
    ids=["busy", "reset", "expired", "keys", "denied", "region"],
)
def test_a_lasting_trouble_is_named(
    store: S3Storage, s3: S3Emulator, call: str, fault: Fault, expected: type[ReelrouteError], hinted: str
) -> None:
    """Each call says what is wrong and what to do, whatever answer HEADs hide, and shows no URL."""
    s3.faults.fault = lambda request: fault
    with pytest.raises(expected) as caught:
        EVERY_CALL[call](store)
    assert hinted in caught.value.hint
    assert "bucket-" in caught.value.message
    assert "X-Amz" not in caught.value.message + caught.value.hint
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("call", [name for name in EVERY_CALL if name not in ("stat", "download")])
def test_a_missing_bucket_is_named(s3: S3Emulator, call: str) -> None:
    """The bucket, not the object, is what is missing: but for a HEAD, whose answer cannot tell."""
    store = S3Storage("no-such-bucket", session=s3.session, endpoint_url=s3.url)
    with pytest.raises(LocationMissing, match="no-such-bucket") as caught:
        EVERY_CALL[call](store)
    assert caught.value.hint


def test_one_forbidden_prefix_does_not_close_the_others(store: S3Storage, s3: S3Emulator) -> None:
    """403 below one prefix is a failure of those objects only."""
    store.write("open/key", b"1")
    store.write("shut/key", b"2")
    s3.faults.fault = lambda request: refusal(403, "AccessDenied") if "/shut/" in request.name else None
    assert b"1" == store.read("open/key")
    with pytest.raises(AccessDenied, match="shut/key") as caught:
        store.read("shut/key")
    assert "s3:GetObject" in caught.value.hint
    assert ["open/key", "shut/key"] == [found.key for found in store.list()]


def test_a_listing_that_breaks_between_pages_says_so(store: S3Storage, s3: S3Emulator) -> None:
    """Keys of the pages before come; the end is an error, not a silence that looks like the end."""
    store.write_many(((f"{n:04}", b"") for n in range(1_500)), content_type="text/plain")
    s3.faults.fault = lambda request: refusal(403, "AccessDenied") if "continuation-token" in request.query else None
    seen: list[ObjectInfo] = []
    with pytest.raises(AccessDenied):
        seen.extend(store.list())
    listing = store.list()
    assert [f"{n:04}" for n in range(1_000)] == [next(listing).key for _ in range(1_000)]
    with pytest.raises(AccessDenied):
        next(listing)


def test_an_object_that_changes_under_a_download_makes_no_mixed_file(
    store: S3Storage, s3: S3Emulator, tmp_path: Path
) -> None:
    """The rest of a broken download must be of the same version."""
    store.write("key", BIG)
    gets: list[Request] = []

    def break_then_replace(request: Request) -> Fault | None:
        if request.method != "GET":
            return None
        gets.append(request)
        if len(gets) == 1:
            return Fault(cut_after=2_000_000)
        s3.client.put_object(Bucket=store.root.split("/")[2], Key="in/key", Body=BIG[::-1])
        return None

    s3.faults.fault = break_then_replace
    with pytest.raises(StorageUnavailable, match="changed"):
        store.download("key", tmp_path / "target")
    assert [] == list(tmp_path.iterdir())


def test_nobody_answers(s3: S3Emulator) -> None:
    """An endpoint that is not there is named as such, for a probe through ranges too."""
    store = S3Storage("bucket", session=s3.session, endpoint_url="http://127.0.0.1:1")
    with pytest.raises(StorageUnavailable) as caught:
        list(store.list())
    assert "endpoint_url" in caught.value.hint
    with pytest.raises(StorageUnavailable):
        open_ranged(store, "key")


def test_wrong_names_are_the_users_mistake(s3: S3Emulator) -> None:
    """A bucket that no bucket can be called, an endpoint that is no address, a key that is too long."""
    for store in (
        S3Storage("No Such Bucket!", session=s3.session, endpoint_url=s3.url),
        S3Storage("bucket", session=s3.session, endpoint_url="http://no host/"),
    ):
        with pytest.raises(InputInvalid) as caught:
            list(store.list())
        assert caught.value.hint
    store = S3Storage(s3.new_bucket(), session=s3.session, endpoint_url=s3.faults.url)
    s3.faults.fault = lambda request: refusal(400, "KeyTooLongError")
    with pytest.raises(KeyUnsafe):
        store.write("k" * 1_025, b"x")


def test_credentials_that_cannot_be_had(s3: S3Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that is not there is a matter of credentials, with a hint."""
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(AccessDenied) as caught:
        list(S3Storage("bucket", endpoint_url=s3.url).list())
    assert "AWS_PROFILE" in caught.value.hint


def test_wrong_keys_are_refused_by_the_emulator_itself(s3: S3Emulator) -> None:
    """Keys that nobody knows, and no keys at all."""
    bucket = s3.new_bucket()
    for session in (boto3.Session("AKIAUNKNOWN", "secret", region_name="eu-west-1"), None):
        with pytest.raises(AccessDenied) as caught:
            list(S3Storage(bucket, session=session, endpoint_url=s3.url).list())
        assert caught.value.hint
    with pytest.raises(ObjectMissing):
        S3Storage(bucket, session=s3.session, endpoint_url=s3.url).read("key")
