"""The two documents of a datasource that deliveries share: a task's schema and the list of tasks.

Both only ever grow, by compare-and-swap: a category keeps its id for good, because files that
were written with it are not written again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tasks.domain.errors import DeliveryFailed, ObjectMissing
from tasks.sinks.lightly.names import TASKS, schema_key
from tasks.sinks.swap import swap
from tasks.storage.base import Storage

_JSON = "application/json"


class _Category(msgspec.Struct):
    id: int
    name: str


class _Schema(msgspec.Struct):
    """What a schema must have; whatever else it has is kept."""

    task_type: str
    categories: list[_Category]


def ensure_schema(store: Storage, task: str, task_type: str, names: Iterable[str]) -> dict[str, int]:
    """Make sure that the task's schema has all class names; return name -> category id.

    Names that it has keep their ids; new ones get the next ids in the given order. Whatever
    else the schema says is kept.

    Raises:
        DeliveryFailed: There is a schema of another kind of task, or something that is no schema.
    """
    key, wanted = schema_key(task), list(dict.fromkeys(names))
    ids: dict[str, int] = {}

    def change(there: bytes | None) -> bytes | None:
        schema = _read(there, task_type, store.root + key)
        _require_kind(schema, task, task_type)
        categories: list[dict[str, Any]] = schema["categories"]
        known = {category["name"] for category in categories}
        free = max((category["id"] for category in categories), default=-1) + 1
        new = [name for name in wanted if name not in known]
        categories += [{"id": number, "name": name} for number, name in enumerate(new, free)]
        ids.clear()
        ids.update((category["name"], category["id"]) for category in reversed(categories))
        return _encode(schema) if new or there is None else None

    swap(store, key, change, content_type=_JSON)
    return ids


def list_task(store: Storage, task: str) -> None:
    """Make sure that the worker sees the task. Call it only once the task has a file.

    Raises:
        DeliveryFailed: What is there is no list of names.
    """

    def change(there: bytes | None) -> bytes | None:
        tasks = _names(there, store.root + TASKS)
        return None if task in tasks else _encode([*tasks, task])

    swap(store, TASKS, change, content_type=_JSON)


def check_task(store: Storage, task: str, task_type: str) -> bool:
    """Say whether the datasource has the task already; change nothing.

    Raises:
        DeliveryFailed: What is there could not be delivered to.
    """
    there = _bytes(store, schema_key(task))
    _require_kind(_read(there, task_type, store.root + schema_key(task)), task, task_type)
    return task in _names(_bytes(store, TASKS), store.root + TASKS)


def _bytes(store: Storage, key: str) -> bytes | None:
    try:
        return store.read(key)
    except ObjectMissing:
        return None


def _names(there: bytes | None, uri: str) -> list[str]:
    try:
        return msgspec.json.decode(there, type=list[str]) if there is not None else []
    except msgspec.DecodeError:
        raise _unusable(uri, "a list of task names") from None


def _require_kind(schema: dict[str, Any], task: str, task_type: str) -> None:
    if schema["task_type"] != task_type:
        raise DeliveryFailed(
            f"LightlyOne task {task!r} holds {schema['task_type']} predictions, not {task_type}",
            hint="choose another task_name: a task keeps its kind",
        )


def _read(there: bytes | None, task_type: str, uri: str) -> dict[str, Any]:
    """Decode a schema and make sure that it is one; an empty one where nothing is."""
    if there is None:
        return {"task_type": task_type, "categories": []}
    try:
        schema = msgspec.json.decode(there)
        msgspec.convert(schema, _Schema)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise _unusable(uri, "a schema") from None
    return dict(schema)


def _unusable(uri: str, expected: str) -> DeliveryFailed:
    return DeliveryFailed(f"{uri} is not {expected}", hint="repair or remove that file, then replay this route")


def _encode(value: object) -> bytes:
    """Write for people to read: one line per entry."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2)
