"""The documents of a datasource that deliveries share."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tasks.domain.errors import DeliveryFailed
from tasks.sinks.lightly.names import TASKS
from tasks.sinks.lightly.schema import ensure_schema, list_task
from tests.contracts.memory_storage import MemoryStorage, contents

KEY = ".lightly/predictions/players/schema.json"


def schema_in(store: MemoryStorage) -> Any:
    return json.loads(store.read(KEY))


def ensure(store: MemoryStorage, *names: str) -> dict[str, int]:
    return ensure_schema(store, "players", "object-detection", names)


def test_a_new_schema_numbers_classes_from_zero_in_order() -> None:
    """The order is the model's, not the alphabet's."""
    store = MemoryStorage()

    assert {"player": 0, "ball": 1, "referee": 2} == ensure(store, "player", "ball", "referee", "ball")
    assert {
        "task_type": "object-detection",
        "categories": [{"id": 0, "name": "player"}, {"id": 1, "name": "ball"}, {"id": 2, "name": "referee"}],
    } == schema_in(store)


def test_a_category_keeps_its_id_for_good() -> None:
    """New classes come after the old ones, whatever the order they are asked for in."""
    store = MemoryStorage()
    ensure(store, "player", "ball")

    assert {"player": 0, "ball": 1, "goal": 2} == ensure(store, "goal", "ball")
    assert {"player": 0, "ball": 1, "goal": 2} == ensure(store)


def test_what_people_added_to_a_schema_is_kept() -> None:
    """Their ids, gaps, super-categories and other keys stay; new ids are above all of theirs."""
    store = MemoryStorage()
    theirs = {
        "task_type": "object-detection",
        "note": "ours",
        "categories": [{"id": 7, "name": "ball", "supercategory": "thing"}, {"id": 3, "name": "player"}],
    }
    store.write(KEY, json.dumps(theirs).encode())

    assert {"ball": 7, "player": 3, "goal": 8} == ensure(store, "player", "goal")
    theirs["categories"] = [*theirs["categories"], {"id": 8, "name": "goal"}]
    assert theirs == schema_in(store)


def test_of_two_categories_with_one_name_the_first_counts() -> None:
    """And the id of the other is not given to anybody else."""
    store = MemoryStorage()
    categories = [{"id": 0, "name": "ball"}, {"id": 4, "name": "ball"}]
    store.write(KEY, json.dumps({"task_type": "object-detection", "categories": categories}).encode())

    assert {"ball": 0, "goal": 5} == ensure(store, "goal")


def test_a_schema_that_has_everything_is_not_written() -> None:
    """Not even with the same bytes: its version stays."""
    store = MemoryStorage()
    ensure(store, "player", "ball")
    before = store.stat(KEY)

    ensure(store, "ball")

    assert before == store.stat(KEY)


def test_another_kind_of_task_is_refused() -> None:
    """The worker would read its files wrongly; nothing is changed."""
    store = MemoryStorage()
    store.write(KEY, b'{"task_type": "classification", "categories": []}')

    with pytest.raises(DeliveryFailed, match="classification"):
        ensure(store, "player")

    assert b'{"task_type": "classification", "categories": []}' == store.read(KEY)


@pytest.mark.parametrize(
    "there",
    [
        b"",
        b"[]",
        b"not JSON",
        b'"text"',
        b'{"task_type": "object-detection"}',
        b'{"categories": []}',
        b'{"task_type": "object-detection", "categories": {"0": "player"}}',
        b'{"task_type": "object-detection", "categories": [{"id": "0", "name": "player"}]}',
        b'{"task_type": "object-detection", "categories": [{"id": 0}]}',
    ],
)
def test_something_that_is_no_schema_is_refused_and_left(there: bytes) -> None:
    """The message says which file."""
    store = MemoryStorage()
    store.write(KEY, there)

    with pytest.raises(DeliveryFailed, match=r"mem://box/\.lightly/predictions/players/schema\.json"):
        ensure(store, "player")

    assert there == store.read(KEY)


def test_deliveries_at_the_same_time_agree_on_ids() -> None:
    """Eight threads bring a class each: eight ids, the same for everybody."""
    store = MemoryStorage()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: ensure(store, "player", f"class {n}"), range(8)))

    ids = {c["name"]: c["id"] for c in schema_in(store)["categories"]}
    assert list(range(9)) == sorted(ids.values())
    for one in found:
        assert one.items() <= ids.items()


def test_the_task_list_only_grows() -> None:
    """Tasks that others wrote stay, in their order; a task is listed once."""
    store = MemoryStorage()
    store.write(TASKS, b'["weather", "cars"]')

    list_task(store, "players")
    list_task(store, "weather")
    list_task(store, "players")

    assert ["weather", "cars", "players"] == json.loads(store.read(TASKS))


def test_tasks_listed_at_the_same_time_are_all_listed() -> None:
    """Compare-and-swap loses none."""
    store = MemoryStorage()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: list_task(store, f"task-{n}"), range(8)))

    assert {f"task-{n}" for n in range(8)} == set(json.loads(store.read(TASKS)))


def test_a_write_in_between_is_read_again() -> None:
    """Somebody lists a task between our read and our write."""
    store = MemoryStorage()

    def be_faster(key: str) -> None:
        store.before_write = lambda key: None
        list_task(store, "theirs")

    store.before_write = be_faster
    list_task(store, "ours")

    assert ["theirs", "ours"] == json.loads(store.read(TASKS))


@pytest.mark.parametrize("there", [b"{}", b"[1]", b"oops", b""])
def test_something_that_is_no_task_list_is_refused_and_left(there: bytes) -> None:
    """Overwriting it would take other tasks from the worker."""
    store = MemoryStorage()
    store.write(TASKS, there)

    with pytest.raises(DeliveryFailed, match=r"tasks\.json is not a list"):
        list_task(store, "players")

    assert {TASKS: there} == contents(store)
