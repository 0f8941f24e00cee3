"""Names and facts of videos."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.video import HOSTED_SUFFIXES, VIDEO_SUFFIXES, SignedUrl, VideoInfo, VideoRef, printable


def video(name: str, uri: str = "s3://b/k") -> VideoRef:
    return VideoRef(uri=uri, version="1", size=1, modified=datetime(2026, 1, 1, tzinfo=UTC), name=name)


@given(st.text(st.characters(exclude_categories=[])))
def test_printable_text_is_printable(text: str) -> None:
    """Whatever a file is called, its name fits a log line and can be encoded."""
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode("utf-8").decode("utf-8") == shown


@given(st.text())
def test_printable_text_stays(text: str) -> None:
    """Only what cannot be printed is changed, and twice is as good as once."""
    if text.isprintable():
        assert printable(text) == text
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc\x1b[31m", r"a\nb\tc\x1b[31m"),
        ("\udcff", r"\udcff"),
        ("e\u0301 ü 日本 😀", "e\u0301 ü 日本 😀"),
        ("\u202egpj.mp4", r"\u202egpj.mp4"),
        ("a\u00a0b\u2028", r"a\xa0b\u2028"),
    ],
)
def test_traps_in_names_are_seen(text: str, shown: str) -> None:
    """Control characters, overrides of direction and broken encodings are written out."""
    assert printable(text) == shown
    assert str(video(text)) == shown


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a/b.mp4", ".mp4"), ("a.b/c", ""), ("A.MP4", ".MP4"), (".mp4", ""), ("a/.mp4", ""), ("x.tar.gz", ".gz"),
        ("a.", "."), ("", ""), ("a/b/", ""),
    ],
)  # fmt: skip
def test_the_suffix_is_the_last_parts(name: str, suffix: str) -> None:
    """Folders' dots and hidden files' dots are no suffixes; case is kept."""
    assert video(name).suffix == suffix


@pytest.mark.parametrize(
    ("uri", "scheme"), [("file:///a", "file"), ("s3://b/gs://x", "s3"), ("gs://b/k", "gs"), ("az://c/k", "az")]
)
def test_the_scheme_is_the_uris(uri: str, scheme: str) -> None:
    """Everything before the first ``://``."""
    assert video("k", uri).scheme == scheme


@pytest.mark.parametrize(
    ("rotation", "size"), [(0, (640, 360)), (90, (360, 640)), (180, (640, 360)), (270, (360, 640))]
)
def test_a_turned_video_is_seen_turned(rotation: int, size: tuple[int, int]) -> None:
    """Width and height change places for quarter turns."""
    info = VideoInfo(
        width=640, height=360, rotation=rotation, fps=Fraction(30), frame_count=1, duration_s=1.0,
        container="mp4", codec="h264",
    )  # fmt: skip
    assert info.display_size == size


def test_a_signed_url_is_not_shown() -> None:
    """Neither ``repr`` nor ``str`` holds it."""
    url = SignedUrl("https://b/k?X-Amz-Signature=MARKED", None)
    assert "MARKED" not in f"{url} {url!r} {[url]}"


def test_the_hosted_service_takes_a_part_of_what_we_read() -> None:
    """Suffixes are lower case and begin with a dot; mov is ours alone; the documentation lists them all."""
    assert HOSTED_SUFFIXES < VIDEO_SUFFIXES
    text = (Path(__file__).parents[4] / "config" / "README.md").read_text()
    told = re.search(r"What is taken for a video.*?`\.hevc`", text, re.DOTALL)
    assert told
    assert VIDEO_SUFFIXES == set(re.findall(r"`(\.\w+)`", told[0]))
    assert ".mov" in VIDEO_SUFFIXES - HOSTED_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in VIDEO_SUFFIXES)
