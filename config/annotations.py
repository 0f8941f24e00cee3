"""Which prediction becomes which kind of annotation, as a labelbox route says it.

Settings only; what they do is in ``tasks/sinks/labelbox``.
"""

from __future__ import annotations

import os.path
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from config.fields import THRESHOLD, Allowed, Name, Positive, Section, Threshold, Whole, no_repeats, not_empty
from config.problems import refuse, refuse_value

TOOLS = "box, point, outline, direction"
KINDS = "box, point, outline, points, direction, radio, checklist, text, nothing, or a list of them"
NAMES = "names as the model has them, each with its name in Labelbox"

Kind = Literal["box", "point", "outline", "points", "direction", "radio", "checklist", "text", "nothing"]
_QUESTIONS = frozenset({"radio", "checklist", "text"})
ATTRIBUTES = ("confidence", "class", "direction")
Names = dict[Name, Name]


class ClassTools(Section):
    """The tools that one class becomes, each with the name of its feature."""

    box: Annotated[Name | None, Field(description="Feature of the box."), Allowed("text")] = None
    point: Annotated[Name | None, Field(description="Feature of the middle of the box."), Allowed("text")] = None
    outline: Annotated[
        Name | None, Field(description="Feature of the mask's outline, a closed polyline."), Allowed("text")
    ] = None
    direction: Annotated[Name | None, Field(description="Feature of a gaze's direction, a line."), Allowed("text")] = (
        None
    )
    points: Annotated[
        Names | None, Field(description="Features of the keypoints. `{}`: all, under their own names."), Allowed(NAMES)
    ] = None

    @model_validator(mode="after")
    def _something_is_named(self) -> ClassTools:
        if not self.model_fields_set:
            raise refuse("names no tool; a class that is to be left out belongs in 'omit'", allowed=f"{TOOLS}, points")
        return self


def _form(choice: object) -> str:
    return "[tools]" if isinstance(choice, dict | ClassTools) else "[name]"


ClassChoice = Annotated[Annotated[Name, Tag("[name]")] | Annotated[ClassTools, Tag("[tools]")], Discriminator(_form)]
Classes = dict[Name, ClassChoice]
Omitted = Annotated[
    tuple[Name, ...],
    AfterValidator(no_repeats),
    Field(description="Classes that are left out."),
    Allowed("a list of the model's class names"),
]


class BoxDetail(Section):
    """A question that is asked of each box, at each keyframe."""

    of: Annotated[
        Name,
        Field(description="What answers: how sure the model is, the class, a gaze, or another model of the pipeline."),
        Allowed("confidence, class, direction, or a model's project slug"),
    ]
    name: Annotated[
        Name | None, Field(description="The question's name. Default: what `of` says."), Allowed("text")
    ] = None
    bands: Annotated[
        tuple[Threshold, ...],
        AfterValidator(not_empty),
        Field(description="Bounds between the answers to `of: confidence`."),
        Allowed("a list of numbers from 0 to 1, increasing"),
    ] = (0.5, 0.8)
    kind: Annotated[
        Literal["radio", "checklist"],
        Field(description="Whether another model gives one answer to each box, or several."),
        Allowed("radio, checklist"),
    ] = "radio"

    @field_validator("bands")
    @classmethod
    def _bands_increase(cls, bands: tuple[float, ...]) -> tuple[float, ...]:
        if any(low >= high for low, high in pairwise(bands)):
            raise refuse_value("is not increasing")
        return bands

    @field_validator("kind")
    @classmethod
    def _several_answers_exist(cls, kind: str, info: ValidationInfo) -> str:
        if kind == "checklist" and info.data.get("of") in ATTRIBUTES:
            raise refuse_value(f"is for models: '{info.data['of']}' has one answer", allowed="radio")
        return kind


def _as_list(kinds: object) -> object:
    return [kinds] if isinstance(kinds, str) else kinds


Kinds = Annotated[tuple[Kind, ...], BeforeValidator(_as_list), AfterValidator(not_empty), AfterValidator(no_repeats)]


def _expanded(path: str) -> str:
    if not path.endswith((".json", ".npz")):
        raise refuse_value("is no file of vectors")
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - Path keeps ".."


class ModelAnnotations(Section):
    """What one model's predictions become."""

    parts: ClassVar[dict[str, type[Section]]] = {"classes": ClassTools, "details": BoxDetail}

    kind: Annotated[
        Kinds | None,
        Field(description="What the classes become. Default: what suits the model, see below."),
        Allowed(KINDS),
    ] = None
    name: Annotated[
        Name | None,
        Field(description="Name of the radio, checklist or text. Default: the model's project slug."),
        Allowed("text"),
    ] = None
    per: Annotated[
        Literal["frames", "video"],
        Field(description="A radio, checklist or text for ranges of frames, or one for the whole video."),
        Allowed("frames, video"),
    ] = "frames"
    separator: Annotated[
        Name | None,
        Field(description="Splits class names such as `vehicle/car` into answers to nested questions."),
        Allowed("text, such as /"),
    ] = None
    questions: Annotated[
        Names | None,
        Field(description="Names of nested questions. Default: `<name>/vehicle` for what is below vehicle."),
        Allowed("answers such as vehicle, each with the name of the question below it"),
    ] = None
    classes: Annotated[
        Classes | None,
        Field(description="As the route's `classes`, for this model only, and before them."),
        Allowed("the model's class names, each with its name in Labelbox, or with tools and their names"),
    ] = None
    omit: Omitted = ()
    keypoints: Annotated[
        Names | None,
        Field(description="Features of keypoints. Default: `<class> <keypoint>`."),
        Allowed(NAMES),
    ] = None
    vertices: Annotated[
        Whole, Field(ge=3, le=500, description="Corners of an outline."), Allowed("a whole number from 3 to 500")
    ] = 32
    details: Annotated[
        tuple[BoxDetail, ...],
        Field(description="Questions that are asked of each box, at each keyframe."),
        Allowed("a list of questions: of, name, bands, kind"),
    ] = ()
    prompts: Annotated[
        Annotated[Name, AfterValidator(_expanded)] | None,
        Field(
            description="For clip: text prompts' embeddings, name -> vector. Each frame gets the nearest one's name."
        ),
        Allowed("a .json file (one object of lists) or an .npz file"),
    ] = None
    temperature: Annotated[
        Positive,
        Field(
            description="Divides cosines before the softmax that makes them confidences; CLIP was trained with 0.01."
        ),
        Allowed("a number above 0"),
    ] = 0.01
    min_share: Annotated[
        Threshold,
        Field(description="Part of the picture that a class of a semantic segmentation must cover to be there."),
        Allowed(THRESHOLD),
    ] = 0.01
    min_confidence: Annotated[Threshold | None, Field(description="Instead of the route's."), Allowed(THRESHOLD)] = None

    @field_validator("kind")
    @classmethod
    def _kinds_fit(cls, kinds: tuple[str, ...] | None) -> tuple[str, ...] | None:
        asked = [kind for kind in kinds or () if kind in _QUESTIONS]
        if len(asked) > 1:
            raise refuse(f"a model answers one question: {' or '.join(asked)}, not both")
        if kinds and "nothing" in kinds and len(kinds) > 1:
            raise refuse("'nothing' stands alone")
        return kinds

    @field_validator("details")
    @classmethod
    def _details_differ(cls, details: tuple[BoxDetail, ...]) -> tuple[BoxDetail, ...]:
        names = [detail.name or detail.of for detail in details]
        if len(set(names)) < len(names):
            raise refuse("two questions have one name; give each a 'name' of its own")
        return details
