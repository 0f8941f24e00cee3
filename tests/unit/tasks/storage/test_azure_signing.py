"""Signed URLs of Azure: by the account's key, by user delegation, and what the service refuses."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.storage.blob import AccountSasPermissions, BlobServiceClient, ResourceTypes, generate_account_sas

from tasks.domain.errors import AccessDenied, InputInvalid, KeyUnsafe, NotSignable
from tasks.engine.http_range import open_url
from tasks.storage import azure_access
from tasks.storage.base import Storage
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.contracts.storage_keys import SPECIAL_KEYS
from tests.emulators.azure import ACCOUNT, AzureEmulator, Identity

HOUR = timedelta(hours=1)
HELD_KEYS = tuple(key for key in SPECIAL_KEYS if "\\" not in key)


@pytest.fixture
def storage(azure: AzureEmulator) -> Storage:
    options = StorageOptions(credentials=azure.connection_string())
    return open_storage(f"az://{azure.new_container()}/2026/", options)


@pytest.fixture
def delegated(azure_by_tokens: AzureEmulator) -> Storage:
    """A container that is reached with tokens only."""
    options = StorageOptions(endpoint_url=azure_by_tokens.url, credentials=Identity())
    return open_storage(f"az://{azure_by_tokens.new_container()}/2026/", options)


@pytest.fixture
def trusting(azure_by_tokens: AzureEmulator) -> Iterator[httpx.Client]:
    """A client that trusts the emulator's certificate."""
    with httpx.Client(verify=ssl.create_default_context(cafile=str(azure_by_tokens.certificate))) as client:
        yield client


def test_a_tampered_url_is_refused_and_reported(storage: Storage) -> None:
    """The service refuses a changed permission or expiry, and our reader says so without showing it."""
    storage.write("a.mp4", b"x")
    url = storage.sign("a.mp4", HOUR).url
    for tampered in (url.replace("sp=r", "sp=rw"), url.replace("se=20", "se=21")):
        assert tampered != url
        assert 403 == httpx.get(tampered).status_code
        with pytest.raises(AccessDenied) as refused, open_url(tampered):
            pass
        assert "sig=" not in str(refused.value)


def test_an_expired_url_is_refused(storage: Storage) -> None:
    """A URL works until its expiry and not after it."""
    storage.write("a.mp4", b"x")
    signed = storage.sign("a.mp4", timedelta(seconds=1))
    assert signed.expires_at is not None
    while datetime.now(UTC) <= signed.expires_at + timedelta(seconds=0.1):
        time.sleep(0.05)
    assert 403 == httpx.get(signed.url).status_code


@pytest.mark.parametrize("key", HELD_KEYS)
def test_the_engine_reads_any_key_by_its_url(storage: Storage, key: str) -> None:
    """The URL of a strange key is read by ranges, as videos are."""
    storage.write(key, b"0123456789")
    with open_url(storage.sign(key, HOUR).url) as file:
        file.seek(3)
        assert b"3456" == file.read(4)


def test_no_start_is_set(storage: Storage) -> None:
    """A clock that runs ahead of Azure's does not make URLs that are refused."""
    assert "st=" not in storage.sign("a.mp4", HOUR).url


def test_an_accounts_key_signs_for_longer_than_a_week(storage: Storage) -> None:
    """Only user delegation has a limit."""
    expires_at = storage.sign("a.mp4", timedelta(days=30)).expires_at
    assert expires_at is not None
    assert timedelta(days=29, hours=23) < expires_at - datetime.now(UTC)


def test_keys_that_clients_would_rewrite_are_not_signed(storage: Storage) -> None:
    """Dot segments and backslashes are reported instead of signed."""
    for key in ("a/../b.mp4", "a\\b.mp4", "a\x01b.mp4"):
        with pytest.raises(KeyUnsafe):
            storage.sign(key, HOUR)


@pytest.mark.parametrize("key", HELD_KEYS)
def test_a_tokens_holder_signs_by_delegation(delegated: Storage, trusting: httpx.Client, key: str) -> None:
    """Without an account's key any key is signed for, and the URL works whole and in ranges."""
    delegated.write(key, b"0123456789")
    signed = delegated.sign(key, HOUR)
    assert b"0123456789" == trusting.get(signed.url).content
    assert b"234" == trusting.get(signed.url, headers={"Range": "bytes=2-4"}).content
    assert 403 == trusting.get(signed.url.replace("sp=r", "sp=d")).status_code


