"""An Azure Blob Storage on loopback: azurite, which checks keys and SAS, behind a proxy that injects faults.

A second one speaks https and takes tokens, for keys of user delegation. Its certificate is signed
by itself, and made anew for every session of tests.
"""

from __future__ import annotations

import base64
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import jwt
import pytest
from azure.core.credentials import AccessToken
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.emulators import process, proxy
from tests.emulators.install import NODE, installed

ACCOUNT = "reelroute"
TENANT = "00000000-0000-0000-0000-0000000000aa"


@dataclass
class AzureEmulator:
    """Where it listens, and the account that it has.

    Attributes:
        url: Of the account's blob service.
        key: Of the account.
        faults: A proxy in front of it; tests that set its ``fault`` must ``reset`` it.
        certificate: File to trust, where it speaks https.
    """

    url: str
    key: str
    faults: proxy.Proxy
    certificate: Path | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def proxied(self) -> str:
        """The account's blob service through the proxy."""
        return f"{self.faults.url}/{ACCOUNT}"

    def connection_string(self, url: str | None = None) -> str:
        """As the portal shows it."""
        return f"AccountName={ACCOUNT};AccountKey={self.key};BlobEndpoint={url or self.url};"

    def new_container(self, *, public: bool = False) -> str:
        """Make an empty container; return its name."""
        name = f"container-{next(self._numbers)}"
        with BlobServiceClient.from_connection_string(self.connection_string()) as service:
            service.create_container(name, public_access="container" if public else None)
        return name


class Identity:
    """A credential whose tokens azurite takes: it looks at what they say, not at who signed them."""

    def __init__(self, lifetime: timedelta = timedelta(hours=1)) -> None:
        self._lifetime = lifetime

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        """A token for the asked scope's service."""
        now = int(time.time())
        expires_on = now + int(self._lifetime.total_seconds())
        claims = {
            "aud": scopes[0].removesuffix("/.default"),
            "iss": f"https://sts.windows.net/{TENANT}/",
            "tid": TENANT,
            "oid": TENANT,
            "iat": now - 60,
            "nbf": now - 60,
            "exp": expires_on,
        }
        return AccessToken(jwt.encode(claims, "nobody checks this signature, says the manual", "HS256"), expires_on)


def hide_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let azure-identity find no login of whoever runs the tests, and ask no machine's metadata."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "MSI_"))]:
        monkeypatch.delenv(name)
    # Of the chain, only what the environment says.
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")


@contextmanager
def running(folder: Path | None = None) -> Iterator[AzureEmulator]:
    """Start it for the length of the block, on an ephemeral port.

    Args:
        folder: Speak https and take tokens, with a certificate made in this folder.
    """
    port = process.free_port()
    key = base64.b64encode(os.urandom(64)).decode()
    main = installed("azurite") / "node_modules/azurite/dist/src/blob/main.js"
    command = [str(NODE), str(main), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    command += ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    certificate = None
    if folder is not None:
        certificate = _make_certificate(folder)
        command += ["--oauth", "basic", "--cert", str(certificate), "--key", str(folder / "key.pem")]
    scheme = "https" if folder else "http"
    env = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"}
    with process.started(command, port=port, env=env), proxy.serve(proxy.Proxy(port)) as faults:
        yield AzureEmulator(f"{scheme}://127.0.0.1:{port}/{ACCOUNT}", key, faults, certificate)


@dataclass
class QueueEmulator:
    """Azure Queue Storage on loopback.

    Attributes:
        url: Of the account's queue service.
        connection_string: As the portal shows it.
    """

    url: str
    connection_string: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_queue(self) -> QueueClient:
        """Make an empty queue; return a client to put messages in with."""
        queue = QueueClient.from_connection_string(self.connection_string, f"queue-{next(self._numbers)}")
        queue.create_queue()
        return queue


@contextmanager
def running_queue(key: str = "") -> Iterator[QueueEmulator]:
    """Start the queue service for the length of the block, on an ephemeral port.

    Args:
        key: Of the account, where it also has blobs; by default a new one.
    """
    port = process.free_port()
    key = key or base64.b64encode(os.urandom(64)).decode()
    main = installed("azurite") / "node_modules/azurite/dist/src/queue/main.js"
    command = [str(NODE), str(main), "--queueHost", "127.0.0.1", "--queuePort", str(port), "--inMemoryPersistence"]
    command += ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    with process.started(command, port=port, env={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"}):
        url = f"http://127.0.0.1:{port}/{ACCOUNT}"
        yield QueueEmulator(url, f"AccountName={ACCOUNT};AccountKey={key};QueueEndpoint={url};")


def _make_certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path
