"""Imports of annotations: started under a name, followed to their end, read line by line.

An import's name is its lookup key: a start whose answer was lost is found again by it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx

from tasks.domain.errors import ServiceUnavailable
from tasks.domain.redaction import RedactingFilter
from tasks.sinks.labelbox import sdk
from tasks.sinks.labelbox.api import Labelbox
from tasks.sinks.labelbox.patience import AnswerLost, NotThere, Taken

FILE_TIMEOUT_S = 60.0
# Of an error file that is no list of statuses, so much is looked at.
LONGEST_REASON = 4096
# What an address answers whose file, or whose signature, has come to its end.
_GONE = frozenset({403, 404, 410})
# One instance: adding it again adds nothing.
_REDACTING = RedactingFilter()


class ImportKind(StrEnum):
    """What annotations become, and whose they are."""

    PREDICTIONS = "predictions"  # of a model run
    PRELABELS = "prelabels"  # of a project, for annotators to correct
    LABELS = "labels"  # of a project, as ground truth


_CLASSES = {
    ImportKind.PREDICTIONS: sdk.MEAPredictionImport,
    ImportKind.PRELABELS: sdk.MALPredictionImport,
    ImportKind.LABELS: sdk.LabelImport,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """An import as Labelbox has it.

    Attributes:
        parent: Id of the model run, or the project.
        state: ``RUNNING``, ``FINISHED`` or ``FAILED``.
    """

    kind: ImportKind
    parent: str
    name: str
    state: str

    @property
    def is_running(self) -> bool:
        """Whether its end is still to come."""
        return self.state == "RUNNING"


class FileGone(ServiceUnavailable):
    """Labelbox keeps an import's result files for a day; this one is not there, or no longer."""

    code = "file_gone"


@dataclass(frozen=True, slots=True)
class Status:
    """How one annotation went; ``problem`` is "" where it was taken."""

    uuid: str
    problem: str


class Imports:
    """Starts imports and sees them through."""

    def __init__(self, box: Labelbox) -> None:
        self.box = box
        for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection"):  # they log addresses
            logging.getLogger(name).addFilter(_REDACTING)
        # Of its own: result files are at signed addresses, to which no key belongs.
        self._files = httpx.Client(timeout=FILE_TIMEOUT_S, follow_redirects=True)

    def find(self, kind: ImportKind, parent: str, name: str) -> Import | None:
        """An import by its name, as it is now."""
        found = self._look(kind, parent, name)
        return Import(kind=kind, parent=parent, name=name, state=found["state"]) if found else None

    def start(self, kind: ImportKind, parent: str, name: str, lines: list[dict[str, Any]]) -> Import:
        """Start an import; one of that name that is there already is taken for this one.

        Raises:
            AnswerLost: Again and again, and nothing of that name is there.
        """
        patience = self.box.patience
        for attempt in range(1, patience.attempts + 1):
            try:
                # A list: a file's handle would be at its end when the SDK sends it again.
                made = _CLASSES[kind].create_from_objects(self.box.client, parent, name, lines)
                return Import(kind=kind, parent=parent, name=name, state=made.state.value)
            except (AnswerLost, Taken):
                if there := self.find(kind, parent, name):
                    return there
                if attempt == patience.attempts:
                    raise
                patience.pause(attempt)
        raise AssertionError  # pragma: no cover (the last attempt returns or raises)

    def ended(self, started: Import) -> Import:
        """Wait for an import's end.

        Raises:
            StillProcessing: It did not end in time.
            NotThere: It is gone, with its model run or project.
        """
        if not started.is_running:
            return started

        def look() -> Import | None:
            found = self.find(started.kind, started.parent, started.name)
            if found is None:
                raise NotThere("the import is gone, and so may be what it was for")
            return None if found.is_running else found

        return self.box.patience.until(look, f"import {started.name}")

    def statuses(self, ended: Import) -> list[Status]:
        """How each annotation of a finished import went.

        Raises:
            FileGone: Labelbox does not say so any more.
        """
        return [_status(row) for row in self._rows(ended, "statusFileUrl")]

    def reason(self, ended: Import) -> str:
        """Why an import failed as a whole, in Labelbox' words; the SDK never reads them."""
        try:
            problems = [_status(row).problem for row in self._rows(ended, "errorFileUrl")]
        except ServiceUnavailable as error:
            return f"its error file could not be read: {error.message}"
        said = dict.fromkeys(problem for problem in problems if problem)
        return "; ".join(list(said)[:3]) or "Labelbox gives no reason"

    def _look(self, kind: ImportKind, parent: str, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] | None = _CLASSES[kind].from_name(self.box.client, parent, name, as_json=True)
        except NotThere:
            return None
        return found

    def _rows(self, ended: Import, key: str) -> list[dict[str, Any]]:
        """Read a file of an import's; each attempt asks for its address anew, because that expires."""

        def read() -> list[dict[str, Any]]:
            found = self._look(ended.kind, ended.parent, ended.name)
            if found is None:
                raise NotThere("the import is gone, and so may be what it was for")
            if not found[key] and ended.state == "FINISHED":
                raise FileGone(f"Labelbox has no statuses of import {ended.name}")
            return list(self._download(found[key])) if found[key] else []

        return self.box.patience.again(read)

    def _download(self, url: str) -> Iterator[dict[str, Any]]:
        """Yield the objects of an NDJSON file; what is no JSON becomes one object with its words."""
        try:
            answer = self._files.get(url)
            answer.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:  # their texts hold the URL
            refused = error.response if isinstance(error, httpx.HTTPStatusError) else None
            why = type(error).__name__ if refused is None else refused.status_code
            raise (FileGone if why in _GONE else ServiceUnavailable)(
                f"a result file of Labelbox' could not be fetched ({why})",
                retry_after_s=sdk.seconds(refused.headers.get("Retry-After")) if refused is not None else None,
            ) from None
        # By line feeds only: words of a message may hold other characters that end a line of text.
        for line in answer.content.split(b"\n"):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                yield {"errors": answer.text[:LONGEST_REASON]}
                return
            yield from row if isinstance(row, list) else [row]


def _status(row: Any) -> Status:
    """Read a status: ``{"uuid", "dataRow", "status", "errors": [{"name", "message"}]}``."""
    if not isinstance(row, dict):
        return Status("", sdk.shown(str(row)))
    failed = row.get("status") != "SUCCESS"
    errors = row.get("errors") or row.get("error") or row.get("message")
    told = errors if isinstance(errors, list) else [errors] if errors else []
    words = [f"{one.get('name', 'error')}: {one.get('message')}" if isinstance(one, dict) else str(one) for one in told]
    problem = sdk.shown("; ".join(words)) or row.get("status") or "no status"
    return Status(str(row.get("uuid") or ""), str(problem) if failed else "")
