"""Global keys, as Labelbox limits them."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.sinks.labelbox.global_key import global_key

ALLOWED = re.compile(r"[A-Za-z0-9!_.*'()&$@=;/:+ ,?-]{1,200}")


@pytest.mark.parametrize(
    "uri", ["s3://bucket/2026/cup/final.mp4", "gs://b/a (1).mp4", "file:///home/me/v.mp4", "az://c/a+b=c,d;e@f.mov"]
)
def test_a_uri_that_labelbox_takes_is_the_key(uri: str) -> None:
    """People find their videos by it."""
    assert uri == global_key(uri)


@pytest.mark.parametrize(
    ("uri", "readable"),
    [
        ("s3://b/50%.mp4", "s3://b/50_.mp4-"),
        ("s3://b/a#1~[x].mp4", "s3://b/a_1__x_.mp4-"),
        ("s3://b/café.mp4", "s3://b/caf_.mp4-"),
        ("s3://b/Final.MP4", "s3://b/Final.MP4-"),
        ("s3://b/trailing ", "s3://b/trailing-"),
        ("s3://b/-0123456789abcdef", "s3://b/-0123456789abcdef-"),
    ],
)
def test_another_one_stays_readable_and_gets_a_digest(uri: str, readable: str) -> None:
    """Also where it only looks as if it had one, or where only its case could tell it apart."""
    key = global_key(uri)

    assert key.startswith(readable)
    assert re.fullmatch(r"[0-9a-f]{16}", key.removeprefix(readable))


def test_keys_do_not_change_between_versions() -> None:
    """Data rows that exist are found again: this key is fixed for good."""
    assert "s3://Bucket/a b_.mp4-1d31b77a19cfb451" == global_key("s3://Bucket/a b#.mp4")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s3://b/a.mp4", "s3://b/A.mp4"),
        ("s3://b/A.mp4", "s3://b/a.MP4"),
        ("s3://b/a#.mp4", "s3://b/a%.mp4"),
        ("s3://b/a#.mp4", "s3://b/a_.mp4"),
        (unicodedata.normalize("NFC", "s3://b/é.mp4"), unicodedata.normalize("NFD", "s3://b/é.mp4")),
        ("s3://b/a", "s3://b/a "),
        (f"s3://b/{'x' * 300}1", f"s3://b/{'x' * 300}2"),
        (f"s3://b/1{'x' * 300}", f"s3://b/2{'x' * 300}"),
        ("s3://b/\udcff", "s3://b/\udcfe"),
        ("s3://b/a#", global_key("s3://b/a#")),
    ],
)
def test_two_videos_never_share_a_key(one: str, other: str) -> None:
    """Labelbox does not tell letters' case apart."""
    assert global_key(one).lower() != global_key(other).lower()


uris = st.text(st.one_of(st.sampled_from("aA/-_ #%é"), st.characters()), max_size=230).map("s3://b/".__add__)


@settings(max_examples=200, deadline=None)
@given(uris, uris)
def test_any_uri_gets_a_key_that_labelbox_takes(one: str, other: str) -> None:
    """Allowed characters, at most 200, no space at an end, and its own."""
    key = global_key(one)

    assert ALLOWED.fullmatch(key)
    assert key == key.strip()
    assert (one == other) == (key.lower() == global_key(other).lower())


@settings(max_examples=200, deadline=None)
@given(uris, st.data())
def test_letters_in_another_case_are_another_video(uri: str, data: st.DataObject) -> None:
    """Also the case of a key that was made for another URI, and of what looks like one."""
    other = "".join(data.draw(st.sampled_from((c, c.lower(), c.upper(), c.swapcase()))) for c in uri)

    for one in (other, global_key(uri), global_key(uri).upper()):
        assert (one == uri) == (global_key(one).lower() == global_key(uri).lower())
