"""Who may ask a service: nobody from another machine without its key."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from typing import TYPE_CHECKING

from tasks.domain.errors import AuthRefused, InputInvalid
from tasks.domain.keys import SHORTEST_KEY, is_hard_to_guess

if TYPE_CHECKING:
    from starlette.requests import Request


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches a service that listens on ``host``.

    False for "" and the addresses that mean everywhere, and for a name that also leads elsewhere
    or nowhere.
    """
    try:
        found = [host] if _is_address(host) else [str(entry[4][0]) for entry in socket.getaddrinfo(host or None, 0)]
    except (OSError, UnicodeError):
        return False
    return bool(host) and all(_is_loopback_address(address) for address in found)


def refuse_open_address(host: str, key: str, *, service: str, variable: str) -> None:
    """Let a service listen beyond loopback only if callers need its key, and the key is hard to guess.

    Args:
        service: What to call it in the message.
        variable: The environment variable that sets the key.

    Raises:
        InputInvalid: ``host`` can be reached from other machines, and there is no key or a weak one.
    """
    if is_loopback(host):
        return
    if is_hard_to_guess(key.strip()):
        return
    how = "with a key that can be guessed" if key.strip() else "without a key, open to whoever reaches this machine"
    raise InputInvalid(
        f"the {service} would listen on {host or 'every address'} {how}",
        hint=f"set {variable} to {SHORTEST_KEY} ASCII characters or more (`openssl rand -hex 16` makes them), "
        "or listen on 127.0.0.1",
    )


def require_key(request: Request, key: str) -> None:
    """Let only callers with the key through.

    Raises:
        AuthRefused: It is missing or wrong.
    """
    if not holds_key(request, key):
        raise AuthRefused(
            "the API key is missing or wrong", hint="send this service's key as ?api_key=… or as a bearer token"
        )


def holds_key(request: Request, key: str) -> bool:
    """Whether a request came with the key: as a bearer token, or ``?api_key=`` as Roboflow's."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = token if scheme.lower() == "bearer" else request.query_params.get("api_key", "")
    # As bytes: compare_digest takes no text outside of ASCII.
    return hmac.compare_digest(given.encode("utf-8", "replace"), key.encode("utf-8", "surrogateescape"))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback_address(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback
