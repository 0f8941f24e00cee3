"""Which features of an ontology a model's classes belong to, under a style. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import ModelPredictions, TaskType
from tasks.domain.video import printable
from tasks.sinks.labelbox.features import Feature, FeatureKind, Option
from tasks.sinks.labelbox.style import POSSIBLE, QUESTIONS, ClassStyle, Kind, ModelStyle, Style

_TOOLS = {
    Kind.BOX: FeatureKind.BOX,
    Kind.POINT: FeatureKind.POINT,
    Kind.OUTLINE: FeatureKind.LINE,
    Kind.DIRECTION: FeatureKind.LINE,
}
# What is added to a class's name where it has more tools than one.
_SUFFIXES = {Kind.BOX: "", Kind.POINT: " centre", Kind.OUTLINE: " outline", Kind.DIRECTION: " direction"}
_LANDMARKS = tuple(f"landmark_{index}" for index in range(6))


class ModelMapping:
    """What one model's predictions become.

    Args:
        key: The model's key in results.
        task: What it predicts.
        classes: Its class names, as far as they are known.
        keypoints: Names of its keypoints, as far as they are known.

    Raises:
        DeliveryFailed: The style asks for a kind that the model's predictions cannot become.
    """

    def __init__(
        self, key: str, task: TaskType, classes: Sequence[str], style: Style, *, keypoints: Sequence[str] = ()
    ) -> None:
        self.key = key
        self.task = task
        self.style = style.models.get(key, ModelStyle())
        self._route = style
        self._classes, self._keypoints = classes, keypoints
        default, self._possible = POSSIBLE[self.task]
        self.kinds = () if self.style.silent else self.style.kinds or default
        self._require(self.kinds)
        confidence = self.style.min_confidence
        self.min_confidence = style.min_confidence if confidence is None else confidence

    @property
    def question(self) -> Kind | None:
        """The kind of question that the model's classes answer, if any."""
        return next((kind for kind in self.kinds if kind in QUESTIONS), None)

    @property
    def question_name(self) -> str:
        """The name of that question."""
        return self.style.name or self.key

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names that the model may give, as far as they are known, without omitted ones."""
        prompts = self.style.prompts
        names = prompts.names if self.task is TaskType.EMBEDDING and prompts else self._classes
        return tuple(name for name in dict.fromkeys(names) if not self.omits(name))

    def omits(self, class_name: str) -> bool:
        """Whether a class is left out."""
        return class_name in self.style.omit or class_name in self._route.omit

    def word(self, class_name: str) -> str:
        """What a class is called where it is no tool."""
        choice = self._choice(class_name)
        return choice if isinstance(choice, str) else class_name

    def answer(self, class_name: str) -> tuple[str, ...]:
        """The answer that a class is, as a path through nested questions."""
        name = self.word(class_name)
        if not self.style.separator:
            return (name,)
        # "vehicle/" and "/car" are not paths to nothing.
        return tuple(part for part in name.split(self.style.separator) if part) or (name,)

    def tools(self, class_name: str) -> Mapping[Kind, str]:
        """The tools that mark objects of a class -> names of their features; of ``POINTS``, "". May be empty."""
        if self.style.silent or self.omits(class_name):
            return {}
        choice = self._choice(class_name)
        if isinstance(choice, ClassStyle):
            self._require(choice.tools)
            return choice.tools
        kinds = [kind for kind in self.kinds if kind.is_tool]
        single = sum(kind is not Kind.POINTS for kind in kinds) == 1
        return {kind: "" if kind is Kind.POINTS else choice if single else choice + _SUFFIXES[kind] for kind in kinds}

    def keypoint(self, class_name: str, keypoint: str) -> str:
        """The name of the feature of a keypoint of an object."""
        choice = self._choice(class_name)
        if isinstance(choice, ClassStyle):
            own = choice.keypoints.get(keypoint)
            name = choice.tools.get(Kind.BOX) or class_name
        else:
            own, name = None, choice
        return own or self.style.keypoints.get(keypoint) or f"{name} {keypoint}"

    def keypoints(self, class_name: str) -> tuple[str, ...]:
        """Names of all features of an object's keypoints, as far as they can be known."""
        choice = self._choice(class_name)
        named = choice.keypoints if isinstance(choice, ClassStyle) else {}
        landmarks = _LANDMARKS if self.task is TaskType.GAZE else ()
        slots = dict.fromkeys((*landmarks, *self.style.keypoints, *named, *self._keypoints))
        return tuple(dict.fromkeys(self.keypoint(class_name, slot) for slot in slots))

    def sub_question(self, path: tuple[str, ...]) -> str:
        """The name of the question below an answer."""
        separator = self.style.separator
        named = self.style.questions.get(separator.join(path))
        return named or separator.join((self.question_name, *path))

    def features(self, details: Sequence[Feature]) -> list[Feature]:
        """Everything that the model may need of the ontology.

        Args:
            details: Questions that are asked of each box.
        """
        needed = []
        for class_name in self.classes:
            for kind, name in self.tools(class_name).items():
                if kind is Kind.POINTS:
                    needed += [Feature(name=n, kind=FeatureKind.POINT) for n in self.keypoints(class_name)]
                else:
                    below = tuple(details) if kind is Kind.BOX else ()
                    needed.append(Feature(name=name, kind=_TOOLS[kind], classifications=below))
        # A radio or checklist cannot be without answers, and where none is known none is given.
        if self.question is not None and (self.classes or self.question is Kind.TEXT):
            needed.append(self._question(self.question))
        return needed

    def _question(self, kind: Kind) -> Feature:
        by_frames = not self.style.per_video
        if kind is Kind.TEXT:
            return Feature(name=self.question_name, kind=FeatureKind.TEXT, by_frames=by_frames)
        paths = dict.fromkeys(self.answer(name) for name in self.classes)
        options = self._options(FeatureKind(kind.value), (), list(paths))
        return Feature(name=self.question_name, kind=FeatureKind(kind.value), by_frames=by_frames, options=options)

    def _options(
        self, kind: FeatureKind, above: tuple[str, ...], paths: Sequence[tuple[str, ...]]
    ) -> tuple[Option, ...]:
        """Options of the question below ``above`` that the paths go through."""
        depth = len(above)
        options = []
        for name in dict.fromkeys(path[depth] for path in paths if len(path) > depth):
            here = (*above, name)
            below = [path for path in paths if path[: depth + 1] == here and len(path) > depth + 1]
            sub: tuple[Feature, ...] = ()
            if below:
                inner = self._options(kind, here, below)
                sub = (Feature(name=self.sub_question(here), kind=kind, options=inner),)
            options.append(Option(name=name, classifications=sub))
        return tuple(options)

    def _choice(self, class_name: str) -> str | ClassStyle:
        for classes in (self.style.classes, self._route.classes):
            if class_name in classes:
                return classes[class_name]
        return class_name

    def _require(self, kinds: Sequence[Kind] | Mapping[Kind, str]) -> None:
        for kind in kinds:
            if kind not in self._possible:
                known = ", ".join(dict.fromkeys(self._possible))
                raise DeliveryFailed(
                    f"model {printable(self.key)!r} makes {self.task} predictions, which cannot become "
                    f"a Labelbox {kind}",
                    hint=f"change `kind` of this model, or of its classes, in the route; it may be {known}",
                )


