"""The labelbox route: predictions of videos in a model run, and on request in a project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasks.domain.errors import DeliveryFailed, ReelrouteError
from tasks.sinks.base import Delivery, Receipt
from tasks.sinks.labelbox.api import Labelbox
from tasks.sinks.labelbox.chunks import Staged
from tasks.sinks.labelbox.global_key import global_key
from tasks.sinks.labelbox.imports import Imports
from tasks.sinks.labelbox.journal import Journal
from tasks.sinks.labelbox.ndjson import annotate
from tasks.sinks.labelbox.patience import NotThere
from tasks.sinks.labelbox.project import ProjectSteps, import_annotations, put_into_project
from tasks.sinks.labelbox.rows import (
    Refusals,
    RowSource,
    Sign,
    make_rows,
    wait_for_processing,
)
from tasks.sinks.labelbox.sink import write_lines
from tasks.sinks.labelbox.style import Style
from tasks.sinks.labelbox.upload import RunUpload
from tasks.sinks.labelbox.workspace import Names, Place, Workspace

# A new video is given so long in its batch; one that needs longer comes again at the end of the run.
FIRST_LOOK_S = 10.0


class LabelboxUploadSink:
    """Uploads predictions to a model run of Labelbox', several videos at a time.

    A delivery stages a video's annotations; the end of the batch makes what is missing in Labelbox
    and uploads. The data row is named by its global key, which is the video's URI as far as
    Labelbox allows.

    Args:
        names: What to upload to; it is made where it does not exist.
        style: How predictions become annotations.
        sign: Signs a URL of a bucket's object, for as long as the route says.
        steps: What happens in the project, if there is one.
        journal: A folder on local disk for the names of open imports.
    """

    def __init__(
        self, box: Labelbox, *, names: Names, style: Style, sign: Sign, steps: ProjectSteps, journal: Path
    ) -> None:
        self._workspace = Workspace(box, names)
        self._style = style
        self._source = RowSource(box, sign, bool(names.integration))
        self._steps = steps
        self._imports = Imports(box)
        self._journal = Journal(journal)
        self._staged: dict[str, Staged] = {}
        self._waited_for: set[str] = set()
        self._left_out: list[str] = []
        self._box = box

    def deliver(self, delivery: Delivery) -> Receipt:
        """Stage one video's annotations for the end of its batch.

        Raises:
            DeliveryFailed: Nothing here can be annotated, or the predictions do not fit the video.
        """
        # What a batch that came to nothing left here; its folder is gone.
        self._staged = {key: staged for key, staged in self._staged.items() if staged.path.exists()}
        annotations = annotate(delivery, self._style)
        names = self._workspace.names
        path = delivery.results_file.with_name(f"{delivery.results_file.stem}-{id(self):x}.ndjson")
        write_lines(annotations.lines, path)
        self._staged[delivery.job_key] = Staged(
            delivery=delivery,
            key=global_key(delivery.video.uri),
            path=path,
            lines=len(annotations.lines),
            features=annotations.features,
        )
        place = f"labelbox:{names.model}/{names.model_run}"
        return Receipt(outputs=(place,), counts=annotations.counts, warnings=tuple(annotations.warnings))

    def finish(self, delivered: Sequence[Delivery]) -> Receipt | None:
        """Upload a batch; the receipt says which of its videos did not make it.

        Raises:
            OntologyMismatch: The ontology cannot take these annotations; nothing was uploaded.
            AuthRefused, AccessDenied: Labelbox does not let us.
            Retryable: Labelbox did not answer; calling this again doubles nothing.
        """
        videos = [self._staged[delivery.job_key] for delivery in delivered]
        try:
            refused = self._upload(videos)
        except NotThere as error:
            self._workspace.forget()
            names = self._workspace.names
            raise DeliveryFailed(
                f"model run '{names.model_run}' of '{names.model}', or what belongs to it, was deleted meanwhile: "
                f"{error.message}",
                hint="`reelroute replay PIPELINE --route NAME` delivers every video again, into a new one",
            ) from None
        for staged in videos:
            del self._staged[staged.job_key]
            staged.path.unlink(missing_ok=True)
        return Receipt(outputs=(), warnings=self._warnings(), refused=refused)

    def _upload(self, videos: list[Staged]) -> Refusals:
        place = self._workspace.open([feature for staged in videos for feature in staged.features])
        refused = make_rows(self._box, place.dataset, videos, self._source)
        refused |= self._wait(_without(videos, refused))
        refused |= RunUpload(self._imports, self._journal, place, _without(videos, refused))()
        if place.project:
            refused |= self._in_project(place, _without(videos, refused))
        return refused

    def _wait(self, videos: list[Staged]) -> Refusals:
        """Wait for the processing of videos: briefly at first, so that one does not hold up a night's others."""
        patient = all(staged.job_key in self._waited_for for staged in videos)
        deadline_s = self._box.patience.deadline_s
        unready = wait_for_processing(self._box, videos, deadline_s if patient else min(FIRST_LOOK_S, deadline_s))
        self._waited_for.update(unready)
        return unready

    def _in_project(self, place: Place, videos: list[Staged]) -> Refusals:
        steps, refused = self._steps, Refusals()
        if steps.batch:
            self._left_out = put_into_project(
                self._box, place.project, [staged.key for staged in videos], steps.priority
            )
        if steps.annotations:
            refused = import_annotations(self._imports, steps.annotations, place.project, videos)
        if steps.labels_to_run and (words := self._box.put_labels_into_run(place.run, place.project)):
            error: ReelrouteError = DeliveryFailed(f"Labelbox does not put the labels into the model run: {words}")
            refused = {staged.job_key: error for staged in videos} | refused
        return refused

    def _warnings(self) -> tuple[str, ...]:
        told = [f"Labelbox does not take a video into the project: {words}" for words in self._left_out]
        ends, self._source.ends_first, self._left_out = self._source.ends_first, None, []
        if ends is not None:
            when = f"which stop working from {ends:%Y-%m-%d %H:%M} UTC on"
            told.append(
                f"Labelbox shows the videos by signed URLs, {when}: set `iam_integration` to keep them playable"
            )
        return tuple(told)


def _without(videos: Sequence[Staged], refused: Refusals) -> list[Staged]:
    return [staged for staged in videos if staged.job_key not in refused]
