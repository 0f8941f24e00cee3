"""Where a file says that it ends, by its own sizes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.engine.structure import Structure, _vint, file_size, structure_of


def read(data: bytes) -> Structure:
    return structure_of(io.BytesIO(data), len(data))


def box(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    return (8 + len(body) if size is None else size).to_bytes(4) + kind + body


FTYP = box(b"ftyp", b"isom\0\0\0\0")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("b_frames.mp4", "mp4"),
        ("faststart.mp4", "mp4"),
        ("fragmented.mp4", "mp4"),
        ("fragmented_bare.mp4", "mp4"),
        ("hevc.mov", "mp4"),
        ("mpeg4.avi", "avi"),
        ("vp9.webm", "webm"),
        ("h264.mkv", "mkv"),
    ],
)
def test_a_whole_file_ends_where_it_says(clip: Callable[[str], Path], name: str, kind: str) -> None:
    """Stated end and real size of real files agree to the byte."""
    data = clip(name).read_bytes()
    found = read(data)
    assert (kind, len(data)) == (found.kind, found.end)


@pytest.mark.parametrize("name", ["b_frames.mp4", "fragmented_bare.mp4", "mpeg4.avi", "vp9.webm", "h264.mkv"])
def test_a_cut_file_says_that_it_should_be_longer(clip: Callable[[str], Path], name: str) -> None:
    """Wherever it is cut after its head, inside the last part, the stated end lies beyond the file."""
    data = clip(name).read_bytes()
    for cut in (len(data) - 1, len(data) - 20):
        assert read(data[:cut]).end > cut


def test_kinds_of_mp4_are_told_apart(clip: Callable[[str], Path]) -> None:
    """Fragments and a segment index are seen."""
    seen = {
        name: read(clip(name).read_bytes()) for name in ("faststart.mp4", "fragmented.mp4", "fragmented_indexed.mp4")
    }
    assert [(False, False), (True, False), (True, True)] == [(s.fragmented, s.indexed) for s in seen.values()]


@pytest.mark.parametrize("name", ["mpeg2.mpg", "h264.ts", "flv1.flv", "wmv2.wmv", "raw.hevc"])
def test_formats_without_sizes_give_no_verdict(clip: Callable[[str], Path], name: str) -> None:
    """No kind and no end for the formats that state none."""
    assert Structure() == read(clip(name).read_bytes())


@pytest.mark.parametrize(
    ("data", "end", "last"),
    [
        (FTYP + box(b"mdat", bytes(40)), 64, "mdat"),
        (FTYP + (1).to_bytes(4) + b"mdat" + (10_000).to_bytes(8) + bytes(40), 10_016, "mdat"),
        (FTYP + box(b"mdat", bytes(40), size=0), 64, "mdat"),
        (FTYP + box(b"mdat", bytes(40), size=5), 16, "mdat"),
        (FTYP + box(b"mdat", bytes(40)) + bytes(100), 64, "mdat"),
        (FTYP + box(b"mdat", bytes(40)) + b"\xff" * 100, 64, "mdat"),
        (FTYP + box(b"mdat", bytes(40)) + b"\0\0\0", 64, "mdat"),
        (FTYP + box(b"mdat", bytes(40)) + box(b"moov", bytes(10), size=4000), 4064, "moov"),
    ],
    ids=["plain", "64-bit", "to the end", "nonsense size", "zero padding", "other padding", "stray bytes", "cut moov"],
)
def test_mp4_boxes_are_walked(data: bytes, end: int, last: str) -> None:
    """All three spellings of a size are read, and what is no box ends the walk without a verdict."""
    found = read(data)
    assert (end, last) == (found.end, found.last)


def avi(length: int, body: int) -> bytes:
    return b"RIFF" + length.to_bytes(4, "little") + b"AVI " + bytes(body)


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (avi(100, 96), 108),
        (avi(101, 98), 110),
        (avi(100, 96) + b"RIFF" + (50).to_bytes(4, "little") + b"AVIX" + bytes(20), 166),
        (avi(0, 50), 0),
        (avi(0xFFFFFFFF, 50), 0),
    ],
    ids=["whole", "odd, so padded", "second part cut", "never filled in", "streamed"],
)
def test_avi_parts_are_walked(data: bytes, end: int) -> None:
    """Every RIFF part counts; sizes that were never filled in do not."""
    assert end == read(data).end


def matroska(segment: bytes, kind: bytes = b"webm") -> bytes:
    header = b"\x42\x82" + bytes([0x80 | len(kind)]) + kind
    return b"\x1a\x45\xdf\xa3" + bytes([0x80 | len(header)]) + header + segment


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (matroska(b"\x18\x53\x80\x67\x81" + b"x"), ("webm", 18)),
        (matroska(b"\x18\x53\x80\x67\x01\0\0\0\0\0\x10\0"), ("webm", 4120)),
        (matroska(b"\x18\x53\x80\x67\x01" + b"\xff" * 7, b"matroska"), ("mkv", 0)),
        (matroska(b"\x18\x53\x80\x67\xff"), ("webm", 0)),
        (matroska(b"something else"), ("webm", 0)),
        (b"\x1a\x45\xdf\xa3", ("mkv", 0)),
    ],
    ids=["short size", "long size", "live mkv", "live webm", "no segment", "nothing"],
)
def test_matroska_states_its_segments_size(data: bytes, expected: tuple[str, int]) -> None:
    """Known sizes give an end, the unknown size of a live recording gives none."""
    found = read(data)
    assert expected == (found.kind, found.end)


@given(value=st.integers(0, 2**56 - 2), extra=st.integers(0, 7))
def test_ebml_integers_are_read_back(value: int, extra: int) -> None:
    """Every value, in every width that holds it, is read with its width."""
    width = min(8, -(-value.bit_length() // 7) + extra) or 1
    field = ((1 << 7 * width) | value).to_bytes(width) if value.bit_length() <= 7 * width else b""
    assert (value, width) == _vint(field + b"rest")


@settings(max_examples=200)
@given(data=st.binary(max_size=200), head=st.sampled_from([b"", FTYP, b"RIFF\x10\0\0\0AVI ", b"\x1a\x45\xdf\xa3"]))
def test_no_bytes_upset_it(data: bytes, head: bytes) -> None:
    """Whatever follows a head that looks right, reading ends with an answer."""
    assert read(head + data).end >= 0


def test_measuring_a_file_rewinds_it() -> None:
    """The size is that of the whole file and reading can begin."""
    file = io.BytesIO(b"12345")
    file.read(3)
    assert 5 == file_size(file)
    assert 0 == file.tell()