class SeenModel(ModelMapping):
    """The same, of a model whose predictions of a video are at hand.

    Args:
        model: These predictions.
        known: Its class names as the service's control plane gave them; may be empty.
    """

    def __init__(self, model: ModelPredictions, known: Sequence[str], style: Style) -> None:
        task = TaskType.EMBEDDING if model.model == "clip" else model.task
        super().__init__(model.model, task, (*known, *model.classes), style, keypoints=model.keypoint_classes)
        self.model = model


def merged(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """Make one feature of those of one name.

    Raises:
        DeliveryFailed: Two of one name are of different kinds, or one is asked by frames and one not.
    """
    by_name: dict[str, Feature] = {}
    for feature in features:
        known = by_name.get(feature.name)
        by_name[feature.name] = feature if known is None else _joined(known, feature)
    return tuple(by_name.values())


def _joined(one: Feature, other: Feature) -> Feature:
    if (one.kind, one.by_frames) != (other.kind, other.by_frames):
        scope = {True: "by frames", False: "for the whole video"}
        what = [
            feature.kind + ("" if feature.kind.is_tool else f" {scope[feature.by_frames]}") for feature in (one, other)
        ]
        raise DeliveryFailed(
            f"feature {printable(one.name)!r} would be two things in the ontology: {' and '.join(what)}",
            hint="give one of them another name, with `name` or `classes` of the labelbox route",
        )
    options: dict[str, Option] = {}
    for option in (*one.options, *other.options):
        known = options.get(option.name)
        below = option.classifications if known is None else (*known.classifications, *option.classifications)
        options[option.name] = Option(name=option.name, classifications=merged(below))
    return Feature(
        name=one.name,
        kind=one.kind,
        by_frames=one.by_frames,
        options=tuple(options.values()),
        classifications=merged((*one.classifications, *other.classifications)),
    )
