"""Signed file URLs let exactly what was signed through, until it expires."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.domain.errors import AccessDenied, KeyUnsafe, ObjectMissing, ReelrouteError
from tasks.storage.loopback import FileUrlSigner, file_url_secret, sign_file_url, verify_file_url

BASE = "http://127.0.0.1:9001"
SECRET = file_url_secret("rf_key")
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def fetch(url: str, *allowed: Path, now: datetime = NOW, secret: bytes = SECRET) -> Path:
    """What a service does with a URL that a client asks for."""
    parts = urlsplit(url)
    return verify_file_url(secret, parts.path, dict(parse_qsl(parts.query)), now, allowed)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clips" / "a b%20.mp4"
    path.parent.mkdir()
    path.write_bytes(b"x")
    return path


def test_a_signed_url_leads_to_its_file(clip: Path) -> None:
    """The path comes back as it was, for any folder above it that is allowed."""
    url = sign_file_url(BASE + "/", SECRET, clip, LATER)
    assert url.startswith(f"{BASE}/files/")
    assert clip == fetch(url, clip.parent)
    assert clip == fetch(url, Path("/nowhere"), Path("/"))


names = st.binary(min_size=1, max_size=60).filter(
    lambda name: not {b"/"[0], 0} & set(name) and name not in (b".", b"..")
)


@given(name=names)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_name_round_trips(tmp_path: Path, name: bytes) -> None:
    """Every byte string that can name a file survives the URL, valid UTF-8 or not."""
    path = tmp_path / os.fsdecode(name)
    path.touch()
    url = sign_file_url(BASE, SECRET, path, LATER)
    assert url.isascii()
    assert path == fetch(url, tmp_path)
    path.unlink()


def test_clients_may_spell_the_percent_encoding_as_they_like(clip: Path) -> None:
    """Lower-case hex and needless escapes mean the same path, so they verify."""
    url = urlsplit(sign_file_url(BASE, SECRET, clip, LATER))
    everything = "/files" + "".join("/" if char == "/" else f"%{ord(char):02x}" for char in str(clip))
    assert clip == fetch(url._replace(path=everything).geturl(), clip.parent)


def test_a_url_expires(clip: Path) -> None:
    """It works in the last second before its expiry and not at it, and the error says so."""
    url = sign_file_url(BASE, SECRET, clip, LATER)
    assert clip == fetch(url, clip.parent, now=LATER - timedelta(seconds=1))
    with pytest.raises(AccessDenied, match="expired"):
        fetch(url, clip.parent, now=LATER)


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("clips", "clipz"),
        lambda url: url.replace("expires=1", "expires=2"),
        lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
        lambda url: url + "0",
        lambda url: url[:-1],
        lambda url: (
            url.upper().replace("/FILES", "/files").replace("EXPIRES", "expires").replace("SIGNATURE", "signature")
        ),
    ],
)
def test_a_changed_url_is_refused(clip: Path, change: object) -> None:
    """Path, expiry and signature are all covered."""
    assert callable(change)
    with pytest.raises(AccessDenied, match="does not match"):
        fetch(change(sign_file_url(BASE, SECRET, clip, LATER)), clip.parent)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "expires=99999999999",
        "signature=00",
        "expires=&signature=00",
        "expires=-1&signature=00",
        "expires=1e99&signature=00",
        f"expires={'9' * 5000}&signature=00",
        "expires=%D9%A3&signature=00",
        "expires=99999999999&signature=%ED%A0%80%C3%A9",
    ],
)
def test_an_unsigned_or_odd_query_is_refused(clip: Path, query: str) -> None:
    """Missing and absurd parameters are refused like a wrong signature, never a crash."""
    with pytest.raises(AccessDenied):
        fetch(f"{BASE}/files{quote(str(clip))}?{query}", clip.parent)


def test_surrogates_in_parameters_are_refused(clip: Path) -> None:
    """A server that decodes a query leniently may hand over lone surrogates."""
    with pytest.raises(AccessDenied):
        verify_file_url(SECRET, f"/files{clip}", {"expires": "99", "signature": "\udcff"}, NOW, [clip.parent])


def test_another_key_signs_other_urls(clip: Path) -> None:
    """A service with another API key refuses our URLs, and nothing of the key is in them."""
    url = sign_file_url(BASE, SECRET, clip, LATER)
    assert "rf_key" not in url
    with pytest.raises(AccessDenied, match="does not match"):
        fetch(url, clip.parent, secret=file_url_secret("another"))
    assert file_url_secret("a") != file_url_secret("b")


def test_a_signature_is_no_leave_to_go_anywhere(clip: Path, tmp_path: Path) -> None:
    """Even well-signed paths must lie in an allowed folder after every ``..`` and symlink."""
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(b"x")
    (clip.parent / "link.mp4").symlink_to(outside)
    (tmp_path / "clips-2").mkdir()
    (tmp_path / "clips-2/x.mp4").touch()
    for path in (
        outside,
        clip.parent / "link.mp4",
        Path(f"{clip.parent}/../outside.mp4"),
        tmp_path / "clips-2/x.mp4",
        Path("/etc/passwd"),
        tmp_path / "absent.mp4",
        clip.parent,
    ):
        with pytest.raises(KeyUnsafe):
            fetch(sign_file_url(BASE, SECRET, path, LATER), clip.parent)
    with pytest.raises(KeyUnsafe):
        fetch(sign_file_url(BASE, SECRET, clip, LATER))


def test_links_inside_and_a_linked_root_are_resolved(clip: Path, tmp_path: Path) -> None:
    """An allowed folder may be a symlink, and links within it are followed to the real file."""
    root = tmp_path / "root"
    root.symlink_to(clip.parent)
    (clip.parent / "alias.mp4").symlink_to(clip.name)
    assert clip == fetch(sign_file_url(BASE, SECRET, root / "alias.mp4", LATER), root)


@pytest.mark.parametrize("name", ["absent.mp4", "folder", "loop", "x" * 300, "a b%20.mp4/below"])
def test_what_is_no_file_is_missing(clip: Path, name: str) -> None:
    """Nothing, a folder, a loop and an impossible name inside the allowed folder are simply not there."""
    (clip.parent / "folder").mkdir()
    (clip.parent / "loop").symlink_to("loop")
    with pytest.raises(ObjectMissing):
        fetch(sign_file_url(BASE, SECRET, clip.parent / name, LATER), clip.parent)


@pytest.mark.parametrize("path", ["/other/a.mp4", "/files", "/filesystem/a", "", "/files/a%00b"])
def test_paths_of_another_kind_are_refused(path: str) -> None:
    """Only what begins with /files/ is a file URL, and NUL is in no file name."""
    signature = sign_file_url(BASE, SECRET, Path("/a\0b"), LATER).partition("?")[2]
    with pytest.raises((KeyUnsafe, AccessDenied)):
        fetch(f"{BASE}{path}?{signature}", Path("/"))


def test_errors_do_not_repeat_the_signature(clip: Path) -> None:
    """What ends up in a log holds the path at most."""
    url = sign_file_url(BASE, SECRET, clip, LATER)
    signature = dict(parse_qsl(urlsplit(url).query))["signature"]
    for arguments in ({"now": LATER}, {"secret": b"other"}, {}):
        with pytest.raises(ReelrouteError) as caught:
            fetch(url, **arguments)
        assert signature not in f"{caught.value} {caught.value.hint}"


def test_the_signer_says_when_its_url_ends(clip: Path) -> None:
    """The expiry is the clock's time plus the lifetime, cut to whole seconds as the URL has it."""
    signer = FileUrlSigner(BASE, SECRET, clock=lambda: NOW + timedelta(microseconds=999_999))
    signed = signer.sign(clip, timedelta(minutes=10))
    assert NOW + timedelta(minutes=10) == signed.expires_at
    assert clip == fetch(signed.url, clip.parent)
    assert "secret" not in repr(signer).replace("secret=", "")
    assert SECRET.hex() not in repr(signer)
    assert repr(SECRET) not in repr(signer)


def test_the_default_clock_is_the_real_one(clip: Path) -> None:
    """Without an injected clock, a URL for an hour works now."""
    signed = FileUrlSigner(BASE, SECRET).sign(clip, timedelta(hours=1))
    assert clip == fetch(signed.url, clip.parent, now=datetime.now(UTC))


def test_mistakes_of_the_caller() -> None:
    """Naive times and relative paths are refused at once."""
    with pytest.raises(ValueError, match="timezone"):
        sign_file_url(BASE, SECRET, Path("/a"), datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="absolute"):
        sign_file_url(BASE, SECRET, Path("a"), LATER)
