"""A YAML file as plain data that remembers where each value was written.

Knows YAML and environment variables, and nothing of pipelines. What it cannot make sense of
becomes a :class:`~config.problems.Problem`, and reading goes on where it can.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

import yaml

from config.problems import Problem, quoted
from config.variables import WAYS, fill_variables
from tasks.domain.video import printable

# Aliases of aliases can make a small file into a huge one.
MOST_VALUES = 10_000

KeyPath = tuple[str | int, ...]

_SECRET_WORDS = frozenset({"key", "apikey", "secret", "token", "password", "passwd", "sas"})
_PLAIN = re.compile(r"[-+]?(0|[1-9][0-9_]*)?(\.[0-9_]*)?([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the file, counted from 1, and how to speak of what is there."""

    line: int
    column: int
    shown: str = ""
    raw: str = ""


@dataclass(slots=True)
class Document:
    """A file's data and the place of every key and value.

    Attributes:
        file: How messages name the file.
        data: Dicts, lists and scalars; None if nothing could be read.
        keys, values: Path -> place.
        unsound: Paths whose value could not be read; ``problems`` says why.
        problems: What is wrong with the YAML itself and its variables.
    """

    file: str
    data: object = None
    keys: dict[KeyPath, Mark] = field(default_factory=dict)
    values: dict[KeyPath, Mark] = field(default_factory=dict)
    unsound: set[KeyPath] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath) -> Mark:
        """Where the value of ``path`` is, or what would hold it."""
        while path not in self.values and path:
            path = path[:-1]
        return self.values.get(path, Mark(1, 1))

    def report(self, path: KeyPath, mark: Mark, message: str, allowed: str = "", suggestion: str = "") -> None:
        """Add a problem."""
        problem = Problem(
            file=self.file,
            line=mark.line,
            column=mark.column,
            field=dotted(path),
            value=mark.raw,
            message=message,
            allowed=allowed,
            suggestion=suggestion,
        )
        self.problems.append(problem)


