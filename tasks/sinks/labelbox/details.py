"""What is said of each box at its keyframes: confidence bands, the class, a gaze, another model's findings. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import Int64
from tasks.domain.video import printable
from tasks.sinks.detections import Selected
from tasks.sinks.labelbox.features import Feature, FeatureKind, Option
from tasks.sinks.labelbox.lines import Answer, SubAnswer
from tasks.sinks.labelbox.mapping import ModelMapping, SeenModel
from tasks.sinks.labelbox.statements import Statements, by_sample
from tasks.sinks.labelbox.style import Detail

# Another model's object belongs to a box that covers at least this part of it.
_COVERED = 0.5

# Answers of one box, with their confidence; a text has none.
_Said = tuple[tuple[str, float], ...] | str


class Other:
    """Another model of the job, that may say something of this one's boxes.

    Args:
        mapping: The model, and what becomes of it.
        found: Its detections, if it has any.
        said: What it says of whole frames, if it has no detections.
    """

    def __init__(self, mapping: SeenModel, found: Selected | None, said: Statements | None) -> None:
        self.mapping, self.found, self.said = mapping, found, said


class Details:
    """Answers to the questions that are asked of one model's boxes.

    Args:
        mapping: The model that has the boxes.
        found: Its detections.
        others: Other models of the job by their key, at least those that are asked.

    Raises:
        DeliveryFailed: A model is asked that the job does not have, or a gaze of a model without.
    """

    def __init__(self, mapping: SeenModel, found: Selected, others: Mapping[str, Other]) -> None:
        self._mapping, self._others = mapping, others
        self._found = found
        self._answers = [(detail, self._ask(detail)) for detail in mapping.style.details]

    def changes(self, row: Int64) -> Int64:
        """Positions in a stretch of an object's rows on both sides of where what is said changes."""
        said = [self._names(one) for one in row.tolist()]
        changed = [index for index, (before, after) in enumerate(pairwise(said)) if before != after]
        return np.unique(np.array([side for index in changed for side in (index, index + 1)], np.int64))

    def of(self, row: Int64) -> list[list[SubAnswer]]:
        """What is said of each of an object's rows."""
        return [self._spelled(one) for one in row.tolist()]

    def _names(self, row: int) -> tuple[object, ...]:
        """What is said, without how surely."""
        said = (answers.get(row, ()) for _, answers in self._answers)
        return tuple(one if isinstance(one, str) else tuple(name for name, _ in one) for one in said)

    def _spelled(self, row: int) -> list[SubAnswer]:
        result = []
        for detail, answers in self._answers:
            said = answers.get(row, ())
            if isinstance(said, str):
                result.append(SubAnswer(detail.name, said))
            elif said:
                options = [Answer(name, round(confidence, 4)) for name, confidence in said]
                result.append(SubAnswer(detail.name, options if detail.many else options[0]))
        return result

    def _ask(self, detail: Detail) -> dict[int, _Said]:
        """Row -> what is said of it."""
        rows = self._found.row.tolist()
        sure = self._found.confidence.tolist()
        match detail.of:
            case "confidence":
                names = band_names(detail.bands)
                band = np.searchsorted(detail.bands, self._found.confidence, "right").tolist()
                return {row: ((names[at], c),) for row, at, c in zip(rows, band, sure, strict=True)}
            case "class":
                classes = self._mapping.model.classes
                codes = self._mapping.model.objects.class_code[self._found.row].tolist()
                return {row: ((classes[code], c),) for row, code, c in zip(rows, codes, sure, strict=True)}
            case "direction":
                return dict(zip(rows, self._directions(), strict=True))
            case _:
                return self._other(detail)

    def _directions(self) -> list[str]:
        gaze = self._mapping.model.objects.gaze
        if gaze is None:
            if len(self._found.row):
                raise DeliveryFailed(
                    f"model {printable(self._mapping.key)!r} has no direction to tell of its boxes",
                    hint="`of: direction` is for the model `gaze`",
                )
            return []
        degrees = np.rint(np.degrees(gaze[self._found.row].astype(np.float64))).astype(int).tolist()
        return [f"yaw {yaw}, pitch {pitch} degrees" for yaw, pitch in degrees]

    def _other(self, detail: Detail) -> dict[int, _Said]:
        other = self._others[_asked(self._mapping, detail, self._others)]
        if other.found is not None:
            said = self._covered(other.mapping, other.found)
        elif other.said is not None:
            said = self._whole_frames(other.mapping, other.said)
        else:
            return {}
        kept: dict[int, _Said] = {}
        for row, names in said.items():
            surest = sorted(names.items(), key=lambda item: (-item[1], item[0]))
            kept[row] = tuple(sorted(surest)) if detail.many else tuple(surest[:1])
        return kept

    def _whole_frames(self, mapping: SeenModel, said: Statements) -> dict[int, dict[str, float]]:
        """What is said of a frame is said of each box in it."""
        at = {
            sample: {
                mapping.word(said.names[code]): confidence
                for code, confidence in zip(said.code[rows].tolist(), said.confidence[rows].tolist(), strict=True)
            }
            for sample, rows in by_sample(said)
        }
        samples = self._mapping.model.objects.sample[self._found.row].tolist()
        return {row: at[sample] for row, sample in zip(self._found.row.tolist(), samples, strict=True) if sample in at}

    def _covered(self, mapping: SeenModel, theirs: Selected) -> dict[int, dict[str, float]]:
        """Each of the other model's objects tells of the box that covers most of it, if it is most of it."""
        own_sample = self._mapping.model.objects.sample[self._found.row]
        their_sample = mapping.model.objects.sample[theirs.row]
        said: dict[int, dict[str, float]] = {}
        for sample in np.intersect1d(own_sample, their_sample).tolist():
            own = np.arange(*np.searchsorted(own_sample, (sample, sample + 1)))
            their = np.arange(*np.searchsorted(their_sample, (sample, sample + 1)))
            covered = _cover(self._found.edges[own], theirs.edges[their])
            for index, column in zip(their.tolist(), covered.T, strict=True):
                best = int(column.argmax())
                name = mapping.model.classes[mapping.model.objects.class_code[theirs.row[index]]]
                if column[best] < _COVERED or mapping.omits(name):
                    continue
                names = said.setdefault(int(self._found.row[own[best]]), {})
                word = mapping.word(name)
                names[word] = max(names.get(word, 0.0), float(theirs.confidence[index]))
        return said


