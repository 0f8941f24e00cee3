"""The documents of a datasource that deliveries share."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tasks.domain.errors import DeliveryFailed
from tasks.sinks.lightly.names import TASKS
from tasks.sinks.lightly.schema import Category, ensure_schema, list_task, task_type_of
from tests.contracts.memory_storage import MemoryStorage, contents

KEY = ".lightly/predictions/players/schema.json"


def schema_in(store: MemoryStorage) -> Any:
    return json.loads(store.read(KEY))


def ensure(store: MemoryStorage, *names: str) -> dict[str, int]:
    return ensure_schema(store, "players", "object-detection", [Category(name) for name in names]).ids


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


def of_classes(store: MemoryStorage, *classes: str, fixed: bool = False) -> dict[str, int]:
    """A delivery of a model whose full list of classes is known."""
    wanted = [Category(name) for name in classes]
    return ensure_schema(store, "players", "object-detection", wanted, classes=classes, fixed=fixed).ids


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (["ball", "player"], ["ball", "goal", "player"], {"ball": 0, "player": 1, "goal": 2}),
        (["ball", "player"], ["player"], {"ball": 0, "player": 1}),
        (["ball", "player"], ["player", "ball"], {"ball": 0, "player": 1}),
        (["ball"], ["ball", "goal", "player"], {"ball": 0, "goal": 1, "player": 2}),
    ],
)
def test_a_model_may_win_and_lose_classes(before: list[str], now: list[str], expected: dict[str, int]) -> None:
    """Roboflow lists classes by the alphabet: a new one moves the others, and renames none."""
    store = MemoryStorage()
    of_classes(store, *before)

    assert expected == of_classes(store, *now)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("now", [["Ball", "player"], ["ball", "players"], ["car", "dog"]])
def test_a_renamed_class_is_refused(now: list[str], fixed: bool) -> None:
    """Otherwise one thing would be two categories; the hint says how to follow the new name."""
    store = MemoryStorage()
    of_classes(store, "ball", "player", fixed=fixed)
    before = contents(store)

    with pytest.raises(DeliveryFailed, match="stands where") as refused:
        of_classes(store, *now, fixed=fixed)

    assert "rename category" in refused.value.hint
    assert before == contents(store)


def test_a_category_that_people_renamed_too_is_the_same_category() -> None:
    """What the hint says works: the id stays."""
    store = MemoryStorage()
    of_classes(store, "ball", "player")
    store.write(KEY, store.read(KEY).replace(b"ball", b"Ball"))

    assert {"Ball": 0, "player": 1} == of_classes(store, "Ball", "player")


def test_a_class_that_would_make_stored_probabilities_too_short_is_refused() -> None:
    """A vector has a number per category: the list of a classification is for good."""
    store = MemoryStorage()
    of_classes(store, "clouded", "sunny", fixed=True)
    before = contents(store)

    assert {"clouded": 0, "sunny": 1} == of_classes(store, "sunny", fixed=True)
    with pytest.raises(DeliveryFailed, match="'rainy' is none of them") as refused:
        of_classes(store, "clouded", "rainy", "sunny", fixed=True)

    assert "task_name" in refused.value.hint
    assert before == contents(store)


def of_skeleton(store: MemoryStorage, *keypoints: str) -> tuple[str, ...]:
    wanted = [Category("person", keypoints), Category("ball")]
    return ensure_schema(store, "players", "object-detection", wanted).keypoints["person"]


def test_a_category_keeps_its_keypoints_for_good() -> None:
    """Fewer are seen in another video, more would make what is stored too short."""
    store = MemoryStorage()

    assert ("nose", "1", "tail") == of_skeleton(store, "nose", "1", "tail")
    assert ("nose", "1", "tail") == of_skeleton(store, "nose")
    assert ("nose", "1", "tail") == of_skeleton(store, "nose", "eye")  # the second place has its name now
    with pytest.raises(DeliveryFailed, match="'knee' is none of them") as refused:
        of_skeleton(store, "nose", "1", "tail", "knee")

    assert "`keypoints` of the route" in refused.value.hint
    assert {"id": 0, "name": "person", "keypoints": ["nose", "1", "tail"]} == schema_in(store)["categories"][0]
    assert {"id": 1, "name": "ball"} == schema_in(store)["categories"][1]


def test_a_category_without_keypoints_gets_them_once() -> None:
    """A schema that people wrote may have names only."""
    store = MemoryStorage()
    ensure(store, "person")

    assert ("nose", "eye") == of_skeleton(store, "nose", "eye")


def test_the_kind_of_a_task_can_be_asked_for() -> None:
    """Of one that is not there, too."""
    store = MemoryStorage()
    assert "" == task_type_of(store, "players")
    ensure(store, "player")
    assert "object-detection" == task_type_of(store, "players")


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
