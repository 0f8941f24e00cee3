"""As much of GraphQL as the SDK writes: one operation, its variables, a tree of fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(r'[\s,]*(?:#[^\n]*)?[\s,]*(\.\.\.|[{}()\[\]:!$=]|"(?:\\.|[^"\\])*"|-?\d+(?:\.\d+)?|[A-Za-z_]\w*)')


class Refused(Exception):
    """An error as GraphQL answers give it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Variable:
    name: str


@dataclass
class Selection:
    """A field with its arguments and what is asked of its value; or, with ``on``, a fragment."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    selections: list[Selection] = field(default_factory=list)
    on: str = ""


@dataclass
class Operation:
    kind: str
    name: str
    required: list[str]
    declared: list[str]
    selections: list[Selection]


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        rest = _TOKEN.sub("", text).strip(" \n\t,")
        if rest:
            raise Refused("GRAPHQL_PARSE_FAILED", f"Syntax Error: Unexpected {rest[:20]!r}")
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            raise Refused("GRAPHQL_PARSE_FAILED", f"Syntax Error: Expected {expected or 'more'!r}, found {token!r}")
        self._at += 1
        return token

    def operation(self) -> Operation:
        kind, name = self.take(), self.take()
        if kind not in ("query", "mutation"):
            raise Refused("GRAPHQL_PARSE_FAILED", f"Syntax Error: Unexpected Name {kind!r}")
        required, declared = [], []
        if self.peek() == "(":
            self.take()
            while self.peek() != ")":
                self.take("$")
                declared.append(self.take())
                self.take(":")
                if self._type():
                    required.append(declared[-1])
            self.take()
        operation = Operation(kind, name, required, declared, self.selections())
        if self.peek():
            raise Refused("GRAPHQL_PARSE_FAILED", f"Syntax Error: Unexpected {self.peek()!r}")
        return operation

    def _type(self) -> bool:
        if self.peek() == "[":
            self.take()
            self._type()
            self.take("]")
        else:
            self.take()
        if self.peek() == "!":
            self.take()
            return True
        return False

    def selections(self) -> list[Selection]:
        found = []
        self.take("{")
        while self.peek() != "}":
            name, on = self.take(), ""
            if name == "...":
                self.take("on")
                on = self.take()
            arguments = {}
            if self.peek() == "(":
                self.take()
                while self.peek() != ")":
                    key = self.take()
                    self.take(":")
                    arguments[key] = self._value()
                self.take()
            inner = self.selections() if self.peek() == "{" else []
            found.append(Selection(name, arguments, inner, on))
        self.take()
        if not found:
            raise Refused("GRAPHQL_PARSE_FAILED", "Syntax Error: Expected Name, found }")
        return found

    def _value(self) -> Any:
        token = self.take()
        if token == "$":
            return Variable(self.take())
        if token == "[":
            items = []
            while self.peek() != "]":
                items.append(self._value())
            self.take()
            return items
        if token == "{":
            fields = {}
            while self.peek() != "}":
                key = self.take()
                self.take(":")
                fields[key] = self._value()
            self.take()
            return fields
        if token.startswith('"'):
            return token[1:-1]
        if token in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[token]
        return int(token) if token.lstrip("-").isdigit() else token


def parse(text: str) -> Operation:
    """Read a document of one operation."""
    return _Reader(text).operation()


def execute(operation: Operation, variables: Mapping[str, Any], roots: Mapping[str, Any]) -> dict[str, Any]:
    """Answer an operation; fields that are callable are called with their arguments.

    Raises:
        Refused: A variable is missing, or a field does not exist.
    """
    for name in operation.required:
        if variables.get(name) is None:
            raise Refused("GRAPHQL_VALIDATION_FAILED", f'Variable "${name}" of a required type was not provided')
    given = {name: variables.get(name) for name in operation.declared}
    answer: dict[str, Any] = _projected(dict(roots), operation.selections, given, operation.kind)
    return answer


def _projected(value: Any, selections: list[Selection], given: Mapping[str, Any], path: str) -> Any:
    if isinstance(value, list):
        return [_projected(one, selections, given, path) for one in value]
    if value is None or not selections:
        return value
    answer = {}
    for selection in selections:
        if selection.on:
            if value.get("__typename") == selection.on:
                answer.update(_projected(value, selection.selections, given, path))
            continue
        if selection.name not in value:
            raise Refused("GRAPHQL_VALIDATION_FAILED", f'Cannot query field "{selection.name}" on {path}')
        found = value[selection.name]
        if callable(found):
            found = found(**{key: _filled(argument, given) for key, argument in selection.arguments.items()})
        elif selection.arguments:
            raise Refused("GRAPHQL_VALIDATION_FAILED", f'Unknown argument on field "{selection.name}"')
        answer[selection.name] = _projected(found, selection.selections, given, selection.name)
    return answer


def _filled(value: Any, given: Mapping[str, Any]) -> Any:
    if isinstance(value, Variable):
        if value.name not in given:
            raise Refused("GRAPHQL_VALIDATION_FAILED", f'Variable "${value.name}" is not defined')
        return given[value.name]
    if isinstance(value, dict):
        return {key: _filled(one, given) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, given) for one in value]
    return value
