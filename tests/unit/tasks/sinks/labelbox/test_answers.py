"""What is said of frames and of videos: radio, checklist, text, nested or not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import TaskType
from tasks.sinks.labelbox.answers import Timeline
from tasks.sinks.labelbox.ndjson import annotate
from tasks.sinks.labelbox.style import Kind, ModelStyle, Style
from tests.unit.tasks.sinks.labelbox.strict_reader import annotated, inferred, spans_of

Said = dict[str, float] | None


def single(*frames: Said, first: int = 0, every: int = 6) -> dict[str, Any]:
    """Results of a single-label classifier; the surest class is the top one."""
    return {
        "frame_offset": [first + every * index for index in range(len(frames))],
        "weather": [
            said
            if said is None
            else {
                "predictions": [{"class": name, "class_id": 0, "confidence": sure} for name, sure in said.items()],
                "top": max(said, key=lambda name: said[name]) if said else "",
            }
            for said in frames
        ],
    }


def multi(*frames: Said, offsets: Sequence[int] = ()) -> dict[str, Any]:
    """Results of a multi-label classifier; what is at least 0.5 sure is chosen."""
    return {
        "frame_offset": list(offsets) or [6 * index for index in range(len(frames))],
        "tags": [
            said
            if said is None
            else {
                "predictions": {name: {"confidence": sure, "class_id": 0} for name, sure in said.items()},
                "predicted_classes": [name for name, sure in said.items() if sure >= 0.5],
            }
            for said in frames
        ],
    }


def weather(**settings: Any) -> Style:
    return Style(models={"weather": ModelStyle(**settings), "tags": ModelStyle(**settings)})


def test_a_radio_holds_until_the_next_sample(tmp_path: Path) -> None:
    """The last sample speaks for as many frames as lie between samples; a line per answer, as documented."""
    results = single({"sun": 0.9, "rain": 0.1}, {"sun": 0.7}, {"rain": 0.6}, {"sun": 0.8})

    assert {
        "weather": [
            {"answer": {"name": "sun", "confidence": 0.8, "frames": spans_of((1, 12), (19, 24))}},
            {"answer": {"name": "rain", "confidence": 0.6, "frames": spans_of((13, 18))}},
        ]
    } == annotated(inferred(tmp_path, results))


def test_the_last_answer_ends_with_the_video(tmp_path: Path) -> None:
    """A hundred frames, of which the last six that were inferred begin at 97."""
    results = single(*[{"sun": 0.9}] * 17)

    ((line,),) = annotated(inferred(tmp_path, results)).values()

    assert spans_of((1, 100)) == line["answer"]["frames"]


@pytest.mark.parametrize(
    ("frames", "max_gap_s", "expected"),
    [
        ("SS.S", 1.0, {"S": [(1, 24)]}),  # nobody looked: bridged
        ("SS.S", 0.3, {"S": [(1, 12), (19, 24)]}),  # for longer than allowed
        ("SS.R", 1.0, {"S": [(1, 12)], "R": [(19, 24)]}),  # not bridged to another answer
        ("SS_S", 1.0, {"S": [(1, 12), (19, 24)]}),  # looked at, and nothing sure enough
        ("..S.", 1.0, {"S": [(13, 18)]}),
        ("S...........S", 2.0, {"S": [(1, 6), (73, 78)]}),
    ],
)
def test_frames_that_were_not_inferred_are_bridged(
    tmp_path: Path, frames: str, max_gap_s: float, expected: dict[str, list[tuple[int, int]]]
) -> None:
    """Up to ``max_gap``, between equal answers, and never where somebody looked."""
    said: list[Said] = [None if sign == "." else {sign: 0.2 if sign == "_" else 0.9} for sign in frames]
    style = Style(min_confidence=0.5, max_gap=timedelta(seconds=max_gap_s))

    lines = annotated(inferred(tmp_path, single(*said)), style)["weather"]

    assert {name: spans_of(*pairs) for name, pairs in expected.items()} == {
        line["answer"]["name"]: line["answer"]["frames"] for line in lines
    }


def test_a_hole_in_the_samples_is_not_filled(tmp_path: Path) -> None:
    """The service may leave frames out without a word; nobody knows what is there."""
    results = single({"sun": 0.9}, {"sun": 0.9}) | {"frame_offset": [0, 90]}

    ((line,),) = annotated(inferred(tmp_path, results), Style(max_gap=timedelta(seconds=1))).values()

    assert spans_of((1, 6), (91, 96)) == line["answer"]["frames"]


def test_the_documents_checklist_keeps_both_answers(tmp_path: Path) -> None:
    """Frames 29 to 35 and 39 to 45, as in Labelbox' example, of which its own types lose the second."""
    first, second = {"first_checklist_answer": 0.5}, {"second_checklist_answer": 0.5}
    results = multi(first, {"first_checklist_answer": 0.1}, second, {"second_checklist_answer": 0.1},
                    offsets=[28, 35, 38, 45])  # fmt: skip

    made = annotated(inferred(tmp_path, results), weather(name="checklist_class"))

    assert {
        "checklist_class": [
            {
                "answer": [
                    {"name": "first_checklist_answer", "confidence": 0.5, "frames": spans_of((29, 35))},
                    {"name": "second_checklist_answer", "confidence": 0.5, "frames": spans_of((39, 45))},
                ]
            }
        ]
    } == made


