"""The two documents of a datasource that deliveries share: a task's schema and the list of tasks.

Both only ever grow, by compare-and-swap: a category keeps its id and its keypoints for good,
because files that were written with them are not written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tasks.domain.errors import DeliveryFailed, ObjectMissing
from tasks.domain.wording import count_of
from tasks.sinks.lightly.names import TASKS, schema_key
from tasks.sinks.swap import swap
from tasks.storage.base import Storage

_JSON = "application/json"


class _Category(msgspec.Struct):
    id: int
    name: str
    keypoints: list[str] | None = None


class _Schema(msgspec.Struct):
    """What a schema must have; whatever else it has is kept."""

    task_type: str
    categories: list[_Category]


@dataclass(frozen=True, slots=True)
class Category:
    """A category that a task is to have.

    Attributes:
        name: Of the class.
        keypoints: Names of its keypoint slots, in the order in which files hold them; () for none.
        more: What else the schema says of it where it is new, such as a ``supercategory``.
    """

    name: str
    keypoints: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskSchema:
    """What a task's schema says.

    Attributes:
        task_type: The kind of task.
        ids: Class name -> category id, of all its categories.
        keypoints: Class name -> names of its keypoint slots, where it has any.
    """

    task_type: str
    ids: dict[str, int]
    keypoints: dict[str, tuple[str, ...]]


def ensure_schema(
    store: Storage,
    task: str,
    task_type: str,
    wanted: Iterable[Category],
    *,
    classes: Sequence[str] = (),
    fixed: bool = False,
) -> TaskSchema:
    """Make sure that the task's schema has all categories; return what it says then.

    Categories that it has keep their ids and keypoints; new ones get the next ids in the given
    order. Whatever else the schema says is kept.

    Args:
        classes: The model's full list of classes, where it is known, in the order of its ids.
        fixed: Files of the task hold a number for each category, so that none can be added.

    Raises:
        DeliveryFailed: There is a schema of another kind of task, or something that is no schema;
            a class got another name, or ``fixed`` categories or keypoints would have to be added
            to those that files were written for.
    """
    key = schema_key(task)
    categories = {category.name: category for category in wanted}
    found: list[TaskSchema] = []

    def change(there: bytes | None) -> bytes | None:
        schema = _read(there, task_type, store.root + key)
        _require_kind(schema, task, task_type)
        if there is not None:
            _refuse_renamed(schema, task, classes)
            _refuse_added(schema, task, categories, fixed=fixed)
        changed = _extend(schema, categories)
        found[:] = [_understood(schema)]
        return _encode(schema) if changed or there is None else None

    swap(store, key, change, content_type=_JSON)
    return found[0]


def task_type_of(store: Storage, task: str) -> str:
    """The kind of a task that is there; "" for a new one.

    Raises:
        DeliveryFailed: What is there is no schema.
    """
    return str(_read(_bytes(store, schema_key(task)), "", store.root + schema_key(task))["task_type"])


def _understood(schema: dict[str, Any]) -> TaskSchema:
    # Of two categories with one name the first counts.
    categories = list(reversed(schema["categories"]))
    return TaskSchema(
        schema["task_type"],
        {category["name"]: category["id"] for category in categories},
        {category["name"]: tuple(category["keypoints"]) for category in categories if category.get("keypoints")},
    )


def _extend(schema: dict[str, Any], wanted: Mapping[str, Category]) -> bool:
    """Add what is missing; tell whether anything was."""
    categories: list[dict[str, Any]] = schema["categories"]
    known = {category["name"]: category for category in reversed(categories)}
    free = max((category["id"] for category in categories), default=-1) + 1
    new = [category for category in wanted.values() if category.name not in known]
    for number, category in enumerate(new, free):
        entry = {"id": number, "name": category.name, **category.more}
        categories.append(entry | ({"keypoints": list(category.keypoints)} if category.keypoints else {}))
    bare = [known[name] for name, category in wanted.items() if category.keypoints and name in known]
    bare = [entry for entry in bare if not entry.get("keypoints")]
    for entry in bare:
        entry["keypoints"] = list(wanted[entry["name"]].keypoints)
    return bool(new or bare)


def _refuse_renamed(schema: dict[str, Any], task: str, classes: Sequence[str]) -> None:
    """Refuse a model whose class has another name than the category that stands in its place.

    A class that is merely new, or no longer there, moves others but leaves them their names.
    """
    known = {category["name"] for category in schema["categories"]}
    there = sorted(schema["categories"], key=lambda category: int(category["id"]))
    for category, name in zip(there, classes, strict=False):
        if category["name"] not in classes and name not in known:
            raise DeliveryFailed(
                f"class {name!r} of the model stands where LightlyOne task {task!r} has {category['name']!r}",
                hint=f"if it was only renamed, rename category {category['id']} in the task's schema.json too; "
                "for another model choose another task_name",
            )


def slot_in(known: Sequence[str], slot: str, number: int) -> int | None:
    """Place of a keypoint in a category's list, or None if it has no such keypoint.

    A place whose name nobody knew when it was written goes by its number; ``number`` is the
    service's own, -1 where it gave none.
    """
    if slot in known:
        return known.index(slot)
    unnamed = 0 <= number < len(known) and str(number) in (known[number], slot)
    return number if unnamed else None


def _refuse_added(schema: dict[str, Any], task: str, wanted: Mapping[str, Category], *, fixed: bool) -> None:
    """Refuse what would make the vectors too short that files of the task already hold."""
    there = _understood(schema)
    new = [name for name in wanted if name not in there.ids]
    if fixed and new:
        classes = count_of(len(there.ids), "class", "classes")
        raise DeliveryFailed(
            f"LightlyOne task {task!r} has probabilities of {classes}, and {new[0]!r} is none of them",
            hint="choose another task_name: what is stored cannot be made longer",
        )
    for name, category in wanted.items():
        known = there.keypoints.get(name, category.keypoints)
        more = [slot for place, slot in enumerate(category.keypoints) if slot_in(known, slot, place) is None]
        if more:
            keypoints = count_of(len(known), "keypoint")
            raise DeliveryFailed(
                f"LightlyOne task {task!r} has {keypoints} of {name!r}, and {more[0]!r} is none of them",
                hint="name all keypoints in `keypoints` of the route, in their order, and choose another task_name: "
                "what is stored cannot be made longer",
            )


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