def detail_features(mapping: ModelMapping, others: Mapping[str, ModelMapping]) -> list[Feature]:
    """The questions that are asked of a model's boxes, as an ontology has them.

    Args:
        others: The other models of the job by their key.

    Raises:
        DeliveryFailed: A model is asked that the job does not have.
    """
    features = []
    for detail in mapping.style.details:
        match detail.of:
            case "confidence":
                names: Sequence[str] = band_names(detail.bands)
            case "class":
                names = mapping.classes
            case "direction":
                features.append(Feature(name=detail.name, kind=FeatureKind.TEXT, by_frames=True))
                continue
            case _:
                other = others[_asked(mapping, detail, others)]
                names = tuple(dict.fromkeys(other.word(name) for name in other.classes))
        options = tuple(Option(name=name) for name in names)
        kind = FeatureKind.CHECKLIST if detail.many else FeatureKind.RADIO
        features.append(Feature(name=detail.name, kind=kind, by_frames=True, options=options))
    return features


def _asked(mapping: ModelMapping, detail: Detail, others: Mapping[str, object]) -> str:
    """Return the key of the model that answers, if there is one."""
    if detail.of not in others:
        known = ", ".join(sorted({"confidence", "class", "direction", *others}))
        raise DeliveryFailed(
            f"boxes of model {printable(mapping.key)!r} are to be told of by {printable(detail.of)!r}, "
            "which is no other model of this job",
            hint=f"`of` may be {known}",
        )
    return detail.of


def band_names(bounds: Sequence[float]) -> list[str]:
    """Name the bands between increasing bounds, from the lowest: ``under 0.5``, ``0.5 to 0.8``, ``0.8 and over``."""
    inner = [f"{low:g} to {high:g}" for low, high in pairwise(bounds)]
    return [f"under {bounds[0]:g}", *inner, f"{bounds[-1]:g} and over"]


def _cover(boxes: Int64, others: Int64) -> NDArray[np.float64]:
    """[boxes, others] the part of each other box that lies in each box."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area = (others[:, 2:] - others[:, :2]).prod(axis=1)
    part: NDArray[np.float64] = shared / area
    return part
