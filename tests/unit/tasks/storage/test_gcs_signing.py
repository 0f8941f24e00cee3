"""Signed URLs of Cloud Storage: who signs, how long they hold, and what the service refuses."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import google.auth.exceptions
import httpx
import pytest
from google.auth import iam, impersonated_credentials
from google.auth.credentials import AnonymousCredentials, Credentials
from google.oauth2.credentials import Credentials as UserCredentials
from google.oauth2.service_account import Credentials as KeyCredentials

from tasks.domain.errors import AccessDenied, InputInvalid, KeyUnsafe, NotSignable, StorageUnavailable
from tasks.engine.http_range import open_url
from tasks.storage.base import Storage
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.contracts.storage_keys import SPECIAL_KEYS
from tests.emulators.gcs_gate import EMAIL, GcsGate
from tests.emulators.proxy import Answer, Fault, Request

HOUR = timedelta(hours=1)
Opener = Callable[..., Storage]


@pytest.fixture
def opened(gcs: GcsGate) -> Opener:
    """Opens a new bucket, with the account's key or the given credentials."""
    name = f"videos-{uuid.uuid4().hex[:12]}"
    gcs.make_bucket(name)

    def open_bucket(credentials: object = None) -> Storage:
        options = StorageOptions(endpoint_url=gcs.url, credentials=credentials or gcs.service_account)
        return open_storage(f"gs://{name}/2026/", options)

    return open_bucket


class MachineCredentials(Credentials):  # type: ignore[misc]  # google-auth has no types to check against
    """What a machine or a workload has: a token and an e-mail address, no key."""

    def __init__(self, gcs: GcsGate) -> None:
        super().__init__()
        self._gcs = gcs
        self.service_account_email = "default"

    def refresh(self, request: object) -> None:
        """As the metadata server does: the true address comes with the first token."""
        self.token = self._gcs.new_token()
        self.service_account_email = EMAIL


@pytest.fixture
def iam_at_gate(gcs: GcsGate, monkeypatch: pytest.MonkeyPatch) -> None:
    """IAM's address leads to the gate."""
    monkeypatch.setattr(iam, "_IAM_SIGN_ENDPOINT", gcs.url + "/v1/projects/-/serviceAccounts/{}:signBlob")
    monkeypatch.setattr(iam, "_IAM_ENDPOINT", gcs.url + "/v1/projects/-/serviceAccounts/{}:generateAccessToken")


def test_a_tampered_url_is_refused_and_reported(opened: Opener) -> None:
    """The service refuses a changed signature, and our reader says so without showing it."""
    storage = opened()
    storage.write("a.mp4", b"x")
    url = storage.sign("a.mp4", HOUR).url
    flipped = url[:-1] + ("0" if url[-1] != "0" else "1")
    assert 403 == httpx.get(flipped).status_code
    with pytest.raises(AccessDenied) as refused, open_url(flipped):
        pass
    assert "Signature" not in str(refused.value)


def test_an_expired_url_is_refused(opened: Opener) -> None:
    """A URL works until its expiry and not after it."""
    storage = opened()
    storage.write("a.mp4", b"x")
    signed = storage.sign("a.mp4", timedelta(seconds=1))
    assert signed.expires_at is not None
    while datetime.now(UTC) <= signed.expires_at + timedelta(seconds=0.1):
        time.sleep(0.05)
    assert 400 == httpx.get(signed.url).status_code


@pytest.mark.parametrize("key", SPECIAL_KEYS)
def test_the_engine_reads_any_key_by_its_url(opened: Opener, key: str) -> None:
    """The URL of a strange key is read by ranges, as videos are."""
    storage = opened()
    storage.write(key, b"0123456789")
    with open_url(storage.sign(key, HOUR).url) as file:
        file.seek(3)
        assert b"3456" == file.read(4)


def test_seven_days_are_the_longest(opened: Opener) -> None:
    """Seven days can be had; a second more is refused, with a hint."""
    storage = opened()
    assert storage.sign("a.mp4", timedelta(days=7)).expires_at is not None
    with pytest.raises(NotSignable, match="7 days") as refused:
        storage.sign("a.mp4", timedelta(days=7, seconds=1))
    assert "168h" in refused.value.hint


def test_signing_with_a_key_asks_nobody(opened: Opener, gcs: GcsGate) -> None:
    """No request is made for a signature when the key is here."""
    opened().sign("a.mp4", HOUR)
    assert [] == gcs.seen


def test_keys_that_clients_would_rewrite_are_not_signed(opened: Opener) -> None:
    """Dot segments are reported instead of signed: no client could fetch them."""
    with pytest.raises(KeyUnsafe):
        opened().sign("a/../b.mp4", HOUR)


@pytest.mark.usefixtures("iam_at_gate")
def test_a_machine_signs_without_a_key(opened: Opener, gcs: GcsGate) -> None:
    """Credentials that are only a token have Google sign, and the URL works."""
    opened().write("a b.mp4", b"content")
    signed = opened(MachineCredentials(gcs)).sign("a b.mp4", HOUR)
    assert b"content" == httpx.get(signed.url).content
    assert f"POST /v1/projects/-/serviceAccounts/{EMAIL}:signBlob" in gcs.seen


@pytest.mark.usefixtures("iam_at_gate")
def test_an_impersonated_account_signs_without_a_key(opened: Opener, gcs: GcsGate) -> None:
    """Impersonation signs through Google, too."""
    opened().write("a.mp4", b"content")
    source = KeyCredentials.from_service_account_info(gcs.service_account)
    impersonated = impersonated_credentials.Credentials(
        source, EMAIL, ["https://www.googleapis.com/auth/cloud-platform"]
    )
    signed = opened(impersonated).sign("a.mp4", HOUR)
    assert b"content" == httpx.get(signed.url).content