def test_small_objects_are_written_by_tokens_too(delegated: Storage) -> None:
    """Bulk writes use the same identity."""
    items = [(f"{number}.json", b"{}") for number in range(40)]
    assert 40 == delegated.write_many(iter(items), content_type="application/json")
    assert sorted(key for key, _ in items) == sorted(found.key for found in delegated.list())


def test_a_delegated_url_lasts_a_week_at_most(delegated: Storage) -> None:
    """More than seven days are refused; seven are cut to what the key still has, and that is reported."""
    with pytest.raises(NotSignable, match="7 days"):
        delegated.sign("a.mp4", timedelta(days=7, seconds=1))
    signed = delegated.sign("a.mp4", timedelta(days=7))
    assert signed.expires_at is not None
    left = signed.expires_at - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left < timedelta(days=7)
    assert f"se={signed.expires_at:%Y-%m-%dT%H%%3A%M%%3A%SZ}" in signed.url


def test_a_delegation_key_is_fetched_now_and_then(azure_by_tokens: AzureEmulator) -> None:
    """One request serves many URLs; a new key comes when the old one would end too early."""
    account = azure_access.connect(None, azure_by_tokens.url, Identity())
    keys = azure_access.DelegationKeys(account.service)
    now = datetime.now(UTC)
    first, end = keys.until(now + HOUR, now)
    assert first is keys.until(now + timedelta(days=7), now)[0]
    assert first is keys.until(now + timedelta(days=6), now + timedelta(minutes=59))[0]
    later = now + timedelta(hours=2)
    second, later_end = keys.until(later + timedelta(days=7), later)
    assert second is not first
    assert later_end > end
    assert second is keys.until(later + timedelta(days=7), later)[0]


def test_tokens_go_by_https_only(azure: AzureEmulator) -> None:
    """A token for a plain http address never leaves, and the message says what to write."""
    options = StorageOptions(endpoint_url=azure.url, credentials=Identity())
    with pytest.raises(InputInvalid) as refused:
        open_storage("az://videos/", options).sign("a.mp4", HOUR)
    assert "https" in refused.value.hint


def test_a_public_container_gives_plain_urls(azure: AzureEmulator) -> None:
    """Without credentials a public blob has a URL that never ends, and a private one is refused."""
    public, private = azure.new_container(public=True), azure.new_container()
    for container in (public, private):
        open_storage(f"az://{container}/", StorageOptions(credentials=azure.connection_string())).write(
            "a b#.mp4", b"x"
        )
    nobody = StorageOptions(endpoint_url=azure.url)
    storage = open_storage(f"az://{public}/", nobody)
    signed = storage.sign("a b#.mp4", HOUR)
    assert signed.expires_at is None
    assert b"x" == httpx.get(signed.url).content
    assert ["a b#.mp4"] == [found.key for found in storage.list()]
    with pytest.raises(AccessDenied):
        storage.write_many(iter([("b.json", b"{}")]), content_type="application/json")
    with pytest.raises(AccessDenied) as refused:
        open_storage(f"az://{private}/", nobody).read("a b#.mp4")
    assert "az login" in refused.value.hint


def test_a_shared_signature_reads_but_does_not_sign(azure: AzureEmulator, storage: Storage) -> None:
    """Our own SAS opens the container; it is not given away in the URL of one object."""
    storage.write("a.mp4", b"x")
    sas = generate_account_sas(
        ACCOUNT,
        azure.key,
        ResourceTypes(container=True, object=True),
        AccountSasPermissions(read=True, write=True, list=True, create=True),
        datetime.now(UTC) + HOUR,
    )
    strings = f"BlobEndpoint={azure.url};SharedAccessSignature={sas}"
    for options in (
        StorageOptions(credentials=strings),
        StorageOptions(endpoint_url=azure.url, credentials=AzureSasCredential(sas)),
    ):
        shared = open_storage(storage.root, options)
        assert b"x" == shared.read("a.mp4")
        assert 1 == shared.write_many(iter([("b.json", b"{}")]), content_type="application/json")
        with pytest.raises(NotSignable) as refused:
            shared.sign("a.mp4", HOUR)
        assert "sig=" not in str(refused.value) + refused.value.hint
        storage.delete("b.json")


