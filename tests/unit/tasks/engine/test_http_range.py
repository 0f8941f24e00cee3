"""Videos behind URLs: read whole or not at all, and never with the signature in sight."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator

import httpx
import pytest
import stamina

from tasks.domain.errors import (
    AccessDenied,
    InputInvalid,
    ObjectMissing,
    PreconditionFailed,
    ReelrouteError,
    StorageUnavailable,
    VideoTooLarge,
)
from tasks.engine.http_range import HttpRange, RangesIgnored, open_url
from tasks.engine.source import BLOCK_BYTES
from tests.range_server import Fault, RangeServer, serve

BODY = bytes(range(256)) * 4 * 1024  # 1 MiB


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Retry at once."""
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


@pytest.fixture
def server() -> Iterator[RangeServer]:
    with serve(BODY) as running:
        yield running


def test_a_url_reads_like_a_file(server: RangeServer) -> None:
    """Bytes, size and seeks are those of the object."""
    with open_url(server.url) as file:
        assert BODY == file.read()
        file.seek(-10, 2)
        assert BODY[-10:] == file.read(100)


@pytest.mark.parametrize(
    "path",
    [
        "/bucket/a%2Fb%20c%c3%a9+d%2B%C3%A9.mp4",
        "/bucket//double/slash.mp4?sig=a%2Fb%2B%3D&se=2026-01-01T00%3A00%3A00Z&sp=r",
        "/bucket/film.mp4?X-Amz-Credential=AK/20260101/eu-west-1/s3/aws4_request&X-Amz-Security-Token=a+b/c==",
        "/bucket/it's~(1)!*,;:@$&=.mp4?q=it's~(1)!*,;:@$&=",
        "/bucket/50%25.mp4?a=%257E&b=&c",
    ],
)
def test_a_signed_url_reaches_the_server_byte_for_byte(server: RangeServer, path: str) -> None:
    """Nothing is decoded, encoded again or tidied up: that would break the signature."""
    open_url(server.url.partition("/bucket")[0] + path).close()
    assert [path] == server.paths


def test_the_first_request_serves_the_first_reads(server: RangeServer) -> None:
    """Opening and reading the head is one request; so is a whole small object."""
    server.body = b"tiny"
    with open_url(server.url) as file:
        assert b"tiny" == file.read()
    assert [f"bytes=0-{BLOCK_BYTES - 1}"] == server.requests


def test_an_empty_object_is_an_empty_file(server: RangeServer) -> None:
    """Stores answer 416 to a range of nothing; that is no error."""
    server.body = b""
    with open_url(server.url) as file:
        assert b"" == file.read()


def test_an_empty_answer_without_ranges_is_an_empty_file(server: RangeServer) -> None:
    """So is 200 with no body."""
    server.body, server.ranges = b"", False
    assert 0 == HttpRange(server.url).size


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_error_is_retried(server: RangeServer, status: int) -> None:
    """One bad answer in the middle goes unnoticed."""
    server.fault = lambda number, _start: Fault(status=status) if number == 1 else None
    with open_url(server.url) as file:
        assert BODY == file.read()


def test_a_cut_connection_is_resumed_where_it_broke(server: RangeServer) -> None:
    """What arrived is kept; only the rest is asked for again."""
    server.fault = lambda number, _start: Fault(cut_after=1000) if number < 2 else None
    with open_url(server.url) as file:
        assert BODY == file.read()
    assert ["bytes=0-262143", "bytes=1000-262143", "bytes=2000-262143"] == server.requests[:3]


def test_an_answer_shorter_than_asked_for_is_completed(server: RangeServer) -> None:
    """A server may give less than the range; the rest is asked for."""
    server.fault = lambda number, _start: Fault(at_most=5000) if number == 0 else None
    with open_url(server.url) as file:
        assert BODY == file.read()
    assert "bytes=5000-262143" == server.requests[1]


def test_an_error_that_stays_ends_after_the_attempts(server: RangeServer) -> None:
    """The number of requests is bounded, and the failure is one that may be retried later."""
    server.fault = lambda _number, _start: Fault(status=503)
    with pytest.raises(StorageUnavailable, match="HTTP 503"):
        HttpRange(server.url, attempts=3)
    assert 3 == len(server.requests)


def test_the_servers_wish_to_wait_is_passed_on(server: RangeServer) -> None:
    """Retry-After reaches the one who decides when to try again."""
    server.fault = lambda _number, _start: Fault(status=429, headers={"Retry-After": "17"})
    with pytest.raises(StorageUnavailable) as caught:
        HttpRange(server.url, attempts=1)
    assert 17.0 == caught.value.retry_after_s


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, ObjectMissing), (410, ObjectMissing), (401, AccessDenied), (403, AccessDenied), (400, AccessDenied)],
)
def test_a_refusal_is_final(server: RangeServer, status: int, error: type[ReelrouteError]) -> None:
    """A refusal is not retried and has its own name."""
    server.fault = lambda _number, _start: Fault(status=status)
    with pytest.raises(error):
        HttpRange(server.url)
    assert 1 == len(server.requests)


