"""What the stand-in remembers: datasets, data rows, ontologies, models, runs, projects, imports."""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.labelbox.annotations import Judge
from tests.emulators.labelbox.graphql import Refused


@dataclass
class Media:
    """A video as the service would see it, had it fetched it."""

    width: int = 1920
    height: int = 1080
    frames: int = 100_000


@dataclass
class World:
    """One workspace.

    Attributes:
        media: Global key -> what the video is; any other video is a large one.
        unreadable: Global keys whose videos cannot be fetched.
        stuck: Global keys whose processing does not end.
        forbidden: Global keys of data rows that the key's owner may not see.
        unbatched: Global keys of data rows that no project takes.
        processing_s, task_s, import_s: Seconds that things take.
        rows_end: Status with which imports of data rows end.
        fails_import: Says of an import's lines why it fails as a whole, or "".
        lag: Answers about a changed ontology that still show it as it was.
    """

    url: str = ""
    media: dict[str, Media] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    stuck: set[str] = field(default_factory=set)
    forbidden: set[str] = field(default_factory=set)
    unbatched: set[str] = field(default_factory=set)
    processing_s: float = 0.0
    task_s: float = 0.0
    import_s: float = 0.0
    rows_end: str = "COMPLETE"
    fails_import: Callable[[list[Any]], str] = lambda lines: ""
    lag: int = 0

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self.datasets: dict[str, dict[str, Any]] = {}
        self.rows: dict[str, dict[str, Any]] = {}  # by lower-case global key
        self.ontologies: dict[str, dict[str, Any]] = {}
        self.schemas: dict[str, dict[str, Any]] = {}  # root features by id
        self.models: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.projects: dict[str, dict[str, Any]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.imports: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.integrations: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.uploads: list[bytes] = []

    # --- small things -------------------------------------------------------------------------

    def new_id(self) -> str:
        """Ids begin with the time, as Labelbox' do: later ones are greater."""
        return f"clb{next(self._numbers):09d}"

    def stamp(self) -> str:
        return f"2026-01-01T00:00:{next(self._numbers) % 60:02d}.000Z"

    def keep(self, content: bytes, suffix: str = "ndjson") -> str:
        """Keep a file; its address has a secret in it, as signed ones have."""
        name = f"{self.new_id()}.{suffix}"
        self.files[name] = content
        return f"{self.url}/files/{name}?sig=file-secret"

    def expire_files(self) -> None:
        """Let a day pass: result files of imports are not kept for longer."""
        self.files = {name: content for name, content in self.files.items() if not name.endswith(".ndjson")}

    def file_of(self, address: str) -> bytes:
        return self.files[address.rpartition("/")[2].partition("?")[0]]

    def thing(self, store: dict[str, dict[str, Any]], **fields: Any) -> dict[str, Any]:
        made = {"id": self.new_id(), "createdAt": self.stamp(), "updatedAt": self.stamp(), "deleted": False, **fields}
        store[made["id"]] = made
        return made

    def get(self, store: dict[str, dict[str, Any]], uid: str) -> dict[str, Any]:
        found = store.get(uid)
        if found is None or found.get("deleted"):
            raise Refused("RESOURCE_NOT_FOUND", f"Resource {uid} not found")
        return found

    # --- data rows ----------------------------------------------------------------------------

    def upsert_rows(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Take the rows of a manifest; what is wrong with one is told of it alone."""
        if set(manifest) != {"source", "item_count", "chunk_uris"}:
            raise Refused("MALFORMED_REQUEST", "not a manifest")
        items = [item for uri in manifest["chunk_uris"] for item in json.loads(self.file_of(uri))]
        failed: list[dict[str, Any]] = []
        made: list[dict[str, Any]] = []
        for item in items:
            row = item["payload"]
            problem = self._row_problem(item, row)
            if problem:
                spec = {
                    "externalId": row.get("external_id"),
                    "globalKey": row["global_key"],
                    "rowData": row["row_data"],
                }
                failed.append({"message": problem, "spec": {**spec, "metadata": [], "attachments": []}})
            else:
                made.append(self._new_row(row))
        return self.thing(
            self.tasks,
            name="Upsert data rows",
            type="adv-upsert-data-rows",
            ready=time.monotonic() + self.task_s,
            failed=failed,
            made=made,
            errorMessage=None,
        )

    def _row_problem(self, item: dict[str, Any], row: dict[str, Any]) -> str:
        key = row["global_key"]
        unknown = set(row) - {"row_data", "global_key", "external_id", "media_type", "dataset_id"}
        if item["id"] != {"type": "AUTO", "value": ""} or unknown:
            return f"Invalid data row: {sorted(unknown)}"
        if len(key) > 200 or key != key.strip(" "):
            return f"Invalid global key: '{key}'"
        if key.lower() in self.rows:
            return f"Duplicate global key: '{key}'"
        if key in self.unreadable:
            return f"Failed to access URL: 404 {row['row_data']}"
        self.get(self.datasets, row["dataset_id"])
        return ""

    def _new_row(self, row: dict[str, Any]) -> dict[str, Any]:
        key, begun = row["global_key"], time.monotonic()
        media = self.media.get(key, Media())
        self.rows[key.lower()] = made = {
            "id": self.new_id(),
            "globalKey": key,
            "rowData": row["row_data"],
            "externalId": row.get("external_id"),
            "dataset": row["dataset_id"],
            "processed": lambda: key not in self.stuck and time.monotonic() >= begun + self.processing_s,
            "frames": media.frames,
            "width": media.width,
            "height": media.height,
        }
        self.datasets[row["dataset_id"]]["rowCount"] += 1
        return made

    def row(self, key: str) -> dict[str, Any] | None:
        found = self.rows.get(key.lower())
        return None if found is None or found["dataset"] not in self.datasets else found

    # --- ontologies ---------------------------------------------------------------------------

    def take_feature(self, feature: dict[str, Any]) -> dict[str, Any]:
        """Give a feature and what is in it their ids, and keep it."""
        kept = copy.deepcopy(feature)
        if ("tool" in kept) == ("type" in kept) or not kept.get("name"):
            raise Refused("MALFORMED_REQUEST", "a feature is a tool or a classification, with a name")
        self._identify(kept)
        self.schemas[kept["featureSchemaId"]] = kept
        return kept

    def _identify(self, feature: dict[str, Any]) -> None:
        for key in ("schemaNodeId", "featureSchemaId"):
            feature[key] = feature.get(key) or self.new_id()
        if "type" in feature and feature["type"] in ("radio", "checklist") and not feature["options"]:
            raise Refused("MALFORMED_REQUEST", f"{feature['name']} has no options")
        for inner in (*feature.get("classifications", ()), *feature.get("options", ())):
            self._identify(inner)

    def normalized(self, ontology: dict[str, Any]) -> dict[str, Any]:
        """The ontology as it is, or for a while as it was."""
        if ontology["lagging"]:
            ontology["lagging"] -= 1
            old: dict[str, Any] = ontology["old"]
            return old
        features = [self.schemas[uid] for uid in ontology["features"]]
        return copy.deepcopy(
            {
                "tools": [feature for feature in features if "tool" in feature],
                "classifications": [feature for feature in features if "type" in feature],
            }
        )

    # --- imports ------------------------------------------------------------------------------

    def begin_import(self, kind: str, parent: str, name: str, content: bytes) -> dict[str, Any]:
        """Take an import; its end comes later."""
        owner = self.get(self.runs if kind == "predictions" else self.projects, parent)
        if (kind, parent, name) in self.imports:
            raise Refused("RESOURCE_CONFLICT", f"An import named {name} exists already")
        if kind != "predictions" and not owner["ontology"]:
            raise Refused("MALFORMED_REQUEST", "the project has no ontology")
        self.uploads.append(content)
        self.imports[kind, parent, name] = made = {
            "id": self.new_id(),
            "name": name,
            "modelRunId": parent,
            "projectId": parent,
            "progress": "0%",
            "state": "RUNNING",
            "inputFileUrl": self.keep(content),
            "errorFileUrl": None,
            "statusFileUrl": None,
            "content": content,
            "kind": kind,
            "ready": time.monotonic() + self.import_s,
        }
        return made

    def advance(self) -> None:
        """Let everything end whose time has come."""
        for begun in self.imports.values():
            if begun["state"] == "RUNNING" and time.monotonic() >= begun["ready"]:
                self._end_import(begun)

    def _end_import(self, begun: dict[str, Any]) -> None:
        owner = (self.runs if begun["kind"] == "predictions" else self.projects)[begun["modelRunId"]]
        lines = [json.loads(line) for line in begun["content"].splitlines()]
        if reason := self.fails_import(lines):
            problem = {"errors": [{"name": "ImportFailed", "message": reason, "additionalInfo": None}]}
            begun.update(state="FAILED", progress="100%", errorFileUrl=self.keep(json.dumps(problem).encode()))
            return
        model = self.models.get(owner.get("modelId", ""), {})
        ontology = self.ontologies[model.get("ontologyId") or owner["ontology"]]
        judge = Judge(self.normalized(ontology), self.rows, owner["rows"])
        statuses = []
        for line in lines:
            row, errors = judge.judge(line)
            named = {"id": row["id"], "globalKey": row["globalKey"]} if row else line.get("dataRow")
            status = {"uuid": line.get("uuid"), "dataRow": named, "status": "FAILURE" if errors else "SUCCESS"}
            if errors:
                told = [{"name": name, "message": words, "additionalInfo": None} for name, words in errors]
                status["errors"] = told
            elif row and not owner["deleted"]:
                owner["rows"][row["id"]].setdefault(begun["kind"], []).append(line)
            statuses.append(status)
        failed = [status for status in statuses if status["status"] == "FAILURE"]
        begun.update(
            state="FINISHED",
            progress="100%",
            statusFileUrl=self.keep(_ndjson(statuses)),
            errorFileUrl=self.keep(_ndjson(failed)),
        )


def _ndjson(rows: list[dict[str, Any]]) -> bytes:
    # As the service's own language spells JSON: only what must be escaped is.
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
