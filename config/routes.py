"""Routes of a pipeline: where predictions go, and how, as the file says it.

Settings only; what each route does with predictions is in ``tasks/sinks``.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from config.access import LOCATIONS, Account, Credentials, EndpointUrl
from config.annotations import Classes, ClassTools, ModelAnnotations, Omitted
from config.available import available_forms
from config.fields import (
    THRESHOLD,
    Allowed,
    Duration,
    Folder,
    Name,
    Number,
    PositiveDuration,
    RouteLocation,
    Section,
    Template,
    Threshold,
    Whole,
    like,
    no_repeats,
    not_empty,
)
from config.problems import refuse
from config.selection import SelectionRun
from config.units import DURATIONS

FOLDERS = f"{available_forms()}; may hold {{date}} and {{pipeline}}"
TEXT = "text"
UPLOADED_TO = "text; needed for an upload"
# Clouds sign for no longer than this.
LONGEST_URL = timedelta(days=7)


class RouteSettings(Section):
    """What every route has.

    Attributes:
        name: Unique in its pipeline. "" in a file that leaves it out; a Pipeline's routes all
            have one.
    """

    name: Annotated[
        str,
        like(r"[a-z0-9][a-z0-9-]*", "is not a name for a route"),
        Field(description="What reports and `--route` call it."),
        Allowed("lower-case letters, digits and '-', different for each route"),
    ] = ""

    @property
    def location(self) -> str:
        """Where the route writes, as a template; "" if it writes no files."""
        values = (getattr(self, key, None) for key in LOCATIONS)
        return next((str(value) for value in values if value), "")

    @property
    def shares_documents(self) -> bool:
        """Whether runs change one document in turn, as a store with conditional writes alone makes safe."""
        return False

    def fingerprint(self) -> str:
        """Hash what the route does, as 16 hex digits: another hash means to deliver again.

        The name is left out, as are who writes (``credentials``), what is done afterwards
        (``selection_run``) and whatever equals its default: a key that a later version adds does not
        make every delivery of the past look out of date. Placeholders count as written, so that the
        turn of a day changes nothing.
        """
        settings = self.model_dump(exclude={"name", "credentials", "selection_run"}, exclude_defaults=True)
        canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"), default=_plain)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _plain(value: timedelta) -> float:
    return value.total_seconds()


class ResultsRoute(RouteSettings):
    """Keep the results as files, one set per video."""

    to: Annotated[Literal["results"], Field(description="Results as files, one set per video."), Allowed("results")]
    uri: Annotated[RouteLocation, Field(description="Where the files go."), Allowed(FOLDERS)]
    credentials: Credentials = None
    endpoint_url: EndpointUrl = None
    account: Account = None
    formats: Annotated[
        tuple[Literal["json", "parquet"], ...],
        AfterValidator(not_empty),
        AfterValidator(no_repeats),
        Field(description="The service's own JSON, a table of detections, or both."),
        Allowed("a list of json, parquet"),
    ] = ("json", "parquet")


class LightlyRoute(RouteSettings):
    """Write predictions into a LightlyOne datasource."""

    to: Annotated[Literal["lightly"], Field(description="Predictions of a LightlyOne datasource."), Allowed("lightly")]
    datasource: Annotated[
        RouteLocation, Field(description="Root of the Lightly datasource, above `.lightly/`."), Allowed(FOLDERS)
    ]
    credentials: Credentials = None
    endpoint_url: EndpointUrl = None
    account: Account = None
    task_name: Annotated[
        str,
        # LightlyOne's own rule, less "/" (a task is one folder) and hidden folders.
        like(r"[A-Za-z0-9_+=,@:-][A-Za-z0-9_+=,.@:-]*", "is not a name for a task"),
        Field(description="Prediction task; a folder below `.lightly/predictions/`."),
        Allowed("letters, digits and _ + = , . @ : -"),
    ]
    fill: Annotated[
        Literal["none", "nearest", "hold"],
        Field(
            description="Frames between inferred ones: no file, a copy of the nearest, or of the one before. "
            "Copies bias a selection's class balance."
        ),
        Allowed("none, nearest, hold"),
    ] = "none"
    max_gap: Annotated[
        Duration,
        Field(description="How far, in time of the video, predictions are copied at most."),
        Allowed(DURATIONS),
    ] = timedelta(seconds=1)
    frame_count: Annotated[
        Literal["auto", "decode"],
        Field(
            description="How frames are counted, which names of files depend on: by decoding every video, "
            "or only where the container's index may not do."
        ),
        Allowed("auto, decode"),
    ] = "auto"
    keypoints: Annotated[
        dict[Name, tuple[Name, ...]] | None,
        Field(
            description="Names of all keypoints of a class, in the order in which files hold them. "
            "Default: what the task's first video shows."
        ),
        Allowed("class names, each with the list of its keypoints"),
    ] = None
    input_root: Annotated[
        Folder | None,
        Field(description="Root of the *input* datasource, to which file names are relative. Default: the source."),
        Allowed(f"{available_forms()}; every source must be in it"),
    ] = None
    min_confidence: Annotated[
        Threshold | None, Field(description="Leaves out weaker predictions."), Allowed(THRESHOLD)
    ] = None
    selection_run: Annotated[
        SelectionRun | None,
        Field(description="Schedules a LightlyOne run at the end of each of ours that delivered something."),
        Allowed("the keys of selection_run"),
    ] = None

    @property
    def shares_documents(self) -> bool:
        """The task's schema, and the list of tasks."""
        return True


