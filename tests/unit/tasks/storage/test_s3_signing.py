"""URLs of S3 objects: SigV4, on the bucket's own host, for no longer than they can work."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import av
import boto3
import botocore.session
import httpx
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import ClientError

from tasks.domain.errors import AccessDenied, InputInvalid, KeyUnsafe, NotSignable
from tasks.engine.http_range import HttpRange, open_url
from tasks.storage.s3 import S3Storage
from tests.clips import sample_footage
from tests.contracts.storage_keys import SPECIAL_KEYS, UNSAFE_KEYS
from tests.emulators.s3 import S3Emulator, hide_credentials

HOUR = timedelta(hours=1)


@pytest.fixture
def store(s3: S3Emulator) -> S3Storage:
    return S3Storage(s3.new_bucket(), "in/", session=s3.session, endpoint_url=s3.url)


def arguments(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def session_with(credentials: Credentials | None, region: str | None = None) -> boto3.Session:
    core = botocore.session.get_session()
    core._credentials = credentials
    return boto3.Session(botocore_session=core, region_name=region)


def ending_in(left: timedelta) -> RefreshableCredentials:
    """Temporary credentials that nobody can renew."""
    return RefreshableCredentials("AKIA", "secret", "token", datetime.now(UTC) + left, lambda: None, "test")


# --- what the emulator makes of them ----------------------------------------------------------


@pytest.mark.parametrize("key", [key for key in SPECIAL_KEYS if key.endswith(".mp4") or "/" in key])
def test_a_decoder_reads_any_key_by_its_url(store: S3Storage, key: str) -> None:
    """Real footage under a strange name is decoded from its URL by ffmpeg and by our own ranges."""
    footage = sample_footage("bikes.mp4").read_bytes()
    store.write(key, footage, content_type="video/mp4")
    url = store.sign(key, HOUR).url
    with av.open(url) as container:
        assert next(container.decode(video=0)).width
    assert len(footage) == HttpRange(url).size
    with open_url(url) as file:
        assert footage == file.read()


def test_an_expired_url_is_refused(store: S3Storage) -> None:
    """When the lifetime is over the store says no, and our reader says that access is denied."""
    store.write("key", b"x")
    signed = store.sign("key", timedelta(seconds=1))
    assert signed.expires_at is not None
    while datetime.now(UTC) <= signed.expires_at:
        time.sleep(0.1)
    answer = httpx.get(signed.url)
    assert (403, True) == (answer.status_code, "expired" in answer.text)
    with pytest.raises(AccessDenied) as caught:
        HttpRange(signed.url)
    assert "X-Amz" not in str(caught.value)


def bucket_of(store: S3Storage) -> str:
    return store.root.split("/")[2]


def test_a_tampered_url_is_refused_as_access_denied(store: S3Storage) -> None:
    """A changed expiry breaks the signature."""
    store.write("key", b"x")
    url = store.sign("key", HOUR).url.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200")
    assert 403 == httpx.get(url).status_code
    with pytest.raises(AccessDenied):
        HttpRange(url)


def test_a_session_tokens_url_carries_the_token(store: S3Storage, s3: S3Emulator) -> None:
    """With temporary credentials the URL works, and does not without its token."""
    store.write("key", b"x")
    given = s3.session.client("sts", endpoint_url=s3.url).get_session_token(DurationSeconds=900)["Credentials"]
    session = boto3.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name="eu-west-1"
    )
    url = S3Storage(bucket_of(store), "in/", session=session, endpoint_url=s3.url).sign("key", HOUR).url
    assert b"x" == httpx.get(url).content
    assert 400 <= httpx.get(re.sub("X-Amz-Security-Token=[^&]*&", "", url)).status_code < 500


def test_a_public_buckets_url_is_plain(s3: S3Emulator, store: S3Storage) -> None:
    """Without credentials a public bucket is listed and read, and its URLs carry nothing and never end."""
    store.write("a b.mp4", b"public")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": ["s3:GetObject", "s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{bucket_of(store)}", f"arn:aws:s3:::{bucket_of(store)}/*"],
            }
        ],
    }
    s3.client.delete_public_access_block(Bucket=bucket_of(store))
    s3.client.put_bucket_policy(Bucket=bucket_of(store), Policy=json.dumps(policy))
    anonymous = S3Storage(bucket_of(store), "in/", endpoint_url=s3.url)
    assert ["a b.mp4"] == [found.key for found in anonymous.list()]
    assert b"public" == anonymous.read("a b.mp4")
    signed = anonymous.sign("a b.mp4", HOUR)
    assert (f"{s3.url}/{bucket_of(store)}/in/a%20b.mp4", None) == (signed.url, signed.expires_at)
    assert b"public" == httpx.get(signed.url).content
    with pytest.raises(AccessDenied):
        anonymous.write("key", b"x")
    with pytest.raises(AccessDenied):
        anonymous.write_many(iter([("key", b"x")]), content_type="text/plain")


@pytest.mark.parametrize("key", UNSAFE_KEYS)
def test_keys_that_no_client_can_fetch_are_not_signed(key: str) -> None:
    """Dot segments are taken out of URLs on their way, so such keys are refused by name, with no request."""
    with pytest.raises(KeyUnsafe):
        aws_store("bucket").sign(key, HOUR)


# --- lifetimes --------------------------------------------------------------------------------


def offline(credentials: Credentials | None) -> S3Storage:
    return S3Storage("bucket", session=session_with(credentials, "eu-west-1"), endpoint_url="http://127.0.0.1:1")


def test_seven_days_is_the_longest() -> None:
    """boto3 would sign for longer, and AWS would refuse the URL."""
    store = offline(Credentials("AKIA", "secret"))
    assert "604800" == arguments(store.sign("key", timedelta(days=7)).url)["X-Amz-Expires"]
    with pytest.raises(NotSignable) as caught:
        store.sign("key", timedelta(days=7, seconds=1))
    assert "7d" in caught.value.hint


def test_a_url_ends_with_the_credentials_that_signed_it() -> None:
    """Half an hour is left of the credentials: that is what the URL says, not the day that was asked for."""
    signed = offline(ending_in(timedelta(minutes=30))).sign("key", timedelta(hours=24))
    assert signed.expires_at is not None
    assert timedelta(minutes=29) < signed.expires_at - datetime.now(UTC) <= timedelta(minutes=30)
    assert 29 * 60 < int(arguments(signed.url)["X-Amz-Expires"]) <= 30 * 60


def test_a_short_url_does_not_mind_credentials_that_end_later() -> None:
    """What was asked for is given whole."""
    signed = offline(ending_in(timedelta(minutes=30))).sign("key", timedelta(minutes=20))
    assert "1200" == arguments(signed.url)["X-Amz-Expires"]


def test_credentials_that_are_about_to_end_do_not_sign() -> None:
    """A URL of a few minutes would be dead before its job is begun: said so, with what is left."""
    # On a busy machine some of these seconds pass before they are counted.
    credentials = ending_in(timedelta(minutes=3, seconds=59))
    credentials._advisory_refresh_timeout = credentials._mandatory_refresh_timeout = 0
    with pytest.raises(NotSignable, match=r"3 min [1-5]?\d s") as caught:
        offline(credentials).sign("key", HOUR)
    assert caught.value.hint


def test_credentials_are_renewed_before_they_sign() -> None:
    """Where the session can renew them, the URL lives as long as the new ones."""
    renewed = {
        "access_key": "ASIANEW",
        "secret_key": "secret",
        "token": "new",
        "expiry_time": (datetime.now(UTC) + timedelta(hours=6)).isoformat(),
    }
    old = RefreshableCredentials("ASIAOLD", "s", "old", datetime.now(UTC) + HOUR / 12, lambda: renewed, "test")
    signed = offline(old).sign("key", timedelta(hours=4))
    assert arguments(signed.url)["X-Amz-Credential"].startswith("ASIANEW/")
    assert ("new", "14400") == tuple(arguments(signed.url)[f"X-Amz-{name}"] for name in ("Security-Token", "Expires"))


# --- AWS itself, as far as it can be without it -----------------------------------------------


class Body(io.BytesIO):
    def stream(self, *_: object) -> Iterator[bytes]:
        yield self.read()


def aws_store(bucket: str, *, session_region: str | None = "us-east-1", home: str = "eu-west-1") -> S3Storage:
    """A store on AWS whose bucket is in ``home``; no request leaves this process."""
    session = session_with(Credentials("AKIA", "secret"), session_region)

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, 200, {"x-amz-bucket-region": home}, Body())

    session.events.register("before-send.s3", answer)
    return S3Storage(bucket, session=session)


@pytest.mark.parametrize("session_region", ["us-east-1", "eu-west-1", "ap-southeast-3", None])
@pytest.mark.parametrize("home", ["us-east-1", "eu-west-1", "ap-southeast-3"])
def test_urls_are_signed_for_the_buckets_own_region(
    monkeypatch: pytest.MonkeyPatch, session_region: str | None, home: str
) -> None:
    """Whatever region the session has: SigV4, and the regional virtual host, which never redirects."""
    hide_credentials(monkeypatch)
    url = aws_store("videos", session_region=session_region, home=home).sign("a b+c.mp4", HOUR).url
    host = urlsplit(url).hostname
    assert host in {f"videos.s3.{home}.amazonaws.com"} | ({"videos.s3.amazonaws.com"} if home == "us-east-1" else set())
    assert "/a%20b%2Bc.mp4" == urlsplit(url).path
    assert "AWS4-HMAC-SHA256" == arguments(url)["X-Amz-Algorithm"]
    assert f"/{home}/s3/" in arguments(url)["X-Amz-Credential"]


def test_a_bucket_with_dots_is_no_virtual_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name does not fit the certificate of one."""
    hide_credentials(monkeypatch)
    url = urlsplit(aws_store("my.videos").sign("key", HOUR).url)
    assert ("s3.eu-west-1.amazonaws.com", "/my.videos/key") == (url.hostname, url.path)


