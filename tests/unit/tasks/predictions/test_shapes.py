from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.errors import ResultInvalid
from tasks.domain.predictions import ModelPredictions, TaskType
from tasks.predictions.parse import parse_bytes
from tests.unit.tasks.predictions.samples import box, frame, only_model, results

# Numbers that float32 columns and JSON both hold exactly.
coordinates = st.floats(-1e6, 1e6, width=32)
lengths = st.floats(0, 1e6, width=32)
shares = st.floats(0, 1, width=32)
names = st.sampled_from(["car", "person", "Ampel rot", "猫", 'quote"d', ""])
points = st.fixed_dictionaries({"x": coordinates, "y": coordinates})
keypoints = st.fixed_dictionaries(
    {"x": coordinates, "y": coordinates, "confidence": shares, "class": st.sampled_from(["nose", "knee", "tail"])},
    optional={"class_id": st.integers(0, 20)},
)


@st.composite
def run_lengths(draw: st.DrawFn) -> dict[str, Any]:
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    first = draw(st.integers(0, height * width))
    counts = draw(st.one_of(st.just("PPYo1"), st.just([first, height * width - first])))
    return {"size": [height, width], "counts": counts}


boxes = st.fixed_dictionaries(
    {"x": coordinates, "y": coordinates, "width": lengths, "height": lengths, "confidence": shares, "class": names},
    optional={
        "tracker_id": st.one_of(st.none(), st.integers(0, 2**40)),
        "points": st.one_of(st.none(), st.lists(points, max_size=4)),
        "keypoints": st.one_of(st.none(), st.lists(keypoints, max_size=3)),
        "rle": st.one_of(st.none(), run_lengths()),
        "detection_id": st.uuids().map(str),
        "class_confidence": st.none(),
        "mask_format": st.just("rle"),
    },
)


