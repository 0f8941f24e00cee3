"""Who we are at Azure: accounts, keys, tokens, and the keys with which a token's holder signs.

The SDK's own chain (environment, workload and managed identities, `az login`) is asked when
nothing is given; where it finds nothing, access is anonymous.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob import BlobServiceClient, ExponentialRetry, UserDelegationKey

from tasks.domain.errors import InputInvalid
from tasks.storage.azure_listing import PageTap

if TYPE_CHECKING:
    from obstore.store import AzureBearerToken

_SCOPE = "https://storage.azure.com/.default"
_TIMEOUTS = {"connection_timeout": 10, "read_timeout": 60}
_MOST_AT_ONCE = 8 << 20  # bytes of one request: what a thread holds in memory

# The service's limit for keys of user delegation, and so for what they sign.
LONGEST_DELEGATED = timedelta(days=7)
_CLOCKS_DIFFER = timedelta(minutes=5)
_KEY_AGE = timedelta(hours=1)

_Credential = AzureNamedKeyCredential | AzureSasCredential | TokenCredential

NO_ACCOUNT = "add `account: NAME` beside the uri, or set AZURE_STORAGE_CONNECTION_STRING"


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account, and how we are known there.

    Attributes:
        service: The SDK's client, which makes no request by itself.
        tap: In the client; listings read their pages there.
        name: Of the account; "" if nobody says.
        key: The account's key, if we have it.
        token: What gives bearer tokens, if that is how we are known.
        sas: A shared access signature, if that is how we are known.
    """

    service: BlobServiceClient = field(repr=False)
    tap: PageTap
    name: str
    key: str | None = field(default=None, repr=False)
    token: TokenCredential | None = field(default=None, repr=False)
    sas: str | None = field(default=None, repr=False)

    @property
    def anonymous(self) -> bool:
        """Whether only public containers can be read."""
        return not (self.key or self.token or self.sas)


def check_given(account: str | None, endpoint_url: str | None, given: object | None) -> None:
    """Find what is wrong with what was configured, before anything is contacted.

    Raises:
        InputInvalid: Nothing names a storage account, or the credentials are none of Azure's.
    """
    known = (str, AzureNamedKeyCredential, AzureSasCredential)
    if given is not None and not isinstance(given, known) and not hasattr(given, "get_token"):
        raise InputInvalid("the credentials are not Azure's", hint="name an AzureBlobStorageCredentials block")
    if _connection_string(account, endpoint_url, given) is None and not (endpoint_url or _account(account)):
        raise InputInvalid("nothing says which storage account the container is in", hint=NO_ACCOUNT)


def connect(account: str | None, endpoint_url: str | None, given: object | None) -> Account:
    """Make a client for an account.

    Args:
        account: The account's name; else AZURE_STORAGE_ACCOUNT's.
        endpoint_url: Address of the blob service, where it is not Azure's usual one.
        given: A connection string, or what the SDK takes as a credential. None looks at
            AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY and AZURE_STORAGE_SAS_TOKEN, then
            asks the SDK's chain.

    Raises:
        InputInvalid: The connection string or the key cannot be read, or a token would go by plain http.
    """
    tap = PageTap()
    options: dict[str, Any] = {
        "raw_response_hook": tap,
        "retry_policy": retry_policy(),
        "max_single_get_size": _MOST_AT_ONCE,
        "max_chunk_get_size": _MOST_AT_ONCE,
        "max_single_put_size": _MOST_AT_ONCE,
        "max_block_size": _MOST_AT_ONCE,
        **_TIMEOUTS,
    }
    text = _connection_string(account, endpoint_url, given)
    try:
        if text is not None:
            service = BlobServiceClient.from_connection_string(text, **options)
            return _account_of(service, tap, account, _settings(text))
        name = _account(account)
        url = service_url(name, endpoint_url)
        credential = _credential(name, given)
        if url.startswith("http:") and hasattr(credential, "get_token"):
            raise InputInvalid("Azure takes tokens by https only", hint="write https:// in `endpoint_url`")
        return _account_of(BlobServiceClient(url, credential, **options), tap, name, {"credential": credential})
    except ValueError:  # its text may hold the key
        raise InputInvalid("the Azure connection string or account cannot be read", hint=NO_ACCOUNT) from None


def retry_policy() -> ExponentialRetry:
    """Some 15 seconds of trying again: the SDK's own policy would wait 15 before the second try."""
    return ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3, random_jitter_range=1)


def service_url(account: str, endpoint_url: str | None) -> str:
    """Address of the account's blob service; emulators have the account in the path."""
    if endpoint_url is None:
        return f"https://{account}.blob.core.windows.net"
    parts = urlsplit(endpoint_url)
    bare = not parts.path.strip("/") and account and not (parts.hostname or "").startswith(f"{account}.")
    return f"{endpoint_url.rstrip('/')}/{account}" if bare else endpoint_url.rstrip("/")


def bearer_token(credential: TokenCredential) -> AzureBearerToken:
    """A token that is good now, as obstore asks for it."""
    found = credential.get_token(_SCOPE)
    return {"token": found.token, "expires_at": datetime.fromtimestamp(found.expires_on, UTC)}


class DelegationKeys:
    """Keys that sign in the name of a token's holder: one request now and then, shared by all threads."""

    def __init__(self, service: BlobServiceClient) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._key: UserDelegationKey | None = None
        self._made = self._expires = datetime.min.replace(tzinfo=UTC)

    def until(self, wanted: datetime, now: datetime) -> tuple[UserDelegationKey, datetime]:
        """A key that is good until ``wanted``, and when it ends: up to an hour before, if seven days are wanted."""
        with self._lock:
            if self._key is None or (self._expires < wanted and now - self._made > _KEY_AGE) or self._expires <= now:
                expires = (now + LONGEST_DELEGATED).replace(microsecond=0) - _CLOCKS_DIFFER
                self._key = self._service.get_user_delegation_key(now - _CLOCKS_DIFFER, expires)
                self._made, self._expires = now, expires
            return self._key, self._expires


def _account(account: str | None) -> str:
    return account or os.environ.get("AZURE_STORAGE_ACCOUNT", "")


def _connection_string(account: str | None, endpoint_url: str | None, given: object | None) -> str | None:
    """The connection string that applies: a given one, or the environment's, unless another account is named."""
    if given is not None:
        return given if isinstance(given, str) else None
    text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    if not text or endpoint_url or account not in (None, _settings(text).get("accountname")):
        return None
    return text


def _settings(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _credential(name: str, given: object | None) -> _Credential | None:
    if given is not None:
        return cast(_Credential, given)  # `check_given` has looked at it
    if key := os.environ.get("AZURE_STORAGE_KEY"):
        return AzureNamedKeyCredential(name, key)
    if sas := os.environ.get("AZURE_STORAGE_SAS_TOKEN"):
        return AzureSasCredential(sas.removeprefix("?"))
    from azure.identity import DefaultAzureCredential

    chain = DefaultAzureCredential()
    try:
        chain.get_token(_SCOPE)
    except ClientAuthenticationError:
        return None
    return chain


def _account_of(service: BlobServiceClient, tap: PageTap, account: str | None, known: dict[str, Any]) -> Account:
    credential = known.get("credential")
    sas = credential.signature if isinstance(credential, AzureSasCredential) else known.get("sharedaccesssignature")
    token = cast(TokenCredential, credential) if hasattr(credential, "get_token") else None
    shared = service.credential  # of a key, in whichever form it was given
    key = getattr(shared, "account_key", None)
    name = getattr(shared, "account_name", None) or account or service.account_name or ""
    return Account(service, tap, name, key, token, sas)
