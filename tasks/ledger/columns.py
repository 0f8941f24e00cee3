"""How values become columns and come back exactly: times, hostile text, specs, infos, failures.

Everything is kept as text, which SQLite and PostgreSQL hold alike and people can read.
No table is known here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from operator import attrgetter
from typing import TypeVar

from sqlalchemy import Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from tasks.domain.job import DeliveryState, Failure, InferenceSpec, JobState, ModelRef
from tasks.domain.video import VideoInfo

T = TypeVar("T")

_UNSTORABLE = re.compile("[\\\\\0\ud800-\udfff]")
_STORED = re.compile(r"\\(?:\\|u([0-9a-f]{4}))")


class Stored(TypeDecorator[T]):
    """A column type: a value kept as text by a pair of functions, each the other's inverse."""

    impl = Text
    cache_ok = True

    def __init__(self, write: Callable[[T], str], read: Callable[[str], T]) -> None:
        super().__init__()
        self.write = write
        self.read = read

    def process_bind_param(self, value: T | None, dialect: Dialect) -> str | None:  # noqa: ARG002 (SQLAlchemy's)
        """To the database."""
        return None if value is None else self.write(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> T | None:  # noqa: ARG002
        """From the database."""
        return None if value is None else self.read(value)


def text_to_stored(text: str) -> str:
    r"""Write text so that any database takes it.

    File names that are no UTF-8 reach Python with lone surrogates, which no database encodes,
    and PostgreSQL refuses NUL: both become ``\uXXXX``, and a backslash becomes two.
    """
    return _UNSTORABLE.sub(lambda m: r"\\" if m[0] == "\\" else f"\\u{ord(m[0]):04x}", text)


def text_from_stored(text: str) -> str:
    """Read the same text, code point for code point."""
    return _STORED.sub(lambda m: chr(int(m[1], 16)) if m[1] else "\\", text) if "\\" in text else text


def aware(moment: datetime) -> datetime:
    """``moment`` in UTC.

    Raises:
        ValueError: It has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone: the ledger takes aware times only")
    return moment.astimezone(UTC)


def time_to_stored(moment: datetime) -> str:
    """Write as ISO 8601 of fixed width in UTC, so that the order of texts is that of times."""
    return aware(moment).isoformat(timespec="microseconds")


# A run has one spec and a ledger a handful, for thousands of jobs.
@lru_cache(maxsize=64)
def spec_to_stored(spec: InferenceSpec) -> str:
    """Write the JSON of the spec's identity."""
    return json.dumps(spec.identity(), sort_keys=True)


@lru_cache(maxsize=64)
def spec_from_stored(text: str) -> InferenceSpec:
    """Read an equal spec."""
    data = json.loads(text)
    models = tuple(ModelRef(project, version, digest) for project, version, digest in data["models"])
    return InferenceSpec(data["backend"], models, data["fps"], data["confidence"])


def info_to_stored(info: VideoInfo) -> str:
    """Write all fields as JSON, the frame rate as an exact fraction such as ``30000/1001``."""
    return json.dumps({**asdict(info), "fps": str(info.fps)})


def info_from_stored(text: str) -> VideoInfo:
    """Read an equal info."""
    fields = json.loads(text)
    return VideoInfo(**{**fields, "fps": Fraction(fields["fps"])})


def failure_to_stored(failure: Failure) -> str:
    """Write all fields as JSON."""
    return json.dumps(asdict(failure))


def failure_from_stored(text: str) -> Failure:
    """Read an equal failure."""
    return Failure(**json.loads(text))


def uris_to_stored(uris: tuple[str, ...]) -> str:
    """Write a JSON list."""
    return json.dumps(uris)


def uris_from_stored(text: str) -> tuple[str, ...]:
    """Read the same URIs in the same order."""
    return tuple(json.loads(text))


VERBATIM = Stored(text_to_stored, text_from_stored)
TIME = Stored(time_to_stored, datetime.fromisoformat)
SPEC = Stored(spec_to_stored, spec_from_stored)
INFO = Stored(info_to_stored, info_from_stored)
FAILURE = Stored(failure_to_stored, failure_from_stored)
URIS = Stored(uris_to_stored, uris_from_stored)
JOB_STATE = Stored(attrgetter("value"), JobState)
DELIVERY_STATE = Stored(attrgetter("value"), DeliveryState)