def frames_of(element: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Lists of frames, some of them not inferred."""
    return st.lists(st.one_of(st.none(), element), min_size=1, max_size=6)


def boxes_in(model: ModelPredictions) -> list[Any]:
    """Bring columns back to what each frame said, in one canonical form."""
    found: list[Any] = [[] if looked else None for looked in model.inferred.tolist()]
    objects = model.objects
    for row, sample in enumerate(objects.sample.tolist()):
        polygon = objects.polygon[objects.polygon_start[row] : objects.polygon_start[row + 1]]
        skeleton = slice(objects.keypoint_start[row], objects.keypoint_start[row + 1])
        named = [model.keypoint_classes[code] for code in objects.keypoint_class[skeleton]]
        found[sample].append(
            (
                *objects.box[row].tolist(),
                objects.confidence[row],
                model.classes[objects.class_code[row]],
                int(objects.track[row]),
                polygon.tolist(),
                [[*point, name] for point, name in zip(objects.keypoint[skeleton].tolist(), named, strict=True)],
                objects.rle.get(row),
            )
        )
    return found


def boxes_said(frames: list[Any]) -> list[Any]:
    """The same form, straight from the JSON; a polygon wins over run lengths."""

    def said(one: dict[str, Any]) -> tuple[Any, ...]:
        mask = one.get("rle") if not one.get("points") else None
        return (
            *(one[key] for key in ("x", "y", "width", "height", "confidence", "class")),
            -1 if one.get("tracker_id") is None else one["tracker_id"],
            [[point["x"], point["y"]] for point in one.get("points") or ()],
            [[p["x"], p["y"], p["confidence"], p["class"]] for p in one.get("keypoints") or ()],
            (*mask["size"], mask["counts"]) if mask else None,
        )

    return [None if each is None else [said(one) for one in each["predictions"]] for each in frames]


@settings(max_examples=100, deadline=None)
@given(frames_of(st.lists(boxes, max_size=4).map(lambda found: frame(*found))))
def test_boxes_come_through_whole(frames: list[Any]) -> None:
    """Every box with its polygon, run lengths, keypoints and id is found again in the columns."""
    model = only_model(results(*frames))
    assert boxes_said(frames) == boxes_in(model)
    assert len(model.objects) + 1 == len(model.objects.polygon_start) == len(model.objects.keypoint_start)


@settings(max_examples=50, deadline=None)
@given(frames_of(st.lists(boxes, max_size=4).map(lambda found: frame(*found))), st.sampled_from([0, 1, 2, "\t"]))
def test_white_space_changes_nothing(frames: list[Any], indent: int | str) -> None:
    """Pretty-printed results are the same results."""
    (model,) = parse_bytes(json.dumps(results(*frames), indent=indent).encode()).models
    assert boxes_in(only_model(results(*frames))) == boxes_in(model)


@settings(max_examples=50, deadline=None)
@given(
    frames_of(
        st.lists(
            st.fixed_dictionaries({"class": names, "confidence": shares, "class_id": st.integers(0, 9)}),
            max_size=4,
            unique_by=lambda label: label["class"],
        )
    )
)
def test_single_labels_come_through_whole(frames: list[Any]) -> None:
    """Every class of a list is found again, and the top one is chosen."""
    made = [
        labels if labels is None else {"predictions": labels, "top": labels[0]["class"] if labels else ""}
        for labels in frames
    ]
    model = only_model(results(*made), tasks={"cars": TaskType.CLASSIFICATION})
    said = [
        (sample, label["class"], label["confidence"]) for sample, labels in enumerate(frames) for label in labels or ()
    ]
    labels = model.labels
    got = [
        (int(labels.sample[row]), model.classes[labels.class_code[row]], float(labels.confidence[row]))
        for row in range(len(labels))
    ]
    assert said == got
    assert TaskType.CLASSIFICATION == model.task
    tops = {sample: found[0]["class"] for sample, found in enumerate(frames) if found and found[0]["class"]}
    chosen = [(sample, name) for (sample, name, _), yes in zip(got, labels.chosen.tolist(), strict=True) if yes]
    assert set(tops.items()) <= set(chosen)
    assert len(chosen) == sum(bool(found) for found in frames)


@settings(max_examples=50, deadline=None)
@given(frames_of(st.dictionaries(names, st.fixed_dictionaries({"confidence": shares}), max_size=4)), st.data())
def test_multiple_labels_come_through_whole(frames: list[Any], data: st.DataObject) -> None:
    """Every class of a mapping is found again, and those that the service lists are chosen."""
    made: list[Any] = []
    expected: list[Any] = []
    for sample, scores in enumerate(frames):
        if scores is None:
            made.append(None)
            continue
        chosen = data.draw(st.lists(st.sampled_from(sorted(scores)), unique=True)) if scores else []
        made.append({"predictions": scores, "predicted_classes": chosen})
        expected += [(sample, name, score["confidence"], name in chosen) for name, score in scores.items()]
    model = only_model(results(*made))
    labels = model.labels
    got = [
        (
            int(labels.sample[row]),
            model.classes[labels.class_code[row]],
            float(labels.confidence[row]),
            bool(labels.chosen[row]),
        )
        for row in range(len(labels))
    ]
    assert expected == got


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 20).flatmap(lambda size: frames_of(st.lists(coordinates, min_size=size, max_size=size))), st.data()
)
def test_embeddings_come_through_whole(frames: list[Any], data: st.DataObject) -> None:
    """Bare, nested or doubly nested vectors are one matrix; frames without one are NaN."""

    def spelled(vector: list[float]) -> Any:
        ways = [vector, [vector], {"embeddings": vector}, {"embeddings": [vector], "time": 0.1}]
        return data.draw(st.sampled_from(ways))

    model = only_model(results(*(vector and spelled(vector) for vector in frames), model="clip"))
    assert TaskType.EMBEDDING == model.task
    if all(vector is None for vector in frames):
        assert model.embedding is None
        return
    assert model.embedding is not None
    for vector, row in zip(frames, model.embedding, strict=True):
        assert np.isnan(row).all() if vector is None else vector == row.tolist()


@pytest.mark.parametrize("inside", [True, False])
def test_gaze_is_a_face_with_landmarks_and_a_direction(inside: bool) -> None:
    """Landmarks are read from within the face or from beside it."""
    landmarks = [{"x": 10.0 * k, "y": 5.0} for k in range(6)]
    face = box(name="face", class_confidence=None, tracker_id=None) | ({"landmarks": landmarks} if inside else {})
    gaze = {"face": face, "yaw": 0.5, "pitch": -0.25} | ({} if inside else {"landmarks": landmarks})
    content = results({"predictions": [gaze, {**gaze, "yaw": 0.75}], "time_face_det": None}, None, model="gaze")
    model = only_model(content)
    assert (TaskType.GAZE, ("face",)) == (model.task, model.classes)
    assert model.objects.gaze is not None
    assert [[0.5, -0.25], [0.75, -0.25]] == model.objects.gaze.tolist()
    assert [0, 6, 12] == model.objects.keypoint_start.tolist()
    assert [[10.0 * k, 5.0, 1.0] for k in range(6)] == model.objects.keypoint[6:].tolist()
    assert tuple(f"landmark_{k}" for k in range(6)) == model.keypoint_classes


def test_gaze_needs_neither_landmarks_nor_a_class() -> None:
    """The face's box and the angles are enough."""
    face = {key: value for key, value in box().items() if key not in {"class", "class_id"}}
    model = only_model(results({"predictions": [{"face": face, "yaw": 0, "pitch": 0}]}))
    assert (TaskType.GAZE, ("face",), (-1,)) == (model.task, model.classes, model.class_ids)


@pytest.mark.parametrize(
    ("gaze", "said"),
    [
        ({"face": box(), "yaw": float("nan"), "pitch": 0}, "cars[0].predictions[0].yaw: expected a finite"),
        ({"face": box(), "yaw": 0}, "cars[0].predictions[0]: object missing required field `pitch`"),
        ({"face": box(float("nan")), "yaw": 0, "pitch": 0}, "cars[0].predictions[0].face.x: expected a finite"),
    ],
)
def test_a_wrong_gaze_is_named_by_its_path(gaze: dict[str, Any], said: str) -> None:
    """Paths lead into the face."""
    with pytest.raises(ResultInvalid) as caught:
        only_model(results({"predictions": [gaze]}))
    assert caught.value.message.startswith(said)


def test_semantic_segmentation_keeps_its_maps() -> None:
    """The maps of each frame stay as they came; their classes are known."""
    maps = {"segmentation_mask": "aGk=", "class_map": {"0": "background", "7": "road"}, "confidence_mask": "aGk="}
    model = only_model(results({"predictions": maps | {"extra": 1}, "image": None}, None))
    assert (TaskType.SEMANTIC_SEGMENTATION, {0: maps}) == (model.task, model.frames)
    assert (("background", "road"), (0, 7)) == (model.classes, model.class_ids)


@pytest.mark.parametrize(
    ("frames", "task"),
    [
        ([frame(), frame(box())], TaskType.OBJECT_DETECTION),
        ([frame(box()), frame(box(points=[{"x": 1, "y": 1}]))], TaskType.INSTANCE_SEGMENTATION),
        ([frame(box(rle={"size": [1, 1], "counts": "1"}))], TaskType.INSTANCE_SEGMENTATION),
        ([frame(box(points=[], keypoints=[]))], TaskType.OBJECT_DETECTION),
        ([frame(box()), frame(box(keypoints=[{"x": 1, "y": 1, "confidence": 1}]))], TaskType.KEYPOINT_DETECTION),
        ([None, {"predictions": [], "top": ""}], TaskType.CLASSIFICATION),
        ([{"predictions": [{"class": "a", "confidence": 1}]}], TaskType.CLASSIFICATION),
        ([None, {"predictions": {}}], TaskType.MULTILABEL_CLASSIFICATION),
        ([[0.5]], TaskType.EMBEDDING),
    ],
)
def test_a_model_is_known_by_what_it_says(frames: list[Any], task: TaskType) -> None:
    """Without a word from the control plane the kind follows from the whole video."""
    assert task == only_model(results(*frames)).task


def test_the_control_plane_calls_both_kinds_of_labels_classification() -> None:
    """A mapping is multi-label all the same."""
    content = results({"predictions": {"a": {"confidence": 0.5, "class_id": 0}}})
    model = only_model(content, tasks={"cars": TaskType.CLASSIFICATION})
    assert TaskType.MULTILABEL_CLASSIFICATION == model.task


def test_labels_without_a_choice_are_chosen_by_confidence() -> None:
    """The most confident of a list, or all of a mapping from 0.5 on."""
    listed = [{"class": "a", "confidence": 0.25}, {"class": "b", "confidence": 0.75}]
    assert [False, True] == only_model(results({"predictions": listed})).labels.chosen.tolist()
    scores = {"a": {"confidence": 0.5}, "b": {"confidence": 0.25}, "c": {"confidence": 1}}
    assert [True, False, True] == only_model(results({"predictions": scores})).labels.chosen.tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        {"predictions": [{"class": "a", "confidence": 1}], "top": "b"},
        {"predictions": {"a": {"confidence": 1}}, "predicted_classes": ["a", "b"]},
    ],
)
def test_a_choice_that_is_not_predicted_is_refused(wrong: dict[str, Any]) -> None:
    """Labels that contradict themselves are no labels."""
    with pytest.raises(ResultInvalid, match=r"cars\[0\]: 'b' is chosen but is not among the predictions"):
        only_model(results(wrong))


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([[1.0, 2.0], [1.0]], "clip[1]: has 1 values, the frames before it 2"),
        ([[1.0], []], "clip[1]: expected one embedding of some length, got 0 values"),
        ([[[1.0], [2.0]]], "clip[0]: expected one embedding"),
        ([[1.0, float("nan")]], "clip[0]: expected finite numbers, got nan"),
        ([[1.0, 1e39]], "clip[0]: expected finite numbers, got inf"),
        ([[1.0, "x"]], "clip[0][1]: expected"),
        ([{"embedding": [1.0]}], "clip[0]: object missing required field `embeddings`"),
    ],
)
def test_a_wrong_embedding_is_refused(frames: list[Any], said: str) -> None:
    """Vectors are finite and of one length."""
    with pytest.raises(ResultInvalid) as caught:
        only_model(results(*frames, model="clip"))
    assert caught.value.message.startswith(said)


