"""Fetching what strangers name without letting them reach our network.

A host is resolved once per connection, every address it has must be public, and the connection
goes to exactly the address that was checked (TLS still proves the host's name). So a name that
answers differently the second time (DNS rebinding) gains nothing. This happens in the transport,
below httpx's redirects, so every hop passes it. Proxies of the environment are not used: a proxy
would do the resolving where we cannot check it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence

import httpx

from tasks.domain.errors import AccessDenied

MAX_REDIRECTS = 3
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_REFUSED_HINT = "give a public URL, upload the video, or start the service with private addresses allowed"

Resolve = Callable[[str, int], Sequence[str]]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open Internet, also where it wraps an IPv4 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast


def refuse_private_literal(host: str) -> None:
    """Refuse a host that is visibly private; names are resolved when the video is fetched.

    Raises:
        AccessDenied: It is a private address, or this machine's name for itself.
    """
    try:
        public = is_public(host)
    except ValueError:  # a name
        public = host.rstrip(".").lower() != "localhost" and not host.rstrip(".").lower().endswith(".localhost")
    if not public:
        raise AccessDenied(f"{host} is a private address, which this service does not fetch from", hint=_REFUSED_HINT)


def resolve_host(host: str, port: int) -> list[str]:
    """Every address of a host, as the system's resolver gives them.

    Raises:
        OSError: It has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedTransport(httpx.BaseTransport):
    """Connects only to addresses that were checked, and to nothing else under the same name."""

    def __init__(self, *, allow_private: bool, resolve: Resolve = resolve_host) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        # One pool per host: pooled TLS connections must not be shared by two names of one address.
        self._pools: dict[str, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to the first of the host's checked addresses that takes connections.

        Raises:
            AccessDenied: One of them is private.
        """
        if request.url.scheme not in ("http", "https"):  # where a redirect may lead
            raise httpx.UnsupportedProtocol(f"{request.url.scheme} is not fetched", request=request)
        host = request.url.raw_host.decode("ascii")
        pool = self._pools.setdefault(host, httpx.HTTPTransport(retries=0))
        failure: httpx.TransportError = httpx.ConnectError("the host has no address")
        for address in self._addresses(host, request.url):
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # the Host header keeps the name
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return pool.handle_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.close()

    def _addresses(self, host: str, url: httpx.URL) -> Sequence[str]:
        try:
            addresses = self._resolve(host, url.port or (443 if url.scheme == "https" else 80))
        except (OSError, UnicodeError):
            raise httpx.ConnectError(f"{host} cannot be resolved") from None
        if not self._allow_private and not all(is_public(address) for address in addresses):
            raise AccessDenied(
                f"{host} resolves to a private address, which this service does not fetch from", hint=_REFUSED_HINT
            )
        return addresses


def checked_client(*, allow_private: bool, resolve: Resolve = resolve_host) -> httpx.Client:
    """A client for one video: it follows three redirects and checks where each of them leads."""
    transport = CheckedTransport(allow_private=allow_private, resolve=resolve)
    return httpx.Client(transport=transport, max_redirects=MAX_REDIRECTS)