@pytest.mark.usefixtures("iam_at_gate")
def test_a_keyless_signature_says_that_it_ends_after_twelve_hours(opened: Opener, gcs: GcsGate) -> None:
    """Google rotates its keys: more is asked for, but twelve hours are what is promised."""
    expires_at = opened(MachineCredentials(gcs)).sign("a.mp4", timedelta(hours=24)).expires_at
    assert expires_at is not None
    assert timedelta(hours=11, minutes=59) < expires_at - datetime.now(UTC) <= timedelta(hours=12)


@pytest.mark.usefixtures("iam_at_gate")
def test_a_missing_right_to_sign_is_named(opened: Opener, gcs: GcsGate) -> None:
    """IAM's refusal says which permission is missing, and shows no token."""
    gcs.may_sign = False
    with pytest.raises(NotSignable) as refused:
        opened(MachineCredentials(gcs)).sign("a.mp4", HOUR)
    assert "iam.serviceAccounts.signBlob" in refused.value.hint
    assert "ya29" not in str(refused.value)


@pytest.mark.usefixtures("iam_at_gate")
def test_a_silent_iam_is_tried_again_later(opened: Opener, gcs: GcsGate) -> None:
    """A signature that could not be asked for is no refusal."""
    gcs.fault = lambda request: Fault() if "signBlob" in request.path else None
    with pytest.raises(StorageUnavailable):
        opened(MachineCredentials(gcs)).sign("a.mp4", HOUR)


@pytest.mark.usefixtures("iam_at_gate")
def test_a_busy_iam_is_asked_again(opened: Opener, gcs: GcsGate) -> None:
    """One 503 does not end a signature."""
    left = [1]

    def busy_once(request: Request) -> Fault | None:
        return Fault(Answer(503)) if "signBlob" in request.path and left and left.pop() else None

    gcs.fault = busy_once
    opened().write("a.mp4", b"x")
    assert 200 == httpx.get(opened(MachineCredentials(gcs)).sign("a.mp4", HOUR).url).status_code


def test_a_person_cannot_sign(opened: Opener, gcs: GcsGate) -> None:
    """A user's own login has no key and no account: it is refused with what to do."""
    user = UserCredentials(gcs.new_token())
    with pytest.raises(NotSignable) as refused:
        opened(user).sign("a.mp4", HOUR)
    assert "impersonate" in refused.value.hint


def test_a_public_bucket_gives_plain_urls(opened: Opener, gcs: GcsGate) -> None:
    """Without credentials a public object has a URL that never ends, and a private one is refused."""
    opened().write("a b#1.mp4", b"content")
    storage = opened(AnonymousCredentials())
    with pytest.raises(AccessDenied) as refused:
        storage.stat("a b#1.mp4")
    assert "gcloud auth application-default login" in refused.value.hint
    gcs.public.add(storage.root.split("/")[2])
    signed = storage.sign("a b#1.mp4", HOUR)
    assert signed.expires_at is None
    assert b"content" == httpx.get(signed.url).content
    assert ["a b#1.mp4"] == [found.key for found in storage.list()]
    with pytest.raises(AccessDenied):
        storage.write_many(iter([("b.json", b"{}")]), content_type="application/json")


def test_no_credentials_at_all_mean_public_access(
    opened: Opener, gcs: GcsGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the SDK's chain finds nothing, what is public can still be read."""
    opened().write("a.mp4", b"content")
    bucket = opened().root
    gcs.public.add(bucket.split("/")[2])

    def finds_nothing(**_: object) -> None:
        raise google.auth.exceptions.DefaultCredentialsError("none")

    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setattr("google.auth.default", finds_nothing)
    storage = open_storage(bucket, StorageOptions(endpoint_url=gcs.url))
    assert b"content" == storage.read("a.mp4")


def test_the_emulators_variable_is_honoured(opened: Opener, gcs: GcsGate, monkeypatch: pytest.MonkeyPatch) -> None:
    """STORAGE_EMULATOR_HOST leads there, without credentials, as for the SDK itself."""
    opened().write("a.mp4", b"content")
    gcs.public.add(opened().root.split("/")[2])
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url.removeprefix("http://"))
    assert b"content" == open_storage(opened().root).read("a.mp4")


@pytest.mark.parametrize("given", [{"type": "service_account", "private_key": "s3cret"}, "a string", 5])
def test_credentials_of_another_kind_are_refused(opened: Opener, given: object) -> None:
    """What is no credential of Google's is refused by name of the right one, and never shown."""
    with pytest.raises(InputInvalid) as refused:
        opened(given).stat("a.mp4")
    assert "s3cret" not in str(refused.value)


def test_a_key_file_that_is_not_there_is_reported(gcs: GcsGate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong GOOGLE_APPLICATION_CREDENTIALS is an error, not anonymity."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    with pytest.raises(AccessDenied, match="GOOGLE_APPLICATION_CREDENTIALS"):
        open_storage("gs://videos/", StorageOptions(endpoint_url=gcs.url)).stat("a.mp4")


def test_a_bound_url_names_its_generation_under_the_signature(opened: Opener) -> None:
    """What is signed is one generation (the emulator gives the last whichever is asked for; Google does not)."""
    store = opened()
    store.write("a.mp4", b"planned")
    version = store.stat("a.mp4").version
    signed = store.sign("a.mp4", HOUR, store.stat("a.mp4").version_id)
    assert (True, [version]) == (signed.bound, parse_qs(urlsplit(signed.url).query)["generation"])
    assert b"planned" == httpx.get(signed.url).content
    assert 403 == httpx.get(signed.url.replace(version, "1")).status_code
