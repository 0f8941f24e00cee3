"""Every kind of annotation of Labelbox' documentation, "Upload video predictions", by the real SDK."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tasks.sinks.labelbox.features import Feature, FeatureKind, Option
from tasks.sinks.labelbox.imports import ImportKind, Imports
from tasks.sinks.labelbox.workspace import Place, Workspace
from tests.emulators.labelbox.server import LabelboxServer
from tests.unit.tasks.sinks.labelbox.workplace import NAMES, open_box

KEY = "sample-video-2.mp4"
BBOX = {"top": 617, "left": 1371, "height": 419, "width": 505}
BBOX_2 = {"top": 146.0, "left": 98.0, "height": 382.0, "width": 341.0}


def options(*names: str, below: tuple[Feature, ...] = ()) -> tuple[Option, ...]:
    return tuple(Option(name=name, classifications=below) for name in names)


ANSWERS = ("first_checklist_answer", "second_checklist_answer")
RADIOS = ("first_radio_answer", "second_radio_answer")
RADIO, CHECKLIST = FeatureKind.RADIO, FeatureKind.CHECKLIST
SUB_RADIO = Feature(name="sub_radio_question", kind=RADIO, options=options("first_sub_radio_answer"))
SUB_CHECKLIST = Feature(name="sub_checklist_question", kind=CHECKLIST, options=options("first_sub_checklist_answer"))
BOX_QUESTION = Feature(name="bbox_radio", kind=CHECKLIST, by_frames=True, options=options(*ANSWERS))
FEATURES = (
    Feature(name="bbox_video", kind=FeatureKind.BOX),
    Feature(name="point_video", kind=FeatureKind.POINT),
    Feature(name="line_video_frame", kind=FeatureKind.LINE),
    Feature(name="bbox_class", kind=FeatureKind.BOX, classifications=(BOX_QUESTION,)),
    Feature(name="checklist_class", kind=CHECKLIST, by_frames=True, options=options(*ANSWERS)),
    Feature(name="radio_class", kind=RADIO, by_frames=True, options=options(*RADIOS)),
    Feature(name="nested_radio_question", kind=RADIO, options=options(RADIOS[0], below=(SUB_RADIO,))),
    Feature(name="nested_checklist_question", kind=CHECKLIST, options=options(ANSWERS[0], below=(SUB_CHECKLIST,))),
    Feature(name="radio_class_global", kind=RADIO, options=options(*RADIOS)),
    Feature(name="checklist_class_global", kind=CHECKLIST, options=options(*ANSWERS)),
    Feature(name="free_text", kind=FeatureKind.TEXT),
)


def xy(*points: tuple[float, float]) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in points]


def chosen(name: str) -> dict[str, Any]:
    return {"name": name, "confidence": 0.5}


def box_answer(name: str) -> list[dict[str, Any]]:
    return [{"name": "bbox_radio", "answer": [chosen(name)]}]


# As the document has them, each with a data row.
LINES: dict[str, dict[str, Any]] = {
    "bounding box": {
        "name": "bbox_video",
        "segments": [{"keyframes": [{"frame": frame, "bbox": BBOX} for frame in (13, 15, 19)]}],
    },
    "point": {
        "name": "point_video",
        "confidence": 0.5,
        "segments": [{"keyframes": [{"frame": 17, "point": {"x": 660.134, "y": 407.926}}]}],
    },
    "polyline": {
        "name": "line_video_frame",
        "segments": [
            {
                "keyframes": [
                    {"frame": 5, "line": xy((680, 100), (100, 190), (190, 220))},
                    {"frame": 12, "line": xy((680, 280), (300, 380), (400, 460))},
                    {"frame": 20, "line": xy((680, 180), (100, 200), (200, 260))},
                ]
            },
            {
                "keyframes": [
                    {"frame": 24, "line": xy((300, 310), (330, 430))},
                    {"frame": 45, "line": xy((600, 810), (900, 930))},
                ]
            },
        ],
    },
    "radio, global": {"name": "radio_class_global", "answer": chosen(RADIOS[0])},
    "radio by frames": {
        "name": "radio_class",
        "answer": {"name": RADIOS[0], "frames": [{"start": 9, "end": 15}]},
    },
    "checklist, global": {"name": "checklist_class_global", "answer": [chosen(name) for name in ANSWERS]},
    "checklist by frames": {
        "name": "checklist_class",
        "answer": [
            {"name": ANSWERS[0], "frames": [{"start": 29, "end": 35}]},
            {"name": ANSWERS[1], "frames": [{"start": 39, "end": 45}]},
        ],
    },
    "nested radio": {
        "name": "nested_radio_question",
        "answer": {
            **chosen(RADIOS[0]),
            "classifications": [{"name": "sub_radio_question", "answer": chosen("first_sub_radio_answer")}],
        },
    },
    "nested checklist": {
        "name": "nested_checklist_question",
        "answer": [
            {
                **chosen(ANSWERS[0]),
                "classifications": [{"name": "sub_checklist_question", "answer": chosen("first_sub_checklist_answer")}],
            }
        ],
    },
    "box with answers by frames": {
        "name": "bbox_class",
        "segments": [
            {
                "keyframes": [
                    {"frame": 10, "bbox": BBOX_2},
                    {"frame": 11, "bbox": BBOX_2, "classifications": box_answer(ANSWERS[0])},
                    {"frame": 13, "bbox": BBOX_2, "classifications": box_answer(ANSWERS[1])},
                ]
            }
        ],
    },
    "free text": {"name": "free_text", "confidence": 0.5, "answer": "sample text"},
}


def line(kind: str, **changes: Any) -> dict[str, Any]:
    return {"uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, kind)), "dataRow": {"globalKey": KEY}, **LINES[kind], **changes}


@pytest.fixture
def opened(server: LabelboxServer) -> tuple[Imports, Place]:
    """A model run with the document's ontology and video."""
    box = open_box(server)
    place = Workspace(box, NAMES).open(FEATURES)
    box.create_rows(place.dataset, [{"row_data": "https://example.com/sample-video-2.mp4", "global_key": KEY}])
    assert "" == box.put_into_run(place.run, [KEY])
    return Imports(box), place