class LabelboxRoute(RouteSettings):
    """Write predictions as Labelbox takes them: objects tracked through time, answers for ranges of frames."""

    parts: ClassVar[dict[str, type[Section]]] = {"classes": ClassTools, "models": ModelAnnotations}

    to: Annotated[Literal["labelbox"], Field(description="Predictions for Labelbox."), Allowed("labelbox")]
    upload: Annotated[
        bool,
        Field(description="Upload to a model run; else write the files that would be uploaded."),
        Allowed("true, false"),
    ] = True
    uri: Annotated[
        RouteLocation | None,
        Field(validate_default=True, description="Where the NDJSON files go; with `upload: false`."),
        Allowed(FOLDERS),
    ] = None
    credentials: Credentials = None
    endpoint_url: EndpointUrl = None
    account: Account = None
    dataset: Annotated[
        Name | None,
        Field(validate_default=True, description="Dataset of the videos; made where there is none of that name."),
        Allowed(UPLOADED_TO),
    ] = None
    ontology: Annotated[
        Name | None,
        Field(validate_default=True, description="Ontology; made, or given the classes that it lacks."),
        Allowed(UPLOADED_TO),
    ] = None
    model: Annotated[
        Name | None,
        Field(validate_default=True, description="Model; made where there is none."),
        Allowed(UPLOADED_TO),
    ] = None
    model_run: Annotated[
        Template | None,
        Field(validate_default=True, description="Run of the model; made where there is none."),
        Allowed("text, needed for an upload; may hold {date} and {pipeline}"),
    ] = None
    iam_integration: Annotated[
        Name | None,
        Field(
            description="IAM integration by which Labelbox reads the buckets; "
            "`default` is the workspace's own. Default: signed URLs, which expire."
        ),
        Allowed("the name of an integration in Labelbox, or default"),
    ] = None
    url_lifetime: Annotated[
        PositiveDuration,
        Field(le=LONGEST_URL, description="How long Labelbox can show a video by its signed URL."),
        Allowed(f"{DURATIONS}, at most 7d"),
    ] = LONGEST_URL
    project: Annotated[
        Name | None,
        Field(description="Project for annotators that the videos go to as well; made where there is none."),
        Allowed(TEXT),
    ] = None
    batch: Annotated[
        bool, Field(description="Put the videos into the project, as batches."), Allowed("true, false")
    ] = True
    batch_priority: Annotated[
        Whole, Field(ge=1, le=5, description="Priority of the batches; 1 comes first."), Allowed("1 to 5")
    ] = 5
    project_annotations: Annotated[
        Literal["none", "prelabels", "labels"],
        Field(description="Import the predictions into the project too: to be corrected, or as ground truth."),
        Allowed("none, prelabels, labels; needs project"),
    ] = "none"
    labels_to_run: Annotated[
        bool,
        Field(description="Put the project's labels beside the predictions in the model run."),
        Allowed("true, false; needs project"),
    ] = False
    min_confidence: Annotated[
        Threshold | None,
        Field(description="Leaves out weaker predictions: Labelbox keeps no confidence of video objects."),
        Allowed(THRESHOLD),
    ] = None
    max_gap: Annotated[
        Duration,
        Field(description="Unseen for longer than this, an object starts a new segment."),
        Allowed(DURATIONS),
    ] = timedelta(seconds=2)
    keyframe_tolerance: Annotated[
        Number,
        Field(ge=0, description="Pixels by which a place may be off where keyframes are thinned out."),
        Allowed("a number from 0 up, in pixels of the video"),
    ] = 2.0
    classes: Annotated[
        Classes | None,
        Field(description="What a class is called in the ontology, or which tools it becomes there and their names."),
        Allowed("the model's class names, each with its name in Labelbox, or with tools and their names"),
    ] = None
    omit: Omitted = ()
    models: Annotated[
        dict[Name, ModelAnnotations] | None,
        Field(description="What is special about a model's predictions."),
        Allowed("models of the pipeline, by project slug, each with the keys of a model"),
    ] = None

    @property
    def shares_documents(self) -> bool:
        """The ontology's file."""
        return not self.upload

    @field_validator("uri")
    @classmethod
    def _files_go_somewhere(cls, uri: str | None, info: ValidationInfo) -> str | None:
        if uri is None and info.data.get("upload") is False:
            raise refuse("'uri' is missing: `upload: false` writes files there")
        if uri is not None and info.data.get("upload") is True:
            raise refuse("'uri' is for `upload: false`, which writes files there instead of uploading")
        return uri

    @field_validator("dataset", "ontology", "model", "model_run")
    @classmethod
    def _uploads_go_somewhere(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is None and info.data.get("upload") is True:
            raise refuse(f"'{info.field_name}' is missing: an upload needs dataset, ontology, model and model_run")
        return name

    @field_validator("project_annotations", "labels_to_run")
    @classmethod
    def _project_is_named(cls, step: str | bool, info: ValidationInfo) -> str | bool:
        if step not in ("none", False) and info.data.get("project", "") is None:
            raise refuse(f"'{info.field_name}' needs 'project'")
        return step


class VideoRoute(RouteSettings):
    """Draw predictions into copies of the videos."""

    to: Annotated[Literal["video"], Field(description="Annotated copies of the videos."), Allowed("video")]
    uri: Annotated[RouteLocation, Field(description="Where the copies go."), Allowed(FOLDERS)]
    credentials: Credentials = None
    endpoint_url: EndpointUrl = None
    account: Account = None
    min_confidence: Annotated[
        Threshold | None, Field(description="Leaves out weaker predictions."), Allowed(THRESHOLD)
    ] = None


Route = Annotated[ResultsRoute | LightlyRoute | LabelboxRoute | VideoRoute, Field(discriminator="to")]

ROUTES: dict[str, type[ResultsRoute | LightlyRoute | LabelboxRoute | VideoRoute]] = {
    "results": ResultsRoute,
    "lightly": LightlyRoute,
    "labelbox": LabelboxRoute,
    "video": VideoRoute,
}


def named(routes: tuple[Route, ...]) -> tuple[Route, ...]:
    """Give each route without a name its ``to``, with -2, -3 where that is taken."""
    taken = {route.name for route in routes if route.name}
    result = []
    for route in routes:
        name, number = route.name or route.to, 1
        while not route.name and name in taken:
            number += 1
            name = f"{route.to}-{number}"
        taken.add(name)
        result.append(route.model_copy(update={"name": name}))
    return tuple(result)
