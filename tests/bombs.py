"""Small files that ask a reader for far more memory than they have bytes, made of small real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.clips import write_clip

_LARGE = 16_000
_MANY = 80_000_000
_ABSURD = 1_900_000_000
_START_CODE = b"\0\0\1"


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of an MP4: its size, its type, what is in it."""
    body = b"".join(parts)
    return (8 + len(body)).to_bytes(4) + kind + body


def _numbers(*values: int) -> bytes:
    return b"".join(value.to_bytes(4) for value in values)


def _replaced(data: bytes, kind: bytes, body: bytes) -> bytes:
    """An MP4 with the index behind, and another box in the place of its first one of a kind: sizes around it follow."""
    at = data.index(kind) - 4
    old = int.from_bytes(data[at : at + 4])
    new = box(kind, body)
    for outer in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        start = data.index(outer) - 4
        size = int.from_bytes(data[start : start + 4]) + len(new) - old
        data = data[:start] + size.to_bytes(4) + data[start + 4 :]
    return data[:at] + new + data[at + old :]


def many_samples(folder: Path) -> Path:
    """An index of 80 million samples of one byte, in three entries."""
    path = write_clip(folder / "samples.mp4", b_frames=0)
    data = _replaced(path.read_bytes(), b"stsz", _numbers(0, 1, _MANY))
    data = _replaced(data, b"stsc", _numbers(0, 1, 1, _MANY, 1))
    path.write_bytes(_replaced(data, b"stts", _numbers(0, 1, _MANY, 1)))
    return path


def many_in_a_fragment(folder: Path) -> Path:
    """A fragment of 80 million samples, all as its header says, in one entry."""
    path = write_clip(folder / "fragment.mp4", b_frames=0, movflags="frag_keyframe+empty_moov+default_base_moof")
    data = bytearray(path.read_bytes())
    at = data.index(b"trun") + 4
    data[at : at + 8] = _numbers(0, _MANY)
    path.write_bytes(data)
    return path


def many_tracks(folder: Path) -> Path:
    """An index of 20,000 tracks."""
    path = write_clip(folder / "tracks.mp4", frames=2, b_frames=0)
    data = path.read_bytes()
    start = data.index(b"trak") - 4
    track = data[start : start + int.from_bytes(data[start : start + 4])]
    moov = data.index(b"moov") - 4
    size = int.from_bytes(data[moov : moov + 4]) + 20_000 * len(track)
    path.write_bytes(
        data[:moov] + size.to_bytes(4) + data[moov + 4 : start] + track * 20_001 + data[start + len(track) :]
    )
    return path


def large_quicktime(folder: Path) -> Path:
    """Pictures of 16,000 x 16,000 pixels by index and picture header."""
    path = write_clip(folder / "large.mov", frames=2, codec="mjpeg", b_frames=0)
    data = bytearray(path.read_bytes())
    entry = data.index(b"jpeg", data.index(b"stsd"))
    data[entry + 28 : entry + 32] = _LARGE.to_bytes(2) * 2
    at = 0
    while (at := data.find(b"\xff\xc0\0\x11\x08", at + 1)) > 0:
        data[at + 5 : at + 9] = _LARGE.to_bytes(2) * 2
    path.write_bytes(data)
    return path


def large_webm(folder: Path) -> Path:
    """Pictures of 16,000 x 16,000 pixels by each keyframe's header, and of the true size by the container's."""
    path = write_clip(folder / "large.webm", frames=2, codec="libvpx", b_frames=0)
    data = bytearray(path.read_bytes())
    at = 0
    while (at := data.find(b"\x9d\x01\x2a", at + 1)) > 0:
        data[at + 3 : at + 7] = _LARGE.to_bytes(2, "little") * 2
    path.write_bytes(data)
    return path


def large_hevc(folder: Path) -> Path:
    """A bare HEVC stream whose sequence parameter set (ITU-T H.265, 7.3.2.2) says 16,000 x 16,000 pixels."""
    path = write_clip(folder / "large.hevc", frames=2, codec="libx265", b_frames=0, muxer="hevc")
    data = path.read_bytes()
    start = data.index(_START_CODE + b"\x42\x01") + 3
    end = data.index(_START_CODE, start)
    raw = data[start:end].rstrip(b"\0").replace(b"\0\0\3", b"\0\0")
    bits = "".join(f"{byte:08b}" for byte in raw)
    sizes = 16 + 8 + 96  # header of the unit; ids; profile, tier and level
    for _ in range(2):  # id, chroma format
        sizes = _after(bits, sizes)
    bits = bits[:sizes] + _code(_LARGE) * 2 + bits[_after(bits, _after(bits, sizes)) :].rstrip("0")
    bits += "0" * (-len(bits) % 8)
    unit = int(bits, 2).to_bytes(len(bits) // 8)
    for third in (3, 0, 1, 2):
        unit = unit.replace(bytes([0, 0, third]), bytes([0, 0, 3, third]))
    path.write_bytes(data[:start] + unit + b"\0" + data[end:])
    return path


def _after(bits: str, at: int) -> int:
    """Where the Exp-Golomb code ends that begins at a bit."""
    return at + 2 * (bits.index("1", at) - at) + 1


def _code(value: int) -> str:
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def absurd_times(folder: Path) -> Path:
    """An index with 250 million entries of how long pictures are delayed, as its header says."""
    path = write_clip(folder / "times.mp4")
    data = bytearray(path.read_bytes())
    at = data.index(b"ctts") + 8
    data[at : at + 4] = _numbers(_ABSURD // 8)
    path.write_bytes(data)
    return path


def absurd_sample(folder: Path) -> Path:
    """Pictures of 1.9 GB each, by the index."""
    path = write_clip(folder / "sample.mp4", b_frames=0)
    data = bytearray(path.read_bytes())
    at = data.index(b"stsz") + 8
    data[at : at + 4] = _numbers(_ABSURD)
    path.write_bytes(data)
    return path


def absurd_picture(folder: Path) -> Path:
    """Pictures of 65,535 x 65,535 pixels by the container, and of the true size by each picture's header."""
    path = write_clip(folder / "picture.mp4", b_frames=0)
    data = bytearray(path.read_bytes())
    entry = data.index(b"avc1", data.index(b"stsd"))
    data[entry + 28 : entry + 32] = b"\xff" * 4
    path.write_bytes(data)
    return path


def absurd_element(folder: Path) -> Path:
    """A WebM whose block has 1.9 GB, as its size says (EBML, RFC 8794)."""
    path = write_clip(folder / "element.webm", codec="libvpx", b_frames=0)
    data = path.read_bytes()
    at = data.index(b"\xa3", data.index(b"\x1f\x43\xb6\x75")) + 1
    first = data[at]
    length = 9 - first.bit_length()
    path.write_bytes(data[:at] + b"\x01" + _ABSURD.to_bytes(7) + data[at + length :])
    return path


# What reads as it should, or is refused for any reason: within its memory.
ABSURD: dict[str, Callable[[Path], Path]] = {
    "times": absurd_times,
    "sample": absurd_sample,
    "picture": absurd_picture,
    "element": absurd_element,
}

BOMBS: dict[str, Callable[[Path], Path]] = {
    "many samples": many_samples,
    "many samples in a fragment": many_in_a_fragment,
    "many tracks": many_tracks,
    "large QuickTime": large_quicktime,
    "large WebM": large_webm,
    "large HEVC": large_hevc,
}
