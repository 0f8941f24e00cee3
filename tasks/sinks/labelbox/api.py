"""What we ask of Labelbox, call by call; each is safe to ask again.

Looks things up by name before it makes them, polls on its own, and takes ids and names, so that
what uses it knows no SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.domain.errors import InputInvalid
from tasks.sinks.labelbox import sdk
from tasks.sinks.labelbox.patience import AnswerLost, NotThere, Patience, settle

# Names per look-up, rows per request: far below Labelbox' limits, and an error costs little.
KEYS_AT_ONCE = 1000
RUN_PAGE = 500
MADE_BY = "Made by reelroute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ontology:
    """An ontology as Labelbox has it.

    Attributes:
        normalized: Its tools and classifications, in Labelbox' own JSON.
        media_type: ``VIDEO``, or whatever else it is for.
    """

    id: str
    name: str
    normalized: dict[str, Any]
    media_type: str


class Labelbox:
    """One workspace of Labelbox', by its key."""

    def __init__(self, api_key: str, *, endpoint: str, rest_endpoint: str, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self.client = sdk.Client(api_key, endpoint, rest_endpoint, self.patience)
        self._objects: dict[str, Any] = {}

    def workspace(self) -> str:
        """Name of the workspace that the key belongs to."""
        return str(self.client.get_organization().name)

    # --- things with a name -------------------------------------------------------------------

    def datasets(self, name: str) -> list[str]:
        """Ids of the datasets of a name, the oldest first."""
        return self._named(self.client.get_datasets(where=sdk.Dataset.name == name), name)

    def dataset(self, name: str) -> str:
        """Id of the one dataset of a name, made if need be."""

        def create() -> str:
            # None: the workspace's default integration would be asked to sign our signed URLs.
            made = self.client.create_dataset(name=name, description=MADE_BY, iam_integration=None)
            return self._keep(made)

        return self._settle(lambda: self.datasets(name), create)

    def models(self, name: str) -> list[str]:
        """Ids of the models of a name."""
        return self._named(self.client.get_models(where=sdk.Model.name == name), name)

    def model(self, name: str, ontology: str) -> str:
        """Id of the one model of a name, made with an ontology if need be."""
        return self._settle(lambda: self.models(name), lambda: self._keep(self.client.create_model(name, ontology)))

    def ontology_of_model(self, model: str) -> str:
        """Id of the ontology that a model was made with."""
        return str(self._objects[model].ontology_id)

    def model_runs(self, model: str, name: str) -> list[str]:
        """Ids of a model's runs of a name, the oldest first."""
        return self._named(self._objects[model].model_runs(), name)

    def model_run(self, model: str, name: str) -> str:
        """Id of the one run of a name, made if need be."""
        owner = self._objects[model]
        return self._settle(lambda: self.model_runs(model, name), lambda: self._keep(owner.create_model_run(name)))

    def projects(self, name: str) -> list[str]:
        """Ids of the projects of a name, the oldest first."""
        return self._named(self.client.get_projects(where=sdk.Project.name == name), name)

    def project(self, name: str) -> str:
        """Id of the one video project of a name, made if need be."""

        def create() -> str:
            made = self.client.create_project(name=name, media_type=sdk.MediaType.Video, description=MADE_BY)
            return self._keep(made)

        return self._settle(lambda: self.projects(name), create)

    def object_of(self, uid: str) -> Any:
        """The SDK's object of an id that a look-up gave."""
        return self._objects[uid]

    def _settle(self, find: Callable[[], list[str]], create: Callable[[], str]) -> str:
        return settle(find, create, lambda own: self._objects.pop(own).delete(), self.patience)

    def _named(self, found: Iterable[Any], name: str) -> list[str]:
        """Keep those of exactly that name; ids begin with the time, so they stand in for it."""
        exact = [one for one in found if one.name == name]
        return [self._keep(one) for one in sorted(exact, key=_age)]

    def _keep(self, found: Any) -> str:
        self._objects[found.uid] = found
        return str(found.uid)

    # --- ontologies ---------------------------------------------------------------------------

    def ontologies(self, name: str) -> list[Ontology]:
        """The ontologies of a name, the oldest first."""
        found = self._named(self.client.get_ontologies(name), name)
        return [self._ontology(self._objects[uid]) for uid in found]

    def ontology(self, uid: str) -> Ontology:
        """An ontology as it is now; one that was made a moment ago is waited for."""

        def look() -> Any:
            try:
                return self.client.get_ontology(uid)
            except NotThere:
                return None

        return self._ontology(self.patience.until(look, "the new ontology"))

    def create_ontology(self, name: str, normalized: dict[str, Any]) -> str:
        """Make an ontology for videos, unless one of that name is there by now; return its id."""

        def create() -> str:
            return self._keep(self.client.create_ontology(name, normalized, media_type=sdk.MediaType.Video))

        def remove(own: str) -> None:
            self.client.rest(self.client.delete_unused_ontology, own)

        return settle(lambda: [one.id for one in self.ontologies(name)], create, remove, self.patience)

    def put_feature(self, ontology: str, feature: dict[str, Any], position: int) -> None:
        """Change a feature that has a ``featureSchemaId``; add one that has none to the ontology."""
        own = self.client.rest(self.client.upsert_feature_schema, feature)
        if not feature.get("featureSchemaId"):
            self.client.rest(self.client.insert_feature_schema_into_ontology, own.uid, ontology, position)

    def _ontology(self, found: Any) -> Ontology:
        media = getattr(found.media_type, "value", found.media_type)
        return Ontology(id=str(found.uid), name=found.name, normalized=dict(found.normalized), media_type=str(media))

    # --- data rows ----------------------------------------------------------------------------

    def integration(self, name: str) -> str:
        """Id of an IAM integration by its name; ``default`` is the workspace's own default.

        Raises:
            InputInvalid: There is none, or it does not work.
        """
        found = self.client.get_organization().get_iam_integrations()
        chosen = [one for one in found if one.name == name or (name == "default" and one.is_org_default)]
        if not chosen:
            known = ", ".join(sorted(repr(one.name) for one in found)) or "none"
            raise InputInvalid(f"Labelbox has no IAM integration {name!r}", hint=f"the workspace has {known}")
        if not chosen[0].valid:
            raise InputInvalid(
                f"Labelbox says that the IAM integration {name!r} is not valid", hint="validate it in Labelbox"
            )
        return str(chosen[0].uid)

    def sign_with(self, dataset: str, integration: str) -> None:
        """Let a dataset's objects be read through an IAM integration."""
        self.object_of(dataset).add_iam_integration(integration)

    def upload_file(self, path: str) -> str:
        """Upload a local file to Labelbox; return its address there."""
        return str(self.client.upload_file(path))

    def find_rows(self, keys: Sequence[str]) -> tuple[set[str], set[str]]:
        """Which global keys have a data row, and which have one that we may not see."""
        absent: set[str] = set()
        denied: set[str] = set()
        for some in _parts(keys, KEYS_AT_ONCE):
            started = self.client.execute(_FIND_ROWS, {"globalKeys": some})["dataRowsForGlobalKeys"]["jobId"]
            data = self.patience.until(lambda job=started: self._row_job(job), "the look-up of data rows")  # type: ignore[misc]
            absent.update(data["notFoundGlobalKeys"])
            denied.update(data["accessDeniedGlobalKeys"])
        return set(keys) - absent - denied, denied

    def _row_job(self, job: str) -> dict[str, Any] | None:
        result = self.client.execute(_FOUND_ROWS, {"jobId": job})["dataRowsForGlobalKeysResult"]
        if result["jobStatus"] == "FAILED":
            raise AnswerLost("Labelbox could not look up data rows")
        data: dict[str, Any] = result["data"]
        return data if result["jobStatus"] == "COMPLETE" else None

    def create_rows(self, dataset: str, items: Sequence[dict[str, Any]]) -> dict[str, str]:
        """Make data rows; return Labelbox' words on those that it refuses, by global key."""
        refused: dict[str, str] = {}
        for some in _parts(items, KEYS_AT_ONCE):
            # A list: of a generator the SDK uploads nothing and reports success. Copies: it writes into them.
            task = self.object_of(dataset).create_data_rows([dict(item) for item in some])
            self.patience.until(lambda task=task: self._ended(task), "the import of data rows")  # type: ignore[misc]
            if task.status != "COMPLETE":  # as a whole; some may be there all the same
                words = f"Labelbox ended the import of data rows as {task.status}"
                refused |= {item["global_key"]: words for item in some}
                continue
            for error in task.errors or ():
                for row in error["failedDataRows"]:
                    refused[row["globalKey"]] = sdk.shown(str(error["message"]))
        return refused

    def _ended(self, task: Any) -> bool | None:
        if task.status == "IN_PROGRESS":
            task.refresh()
        return None if task.status == "IN_PROGRESS" else True

    def are_processed(self, keys: Sequence[str]) -> bool:
        """Say whether Labelbox has looked through all of these videos."""
        answer = self.client.execute(_PROCESSED, {"globalKeys": list(keys)})
        return bool(answer["queryAllDataRowsHaveBeenProcessed"]["allDataRowsHaveBeenProcessed"])

    # --- model runs ---------------------------------------------------------------------------

    def rows_in_run(self, run: str) -> Iterator[tuple[str, str]]:
        """Yield global key and id of each data row in a model run."""
        cursor = None
        while True:
            found = self.client.execute(_ROWS_IN_RUN, {"modelRunId": run, "from": cursor, "first": RUN_PAGE})
            for node in found["annotationGroups"]["nodes"]:
                yield node["dataRow"]["globalKey"] or "", node["dataRow"]["id"]
            cursor = found["annotationGroups"]["pageInfo"]["endCursor"]
            if not cursor:
                return

    def take_from_run(self, run: str, row_ids: Sequence[str]) -> None:
        """Take data rows out of a model run, with their predictions."""
        self.object_of(run).delete_model_run_data_rows(list(row_ids))

    def put_into_run(self, run: str, keys: Sequence[str]) -> str:
        """Put data rows into a model run; "" when done, else Labelbox' words on why not."""
        task = self.client.execute(_INTO_RUN, {"modelRunId": run, "dataRowIds": None, "globalKeys": list(keys)})
        return self._registered(_INTO_RUN_STATUS, task["createMEAModelRunDataRowRegistrationTask"], "data rows")

    def put_labels_into_run(self, run: str, project: str) -> str:
        """Put a project's labels into a model run; "" when done, else Labelbox' words on why not."""
        task = self.client.execute(_LABELS_INTO_RUN, {"modelRunId": run, "projectId": project})
        return self._registered(_LABELS_STATUS, task["createMEAModelRunProjectLabelRegistrationTask"], "labels")

    def _registered(self, query: str, task: str, what: str) -> str:
        def look() -> str | None:
            (state,) = self.client.execute(query, {"where": {"id": task}}).values()
            if state["status"] == "FAILED":
                return sdk.shown(state["errorMessage"] or "no reason given")
            return "" if state["status"] == "COMPLETE" else None

        return self.patience.until(look, f"putting {what} into the model run")


def _age(found: Any) -> tuple[str, str]:
    created = getattr(found, "created_at", None)
    return (created.isoformat() if created else "", str(found.uid))


def _parts(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


# The SDK's own requests, which it wraps in polls of 2 to 30 s and without the reason of a failure.
_FIND_ROWS = """query getDataRowsForGlobalKeysPyApi($globalKeys: [ID!]!) {
    dataRowsForGlobalKeys(where: {ids: $globalKeys}) { jobId } }"""
_FOUND_ROWS = """query getDataRowsForGlobalKeysResultPyApi($jobId: ID!) {
    dataRowsForGlobalKeysResult(jobId: {id: $jobId}) { data { fetchedDataRows { id } notFoundGlobalKeys
    accessDeniedGlobalKeys } jobStatus } }"""
_PROCESSED = """query CheckAllDataRowsHaveBeenProcessedPyApi($globalKeys: [ID!]) {
    queryAllDataRowsHaveBeenProcessed(globalKeys: $globalKeys) { allDataRowsHaveBeenProcessed } }"""
_ROWS_IN_RUN = """query modelRunPyApi($modelRunId: ID!, $from: String, $first: Int) {
    annotationGroups(where: {modelRunId: {id: $modelRunId}}, after: $from, first: $first) {
    nodes { dataRow { id globalKey } } pageInfo { endCursor } } }"""
_INTO_RUN = """mutation createMEAModelRunDataRowRegistrationTaskPyApi($modelRunId: ID!, $dataRowIds: [ID!],
    $globalKeys: [ID!]) { createMEAModelRunDataRowRegistrationTask(where: {id: $modelRunId},
    data: {dataRowIds: $dataRowIds, globalKeys: $globalKeys}) }"""
_INTO_RUN_STATUS = """query MEADataRowRegistrationTaskStatusPyApi($where: WhereUniqueIdInput!) {
    MEADataRowRegistrationTaskStatus(where: $where) { status errorMessage } }"""
_LABELS_INTO_RUN = """mutation createMEAModelRunProjectLabelRegistrationTaskPyApi($modelRunId: ID!, $projectId: ID!) {
    createMEAModelRunProjectLabelRegistrationTask(where: {modelRunId: $modelRunId, projectId: $projectId}) }"""
_LABELS_STATUS = """query MEALabelRegistrationTaskStatusPyApi($where: WhereUniqueIdInput!) {
    MEALabelRegistrationTaskStatus(where: $where) { status errorMessage } }"""