def test_an_endpoint_from_the_environment_takes_path_style(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 reads AWS_ENDPOINT_URL_S3 on its own; no bucket is asked for its region there."""
    hide_credentials(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://storage.example:9000")
    store = S3Storage("videos", session=session_with(Credentials("AKIA", "secret")))
    url = store.sign("key", HOUR).url
    assert url.startswith("https://storage.example:9000/videos/key?")
    assert "AWS4-HMAC-SHA256" == arguments(url)["X-Amz-Algorithm"]


def test_credentials_that_are_none_of_aws_are_refused() -> None:
    """A wrong block is named before anything is asked of the store."""
    from tasks.storage.registry import StorageOptions, open_storage

    with pytest.raises(InputInvalid) as caught:
        open_storage("s3://bucket/", StorageOptions(credentials="AKIA:secret"))
    assert "secret" not in str(caught.value)


def test_credentials_that_were_renewed_too_late_have_expired() -> None:
    """Whoever renews them gives ones that have ended already: named, not a crash of the SDK's."""
    late = {
        "access_key": "ASIA",
        "secret_key": "s",
        "token": "t",
        "expiry_time": (datetime.now(UTC) - HOUR).isoformat(),
    }
    credentials = RefreshableCredentials("ASIA", "s", "t", datetime.now(UTC) - HOUR, lambda: late, "test")
    with pytest.raises(AccessDenied, match="expired") as caught:
        offline(credentials).sign("key", HOUR)
    assert "get new credentials" in caught.value.hint


@pytest.fixture
def versioned(store: S3Storage, s3: S3Emulator) -> S3Storage:
    """A bucket that keeps versions."""
    client = s3.session.client("s3", endpoint_url=s3.url)
    client.put_bucket_versioning(Bucket=bucket_of(store), VersioningConfiguration={"Status": "Enabled"})
    return store


def test_a_bound_url_gives_the_planned_version_after_it_was_replaced(versioned: S3Storage) -> None:
    """Where the bucket keeps versions the URL names one; what was written later is not what it gives."""
    versioned.write("key", b"planned")
    signed = versioned.sign("key", HOUR, versioned.stat("key").version_id)
    versioned.write("key", b"another")

    assert (True, b"planned") == (signed.bound, httpx.get(signed.url).content)
    assert b"another" == httpx.get(versioned.sign("key", HOUR).url).content


def test_a_bucket_without_versions_binds_no_url(store: S3Storage) -> None:
    """There is nothing to bind it to."""
    store.write("key", b"x")
    found = store.stat("key")
    assert ("", False) == (found.version_id, store.sign("key", HOUR, found.version_id).bound)


def test_without_the_right_to_read_versions_urls_are_as_before(
    versioned: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """s3:GetObjectVersion is a right of its own: asked for once, and a URL without it still works."""
    versioned.write("key", b"planned")
    version_id, asked = versioned.stat("key").version_id, []

    def refused(**place: str) -> None:
        asked.append(place["VersionId"])
        raise ClientError({"Error": {"Code": "403"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "HeadObject")

    monkeypatch.setattr(versioned._connection.client, "head_object", refused)
    signed = [versioned.sign("key", HOUR, version_id) for _ in range(2)]
    assert ([False, False], [version_id]) == ([one.bound for one in signed], asked)
    assert b"planned" == httpx.get(signed[0].url).content