def test_the_environment_is_honoured(azure: AzureEmulator, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's usual variables say which account, and with which key."""
    storage.write("a.mp4", b"x")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azure.connection_string())
    for options in (StorageOptions(), StorageOptions(account=ACCOUNT)):
        assert b"x" == open_storage(storage.root, options).read("a.mp4")
    monkeypatch.setenv("AZURE_STORAGE_KEY", azure.key)
    options = StorageOptions(account=ACCOUNT, endpoint_url=azure.url.removesuffix(f"/{ACCOUNT}"))
    assert b"x" == open_storage(storage.root, options).read("a.mp4")


def test_another_account_does_not_use_the_environments_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection string of another account is not for the account that the pipeline names."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=mine;AccountKey=a2V5")
    monkeypatch.setenv("AZURE_STORAGE_KEY", "a2V5")
    assert "theirs" == azure_access.connect("theirs", None, None).name
    assert "mine" == azure_access.connect(None, None, None).name


def test_a_named_key_is_a_credential(azure: AzureEmulator, storage: Storage) -> None:
    """What the SDK takes as credentials is taken here."""
    named = AzureNamedKeyCredential(ACCOUNT, azure.key)
    storage.write("a.mp4", b"x")
    signed = open_storage(storage.root, StorageOptions(endpoint_url=azure.url, credentials=named)).sign("a.mp4", HOUR)
    assert b"x" == httpx.get(signed.url).content


@pytest.mark.parametrize("given", [5, {"account_key": "s3cret"}])
def test_credentials_of_another_kind_are_refused(given: object) -> None:
    """What is no credential of Azure's is refused at once, and never shown."""
    with pytest.raises(InputInvalid) as refused:
        open_storage("az://videos/", StorageOptions(account="reelroute", credentials=given))
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("text", ["nonsense", "AccountName=a;AccountKey", "AccountKey=s3cret"])
def test_a_connection_string_that_cannot_be_read_is_not_shown(text: str) -> None:
    """A broken connection string is an error of input that keeps it to itself."""
    with pytest.raises(InputInvalid) as refused:
        open_storage("az://videos/", StorageOptions(credentials=text)).stat("a.mp4")
    assert "s3cret" not in str(refused.value)


def test_a_container_without_account_is_refused_at_once(azure: AzureEmulator) -> None:
    """Nothing names the account: the message says what to add, before anything is contacted."""
    with pytest.raises(InputInvalid) as refused:
        open_storage("az://videos/2026/")
    assert "account" in refused.value.hint


@pytest.mark.parametrize(
    ("account", "endpoint", "url"),
    [
        ("acct", None, "https://acct.blob.core.windows.net"),
        ("acct", "https://acct.blob.core.chinacloudapi.cn/", "https://acct.blob.core.chinacloudapi.cn"),
        ("acct", "http://127.0.0.1:10000", "http://127.0.0.1:10000/acct"),
        ("acct", "http://127.0.0.1:10000/acct", "http://127.0.0.1:10000/acct"),
        ("", "http://127.0.0.1:10000/acct/", "http://127.0.0.1:10000/acct"),
    ],
)
def test_where_an_account_is(account: str, endpoint: str | None, url: str) -> None:
    """Azure's hosts carry the account's name; emulators have it in the path."""
    assert url == azure_access.service_url(account, endpoint)


def test_the_store_shows_no_secret(azure: AzureEmulator, storage: Storage) -> None:
    """Neither the account nor the store gives the key away."""
    account = azure_access.connect(None, None, azure.connection_string())
    assert isinstance(account.service, BlobServiceClient)
    assert azure.key not in repr(account) + repr(storage)


def test_a_bound_url_names_the_version_and_its_signature_is_of_that_version(storage: Storage) -> None:
    """The emulator keeps no versions, so this looks at what is signed: a version (`bv`), not the blob (`b`)."""
    storage.write("a.mp4", b"x")
    assert "" == storage.stat("a.mp4").version_id
    signed = storage.sign("a.mp4", HOUR, "2026-03-01T12:00:00.0000000Z")
    said = parse_qs(urlsplit(signed.url).query)
    assert (True, ["2026-03-01T12:00:00.0000000Z"], ["bv"]) == (signed.bound, said["versionid"], said["sr"])
    assert not storage.sign("a.mp4", HOUR).bound
