"""Signed URLs of the service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.services.inference.signing import UrlSigner
from tasks.domain.errors import AccessDenied

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _query(signed: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(signed).query))


def test_a_signed_url_is_accepted_until_it_expires() -> None:
    """The last moment is just before the stated lifetime has passed."""
    signer = UrlSigner("key")
    query = _query(signer.sign("/uploads/abc", HOUR, NOW))
    signer.check("/uploads/abc", query, NOW + HOUR - timedelta(microseconds=1))
    with pytest.raises(AccessDenied, match="expired"):
        signer.check("/uploads/abc", query, NOW + HOUR)


def test_the_sdk_finds_the_lifetime() -> None:
    """roboflow 1.7.3 splits at `&X-Goog-Expires`, so the parameter must not come first."""
    signed = UrlSigner("key").sign("/uploads/abc", HOUR, NOW)
    assert signed.split("&X-Goog-Expires")[1].split("&")[0].strip("=") == "3600"


@pytest.mark.parametrize("field", ["X-Goog-Date", "X-Goog-Expires", "X-Goog-Signature"])
@pytest.mark.parametrize("value", ["", "0", "99999999", "20991231T000000Z", "é\udcff"])
def test_a_changed_field_is_refused(field: str, value: str) -> None:
    """No field can be changed, not even to something that is not text."""
    signer = UrlSigner("key")
    query = _query(signer.sign("/uploads/abc", HOUR, NOW)) | {field: value}
    with pytest.raises(AccessDenied, match="not ours"):
        signer.check("/uploads/abc", query, NOW)


@given(other=st.text(st.characters(codec="utf-8"), max_size=30))
def test_a_signature_is_good_for_its_own_path_only(other: str) -> None:
    """A permission to upload is no permission to read a result."""
    signer = UrlSigner("key")
    query = _query(signer.sign("/uploads/abc", HOUR, NOW))
    if other != "/uploads/abc":
        with pytest.raises(AccessDenied):
            signer.expiry(other, query)


def test_another_key_signs_differently() -> None:
    """A service does not honour the URLs of one with another key."""
    query = _query(UrlSigner("one").sign("/uploads/abc", HOUR, NOW))
    with pytest.raises(AccessDenied):
        UrlSigner("two").check("/uploads/abc", query, NOW)


def test_an_empty_query_is_refused() -> None:
    """An unsigned request is told so, not answered with a crash."""
    with pytest.raises(AccessDenied):
        UrlSigner("key").check("/uploads/abc", {}, NOW)