def dotted(path: KeyPath) -> str:
    """Write a path as people do: ``routes[1].uri``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return printable(text.removeprefix("."))


def read_document(
    raw: bytes, file: str, env: Mapping[str, str], *, free_keys: Container[str] = frozenset()
) -> Document:
    """Read YAML bytes, filling variables into every string.

    Args:
        raw: The file.
        file: How messages name it.
        env: Values of variables.
        free_keys: Groups whose own keys are the user's words, so that any may be among them.
            Elsewhere a key that looks like a secret's is refused and its value not even read.
    """
    document = Document(file)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        document.report((), Mark(line, 1), "the file is not UTF-8 text")
        return document
    try:
        _Reader(document, env, free_keys).read(text)
    except yaml.MarkedYAMLError as error:
        _report_syntax(document, error)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.report((), Mark(line, 1), "a character that YAML does not allow in a file")
    except RecursionError:
        document.report((), Mark(1, 1), "the values are nested too deeply")
    return document


def _report_syntax(document: Document, error: yaml.MarkedYAMLError) -> None:
    at = error.problem_mark or error.context_mark
    mark = Mark(at.line + 1, at.column + 1) if at else Mark(1, 1)
    what = " ".join(part for part in (error.context, error.problem) if part)
    hint = ""
    if "'\\t'" in what:
        hint = "spaces to indent with, not tabs"
    elif "'{'" in what or "'}'" in what:
        hint = 'braces inside quotes: "${NAME}", "{date}"'
    document.data = None
    document.report((), mark, f"this YAML cannot be read: {what}", hint)


class _Reader:
    """Walks the nodes of one file; ``open`` holds those that enclose the current one."""

    def __init__(self, document: Document, env: Mapping[str, str], free_keys: Container[str]) -> None:
        self.document = document
        self.env = env
        self.free_keys = free_keys
        self.open: set[int] = set()
        self.merged: set[int] = set()
        self.count = 0

    def read(self, text: str) -> None:
        self.loader = yaml.SafeLoader(text)
        try:
            node = self.loader.get_single_node()
            if node is not None:
                self.document.data = self.value(node, ())
        finally:
            self.loader.dispose()

    def value(self, node: yaml.Node, path: KeyPath) -> object:
        self.document.values[path] = mark = _mark(node)
        self.count += 1
        if id(node) in self.open:
            self.unsound(path, mark, "contains itself")
            return None
        if self.count > MOST_VALUES:
            raise yaml.MarkedYAMLError(problem=f"more than {MOST_VALUES} values", problem_mark=node.start_mark)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
                return self.mapping(node, path)
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
                return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode):
                return self.scalar(node, path, mark)
        finally:
            self.open.discard(id(node))
        self.unsound(path, mark, "has a YAML tag, which means nothing here")
        return None

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        if id(node) not in self.merged:
            # Before merging: a key of one's own beside a merged one of that name is no mistake.
            self.merged.add(id(node))
            self.drop_repeats(node, path)
            self.loader.flatten_mapping(node)
        data: dict[str, object] = {}
        for key_node, value_node in node.value:
            mark = _key_mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.document.report(path, mark, "a key must be a word")
                continue
            # As written, whatever YAML makes of it: an unquoted `on` is True to it.
            key = key_node.value
            if not (path and path[-1] in self.free_keys) and _looks_secret(key):
                message = f"{quoted(key)} looks like a secret, and secrets do not belong in a file"
                self.document.report((*path, key), mark, message, "the environment, such as ROBOFLOW_API_KEY=…")
                continue
            self.document.keys[(*path, key)] = mark
            data[key] = self.value(value_node, (*path, key))
        return data

    def drop_repeats(self, node: yaml.MappingNode, path: KeyPath) -> None:
        lines: dict[str, int] = {}
        kept = []
        for key_node, value_node in node.value:
            if isinstance(key_node, yaml.ScalarNode):
                key, mark = key_node.value, _key_mark(key_node)
                if key in lines:
                    self.document.report(
                        (*path, key), mark, f"{quoted(key)} is here again; the first is on line {lines[key]}"
                    )
                    continue
                lines[key] = mark.line
            kept.append((key_node, value_node))
        node.value = kept

    def scalar(self, node: yaml.ScalarNode, path: KeyPath, mark: Mark) -> object:
        if node.tag == f"{_TAG}str":
            text, wrong = fill_variables(node.value, self.env)
            for message in wrong:
                self.document.unsound.add(path)
                self.document.report(path, mark, message, WAYS if "starts no variable" in message else "")
            return text
        try:
            value: object = self.loader.construct_object(node)
        except yaml.constructor.ConstructorError:
            self.unsound(path, mark, "has a YAML tag, which means nothing here")
            return None
        except (ValueError, OverflowError, KeyError, IndexError, AttributeError):
            # What SafeLoader raises for `2026-13-45`, `!!bool maybe`, `!!int ""` and `!!timestamp x`.
            self.unsound(path, mark, "is not what YAML takes it for; put it in quotes")
            return None
        # YAML 1.1 reads 1:30 as 90, 010 as 8 and 0x10 as 16; nobody who writes them here means that.
        if not isinstance(value, bool) and isinstance(value, int | float) and not _PLAIN.fullmatch(node.value):
            self.unsound(path, mark, f"is {value} to YAML; write a plain number, or put it in quotes")
        return value

    def unsound(self, path: KeyPath, mark: Mark, phrase: str) -> None:
        self.document.unsound.add(path)
        self.document.report(path, mark, f"{mark.shown} {phrase}")


def _looks_secret(key: str) -> bool:
    words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower())
    return not _SECRET_WORDS.isdisjoint(words)


def _key_mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _mark(node: yaml.Node) -> Mark:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    if isinstance(node, yaml.ScalarNode):
        return Mark(line, column, quoted(node.value), node.value)
    return Mark(line, column, "this list" if isinstance(node, yaml.SequenceNode) else "this group of keys")
