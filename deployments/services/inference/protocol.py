"""What a service and its worker processes say to each other: one JSON line per order and per reply."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from deployments.services.inference.jobs import JobRequest
from deployments.services.inference.settings import Limits


@dataclass(frozen=True, slots=True)
class Order:
    """Run this job and write its results to ``target``."""

    request: JobRequest
    target: str
    limits: Limits

    def to_line(self) -> bytes:
        """One line; ASCII, so that odd file names survive."""
        return json.dumps(asdict(self)).encode("ascii") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Order:
        """Read what :meth:`to_line` wrote."""
        fields = json.loads(line)
        return cls(JobRequest(**fields["request"]), fields["target"], Limits(**fields["limits"]))


@dataclass(frozen=True, slots=True)
class Reply:
    """How it went: ``code`` is "" for success, else the failure's code."""

    code: str = ""
    message: str = ""
    hint: str = ""

    def to_line(self) -> bytes:
        """One line, ASCII."""
        return json.dumps(asdict(self)).encode("ascii") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Reply:
        """Read what :meth:`to_line` wrote."""
        return cls(**json.loads(line))
