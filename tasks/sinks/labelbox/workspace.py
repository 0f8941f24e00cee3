"""What an upload needs in Labelbox, found by name or made: dataset, ontology, model, model run, project."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks.domain.errors import InputInvalid, OntologyMismatch
from tasks.sinks.labelbox.api import Labelbox, Ontology
from tasks.sinks.labelbox.features import Feature
from tasks.sinks.labelbox.mapping import merged
from tasks.sinks.labelbox.ontology import additions
from tasks.sinks.labelbox.ontology_file import normalized
from tasks.sinks.labelbox.project import check_project, connect

# Two routes of one run must not both make the same thing; other processes are told apart by `settle`.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What things are called in Labelbox.

    Attributes:
        integration: IAM integration by which Labelbox reads the videos; "" for signed URLs.
        project: Project for annotators; "" for none.
    """

    dataset: str
    ontology: str
    model: str
    model_run: str
    integration: str = ""
    project: str = ""


@dataclass(slots=True, kw_only=True)
class Place:
    """Ids of what an upload goes to.

    Attributes:
        in_run: Global key (case-folded, as Labelbox compares them) -> id of the data rows that the
            run had when it was last looked at.
        put: Keys of those that this process has put there since.
        project: "" for none.
    """

    dataset: str
    ontology: str
    model: str
    run: str
    project: str = ""
    in_run: dict[str, str] = field(default_factory=dict)
    put: set[str] = field(default_factory=set)

    def has(self, key: str) -> bool:
        """Say whether the run has a data row."""
        return key.casefold() in self.in_run or key.casefold() in self.put

    def look_again(self, box: Labelbox) -> None:
        """Ask what the run has now."""
        self.in_run = {key.casefold(): row for key, row in box.rows_in_run(self.run)}
        self.put.clear()


class Workspace:
    """Finds or makes what the names say, once per process, and again after :meth:`forget`."""

    def __init__(self, box: Labelbox, names: Names) -> None:
        self.box = box
        self.names = names
        self._place: Place | None = None
        self._needed: tuple[Feature, ...] = ()

    def open(self, features: Sequence[Feature]) -> Place:
        """Return where to upload to; the ontology has all the features then.

        Raises:
            OntologyMismatch: It has one of another kind, or the model or project has another ontology.
                Nothing was changed.
        """
        with _ONE_AT_A_TIME:
            needed = merged((*self._needed, *features))
            if self._place is None or needed != self._needed:
                ontology = self._ontology(needed)
                self._place = self._place or self._opened(ontology)
                self._needed = needed
            return self._place

    def forget(self) -> None:
        """Look everything up anew next time: something was deleted meanwhile."""
        self._place, self._needed = None, ()

    def look(self, features: Sequence[Feature]) -> list[str]:
        """Look everything up and change nothing; return what was found, in sentences.

        Raises:
            InputInvalid: The IAM integration does not exist, or does not work.
            OntologyMismatch: An upload would fail for the ontology, the model or the project.
        """
        names, found = self.names, []
        if names.integration:
            self.box.integration(names.integration)
            found.append(f"IAM integration '{names.integration}' works")
        datasets = self.box.datasets(names.dataset)
        found.append(_sentence("dataset", names.dataset, datasets))
        ontologies = self.box.ontologies(names.ontology)
        if ontologies:
            missing = self._compared(ontologies[0], merged(features))
            added = ", ".join(repr(one["name"]) for one in missing)
            found.append(f"ontology '{names.ontology}' fits" + (f"; {added} will be added to it" if added else ""))
        else:
            found.append(_sentence("ontology", names.ontology, ()))
        models = self.box.models(names.model)
        found.append(_sentence("model", names.model, models))
        ontology = ontologies[0].id if ontologies else ""
        if models:
            self._check_model(models[0], ontology)
            runs = self.box.model_runs(models[0], names.model_run)
            found.append(_sentence("model run", names.model_run, runs))
        if names.project:
            found.append(_sentence("project", names.project, self._projects(ontology)))
        return found

    def _ontology(self, needed: tuple[Feature, ...]) -> str:
        """Id of the ontology, with all features in it."""
        box, name = self.box, self.names.ontology
        there = next(iter(box.ontologies(name)), None)
        changes = self._compared(there, needed) if there else []
        # Model and project are looked at before anything is changed.
        own = there.id if there else ""
        if models := box.models(self.names.model):
            self._check_model(models[0], own)
        if self.names.project:
            self._projects(own)
        if there is None:
            there = box.ontology(box.create_ontology(name, normalized(needed)))
            changes = self._compared(there, needed)  # of another process, which made it first
        count = sum(len(there.normalized.get(part) or ()) for part in ("tools", "classifications"))
        for change in changes:
            box.put_feature(there.id, change, count)
            count += not change.get("featureSchemaId")
        if changes:
            self._await(there.id, needed)
        return there.id

    def _await(self, ontology: str, needed: Sequence[Feature]) -> None:
        """Wait until the ontology has what was added: an import right after that could be told that it has not."""
        self.box.patience.until(
            lambda: None if self._compared(self.box.ontology(ontology), needed) else True,
            f"the change of ontology '{self.names.ontology}'",
        )

    def _compared(self, ontology: Ontology, needed: Sequence[Feature]) -> list[dict[str, object]]:
        if ontology.media_type.upper() not in ("VIDEO", "UNKNOWN", "NONE"):
            raise OntologyMismatch(
                f"ontology '{self.names.ontology}' is for {ontology.media_type}, not for videos",
                hint="name another ontology, or one that does not exist yet",
            )
        return additions(ontology.normalized, needed, self.names.ontology)

    def _check_model(self, model: str, ontology: str) -> None:
        if self.box.ontology_of_model(model) != ontology:
            raise OntologyMismatch(
                f"model '{self.names.model}' was made with another ontology than '{self.names.ontology}'",
                hint="name the ontology that the model has, or another model",
            )

    def _projects(self, ontology: str) -> list[str]:
        """Ids of the projects of the name, of which the first, if there is one, takes the ontology."""
        found = self.box.projects(self.names.project)
        if found:
            check_project(self.box, found[0], self.names.project, ontology)
        return found

    def _opened(self, ontology: str) -> Place:
        names, box = self.names, self.box
        integration = box.integration(names.integration) if names.integration else ""
        dataset = box.dataset(names.dataset)
        if integration:
            box.sign_with(dataset, integration)
        model = box.model(names.model, ontology)
        run = box.model_run(model, names.model_run)
        place = Place(dataset=dataset, ontology=ontology, model=model, run=run)
        place.look_again(box)
        if names.project:
            place.project = connect(box, names.project, ontology)
        return place


def _sentence(what: str, name: str, found: Sequence[object]) -> str:
    if not name:
        raise InputInvalid(f"the {what} has no name")
    more = f"; of {len(found)} of that name, the oldest is taken" if len(found) > 1 else ""
    return f"{what} '{name}' {'is there' if found else 'will be new'}{more}"