def uploaded(imports: Imports, place: Place, lines: list[dict[str, Any]]) -> list[str]:
    """Import lines into the model run; return what is wrong with each."""
    ended = imports.ended(imports.start(ImportKind.PREDICTIONS, place.run, "import", lines))
    told = {status.uuid: status.problem for status in imports.statuses(ended)}
    return [told[one["uuid"]] for one in lines]


@pytest.mark.parametrize("kind", LINES)
def test_every_kind_of_the_document_arrives(opened: tuple[Imports, Place], server: LabelboxServer, kind: str) -> None:
    """The ontology that we make takes it, and it is in the model run word by word."""
    assert [""] == uploaded(*opened, [line(kind)])
    assert [line(kind)] == server.predictions("night 1")


def test_the_whole_document_in_one_import(opened: tuple[Imports, Place], server: LabelboxServer) -> None:
    """All of them together, as the document sends them; the checklist keeps both of its answers."""
    lines = [line(kind) for kind in LINES]

    assert [""] * len(lines) == uploaded(*opened, lines)
    (checklist,) = [one for one in server.predictions("night 1") if one["name"] == "checklist_class"]
    assert list(ANSWERS) == [answer["name"] for answer in checklist["answer"]]


WRONG = {
    "Unknown field": line("bounding box", track_id=7),
    "Ontology does not contain name: somebody": line("bounding box", name="somebody"),
    "frame 0 is not between": line("point", segments=[{"keyframes": [{"frame": 0, "point": {"x": 1, "y": 1}}]}]),
    "frame 13 is not between": line("bounding box", segments=[{"keyframes": [{"frame": 13, "bbox": BBOX}] * 2}]),
    "Invalid geometry": line("bounding box", segments=[{"keyframes": [{"frame": 1, "bbox": {**BBOX, "width": 0}}]}]),
    "{'point': ['Missing data": line("point", segments=[{"keyframes": [{"frame": 1}]}]),
    "Not the answer of a radio": line("radio, global", answer=[chosen(RADIOS[0])]),
    "radio_class needs frames": line("radio by frames", answer={"name": RADIOS[0]}),
    "takes no frames": line("radio, global", answer={"name": RADIOS[0], "frames": [{"start": 1, "end": 2}]}),
    "Ontology does not contain name: third": line("radio, global", answer={"name": "third"}),
    "Must be between 0 and 1": line("free text", confidence=1.5),
    "child nodes don't have confidence": line("radio, global", confidence=0.5, answer={"name": RADIOS[0]}),
    "dataRow.id nobody.mp4 invalid": line("free text", dataRow={"globalKey": "nobody.mp4"}),
    "Not a valid UUID": line("free text", uuid="7"),
}


@pytest.mark.parametrize("words", WRONG)
def test_the_stand_in_refuses_what_labelbox_refuses(opened: tuple[Imports, Place], words: str) -> None:
    """A line that Labelbox is known to refuse is refused, in its words; the line beside it arrives."""
    wrong = WRONG[words]

    problems = uploaded(*opened, [wrong, line("nested radio")])

    assert words in problems[0]
    assert "" == problems[1]
