"""What a pipeline file may name is what there is code for: no list says less, or more, than another."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
from pydantic import SecretStr

from config.available import BACKENDS, LEDGERS, SCHEMES
from config.routes import ROUTES
from flows.adhoc_ingest import adhoc_ingest
from tasks.credentials import KINDS
from tasks.domain.errors import InputInvalid
from tasks.inference.registry import open_backend
from tasks.ledger.database import parse_url
from tasks.sink_setup import BUILDERS
from tasks.storage.registry import SCHEMES as STORES


def test_every_store_that_a_file_may_name_has_its_module_and_its_blocks() -> None:
    """And the other way round: a cloud that is registered can be written in a pipeline."""
    assert {scheme for scheme, one in SCHEMES.items() if one.available} == set(STORES)
    assert {scheme for scheme, one in SCHEMES.items() if "credentials" in one.options} == set(KINDS)


async def test_every_backend_that_a_file_may_name_can_be_opened() -> None:
    """The others are refused; the form offers what works."""
    for name, works in BACKENDS.items():
        if works:
            await open_backend(name, base_url="http://127.0.0.1:1", api_key=SecretStr("key")).aclose()
        else:
            with pytest.raises(InputInvalid):
                open_backend(name, base_url="http://127.0.0.1:1", api_key=SecretStr("key"))
    offered = get_args(get_type_hints(adhoc_ingest.fn)["backend"])
    assert [name for name, works in BACKENDS.items() if works] == list(offered)


def test_every_ledger_that_may_be_named_can_be_addressed() -> None:
    """By the driver's part of its URL."""
    rest = {"sqlite": "//somewhere/ledger.db", "postgresql": "host/name"}
    assert set(rest) == {driver for driver, works in LEDGERS.items() if works}
    assert list(rest) == [parse_url(f"{driver}://{after}").get_backend_name() for driver, after in rest.items()]


def test_every_route_that_a_file_may_name_has_a_sink() -> None:
    """Each kind of route is built by a function of its own."""
    assert set(ROUTES.values()) == set(BUILDERS)
