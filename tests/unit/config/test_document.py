"""YAML with the place of each value, whatever is in the file."""

from __future__ import annotations

import pytest

from config.document import MOST_VALUES, Document, Mark, dotted, read_document


def read(text: str | bytes, **env: str) -> Document:
    raw = text.encode() if isinstance(text, str) else text
    return read_document(raw, "f.yaml", env, free_keys={"classes"})


def told(document: Document) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.field, problem.message) for problem in document.problems]


def test_values_and_keys_know_their_places() -> None:
    """Lines and columns count from 1, through lists and both styles of mapping."""
    document = read("a: 1\nb:\n  - x\n  - {c: y}\n")
    assert {"a": 1, "b": ["x", {"c": "y"}]} == document.data
    assert Mark(4, 9, "'y'", "y") == document.place(("b", 1, "c"))
    assert Mark(4, 6) == document.keys["b", 1, "c"]
    assert [] == document.problems


def test_a_value_that_is_not_there_is_looked_for_where_it_would_be() -> None:
    """What is missing has the place of the group that lacks it."""
    assert 2 == read("a: 1\nb: {c: 2}\n").place(("b", "d", 3)).line


def test_paths_are_written_as_people_write_them() -> None:
    """Positions in brackets, keys after dots."""
    assert "routes[1].uri" == dotted(("routes", 1, "uri"))
    assert "" == dotted(())


def test_variables_are_filled_into_strings_only() -> None:
    """Values, in any style of quoting; keys and comments are left alone."""
    document = read("$N: ${N}\nb: '$N'\nc: |\n  x$N\nd: 5 # $GONE\n", N="7")
    assert {"$N": "7", "b": "7", "c": "x7\n", "d": 5} == document.data
    assert [] == document.problems


def test_an_unset_variable_is_told_at_its_value() -> None:
    """Its path is marked, so that nobody complains of the value too."""
    document = read("a:\n  - ok\n  - $GONE/x\n")
    assert [(3, "a[1]", "the environment variable GONE is not set")] == told(document)
    assert {("a", 1)} == document.unsound


def test_a_key_given_twice_is_told_with_both_lines() -> None:
    """YAML would silently keep the last; the first is kept, to look at the rest."""
    document = read("a: 1\nb: 2\na: 3\n")
    assert [(3, "a", "'a' is here again; the first is on line 1")] == told(document)
    assert {"a": 1, "b": 2} == document.data


def test_a_key_given_three_times_is_told_twice() -> None:
    """Every repeat is a line to remove."""
    assert [2, 3] == [line for line, _, _ in told(read("a: 1\na: 2\na: 3\n"))]


def test_anchors_and_merges_work() -> None:
    """A key of one's own wins over a merged one, and neither is a repeat, also when used again."""
    document = read("x: &x {a: 1, b: 2}\ny: &y\n  <<: *x\n  b: 3\nz: *y\n")
    assert {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}, "z": {"a": 1, "b": 3}} == document.data
    assert [] == document.problems
    assert 1 == document.place(("y", "a")).line


def test_keys_are_taken_as_written() -> None:
    """YAML's own ideas of `on` and `5` do not turn keys into something else."""
    assert {"on": True, "5": "five", "null": None} == read("on: yes\n5: five\nnull: ~\n").data


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: [1, 2\nb: 3\n", 2, "expected ',' or ']'"),
        ("a: 1\n\tb: 2\n", 2, "cannot start any token"),
        ("a: 'x\n", 2, "while scanning a quoted scalar"),
        ("a: b: c\n", 1, "mapping values are not allowed"),
        ("a: *x\n", 1, "undefined alias"),
        ("a: 1\n---\nb: 2\n", 2, "expected a single document"),
        ("a:\n <<: 5\n", 2, "merging"),
        ("a: 1\nb: \x07\n", 2, "a character that YAML does not allow"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
        ("a: 1".encode("utf-16"), 1, "not UTF-8"),
        ("[" * 1000, 1, "nested too deeply"),
    ],
)
def test_what_is_not_yaml_is_told_with_its_line(text: str | bytes, line: int, message: str) -> None:
    """One problem, no data, no traceback."""
    document = read(text)
    assert [line] == [problem.line for problem in document.problems]
    assert message in document.problems[0].message
    assert document.data is None


