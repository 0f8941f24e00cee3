"""The file of job ids: what is written down is read again, whatever else is in it."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.job_ids import RESERVED, JobIds, TakenJob
from tests.rig import NOON
from tests.unit.tasks.test_job_ids import full

TAKEN = TakenJob("0123abcd", "job-1", "http://127.0.0.1:9", NOON)
pytestmark = pytest.mark.usefixtures("elsewhere")


def test_what_is_added_is_read_until_it_is_removed(tmp_path: Path) -> None:
    """By any process of that home; twice is once."""
    mine, theirs = JobIds(tmp_path), JobIds(tmp_path)
    other = TakenJob("ff", "job \ud800\n2", "https://x", NOON + timedelta(microseconds=1))
    mine.add(TAKEN)
    theirs.add(TAKEN)
    theirs.add(other)

    assert [TAKEN, other] == mine.read()
    mine.remove(TAKEN)
    assert [other] == theirs.read()
    theirs.remove(other)
    assert [] == mine.read()


@pytest.mark.parametrize("length", range(1, len(TAKEN.to_line()), 9))
def test_half_a_line_harms_no_other(tmp_path: Path, length: int) -> None:
    """A machine that stopped in mid-write: what was whole is read, what is added later is whole."""
    ids = JobIds(tmp_path)
    first, last = TakenJob("1", "a", "s", NOON), TakenJob("2", "b", "s", NOON)
    ids.add(first)
    with ids.places[0].open("ab") as file:
        file.write(TAKEN.to_line()[:length])
    ids.add(last)

    assert [first, last] == ids.read() == ids.read()


@pytest.mark.parametrize("junk", [b"\0" * 100, b"[]", b"{}", b"null", b'{"key": 1}', b"\xff\xfe", b"[" * 20_000])
def test_any_junk_is_dropped_with_a_word(tmp_path: Path, junk: bytes) -> None:
    """Whatever is in the file, ids can be read from it and added to it."""
    ids = JobIds(tmp_path)
    ids.places[0].write_bytes(junk + b"\n" + TAKEN.to_line())

    assert [TAKEN] == ids.read()
    ids.remove(TAKEN)
    ids.add(TAKEN)
    assert [TAKEN] == ids.read()


def test_reserved_room_takes_ids_when_the_disk_is_full(tmp_path: Path) -> None:
    """Lines are written where room was taken before, and the file does not grow."""
    ids = JobIds(tmp_path)
    ids.reserve()
    ids.reserve()
    with full(tmp_path):
        many = [TakenJob(f"{n:032}", f"job-{n}", "https://api.example.com", NOON) for n in range(200)]
        places = {ids.add(one) for one in many}

    assert ({ids.places[0]}, RESERVED) == (places, ids.places[0].stat().st_size)
    assert many == ids.read()


def test_a_home_that_takes_nothing_leaves_the_folder_for_temporary_files(tmp_path: Path) -> None:
    """The id is found there again, by runs of the same home only."""
    ids = JobIds(tmp_path / "missing")
    place = ids.add(TAKEN)

    assert tmp_path / "lasting" == place.parent
    assert 0o600 == place.stat().st_mode & 0o777
    assert [TAKEN] == JobIds(tmp_path / "missing").read()
    assert [] == JobIds(tmp_path / "another").read()


def test_a_link_that_somebody_put_there_is_not_followed(tmp_path: Path) -> None:
    """Everybody may write in a folder for temporary files."""
    ids = JobIds(tmp_path / "missing")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    for place in ids.places[1:]:
        place.symlink_to(victim)

    with pytest.raises(OSError, match="symbolic"):
        ids.add(TAKEN)
    assert b"precious" == victim.read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_not_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ids that another user of the machine made up are not asked for with our key."""
    ids = JobIds(tmp_path / "missing")
    place = ids.add(TAKEN)
    os.chown(place, 12345, -1)

    assert [] == ids.read()
    assert "not a file of ours" in caplog.text
