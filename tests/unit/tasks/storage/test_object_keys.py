"""Keys that cannot be addressed safely are refused, and no others."""

from __future__ import annotations

import pytest

from tasks.domain.errors import KeyUnsafe
from tasks.storage.object_keys import check_key, is_plain
from tests.contracts.storage_keys import SPECIAL_KEYS, UNSAFE_KEYS


@pytest.mark.parametrize("key", SPECIAL_KEYS)
def test_every_legal_key_is_let_through_verbatim(key: str) -> None:
    """Strange is not unsafe, and nothing is normalised."""
    assert key == check_key(key)


@pytest.mark.parametrize("key", [*UNSAFE_KEYS, ".", "a/.", "\0", "lone\ud83csurrogate.mp4"])
def test_what_no_url_can_name_is_refused(key: str) -> None:
    """Dot segments, nothing at all, NUL and what UTF-8 cannot hold, each with a hint and in printable words."""
    with pytest.raises(KeyUnsafe) as caught:
        check_key(key)
    assert caught.value.hint
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("path", ["a", "a/b.mp4", "...", ".a/b", "a b", " ", "caf\u00e9", "\u0085", "a\\b", "50%.mp4"])
def test_plain_paths(path: str) -> None:
    """What a path-minded client keeps as it is."""
    assert is_plain(path)


@pytest.mark.parametrize("path", ["/a", "a/", "a//b", "a\nb", "a\tb", "a\x7fb", "r//a", "/"])
def test_paths_that_need_the_sdk(path: str) -> None:
    """Slashes at the ends or doubled, and control characters, do not survive such a client."""
    assert not is_plain(path)
