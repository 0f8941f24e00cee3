"""What annotation routes refuse before they write."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import Predictions, TaskType
from tasks.sinks.checks import choose_models, require_frames
from tests.contracts.deliveries import model_predictions, video_info


def predictions(frame_index: list[int], *tasks: tuple[str, TaskType]) -> Predictions:
    models = tuple(model_predictions([[]] * len(frame_index), model=model, task=task) for model, task in tasks)
    index = np.array(frame_index, dtype=np.int64)
    return Predictions(frame_index=index, time_s=index / 30, models=models)


@pytest.mark.parametrize("frame_index", [[], [0], [99], [0, 1, 2], [3, 50, 99]])
def test_increasing_frames_of_the_video_are_taken(frame_index: list[int]) -> None:
    """From 0 to the frame count less one."""
    require_frames(predictions(frame_index), video_info(frame_count=100))


@pytest.mark.parametrize("frame_index", [[-1], [100], [0, 0], [6, 0], [0, 12, 6], [0, 50, 1000]])
def test_other_frames_are_refused(frame_index: list[int]) -> None:
    """Negative, repeated, out of order, beyond the end: boxes would land on the wrong frame."""
    with pytest.raises(DeliveryFailed):
        require_frames(predictions(frame_index), video_info(frame_count=100))


def test_the_message_says_how_far_off_the_results_are() -> None:
    """Both numbers, and what may have happened."""
    with pytest.raises(DeliveryFailed, match=r"frame 100, but the video's 100 frames end at 99") as refused:
        require_frames(predictions([100]), video_info(frame_count=100))

    assert "replaced" in refused.value.hint


def test_models_are_taken_in_order_and_others_named() -> None:
    """One warning for each that is left out."""
    given = predictions(
        [0],
        ("a", TaskType.GAZE),
        ("b\n", TaskType.CLASSIFICATION),
        ("c", TaskType.NONE),
        ("clip", TaskType.NONE),
        ("d", TaskType.OBJECT_DETECTION),
    )

    chosen, warnings = choose_models(given, {TaskType.GAZE, TaskType.OBJECT_DETECTION}, "the shelf")

    assert ["a", "c", "d"] == [model.model for model in chosen]
    assert [
        r"model 'b\\n' was left out: classification predictions do not go to the shelf",
        "model 'clip' was left out: clip-embed-image predictions do not go to the shelf",
    ] == warnings


@pytest.mark.parametrize(
    ("task", "hint"),
    [
        (TaskType.CLASSIFICATION, "the shelf takes only gaze-detection, object-detection in this version"),
        (TaskType.EMBEDDING, "embeddings are vectors"),
    ],
)
def test_without_a_model_the_delivery_is_refused(task: TaskType, hint: str) -> None:
    """The hint says what goes there, or where embeddings are."""
    takes = {TaskType.OBJECT_DETECTION, TaskType.GAZE, TaskType.NONE}

    with pytest.raises(DeliveryFailed, match=str(task)) as refused:
        choose_models(predictions([0], ("m", task)), takes, "the shelf")

    assert hint in refused.value.hint


def test_results_without_any_model_are_refused() -> None:
    """Nothing to deliver is not the same as nothing found."""
    with pytest.raises(DeliveryFailed, match="no model"):
        choose_models(replace(predictions([0]), models=()), {TaskType.OBJECT_DETECTION}, "the shelf")