def test_tabs_and_bare_braces_get_a_hint() -> None:
    """The two mistakes that YAML's own words do not explain."""
    assert "not tabs" in read("a:\n\tb: 1\n").problems[0].allowed
    assert "quotes" in read("{a: ${N}/x}\n", N="1").problems[0].allowed


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "\ufeff"])
def test_an_empty_file_has_no_data(text: str) -> None:
    """What that means is for the caller to say."""
    document = read(text)
    assert (None, []) == (document.data, document.problems)


def test_a_byte_order_mark_is_not_part_of_the_first_key() -> None:
    """Windows' editors write one."""
    assert {"a": 1} == read("\ufeffa: 1\n").data


@pytest.mark.parametrize("value", ["1:30", "12:30:00", "010", "0x10", "0b11", "1:30.5", "-010"])
def test_numbers_that_are_others_to_yaml_are_told(value: str) -> None:
    """1:30 is 90 in YAML 1.1, which nobody means."""
    document = read(f"a: {value}\n")
    assert [("a", value)] == [(problem.field, problem.value) for problem in document.problems]
    assert "to YAML" in document.problems[0].message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5", 5),
        ("-5", -5),
        ("0", 0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1_000", 1000),
        ("1.5e+3", 1500.0),
        ("1e3", "1e3"),
    ],
)
def test_plain_numbers_are_taken(value: str, expected: object) -> None:
    """1e3 is text to YAML 1.1, and the field makes a number of it."""
    document = read(f"a: {value}\n")
    assert ({"a": expected}, []) == (document.data, document.problems)


@pytest.mark.parametrize("value", ["2026-13-45", "!!bool maybe", '!!int ""', "!!timestamp x", "!!float x", "0b_"])
def test_scalars_that_yaml_itself_trips_over_are_told(value: str) -> None:
    """No ValueError of the YAML library gets out."""
    document = read(f"a: {value}\n")
    assert [(1, "a")] == [(problem.line, problem.field) for problem in document.problems]
    assert "put it in quotes" in document.problems[0].message


@pytest.mark.parametrize("value", ["!mine x", "!!python/name:os.system ''", "!mine {a: 1}", "!!set {a}", "!mine [a]"])
def test_tags_mean_nothing_and_do_nothing(value: str) -> None:
    """No file can name a Python object."""
    document = read(f"a: {value}\nb: $GONE\n")
    assert ["a", "b"] == [problem.field for problem in document.problems]
    assert "YAML tag" in document.problems[0].message


def test_a_value_that_contains_itself_is_told() -> None:
    """An alias to what encloses it would never end."""
    assert [(1, "a[0]", "this list contains itself")] == told(read("a: &a [*a]\n"))


def test_aliases_cannot_make_a_small_file_huge() -> None:
    """Ten lines of aliases are ten thousand million values; reading stops long before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    document = read("\n".join(lines))
    assert [f"this YAML cannot be read: more than {MOST_VALUES} values"] == [p.message for p in document.problems]


def test_a_key_that_is_no_word_is_told() -> None:
    """YAML allows lists as keys."""
    document = read("? [a]\n: 1\nb: 2\n")
    assert [(1, "", "a key must be a word")] == told(document)
    assert {"b": 2} == document.data


@pytest.mark.parametrize(
    "key",
    [
        "api_key",
        "apiKey",
        "API-KEY",
        "roboflow_api_key",
        "apikey",
        "secret",
        "aws_secret_access_key",
        "token",
        "password",
        "sas",
    ],
)
def test_the_value_of_a_secret_is_not_even_read(key: str) -> None:
    """Its key is told with where secrets go; whatever is wrong with the value, nothing shows it."""
    document = read(f'a:\n  {key}: "hunter$2"\n  b: 1\n')
    assert {"a": {"b": 1}} == document.data
    assert [(2, f"a.{key}")] == [(problem.line, problem.field) for problem in document.problems]
    assert "environment" in document.problems[0].allowed
    assert "hunter" not in repr(document)


@pytest.mark.parametrize("key", ["keyframe_tolerance", "monkey", "tokens_per_frame", "keys"])
def test_words_that_only_look_alike_are_no_secrets(key: str) -> None:
    """Only whole words count."""
    assert {key: 1} == read(f"{key}: 1").data


def test_free_keys_may_be_called_anything() -> None:
    """A model may have a class named key."""
    assert {"classes": {"key": "Car key"}} == read("classes: {key: Car key}").data
