"""Which sources are in a network of our own: our service may fetch from there only if it is told so."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from config.pipeline import Pipeline
from config.sources import Source
from tasks.credentials import Blocks
from tasks.storage.options import StorageOptions

Resolve = Callable[[str], list[str]]

# Where the SDKs themselves look for an endpoint, the first that is set.
_VARIABLES = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "gs": ("STORAGE_EMULATOR_HOST",),
    "az": ("AZURE_STORAGE_CONNECTION_STRING",),
}
_BLOB_ENDPOINT = re.compile(r"(?i)(?:^|;)BlobEndpoint=([^;]+)")
_DEVELOPMENT = re.compile(r"(?i)(?:^|;)UseDevelopmentStorage=true")


def resolve_host(host: str) -> list[str]:
    """The addresses of a host; none if it is not known."""
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)]
    except (OSError, UnicodeError):
        return []


def any_private(
    pipeline: Pipeline, blocks: Blocks, env: Mapping[str, str] = os.environ, resolve: Resolve = resolve_host
) -> bool:
    """Say whether a source is at an endpoint in a private network or on this machine: an emulator, an own MinIO."""
    return any(is_private(endpoint_of(source, blocks, env), resolve) for source in pipeline.sources)


def endpoint_of(source: Source, blocks: Blocks, env: Mapping[str, str]) -> str:
    """Where a source's store is, as its keys, its block or the environment say; "" for the cloud's own place."""
    scheme = source.uri.partition("://")[0]
    block = blocks[scheme, source.credentials] if source.credentials else StorageOptions()
    texts = [source.endpoint_url, block.endpoint_url, block.credentials if isinstance(block.credentials, str) else None]
    texts += [env.get(name) for name in _VARIABLES.get(scheme, ())]
    return next((_address_in(text) for text in texts if text), "")


def _address_in(text: str) -> str:
    """The address itself, out of a connection string where it is one."""
    if named := _BLOB_ENDPOINT.search(text):
        return named[1]
    if _DEVELOPMENT.search(text):
        return "http://127.0.0.1:10000"
    if "AccountKey=" in text or "SharedAccessSignature=" in text:
        return ""
    return text if "://" in text else f"http://{text}"


def is_private(endpoint: str, resolve: Resolve = resolve_host) -> bool:
    """Say whether an endpoint is at an address that the internet does not reach."""
    try:
        host = urlsplit(endpoint).hostname or ""
        addresses = [str(ipaddress.ip_address(host))] if re.fullmatch(r"[0-9.]+|.*:.*", host) else resolve(host)
    except ValueError:
        return False
    return bool(host) and any(not ipaddress.ip_address(address.partition("%")[0]).is_global for address in addresses)