def test_a_checklist_by_frames(tmp_path: Path) -> None:
    """Every class that was chosen has its own frames; the confidence is the mean over them."""
    results = multi({"wet": 0.9, "dark": 0.6}, {"wet": 0.7, "dark": 0.2}, {"dark": 0.8})

    assert {
        "tags": [
            {
                "answer": [
                    {"name": "wet", "confidence": 0.8, "frames": spans_of((1, 12))},
                    {"name": "dark", "confidence": 0.7, "frames": spans_of((1, 6), (13, 18))},
                ]
            }
        ]
    } == annotated(inferred(tmp_path, results))


def test_whole_video_answers(tmp_path: Path) -> None:
    """A radio by what has the most confidence in sum, a checklist by everything that was there."""
    style = weather(per_video=True)
    one = single({"sun": 0.6}, {"sun": 0.7}, {"rain": 0.95})
    many = multi({"wet": 0.9, "dark": 0.6}, {"wet": 0.7})

    assert {"weather": [{"answer": {"name": "sun", "confidence": 0.65}}]} == annotated(inferred(tmp_path, one), style)
    assert {
        "tags": [{"answer": [{"name": "dark", "confidence": 0.6}, {"name": "wet", "confidence": 0.8}]}]
    } == annotated(inferred(tmp_path, many), style)


def test_texts(tmp_path: Path) -> None:
    """By frames each with its own, or the one text of the video with its confidence."""
    results = single({"GOAL": 0.9}, {"GOAL": 0.7}, {"FOUL": 0.9})
    by_frames, per_video = (weather(kinds=(Kind.TEXT,), per_video=whole) for whole in (False, True))

    assert {
        "weather": [
            {
                "answer": [
                    {"value": "GOAL", "frames": spans_of((1, 12))},
                    {"value": "FOUL", "frames": spans_of((13, 18))},
                ]
            }
        ]
    } == annotated(inferred(tmp_path, results), by_frames)
    assert {"weather": [{"confidence": 0.8, "answer": "GOAL"}]} == annotated(inferred(tmp_path, results), per_video)


def test_nested_radio(tmp_path: Path) -> None:
    """Names that are paths answer one question after the other; every answer has its confidence."""
    results = single({"wet/rain/hard": 0.9}, {"wet/rain/hard": 0.7}, {"dry": 0.6})
    made = annotated(inferred(tmp_path, results), weather(separator="/", questions={"wet": "How wet"}))
    hard = {"name": "weather/wet/rain", "answer": {"name": "hard", "confidence": 0.8}}
    rain = {"name": "How wet", "answer": {"name": "rain", "confidence": 0.8, "classifications": [hard]}}

    assert {
        "weather": [
            {"answer": {"name": "wet", "confidence": 0.8, "frames": spans_of((1, 12)), "classifications": [rain]}},
            {"answer": {"name": "dry", "confidence": 0.6, "frames": spans_of((13, 18))}},
        ]
    } == made


def test_nested_radio_of_the_whole_video_is_the_documented_one(tmp_path: Path) -> None:
    """Key by key, but for the uuid and the data row."""
    name = "first_radio_answer/first_sub_radio_answer"
    style = weather(
        separator="/",
        questions={"first_radio_answer": "sub_radio_question"},
        name="nested_radio_question",
        per_video=True,
    )

    assert {
        "nested_radio_question": [
            {
                "answer": {
                    "name": "first_radio_answer",
                    "confidence": 0.5,
                    "classifications": [
                        {
                            "name": "sub_radio_question",
                            "answer": {"name": "first_sub_radio_answer", "confidence": 0.5},
                        }
                    ],
                }
            }
        ]
    } == annotated(inferred(tmp_path, single({name: 0.5})), style)


