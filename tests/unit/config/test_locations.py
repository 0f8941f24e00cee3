"""Paths and URIs, and the placeholders in them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from config import available
from config.available import Scheme
from config.locations import check_template, expand, read_folder, read_route_location, read_source_location


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file:///videos", "file:///videos/"),
        ("file:///videos/", "file:///videos/"),
        ("/videos", "file:///videos/"),
        ("//videos//a/./b/../c", "file:///videos/a/c/"),
        ("file:///", "file:///"),
        ("/", "file:///"),
        ("/a b/ü?#%20", "file:///a b/ü?#%20/"),
        ("/x:y", "file:///x:y/"),
    ],
)
def test_absolute_paths_become_uris_verbatim(text: str, expected: str) -> None:
    """The key is the path itself: nothing is percent-encoded, and there is one trailing slash."""
    assert expected == read_folder(text)


@pytest.mark.parametrize("text", ["footage", "./footage", "footage/", "x/../footage"])
def test_relative_paths_are_relative_to_the_working_directory(text: str, here: Path) -> None:
    """Where one stands decides, as with every command."""
    assert f"file://{here}/footage/" == read_folder(text)


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a shell."""
    monkeypatch.setenv("HOME", "/home/ann")
    assert "file:///home/ann/videos/" == read_folder("~/videos")


@given(st.text(st.characters(exclude_categories=["C"], exclude_characters="/.~:\\"), min_size=1).filter(str.strip))
@settings(max_examples=100)
def test_any_name_of_a_folder_comes_through_unchanged(name: str) -> None:
    """Spaces, accents in either normal form and punctuation are part of the name."""
    assert f"file:///in/{name}/" == read_folder(f"/in/{name}")


@pytest.mark.parametrize("text", ["", " ", "\t"])
def test_nothing_is_not_the_working_directory(text: str) -> None:
    """A variable that is set to nothing must not list whatever is here."""
    with pytest.raises(PydanticCustomError, match="is empty"):
        read_folder(text)


@pytest.mark.parametrize("text", ["/a\0b", "/a\nb", "x\x7f"])
def test_control_characters_are_refused(text: str) -> None:
    """They come from broken templates, not from people."""
    with pytest.raises(PydanticCustomError, match="control characters"):
        read_folder(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file://videos/in", "is not an absolute path"),
        ("file://./in", "is not an absolute path"),
        ("file:/videos", "lacks the //"),
        ("s3:bucket", "lacks the //"),
        ("s3:///x", "names no bucket"),
        ("ftp://host/x", "kind of store"),
        ("https://storage.googleapis.com/b/o?X-Goog-Signature=abc", "kind of store"),
        ("S3://bucket", "kind of store"),
        ("gcs://bucket", "kind of store"),
    ],
)
def test_uris_that_lead_nowhere_are_refused(text: str, reason: str) -> None:
    """The reason says what is wrong, whatever works in this version."""
    with pytest.raises(PydanticCustomError, match=reason):
        read_folder(text)


@pytest.mark.parametrize("text", ["s3://key:secret@bucket/x", "az://account:key@c"])
def test_keys_in_a_uri_are_refused_and_not_shown(text: str) -> None:
    """A URI goes into logs and ledgers, so no key may be in it."""
    with pytest.raises(PydanticCustomError, match="more than a name") as caught:
        read_folder(text)
    assert (caught.value.context or {})["hide"]
    assert "secret" not in str(caught.value)


def test_what_does_not_work_in_a_version_is_refused_with_what_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this version cannot do is said before a run; one line of the table decides."""
    monkeypatch.setitem(available.SCHEMES, "ftp", Scheme(form="ftp://host/folder", available=False))
    with pytest.raises(PydanticCustomError, match="ftp:// is not available in this version") as caught:
        read_source_location("ftp://host/2026/")
    assert (
        "file:///folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or a path"
        == (caught.value.context or {})["allowed"]
    )


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_a_prefix_is_kept_and_a_folder_gets_its_slash(scheme: str) -> None:
    """A source's prefix may end within a segment; keys are taken as they are."""
    assert f"{scheme}://bucket/2026/match-" == read_source_location(f"{scheme}://bucket/2026/match-")
    assert f"{scheme}://bucket/out//x%20/" == read_route_location(f"{scheme}://bucket/out//x%20")


@pytest.mark.parametrize("text", ["/in/{date}", "s3://bucket/{pipeline}/"])
def test_sources_have_no_placeholders(text: str) -> None:
    """A source that would list a folder named {date} was meant otherwise."""
    with pytest.raises(PydanticCustomError, match="only routes have them"):
        read_source_location(text)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{date}", "2026-01-31"),
        ("/out/{pipeline}/{date}/{date}", "/out/yard/2026-01-31/2026-01-31"),
        ("plain", "plain"),
    ],
)
def test_placeholders_are_filled_in(template: str, expected: str) -> None:
    """The day is written so that it sorts."""
    assert expected == expand(check_template(template), date(2026, 1, 31), "yard")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{day}", "unknown placeholder 'day'"),
        ("{Date}", "unknown placeholder 'Date'"),
        ("{}", "unknown placeholder ''"),
        ("{date:%Y}", "unknown placeholder"),
        ("{hide}{allowed}", "unknown placeholder 'hide'"),
        ("{date", "without its partner"),
        ("date}", "without its partner"),
        ("{{date}}", "without its partner"),
    ],
)
def test_unknown_placeholders_and_stray_braces_are_refused(template: str, reason: str) -> None:
    """A typing error does not become a folder of that name."""
    with pytest.raises(PydanticCustomError, match=reason):
        check_template(template)