def test_a_signature_that_expires_on_the_way_is_a_refusal(server: RangeServer) -> None:
    """403 in the middle is an error, not the end of the file."""
    server.fault = lambda number, _start: Fault(status=403) if number else None
    with open_url(server.url) as file, pytest.raises(AccessDenied):
        file.read()


def test_an_object_overwritten_on_the_way_is_noticed(server: RangeServer) -> None:
    """Two halves of two videos are no video."""
    with open_url(server.url) as file:
        file.read(10)
        server.etag = '"two"'
        with pytest.raises(PreconditionFailed, match="overwritten"):
            file.read()


def test_an_object_that_shrank_on_the_way_is_noticed(server: RangeServer) -> None:
    """A range that no longer exists means that the object changed."""
    with open_url(server.url) as file:
        server.body = b"short now"
        with pytest.raises(PreconditionFailed, match="overwritten"):
            file.read()


@pytest.mark.parametrize("stated", ["bytes 7-262150/1048576", "bytes */1048576", "items 0-1/2", ""])
def test_an_answer_with_another_range_is_not_believed(server: RangeServer, stated: str) -> None:
    """206 with a Content-Range that is not what was asked for is an error of the server."""
    server.fault = lambda _number, _start: Fault(headers={"Content-Range": stated})
    with pytest.raises(StorageUnavailable, match="not from byte 0"):
        HttpRange(server.url)


def test_a_large_object_is_refused_before_it_is_read(server: RangeServer) -> None:
    """The cap is checked against the size that the first answer states."""
    with pytest.raises(VideoTooLarge, match="1,048,576 bytes"):
        open_url(server.url, max_bytes=1_000_000)
    assert 1 == len(server.requests)
    with open_url(server.url, max_bytes=len(BODY)) as file:
        assert BODY == file.read()


def test_a_server_without_ranges_is_named(server: RangeServer) -> None:
    """As a range source, a server that answers 200 cannot be used."""
    server.ranges = False
    with pytest.raises(RangesIgnored, match="ignores Range"):
        HttpRange(server.url)


def test_from_a_server_without_ranges_the_object_is_copied(server: RangeServer) -> None:
    """Opening the URL still works, also when the first copy breaks off."""
    server.ranges = False
    server.fault = lambda number, _start: Fault(cut_after=5000) if number == 1 else None
    with open_url(server.url) as file:
        file.seek(100)
        assert BODY[100:] == file.read()
        file.seek(0)
        assert BODY == file.read()
    assert 3 == len(server.requests)


def test_the_cap_holds_for_copies_too(server: RangeServer) -> None:
    """A copy stops at the cap, whatever length the server states."""
    server.ranges = False
    with pytest.raises(VideoTooLarge):
        open_url(server.url, max_bytes=1000)


@pytest.mark.parametrize(
    "url", ["ftp://host/film.mp4?sig=s3cret", "film.mp4?sig=s3cret", "http://host:port/?sig=s3cret"]
)
def test_what_is_no_http_url_is_refused(url: str) -> None:
    """Other schemes and malformed URLs are input errors, without the query in their text."""
    with pytest.raises(InputInvalid) as caught:
        open_url(url)
    assert "s3cret" not in str(caught.value)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """A refused connection may be retried later."""
    with serve(b"") as gone:
        pass
    with pytest.raises(StorageUnavailable, match="ConnectError"):
        HttpRange(gone.url, attempts=2)


@pytest.mark.parametrize("status", [403, 404, 503])
def test_no_signature_in_errors_or_tracebacks(server: RangeServer, status: int) -> None:
    """Message, hint, repr and the printed traceback show host and path only."""
    server.fault = lambda _number, _start: Fault(status=status)
    with pytest.raises(ReelrouteError) as caught:
        HttpRange(server.url, attempts=2)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caught.value.hint
    assert "/bucket/film.mp4" in shown
    assert "s3cret" not in shown
    server.fault = lambda _number, _start: None
    assert "s3cret" not in repr(HttpRange(server.url))


def test_no_signature_in_logs(server: RangeServer, caplog: pytest.LogCaptureFixture) -> None:
    """The HTTP library logs every request; its line keeps the path and loses the query."""
    caplog.set_level(logging.INFO)
    with open_url(server.url) as file:
        file.read()
    assert "/bucket/film.mp4" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_clients_pool_is_used_and_left_open(server: RangeServer) -> None:
    """A client that was given stays usable after the file is closed."""
    with httpx.Client() as client:
        open_url(server.url, client=client).close()
        assert not client.is_closed
