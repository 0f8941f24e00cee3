"""What annotations ask of an ontology: its tools and classifications, as values. No I/O.

Lines name features; an import whose lines name a feature that the ontology lacks, or has as
another kind, fails at the service. So whoever makes lines says what they need, and whoever
uploads compares that with the ontology first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FeatureKind(StrEnum):
    """Kind of a feature, spelled as Labelbox' ontologies spell it."""

    BOX = "rectangle"
    POINT = "point"
    LINE = "line"
    RADIO = "radio"
    CHECKLIST = "checklist"
    TEXT = "text"

    @property
    def is_tool(self) -> bool:
        """Whether it marks a place in the picture; else it is a question with answers."""
        return self in (FeatureKind.BOX, FeatureKind.POINT, FeatureKind.LINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A tool or a classification.

    Attributes:
        name: Its name in the ontology, which lines use.
        kind: What it is.
        by_frames: A classification that is answered for ranges of frames (scope ``index``), not
            once for the whole video.
        options: Answers of a radio or checklist, in order.
        classifications: Questions asked of each object of a tool.
    """

    name: str
    kind: FeatureKind
    by_frames: bool = False
    options: tuple[Option, ...] = ()
    classifications: tuple[Feature, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One answer to a radio or checklist.

    Attributes:
        name: Its value in the ontology, which answers use.
        classifications: Questions asked where this answer is given.
    """

    name: str
    classifications: tuple[Feature, ...] = ()
