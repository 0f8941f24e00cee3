"""A project for annotators: its ontology, the videos as batches, their annotations to start from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.domain.errors import AnnotationsRefused, OntologyMismatch, ReelrouteError, RequestRefused
from tasks.sinks.labelbox.api import Labelbox
from tasks.sinks.labelbox.chunks import Staged, chunked
from tasks.sinks.labelbox.imports import FileGone, Import, ImportKind, Imports
from tasks.sinks.labelbox.patience import Taken
from tasks.sinks.labelbox.rows import Refusals

# What a row is refused with that is in the project.
_THERE = "already"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSteps:
    """Which of the steps after an upload to a model run are taken.

    Attributes:
        batch: Put the videos into the project, as batches.
        priority: Of the batches; 1 comes first, 5 last.
        annotations: Import the predictions into the project too, as prelabels or as labels.
        labels_to_run: Put the project's labels beside the predictions in the model run.
    """

    batch: bool = True
    priority: int = 5
    annotations: ImportKind | None = None
    labels_to_run: bool = False


def check_project(box: Labelbox, project: str, name: str, ontology: str) -> bool:
    """Say whether a project has an ontology already.

    Args:
        ontology: The route's; "" if that is still to be made.

    Raises:
        OntologyMismatch: It has another one.
    """
    there = box.object_of(project).ontology()
    if there is not None and there.uid != ontology:
        raise OntologyMismatch(
            f"project '{name}' has the ontology '{there.name}', not the route's",
            hint="name the ontology that the project has, or another project",
        )
    return there is not None


def connect(box: Labelbox, name: str, ontology: str) -> str:
    """Id of the one project of a name, with the ontology; made and connected if need be.

    Raises:
        OntologyMismatch: It has another ontology.
    """
    own = box.project(name)
    if not check_project(box, own, name, ontology):
        project, chosen = box.object_of(own), box.client.get_ontology(ontology)
        # Every part of it can be done twice, and the SDK leaves out what is done.
        box.patience.again(lambda: project.connect_ontology(chosen))
    return own


def put_into_project(box: Labelbox, project: str, keys: Sequence[str], priority: int) -> list[str]:
    """Put data rows into a project that are not in it yet, in a batch that is named after them.

    Returns:
        Labelbox' words on each row that it refuses for another reason than that it is there.
    """
    if not keys:
        return []
    digest = hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:16]
    batch = box.object_of(project)
    try:
        box.patience.again(lambda: batch.create_batch(f"reelroute-{digest}", global_keys=list(keys), priority=priority))
    except Taken:
        return []  # these very rows
    except RequestRefused as error:
        # Said of them all: rows are tried in halves, until one that is refused stands alone.
        if len(keys) == 1:
            return [] if _THERE in error.message.lower() else [f"{keys[0]}: {error.message}"]
        half = len(keys) // 2
        parts = keys[:half], keys[half:]
        return [words for part in parts for words in put_into_project(box, project, part, priority)]
    return []


def import_annotations(imports: Imports, kind: ImportKind, project: str, videos: Sequence[Staged]) -> Refusals:
    """Import each video's annotations into a project, once for each content; return what is refused.

    One import per video: the same annotations always have the same name, and are sent once.
    """
    started: list[tuple[Staged, Import]] = []
    refused: Refusals = {}
    for staged in videos:
        own = hashlib.sha256(staged.key.encode()).hexdigest()[:8]
        for chunk in chunked([staged]):
            lines = [line for _, line in chunk.lines()]
            try:
                begun = _begun(imports, kind, project, f"reelroute-{own}-{chunk.digest}", lines)
            except ReelrouteError as error:
                refused[staged.job_key] = error
                continue
            if begun is not None:
                started.append((staged, begun))
    for staged, begun in started:
        try:
            ended = imports.ended(begun)
            problems = [imports.reason(ended)] if ended.state == "FAILED" else []
            problems = problems or [status.problem for status in imports.statuses(ended) if status.problem]
        except ReelrouteError as error:
            refused[staged.job_key] = error
            continue
        if problems:
            refused[staged.job_key] = AnnotationsRefused(
                f"Labelbox refuses {len(problems)} of {staged.lines} {kind}: {problems[0]}"
            )
    return refused


def _begun(imports: Imports, kind: ImportKind, project: str, name: str, lines: list[dict[str, Any]]) -> Import | None:
    """Start an import of what the project has not taken of these lines; None if it has taken them all.

    The first has the name, the next ones have a number behind it: each brings what was refused before.
    """
    number, free = 1, name
    while there := imports.find(kind, project, free):
        refused = _refused(imports, imports.ended(there))
        lines = [line for line in lines if refused is None or line["uuid"] in refused]
        if not lines:
            return None
        number += 1
        free = f"{name}-{number}"
    return imports.start(kind, project, free, lines)


def _refused(imports: Imports, ended: Import) -> frozenset[str] | None:
    """The uuids that an earlier import did not take; None for all."""
    if ended.state == "FAILED":
        return None
    try:
        return frozenset(status.uuid for status in imports.statuses(ended) if status.problem)
    except FileGone:
        # It said what it refused when it ended; to send it all again could double the rest.
        return frozenset()