def test_a_confidence_of_a_label_is_a_share() -> None:
    """The message names frame and class."""
    with pytest.raises(ResultInvalid, match=r"cars\[0\] 'a'.confidence: expected a number from 0 to 1, got 87"):
        only_model(results({"predictions": [{"class": "a", "confidence": 87}], "top": "a"}))


def test_keypoints_without_a_name_go_by_their_slot() -> None:
    """Skeleton slots are told apart by number where they have no name."""
    slots = [{"x": 1, "y": 1, "confidence": 1, "class_id": slot} for slot in (4, 2, 4)]
    model = only_model(results(frame(box(keypoints=slots))))
    assert (("4", "2"), [0, 1, 0]) == (model.keypoint_classes, model.objects.keypoint_class.tolist())


def test_two_classes_may_each_have_a_keypoint_of_one_name() -> None:
    """A dog's tail is slot 3 of its skeleton, a plane's is slot 0: their numbers are kept apart."""
    dog = box(name="dog", keypoints=[{"x": 1, "y": 1, "confidence": 1, "class": "tail", "class_id": 3}])
    plane = box(name="plane", keypoints=[{"x": 2, "y": 2, "confidence": 1, "class": "tail", "class_id": 0}])

    model = only_model(results(frame(dog, plane)))

    assert (("tail", "tail"), (3, 0)) == (model.keypoint_classes, model.keypoint_ids)
    assert [0, 1] == model.objects.keypoint_class.tolist()
