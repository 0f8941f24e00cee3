"""Filters keep the videos that a source asked for, and count what they leave out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tasks.storage.base import ObjectInfo
from tasks.storage.filters import NOT_TAKEN, Filter, Tally, select

NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)


def listed(key: str, size: int = 1_000, modified: datetime = NOW) -> ObjectInfo:
    return ObjectInfo(key, f"s3://bucket/root/{key}", f"v-{key}", size, modified)


def chosen(wanted: Filter, *keys: str) -> list[str]:
    return [video.name for video in select([listed(key) for key in keys], wanted)]


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
    assert Counter(empty=1) == tally.not_taken
    assert [] == list(select(objects, Filter(min_size=1)))


def test_folder_markers_are_never_videos() -> None:
    """A key that ends with a slash is a console's placeholder, whatever its size and the globs."""
    objects = [listed("x/", 0), listed("x.mp4/", 0), listed("y/", 11)]
    tally = Tally()
    assert [] == list(select(objects, Filter(include=("**",)), tally))
    assert Counter(marker=3) == tally.not_taken


def test_archived_videos_are_left_out_and_counted() -> None:
    """What must be restored before it can be read is not offered for inference; a cold tier that reads at once is."""
    objects = [
        replace(listed("cold.mp4"), storage_class="DEEP_ARCHIVE", archived=True),
        replace(listed("notes.txt"), storage_class="DEEP_ARCHIVE", archived=True),
        replace(listed("cool.mp4"), storage_class="GLACIER_IR"),
    ]
    tally = Tally()
    assert ["cool.mp4"] == [video.name for video in select(objects, Filter(), tally)]
    assert Counter(archived=1, suffix=1) == tally.not_taken


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
    assert len(objects) == tally.kept + sum(tally.not_taken.values())


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


# --- what is nobody's footage --------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("._clip.mp4", "hidden"),
        ("2026/._CLIP.MP4", "hidden"),
        (".5 miles.mp4", "hidden"),
        (".Trash-1000/files/clip.mp4", "hidden"),
        (".Trashes/501/clip.mov", "hidden"),
        ("a/.thumbnails/clip.webm", "hidden"),
        ("a/.@__thumb/s100clip.mp4", "hidden"),
        ("a/@eaDir/clip.mp4/SYNOPHOTO_FILM_H264.mp4", "system"),
        ("#recycle/clip.mp4", "system"),
        ("@Recycle/clip.mp4", "system"),
        ("$RECYCLE.BIN/S-1-5-21/$R5K2M1.mp4", "system"),
        ("$Recycle.Bin/clip.mp4", "system"),
        ("System Volume Information/clip.avi", "system"),
        ("__MACOSX/clip.mp4", "system"),
        ("lost+found/clip.mp4", "system"),
        ("Thumbnails/clip.mp4", "system"),
        ("x/~$clip.mp4", "hidden"),
        ("M4ROOT/THMBNL/clip.mp4", "system"),
        ("FOUND.003/clip.mp4", "system"),
        ("ann/files_trashbin/files/clip.mp4", "system"),
        ("x/Clip.mp4.download/Clip.mp4", "unfinished"),
        ("clip.mp4.part", "unfinished"),
        ("x/Clip.MP4.crdownload", "unfinished"),
        ("clip.mov~", "unfinished"),
        ("notes.txt.part", "suffix"),
        (".DS_Store", "suffix"),
    ],
)
def test_what_is_nobodys_footage_is_not_taken(key: str, reason: str) -> None:
    """Hidden files, side files, recycle bins, thumbnails and halves of files: each is counted under its reason."""
    for wanted in (Filter(), Filter(include=("**",))):
        tally = Tally()
        assert [] == list(select([listed(key)], wanted, tally))
        assert Counter([reason]) == tally.not_taken
        assert reason in NOT_TAKEN


@pytest.mark.parametrize(
    "key",
    [
        "a._b.mp4",
        "a.b/c.mp4",
        "a~/b.mp4",
        "~b.mp4",
        "System Volume Information.mp4",
        "my@eaDir/x.mp4",
        "x#recycle/a.mp4",
        "thumbnails.mp4",
        "recycle.bin/a.mp4",
        "part.mp4",
        "x.part.mp4",
    ],
)
def test_names_that_only_look_odd_are_taken(key: str) -> None:
    """A dot inside a name, or a bin's name with something around it, says nothing."""
    assert [key] == chosen(Filter(), key)


def test_an_include_that_names_what_is_hidden_takes_it() -> None:
    """As in a shell; what it does not name stays out, though the glob matches."""
    keys = [".takes/a.mp4", ".takes/._a.mp4", ".takes/.b/c.mp4", "x/@eaDir/a.mp4", "d.mp4"]
    assert [".takes/a.mp4"] == chosen(Filter(include=("**/.takes/**",)), *keys)
    assert [".takes/a.mp4", ".takes/.b/c.mp4"] == chosen(Filter(include=(".takes/**/*.mp4", ".takes/.b/*")), *keys)
    assert ["x/@eaDir/a.mp4", "d.mp4"] == chosen(Filter(include=("**/@*/*.mp4", "*.mp4")), *keys)
    assert ["._a.mp4"] == chosen(Filter(include=("._*.mp4",)), "._a.mp4", "a.mp4")
    assert ["a.mp4.part"] == chosen(Filter(include=("**/*.part",)), "a.mp4.part", "a.mp4")


def test_a_source_inside_of_something_hidden_was_meant() -> None:
    """The part of the key that the source's own URI names is not asked about."""
    assert [".takes-1/a.mp4"] == chosen(Filter(prefix=".takes"), ".takes-1/a.mp4", ".takes-1/.b/a.mp4")
    assert ["cam1/a.mp4"] == chosen(Filter(prefix="cam"), "cam1/a.mp4", "cam1/.a.mp4")


def test_files_that_miss_an_include_by_their_case_are_counted_apart() -> None:
    """Globs stay case-sensitive, and the tally says what that cost."""
    tally = Tally()
    wanted = Filter(include=("**/*.mp4", "**/*.[A-C]x"))
    objects = [listed(key) for key in ("a.mp4", "b.MP4", "c.Mp4", "d.mov", "e.bX")]
    assert ["a.mp4"] == [video.name for video in select(objects, wanted, tally)]
    assert Counter(case=3, include=1) == tally.not_taken


def test_what_cannot_be_read_is_counted() -> None:
    """A link to nowhere or a locked folder is no silence."""
    tally = Tally()
    objects = [replace(listed(key), unreadable=True) for key in ("link.mp4", "locked/")]
    assert [] == list(select(objects, Filter(include=("**",)), tally))
    assert Counter(unreadable=2) == tally.not_taken
