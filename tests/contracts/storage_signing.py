"""What every store promises of signed URLs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tasks.storage.base import Storage
from tests.contracts.storage_base import StoreUnderTest
from tests.contracts.storage_keys import SPECIAL_KEYS


class SigningContract(StoreUnderTest):
    """What every store promises of signed URLs."""

    @pytest.mark.parametrize("key", SPECIAL_KEYS)
    def test_a_signed_url_gives_the_object(self, storage: Storage, key: str) -> None:
        """The URL of any key is fetched as it is, whole and in ranges."""
        if key in self.refused_keys or not self.fetchable:
            return
        storage.write(key, b"0123456789")
        signed = storage.sign(key, timedelta(minutes=10))
        assert b"0123456789" == httpx.get(signed.url).content
        part = httpx.get(signed.url, headers={"Range": "bytes=2-4"})
        assert (206, b"234") == (part.status_code, part.content)

    def test_a_signed_url_says_when_it_ends(self, storage: Storage) -> None:
        """The expiry is what was asked for, or earlier."""
        storage.write("key", b"x")
        asked = datetime.now(UTC) + timedelta(hours=1)
        expires_at = storage.sign("key", timedelta(hours=1)).expires_at
        assert expires_at is not None
        assert timedelta(seconds=-5) <= expires_at - asked <= timedelta(seconds=5)

    def test_a_lifetime_must_be_positive(self, storage: Storage) -> None:
        """A URL that was never valid is refused here, not by whoever fetches it."""
        with pytest.raises(ValueError, match="lifetime"):
            storage.sign("key", timedelta(0))

    def test_a_signed_url_is_for_one_object_and_reading_only(self, storage: Storage) -> None:
        """Another key, a changed signature or a PUT are refused, and the object stays as it is."""
        storage.write("key-1", b"one")
        storage.write("key-2", b"two")
        url = storage.sign("key-1", timedelta(minutes=10)).url
        if not self.fetchable:
            return
        assert 400 <= httpx.get(url.replace("key-1", "key-2")).status_code < 500
        last = url[-1]
        assert 400 <= httpx.get(url[:-1] + ("1" if last == "0" else "0")).status_code < 500
        assert 400 <= httpx.put(url, content=b"three").status_code
        assert (b"one", b"two") == (storage.read("key-1"), storage.read("key-2"))

    def test_a_signed_url_is_not_shown(self, storage: Storage) -> None:
        """Neither the signed URL's repr nor the store's gives the secret part away."""
        storage.write("key", b"x")
        signed = storage.sign("key", timedelta(minutes=10))
        secret_part = signed.url.partition("?")[2]
        assert secret_part not in repr(signed)
        assert secret_part not in str(signed)
        assert secret_part not in repr(storage)
