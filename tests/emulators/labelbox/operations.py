"""The stand-in's GraphQL schema: what can be asked and changed, as the SDK spells it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from tests.emulators.labelbox.graphql import Refused
from tests.emulators.labelbox.world import World

PAGE = 100


def queries(world: World) -> dict[str, Callable[..., Any]]:
    """Root fields that change nothing."""
    return {
        "organization": lambda: {"id": "org", "name": "Test workspace", "createdAt": None, "updatedAt": None},
        "iamIntegrations": lambda: world.integrations,
        "user": lambda: _user(world),
        "datasets": lambda where=None, skip=0, first=PAGE: _page(_chosen(world.datasets, where), skip, first),
        "models": lambda where=None, skip=0, first=PAGE: _page(_chosen(world.models, where), skip, first),
        "model": lambda where: _model(world, world.get(world.models, where["id"])),
        "projects": lambda where=None, skip=0, first=PAGE: _page(
            [_project(world, found) for found in _chosen(world.projects, where)], skip, first
        ),
        "project": lambda where: _project(world, world.get(world.projects, where["id"])),
        "ontologies": lambda where, after=None, first=PAGE: _ontologies(world, where, after, first),
        "ontology": lambda where: _ontology(world, world.get(world.ontologies, where["id"])),
        "rootSchemaNode": lambda where: _schema(world, where["featureSchemaId"]),
        "labelingFrontends": lambda where=None, skip=0, first=PAGE: [_FRONTEND],
        "dataRowsForGlobalKeys": lambda where: _find_rows(world, where["ids"]),
        "dataRowsForGlobalKeysResult": lambda jobId: _found_rows(world, jobId["id"]),
        "failedDataRowImports": lambda data: _failed(world, **data),
        "successesfulDataRowImports": lambda data: _made(world, **data),
        "queryAllDataRowsHaveBeenProcessed": lambda globalKeys=(), dataRowIds=(): {
            "allDataRowsHaveBeenProcessed": all(_row(world, key)["processed"]() for key in globalKeys)
        },
        "annotationGroups": lambda where, after=None, first=PAGE: _run_rows(world, where, after, first),
        "MEADataRowRegistrationTaskStatus": lambda where: _task_status(world, where["id"]),
        "MEALabelRegistrationTaskStatus": lambda where: _task_status(world, where["id"]),
        "modelErrorAnalysisPredictionImport": lambda where: _import(world, "predictions", where, "modelRunId"),
        "modelAssistedLabelingPredictionImport": lambda where: _import(world, "prelabels", where, "projectId"),
        "labelImport": lambda where: _import(world, "labels", where, "projectId"),
    }


def mutations(world: World) -> dict[str, Callable[..., Any]]:
    """Root fields that change something."""
    return {
        "createDataset": lambda data: world.thing(
            world.datasets, **{"description": "", **_only(data, "name", "description")}, rowCount=0, signer=None
        ),
        "updateDataset": lambda where, data: _update(world, world.datasets, where, data),
        "setSignerForDataset": lambda data, where: _sign(world, data["signerId"], where["id"]),
        "createModel": lambda data: world.thing(
            world.models, **_only(data, "name", "ontologyId"), known=world.get(world.ontologies, data["ontologyId"])
        ),
        "deleteModels": lambda where: [_delete(world, world.models, uid) for uid in where["ids"]],
        "createModelRun": lambda data: _create_run(world, **data),
        "deleteModelRuns": lambda where: [_delete(world, world.runs, uid) for uid in where["ids"]],
        "upsertOntology": lambda data: _create_ontology(world, **data),
        "upsertDataRows": lambda data: _task(world, world.upsert_rows(json.loads(world.file_of(data["manifestUri"])))),
        "createMEAModelRunDataRowRegistrationTask": lambda where, data: _register(world, where["id"], **data),
        "createMEAModelRunProjectLabelRegistrationTask": lambda where: _register_labels(world, **where),
        "deleteModelRunDataRows": lambda where: _take_from_run(world, **where),
        "createModelErrorAnalysisPredictionImport": lambda data: _begin(world, "predictions", "modelRunId", data),
        "createModelAssistedLabelingPredictionImport": lambda data: _begin(world, "prelabels", "projectId", data),
        "createLabelImport": lambda data: _begin(world, "labels", "projectId", data),
        "createProject": lambda data: _project(world, _create_project(world, data)),
        "updateProject": lambda where, data: _update_project(world, where["id"], data),
        "createLabelingFrontendOptions": lambda data: {"id": world.new_id(), "customizationOptions": "{}"},
        "project": lambda where: _project(world, world.get(world.projects, where["id"])),
        "uploadFile": lambda file, contentLength, sign=False: {"url": world.keep(file, "bin"), "filename": "file"},
    }


_FRONTEND = {"id": "editor", "name": "Editor", "description": "", "iframeUrlPath": ""}


def _only(data: dict[str, Any], *known: str) -> dict[str, Any]:
    if unknown := set(data) - set(known):
        raise Refused("GRAPHQL_VALIDATION_FAILED", f"Unknown input fields {sorted(unknown)}")
    return data


def _chosen(store: dict[str, dict[str, Any]], where: dict[str, Any] | None) -> list[dict[str, Any]]:
    return [one for one in store.values() if not one["deleted"] and _matches(one, where or {})]


def _matches(one: dict[str, Any], where: dict[str, Any]) -> bool:
    return all(
        all(_matches(one, part) for part in value) if key == "AND" else one[key] == value
        for key, value in where.items()
    )


def _page(found: list[Any], skip: int, first: int) -> list[Any]:
    return found[skip : skip + first]


def _delete(world: World, store: dict[str, dict[str, Any]], uid: str) -> str:
    world.get(store, uid)["deleted"] = True
    return uid


def _update(world: World, store: dict[str, dict[str, Any]], where: dict[str, Any], data: dict[str, Any]) -> Any:
    found = world.get(store, where["id"])
    found.update(_only(data, "deleted"))
    return found


def _user(world: World) -> dict[str, Any]:
    def created_tasks(where: dict[str, Any], skip: int = 0, first: int = PAGE) -> list[Any]:
        return _page([_task(world, task) for task in _chosen(world.tasks, where)], skip, first)

    names = ("email", "isExternalUser", "isViewer", "lastLoginAt", "nickname", "name", "picture", "createdAt")
    return {"id": "user", "updatedAt": None, **dict.fromkeys(names), "createdTasks": created_tasks}


def _task(world: World, task: dict[str, Any]) -> dict[str, Any]:
    status = world.rows_end if time.monotonic() >= task["ready"] else "IN_PROGRESS"
    return {**task, "status": status, "completionPercentage": 0, "result": None, "errors": None, "metadata": None}


def _sign(world: World, signer: str, dataset: str) -> dict[str, Any]:
    found = world.get(world.datasets, dataset)
    chosen = next(one for one in world.integrations if one["id"] == signer)
    found["signer"] = {"id": chosen["id"]}
    return found


def _model(world: World, model: dict[str, Any]) -> dict[str, Any]:
    def model_runs(where: dict[str, Any] | None = None, skip: int = 0, first: int = PAGE) -> list[Any]:
        own = [run for run in _chosen(world.runs, None) if run["modelId"] == model["id"]]
        return _page(own, skip, first)

    return {**model, "modelRuns": model_runs}


def _create_run(world: World, name: str, modelId: str, trainingMetadata: Any = None) -> dict[str, Any]:
    model = world.get(world.models, modelId)
    fields = {"createdBy": "user", "modelAppId": None, "trainingMetadata": trainingMetadata}
    return world.thing(world.runs, name=name, modelId=model["id"], rows={}, **fields)


def _ontology(world: World, ontology: dict[str, Any]) -> dict[str, Any]:
    normalized = world.normalized(ontology)
    counts = {"objectSchemaCount": len(normalized["tools"])}
    counts["classificationSchemaCount"] = len(normalized["classifications"])
    return {**ontology, "normalized": normalized, **counts}


def _ontologies(world: World, where: dict[str, Any], after: str | None, first: int) -> dict[str, Any]:
    found = [one for one in _chosen(world.ontologies, None) if where["search"].lower() in one["name"].lower()]
    start = int(after or 0)
    more = str(start + first) if start + first < len(found) else None
    return {"nodes": [_ontology(world, one) for one in found[start : start + first]], "nextCursor": more}


def _create_ontology(world: World, name: str, normalized: str, mediaType: str | None) -> dict[str, Any]:
    features = json.loads(normalized)
    if set(features) != {"tools", "classifications"}:
        raise Refused("MALFORMED_REQUEST", "an ontology has tools and classifications")
    kept = [world.take_feature(one) for one in (*features["tools"], *features["classifications"])]
    uids = [one["featureSchemaId"] for one in kept]
    fields = {"description": "", "mediaType": mediaType, "lagging": 0, "old": None}
    return _ontology(world, world.thing(world.ontologies, name=name, features=uids, **fields))


def _schema(world: World, uid: str) -> dict[str, Any]:
    if uid not in world.schemas:
        raise Refused("RESOURCE_NOT_FOUND", f"Feature schema {uid} not found")
    return {"id": uid, "name": world.schemas[uid]["name"], "normalized": world.schemas[uid]}


def _row(world: World, key: str) -> dict[str, Any]:
    row = world.row(key)
    if row is None:
        raise Refused("RESOURCE_NOT_FOUND", f"Data row {key} not found")
    return row


def _find_rows(world: World, keys: list[str]) -> dict[str, Any]:
    job = world.thing(world.tasks, keys=keys, ready=time.monotonic() + world.task_s, name="", type="")
    return {"jobId": job["id"]}


def _found_rows(world: World, job: str) -> dict[str, Any]:
    task = world.get(world.tasks, job)
    if time.monotonic() < task["ready"]:
        return {"data": None, "jobStatus": "IN_PROGRESS"}
    there = [key for key in task["keys"] if world.row(key)]
    data = {
        # As the service does: "" at the place of one that is not there, and no promise of an order.
        "fetchedDataRows": [{"id": (world.row(key) or {"id": ""})["id"]} for key in reversed(task["keys"])],
        "notFoundGlobalKeys": [key for key in task["keys"] if key not in there],
        "accessDeniedGlobalKeys": [key for key in there if key in world.forbidden],
    }
    return {"data": data, "jobStatus": "COMPLETE"}


# The names are those of the wire.
def _failed(world: World, taskId: str, first: int, **cursor: str | None) -> dict[str, Any]:
    failed = world.get(world.tasks, taskId)["failed"]
    return {"results": failed[:first], "after": None, "total": len(failed)}


def _made(world: World, taskId: str, first: int, **cursor: str | None) -> dict[str, Any]:
    made = world.get(world.tasks, taskId)["made"]
    return {"nodes": made[:first], "after": None, "total": len(made)}


def _run_rows(world: World, where: dict[str, Any], after: str | None, first: int) -> dict[str, Any]:
    run = world.get(world.runs, where["modelRunId"]["id"])
    by_id = {row["id"]: row for row in world.rows.values()}
    nodes = [{"id": f"g-{uid}", "dataRow": by_id[uid]} for uid in run["rows"]]
    start = int(after or 0)
    more = str(start + first) if start + first < len(nodes) else None
    return {"nodes": nodes[start : start + first], "pageInfo": {"endCursor": more}}


def _register(world: World, run: str, dataRowIds: Any, globalKeys: list[str]) -> str:
    found, words = world.get(world.runs, run), ""
    rows = [world.row(key) for key in globalKeys]
    if missing := [key for key, row in zip(globalKeys, rows, strict=True) if row is None]:
        words = f"Data rows not found: {missing}"
    else:
        for row in rows:
            found["rows"].setdefault(row["id"], {})  # type: ignore[index]
    return str(_new_task(world, words)["id"])


def _new_task(world: World, words: str) -> dict[str, Any]:
    ready = time.monotonic() + world.task_s
    return world.thing(world.tasks, errorMessage=words or None, ready=ready, name="", type="")


def _task_status(world: World, uid: str) -> dict[str, Any]:
    task = world.get(world.tasks, uid)
    if time.monotonic() < task["ready"]:
        return {"status": "IN_PROGRESS", "errorMessage": None}
    return {"status": "FAILED" if task["errorMessage"] else "COMPLETE", "errorMessage": task["errorMessage"]}


def _register_labels(world: World, modelRunId: str, projectId: str) -> str:
    run, project = world.get(world.runs, modelRunId), world.get(world.projects, projectId)
    for uid, made in project["rows"].items():
        if made.get("labels"):
            run["rows"].setdefault(uid, {})["labels"] = list(made["labels"])
    return str(_new_task(world, "")["id"])


def _take_from_run(world: World, modelRunId: str, dataRowIds: list[str]) -> Any:
    run = world.get(world.runs, modelRunId)
    for uid in dataRowIds:
        run["rows"].pop(uid, None)
    return {"id": modelRunId}


def _import(world: World, kind: str, where: dict[str, Any], parent: str) -> dict[str, Any]:
    found = world.imports.get((kind, where[parent], where["name"]))
    if found is None:
        raise Refused("RESOURCE_NOT_FOUND", f"Import {where['name']} not found")
    return _import_node(world, found)


def _import_node(world: World, found: dict[str, Any]) -> dict[str, Any]:
    owner = world.projects.get(found["projectId"])
    return {**found, "project": _project(world, owner)} if owner else found


def _begin(world: World, kind: str, parent: str, data: dict[str, Any]) -> dict[str, Any]:
    content = data["filePayload"]["file"]
    if not content:
        raise Refused("MALFORMED_REQUEST", "the file is empty")
    return _import_node(world, world.begin_import(kind, data[parent], data["name"], content))


def _create_project(world: World, data: dict[str, Any]) -> dict[str, Any]:
    names = ("autoAuditNumberOfLabels", "autoAuditPercentage", "lastActivityTime", "setupComplete", "editorTaskType")
    fields = {**dict.fromkeys(names), "dataRowCount": 0, "modelSetupComplete": None, "uploadType": "Auto"}
    fields |= {"isBenchmarkEnabled": True, "isConsensusEnabled": False, "description": "", "allowedMediaType": None}
    data = {("allowedMediaType" if key == "mediaType" else key): value for key, value in data.items()}
    return world.thing(world.projects, **fields | data, ontology=None, frontend=None, rows={})


def _update_project(world: World, uid: str, data: dict[str, Any]) -> dict[str, Any]:
    project = world.get(world.projects, uid)
    if data.get("deleted"):
        project["deleted"] = True
    else:
        project["frontend"] = data["labelingFrontend"]["connect"]["id"]
    return project


def _project(world: World, project: dict[str, Any]) -> dict[str, Any]:
    def connect(ontologyId: str) -> dict[str, Any]:
        project["ontology"] = world.get(world.ontologies, ontologyId)["id"]
        return project

    def ontology() -> dict[str, Any] | None:
        return _ontology(world, world.ontologies[project["ontology"]]) if project["ontology"] else None

    return {
        **project,
        "labelCount": sum(len(made.get("labels", ())) for made in project["rows"].values()),
        "labelingFrontend": lambda: _FRONTEND if project["frontend"] else None,
        "ontology": ontology,
        "connectOntology": connect,
        "createBatchV2": lambda input: _create_batch(world, project, **input),
    }


def _create_batch(
    world: World, project: dict[str, Any], name: str, globalKeys: list[str], priority: int, **rest: Any
) -> dict[str, Any]:
    if any(batch["name"] == name and batch["project"] == project["id"] for batch in world.batches.values()):
        raise Refused("RESOURCE_CONFLICT", f"A batch named {name} exists already")
    uids = [_row(world, key)["id"] for key in globalKeys]
    if world.unbatched.intersection(globalKeys):
        raise Refused("MALFORMED_REQUEST", "The project's quota does not allow it")
    if any(uid in project["rows"] for uid in uids):
        raise Refused("MALFORMED_REQUEST", "Some data rows are in the project already")
    project["rows"] |= {uid: {} for uid in uids}
    fields = {"consensusSettingsJson": None, "size": len(uids), "priority": priority, "project": project["id"]}
    return {"batch": world.thing(world.batches, name=name, **fields), "failedDataRowIds": []}