def test_nested_checklist(tmp_path: Path) -> None:
    """What is chosen below an answer changes with the frames, and no answer is there twice in a frame."""
    results = multi(
        {"vehicle/car": 0.9, "vehicle/bus": 0.7, "tree": 0.6}, {"vehicle/car": 0.7}, {"vehicle/car": 0.9, "tree": 0.8}
    )
    below = "tags/vehicle"
    car_and_bus = [{"name": "bus", "confidence": 0.7}, {"name": "car", "confidence": 0.9}]

    (line,) = annotated(inferred(tmp_path, results), weather(separator="/"))["tags"]

    assert [
        {
            "name": "vehicle",
            "confidence": 0.9,
            "frames": spans_of((1, 6)),
            "classifications": [{"name": below, "answer": car_and_bus}],
        },
        {"name": "tree", "confidence": 0.7, "frames": spans_of((1, 6), (13, 18))},
        {
            "name": "vehicle",
            "confidence": 0.8,
            "frames": spans_of((7, 18)),
            "classifications": [{"name": below, "answer": [{"name": "car", "confidence": 0.8}]}],
        },
    ] == line["answer"]


def test_answers_can_have_other_names_and_be_left_out(tmp_path: Path) -> None:
    """Two classes under one name are one answer, as sure as the surer."""
    results = multi({"rain": 0.9, "drizzle": 0.6, "people": 0.9}, {"drizzle": 0.7})
    style = Style(classes={"rain": "wet", "drizzle": "wet"}, omit=frozenset({"people"}))

    (line,) = annotated(inferred(tmp_path, results), style)["tags"]

    assert [{"name": "wet", "confidence": 0.8, "frames": spans_of((1, 12))}] == line["answer"]


def test_a_models_own_names_come_before_the_routes(tmp_path: Path) -> None:
    """One class name can mean two things to two models."""
    style = Style(classes={"wet": "Wet"}, models={"tags": ModelStyle(classes={"wet": "Soaked"})})
    results = single({"wet": 0.9}) | {"tags": multi({"wet": 0.9})["tags"]}

    made = annotated(inferred(tmp_path, results), style)

    assert ("Wet", "Soaked") == (made["weather"][0]["answer"]["name"], made["tags"][0]["answer"][0]["name"])


def test_a_kind_that_a_model_cannot_become_is_refused(tmp_path: Path) -> None:
    """The hint says what it can."""
    with pytest.raises(DeliveryFailed, match="cannot become a Labelbox box") as refused:
        annotate(inferred(tmp_path, single({"sun": 0.9})), weather(kinds=(Kind.BOX,)))

    assert "radio, checklist, text" in refused.value.hint


def test_two_models_cannot_answer_one_question(tmp_path: Path) -> None:
    """Their ranges would contradict each other."""
    results = single({"sun": 0.9}) | {"tags": multi({"wet": 0.9})["tags"]}

    with pytest.raises(DeliveryFailed, match="2 models would answer one question, 'sky'"):
        annotate(inferred(tmp_path, results), weather(name="sky"))


def test_features_have_what_the_service_knows_and_what_was_seen(tmp_path: Path) -> None:
    """In this order, without what is left out."""
    delivery = inferred(tmp_path, single({"fog": 0.9}), classes={"weather": ("sun", "rain", "hail")})

    (feature,) = annotate(delivery, Style(omit=frozenset({"hail"}))).features

    assert ["sun", "rain", "fog"] == [option.name for option in feature.options]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_ranges_say_at_every_sample_what_holds_there(data: st.DataObject) -> None:
    """Never before the first frame or after the last, never overlapping, never where somebody saw otherwise."""
    index = np.array(sorted(data.draw(st.sets(st.integers(0, 99), min_size=1, max_size=20))), np.int64)
    count = len(index)
    looked = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    holds = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count))) & looked
    frame_count = int(index[-1]) + data.draw(st.integers(1, 10))
    step, gap, none = data.draw(st.integers(1, 9)), data.draw(st.floats(0, 3)), np.zeros(count, np.bool_)
    timeline = Timeline(index, index / 10, step, 0.6, frame_count, gap, none)

    found = timeline.ranges(holds, looked)

    covered = [frame for span in found for frame in range(span.start, span.end + 1)]
    assert sorted(set(covered)) == covered
    assert all(1 <= frame <= frame_count for frame in covered)
    for frame, held, seen in zip((index + 1).tolist(), holds.tolist(), looked.tolist(), strict=True):
        if seen:
            assert held == (frame in covered)


def test_the_task_that_the_service_names_counts_where_nothing_was_found(tmp_path: Path) -> None:
    """An empty video asks for the same ontology as a full one."""
    results = {"frame_offset": [0], "weather": [None]}
    delivery = inferred(
        tmp_path, results, tasks={"weather": TaskType.CLASSIFICATION}, classes={"weather": ("sun", "rain")}
    )

    made = annotate(delivery, Style())

    assert [] == list(made.lines)
    assert ["radio"] == [feature.kind for feature in made.features]
