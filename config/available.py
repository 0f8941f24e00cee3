"""What this version of reelroute can do, in one place.

The words of a pipeline file are fixed; not all of them work in every version. Everything that a
file may name is listed here with whether it works today, so that adding a cloud or a backend
changes one line of configuration code. Nothing here does any work.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """A kind of store.

    Attributes:
        form: How its URIs are written.
        available: Whether this version can read and write there.
        options: Keys beside a location that mean something to it.
    """

    form: str
    available: bool
    options: frozenset[str] = frozenset()


SCHEMES: dict[str, Scheme] = {
    "file": Scheme(form="file:///folder", available=True),
    "s3": Scheme(form="s3://bucket/prefix", available=True, options=frozenset({"credentials", "endpoint_url"})),
    "gs": Scheme(form="gs://bucket/prefix", available=True, options=frozenset({"credentials", "endpoint_url"})),
    "az": Scheme(
        form="az://container/prefix", available=True, options=frozenset({"credentials", "endpoint_url", "account"})
    ),
}

BACKENDS: dict[str, bool] = {"roboflow": True, "local": True, "frames": False, "roboflow-batch": False}

# Driver part of a ledger URL.
LEDGERS: dict[str, bool] = {"sqlite": True, "postgresql": True}


def available_forms() -> str:
    """How a location can be written today, for messages."""
    return ", ".join(s.form for s in SCHEMES.values() if s.available) + " or a path"


def available_names(table: dict[str, bool]) -> str:
    """The names in a table that work today, for messages."""
    return ", ".join(name for name, works in table.items() if works)
