"""Filters keep the videos that a source asked for, and count what they leave out."""

from __future__ import annotations

import fnmatch
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.errors import InputInvalid
from tasks.storage.base import ObjectInfo
from tasks.storage.filters import Filter, Tally, compile_glob, select

NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)


def listed(key: str, size: int = 1_000, modified: datetime = NOW) -> ObjectInfo:
    return ObjectInfo(key, f"s3://bucket/root/{key}", f"v-{key}", size, modified)


def chosen(wanted: Filter, *keys: str) -> list[str]:
    return [video.name for video in select([listed(key) for key in keys], wanted)]


# --- globs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glob", "matching", "others"),
    [
        ("**/*.mp4", ["a.mp4", "x/a.mp4", "x/y/a.mp4", ".mp4", "x/.mp4"], ["a.MP4", "a.mp4/x", "a.mp4x", "amp4"]),
        ("*.mp4", ["a.mp4", "a b.mp4"], ["x/a.mp4", "/a.mp4"]),
        ("cam1/*", ["cam1/a", "cam1/"], ["cam1/x/a", "cam10/a", "x/cam1/a", "cam1"]),
        ("cam1/**", ["cam1/a", "cam1/x/y"], ["cam10/a", "x/cam1/a"]),
        ("cam?/a", ["cam1/a", "camé/a"], ["cam/a", "cam12/a", "cam//a"]),
        ("cam[0-3]/a", ["cam0/a", "cam3/a"], ["cam4/a", "cam/a", "cam-/a"]),
        ("cam[!0-3]/a", ["cam4/a", "camx/a"], ["cam0/a", "cam//a"]),
        ("**/drafts/**", ["drafts/a", "x/drafts/a", "x/drafts/y/a"], ["drafts", "mydrafts/a", "drafts2/a"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb", "xa/b"]),
        ("**/**/*.mp4", ["a.mp4", "x/y/a.mp4"], []),
        ("**", ["a", "a/b", "a\nb"], []),
        ("*", ["a", "a\nb", ""], ["a/b"]),
        ("a**z", ["az", "a/b/z", "abz"], ["a/b"]),
        ("x.mp4", ["x.mp4"], ["xxmp4", "x.mp4\n", "a/x.mp4"]),
        ("a+(b)|c$^{1}.mp4", ["a+(b)|c$^{1}.mp4"], ["aa(b)", "c"]),
        ("a\\b", ["a\\b"], ["ab"]),
        ("[[]x]", ["[x]"], ["x"]),
        ("[]]", ["]"], ["[", "]]"]),
        ("[!]]", ["a"], ["]"]),
        ("[a^b]", ["^", "a"], ["c"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("[\\d]", ["\\", "d"], ["1"]),
        ("[a&&b~~c||d]", ["&", "~", "|", "a"], ["e"]),
        ("[.-0]", [".", "0"], ["/", "-"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("日本/*", ["日本/動画"], ["日本"]),
        ("caf\u00e9", ["caf\u00e9"], ["cafe\u0301"]),
    ],
)
def test_globs(glob: str, matching: list[str], others: list[str]) -> None:
    """Each construct matches whole keys, and nothing it should not."""
    pattern = compile_glob(glob)
    assert matching == [key for key in matching + others if pattern.match(key)]


@pytest.mark.parametrize("glob", ["", "a[b", "[", "[!", "[]", "[z-a]", "x/[]a"])
def test_globs_that_cannot_be_read_are_refused_at_once(glob: str) -> None:
    """A mistake in a pattern shows before anything is listed."""
    with pytest.raises(InputInvalid):
        Filter(include=(glob,))
    with pytest.raises(InputInvalid):
        Filter(exclude=(glob,))


segment_globs = st.text(st.sampled_from("ab*?.-"), min_size=1, max_size=6).filter(lambda glob: "**" not in glob)


@given(glob=segment_globs, key=st.text(st.sampled_from("ab.-"), max_size=8))
def test_within_a_folder_globs_mean_what_fnmatch_means(glob: str, key: str) -> None:
    """For one name, ours and the standard library's patterns agree."""
    assert fnmatch.fnmatchcase(key, glob) == bool(compile_glob(glob).match(key))


@given(glob=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), key=st.text(max_size=30))
@settings(max_examples=200)
def test_any_text_is_a_glob_or_refused(glob: str, key: str) -> None:
    """No pattern escapes as a broken regular expression; without special characters it matches itself alone."""
    try:
        pattern = compile_glob(glob)
    except InputInvalid:
        assert "[" in glob
        return
    pattern.match(key)
    if not set("*?[") & set(glob):
        assert pattern.match(glob)
        assert (key == glob) == bool(pattern.match(key))


# --- what is wanted ------------------------------------------------------------------------


def test_the_default_is_every_video_suffix_in_any_case() -> None:
    """Without ``include``, videos are told by their suffix, as cameras write it."""
    keys = ["a.mp4", "x/B.MP4", "c.Mov", "d.webm", "e.txt", "f.mp4.json", "mp4", ".mp4", "x/.MOV", "g.mp4/h", "h.jpg"]
    assert ["a.mp4", "x/B.MP4", "c.Mov", "d.webm"] == chosen(Filter(), *keys)


def test_include_is_case_sensitive() -> None:
    """A glob means what it says; both cases are asked for with brackets."""
    assert ["a.mp4"] == chosen(Filter(include=("**/*.mp4",)), "a.mp4", "b.MP4")
    assert ["a.mp4", "b.MP4"] == chosen(Filter(include=("**/*.[mM][pP]4",)), "a.mp4", "b.MP4")


def test_any_include_is_enough_and_names_any_suffix() -> None:
    """Somebody who names ``*.dav`` knows that it is video."""
    wanted = Filter(include=("cctv/**/*.dav", "*.mp4"))
    assert ["cctv/1/a.dav", "b.mp4"] == chosen(wanted, "cctv/1/a.dav", "b.mp4", "b.dav", "c/b.mp4")


@pytest.mark.parametrize("glob", ["cam1/**", "cam1/*", "**"])
def test_an_include_that_names_a_place_keeps_the_suffixes(glob: str) -> None:
    """``cam1/**`` means the videos there, not the notes beside them."""
    assert ["cam1/a.MP4"] == chosen(Filter(include=(glob,)), "cam1/a.MP4", "cam1/notes.txt", "cam1/_SUCCESS")
    both = Filter(include=(glob, "**/*.dav"))
    assert ["cam1/a.mp4", "cam1/b.dav"] == chosen(both, "cam1/a.mp4", "cam1/b.dav", "cam1/notes.txt")


def test_exclude_wins() -> None:
    """What any exclude matches is left out, included or not."""
    wanted = Filter(include=("**/*.mp4",), exclude=("**/drafts/**", "*-raw.mp4"))
    assert ["a.mp4", "x/b-raw.mp4"] == chosen(
        wanted, "a.mp4", "drafts/a.mp4", "x/drafts/y/a.mp4", "a-raw.mp4", "x/b-raw.mp4"
    )


def test_age_and_size_limits_include_their_bounds() -> None:
    """Objects exactly at a limit pass."""
    wanted = Filter(modified_after=NOW - timedelta(hours=36), min_size=10, max_size=20)
    objects = [
        listed("at-limits.mp4", 10, NOW - timedelta(hours=36)),
        listed("max.mp4", 20),
        listed("old.mp4", 15, NOW - timedelta(hours=36, microseconds=1)),
        listed("small.mp4", 9),
        listed("large.mp4", 21),
    ]
    tally = Tally()
    assert ["at-limits.mp4", "max.mp4"] == [video.name for video in select(objects, wanted, tally)]
    assert Tally(2, Counter(age=1, size=2)) == tally


def test_a_maximum_of_zero_is_a_maximum() -> None:
    """Zero is a number, not "no limit"."""
    assert [] == chosen(Filter(max_size=0), "a.mp4")


def test_an_empty_video_is_not_hidden() -> None:
    """A failed upload with a video's name goes on, to be reported as a bad video; other empty files do not."""
    objects = [listed("a.mp4", 0), listed("b.dav", 0), listed("x/c.MOV", 0)]
    tally = Tally()
    wanted = Filter(include=("**/*.*",))
    assert ["a.mp4", "x/c.MOV"] == [video.name for video in select(objects, wanted, tally)]
    assert Counter(empty=1) == tally.left_out
    assert [] == list(select(objects, Filter(min_size=1)))


def test_folder_markers_are_never_videos() -> None:
    """A key that ends with a slash is a console's placeholder, whatever its size and the globs."""
    objects = [listed("x/", 0), listed("x.mp4/", 0), listed("y/", 11)]
    tally = Tally()
    assert [] == list(select(objects, Filter(include=("**",)), tally))
    assert Counter(marker=3) == tally.left_out


def test_archived_videos_are_left_out_and_counted() -> None:
    """What must be restored before it can be read is not offered for inference; a cold tier that reads at once is."""
    objects = [
        replace(listed("cold.mp4"), storage_class="DEEP_ARCHIVE", archived=True),
        replace(listed("notes.txt"), storage_class="DEEP_ARCHIVE", archived=True),
        replace(listed("cool.mp4"), storage_class="GLACIER_IR"),
    ]
    tally = Tally()
    assert ["cool.mp4"] == [video.name for video in select(objects, Filter(), tally)]
    assert Counter(archived=1, suffix=1) == tally.left_out


def test_every_object_is_counted_once() -> None:
    """Kept and left out add up to the listing, and each reason has its own count."""
    objects = [
        listed("a.mp4"),
        listed("notes/b.txt"),
        listed("drafts/c.mp4"),
        listed("d.mp4", modified=NOW - timedelta(days=9)),
        listed("e.mp4", 5_000),
        listed("f.bin"),
        listed("dir/", 0),
    ]
    tally = Tally()
    wanted = Filter(
        include=("**/*.mp4", "notes/**"), exclude=("drafts/*",), modified_after=NOW - timedelta(days=1), max_size=2_000
    )
    assert ["a.mp4"] == [video.name for video in select(objects, wanted, tally)]
    assert Tally(1, Counter(suffix=1, exclude=1, age=1, size=1, include=1, marker=1)) == tally
    assert len(objects) == tally.kept + sum(tally.left_out.values())


def test_videos_carry_what_the_listing_said() -> None:
    """URI, version, size and time pass through; the name is the key behind the prefix given."""
    found = listed("x/caf\u00e9 1.mp4", 7)
    (video,) = select([found], Filter(), name_prefix="gate-2/")
    assert (found.uri, found.version, 7, NOW) == (video.uri, video.version, video.size, video.modified)
    assert "gate-2/x/caf\u00e9 1.mp4" == video.name


def test_selecting_is_lazy() -> None:
    """The listing is not read ahead of what is asked for."""

    def endless() -> object:
        while True:
            yield listed("a.mp4")

    assert "a.mp4" == next(select(endless(), Filter())).name  # type: ignore[arg-type]
