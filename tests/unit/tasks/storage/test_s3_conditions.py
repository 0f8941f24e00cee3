"""Stores that speak S3 and refuse conditional writes: everything else works, and the check says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.domain.errors import AccessDenied, InputInvalid
from tasks.storage.base import ConditionsUnknown
from tasks.storage.s3 import S3Storage
from tests.emulators.proxy import Fault, Request
from tests.emulators.s3 import S3Emulator
from tests.unit.tasks.storage.test_s3_faults import refusal

BIG = bytes(range(256)) * 80_000


@pytest.fixture
def store(s3: S3Emulator) -> S3Storage:
    return S3Storage(s3.new_bucket(), "in/", session=s3.session, endpoint_url=s3.faults.url)


def without_conditions(status: int, code: str) -> Callable[[Request], Fault | None]:
    """As compatible stores do that know neither If-Match nor If-None-Match in a PUT."""

    def decide(request: Request) -> Fault | None:
        conditions = {"if-match", "if-none-match"} & {name.lower() for name in request.headers}
        return refusal(status, code) if request.method == "PUT" and conditions else None

    return decide


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (400, "InvalidArgument")])
def test_a_store_without_conditional_writes_can_be_written(
    store: S3Storage, s3: S3Emulator, tmp_path: Path, status: int, code: str
) -> None:
    """All but ``if_match`` works, the check says so and leaves nothing behind."""
    s3.faults.fault = without_conditions(status, code)
    assert store.check_write() is False
    assert [] == list(store.list())
    store.write("a", b"1")
    (tmp_path / "b").write_bytes(BIG)
    store.upload("b", tmp_path / "b")
    assert 2 == store.write_many(iter([("c", b"3"), ("d", b"4")]), content_type="text/plain")
    assert ["a", "b", "c", "d"] == [found.key for found in store.list()]
    store.delete("a")
    store.download("b", tmp_path / "back")
    assert BIG == (tmp_path / "back").read_bytes()


def test_a_conditional_write_that_is_not_implemented_is_named(store: S3Storage, s3: S3Emulator) -> None:
    """With its own code, so that whoever can do without goes on."""
    s3.faults.fault = without_conditions(501, "NotImplemented")
    for condition in ("", "0" * 32):
        with pytest.raises(ConditionsUnknown, match="knows no conditional writes") as caught:
            store.write("a", b"1", if_match=condition)
        assert ("conditions_unknown", 2) == (caught.value.code, caught.value.exit_code)


def test_a_refusal_for_another_reason_is_no_lack_of_conditions(store: S3Storage, s3: S3Emulator) -> None:
    """What the plain write is refused for is told."""
    s3.faults.fault = lambda request: refusal(400, "InvalidBucketState") if request.method == "PUT" else None
    with pytest.raises(InputInvalid, match="InvalidBucketState"):
        store.check_write()
    s3.faults.fault = lambda request: refusal(403, "AccessDenied") if request.method == "PUT" else None
    with pytest.raises(AccessDenied):
        store.check_write()
