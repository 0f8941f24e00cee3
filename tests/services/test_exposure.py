"""No service is open to other machines without a key."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from deployments.services.exposure import is_loopback, refuse_open_address, require_key
from tasks.domain.errors import AuthRefused, InputInvalid


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:0.0.0.0", False),
        ("10.0.0.7", False),
        ("192.168.1.4", False),
        ("2001:db8::1", False),
        ("fe80::1%eth0", False),
        ("no-such-host.invalid", False),
        ("a" * 70 + ".example", False),
        ("böse host", False),
    ],
)
def test_only_loopback_counts_as_loopback(host: str, expected: bool) -> None:
    """Everything that is not certain is open."""
    assert expected == is_loopback(host)


@pytest.mark.parametrize("key", ["", " ", "\n"])
def test_an_open_address_needs_a_key(key: str) -> None:
    """A key of blanks, as from an empty file, is none."""
    with pytest.raises(InputInvalid) as refused:
        refuse_open_address("0.0.0.0", key, service="event receiver", variable="REELROUTE_EVENTS_KEY")

    assert 2 == refused.value.exit_code
    assert "event receiver" in refused.value.message
    assert "0.0.0.0" in refused.value.message
    assert "REELROUTE_EVENTS_KEY" in refused.value.hint


@pytest.mark.parametrize("key", ["k", "fifteen-letters", " " * 20 + "short", "sechzehn-Zeichen-für-alle", "a\x00" * 8])
@pytest.mark.parametrize("host", ["0.0.0.0", "", "10.0.0.7"])
def test_an_open_address_needs_a_key_that_is_hard_to_guess(host: str, key: str) -> None:
    """Sixteen ASCII characters; the message does not repeat the key."""
    with pytest.raises(InputInvalid, match="guessed") as refused:
        refuse_open_address(host, key, service="inference service", variable="ROBOFLOW_API_KEY")

    assert 2 == refused.value.exit_code
    assert "ROBOFLOW_API_KEY" in refused.value.hint
    assert "16" in refused.value.hint
    assert key.strip() not in (refused.value.message + refused.value.hint).replace("inference service", "").split()


LONG = "0123456789abcdef"


@pytest.mark.parametrize(
    ("host", "key"), [("127.0.0.1", ""), ("0.0.0.0", LONG), ("", LONG + "\n"), ("localhost", ""), ("localhost", "k")]
)
def test_loopback_or_a_key_is_enough(host: str, key: str) -> None:
    """One of the two."""
    refuse_open_address(host, key, service="metrics service", variable="REELROUTE_METRICS_KEY")


def request(headers: dict[str, str], query: str = "") -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw, "query_string": query.encode()})


@pytest.mark.parametrize(
    ("headers", "query"),
    [({"authorization": "Bearer s3cret"}, ""), ({"authorization": "bearer s3cret"}, ""), ({}, "api_key=s3cret")],
)
def test_the_key_opens(headers: dict[str, str], query: str) -> None:
    """As a bearer token, or as Roboflow's clients send it."""
    require_key(request(headers, query), "s3cret")


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({}, "api_key="),
        ({}, "api_key=s3cre"),
        ({"authorization": "Bearer "}, "api_key=s3cret"),
        ({"authorization": "Basic s3cret"}, ""),
        ({"authorization": "Bearer s3crét"}, ""),
    ],
)
def test_nothing_else_does(headers: dict[str, str], query: str) -> None:
    """A token that was given is the one that counts."""
    with pytest.raises(AuthRefused):
        require_key(request(headers, query), "s3cret")
