"""The contract of :class:`tasks.ledger.base.Ledger`; every implementation's test class inherits it.

A subclass says in its fixture ``ledger_url`` where a ledger can be made that does not exist yet.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.ledger.base import Ledger
from tasks.ledger.open import open_ledger
from tests.contracts.ledger_budget import BudgetContract
from tests.contracts.ledger_copies import CopyContract
from tests.contracts.ledger_deliveries import ChangedRouteContract, DeliveryContract, DeliveryListContract
from tests.contracts.ledger_inbox import BatchContract, PutContract
from tests.contracts.ledger_jobs import InfoContract, LeaseContract, PlanContract, StreamContract
from tests.contracts.ledger_limits import AbandonContract, SlotContract
from tests.contracts.ledger_moves import FactContract, MoveContract, SecretContract
from tests.contracts.ledger_races import KillContract, RaceContract
from tests.contracts.ledger_shards import KeptPipelineContract, ShardContract
from tests.contracts.ledger_text import TextContract
from tests.contracts.ledger_upkeep import HistoryPruneContract, ResultPruneContract
from tests.contracts.ledger_versions import VersionContract


class LedgerContract(
    PlanContract,
    StreamContract,
    LeaseContract,
    InfoContract,
    MoveContract,
    FactContract,
    SecretContract,
    TextContract,
    DeliveryContract,
    ChangedRouteContract,
    DeliveryListContract,
    SlotContract,
    BudgetContract,
    CopyContract,
    VersionContract,
    HistoryPruneContract,
    ResultPruneContract,
    AbandonContract,
    ShardContract,
    KeptPipelineContract,
    RaceContract,
    KillContract,
    PutContract,
    BatchContract,
):
    """All of it."""

    @pytest.fixture
    def ledger_url(self) -> str:
        """Where to make an empty ledger."""
        raise NotImplementedError

    @pytest.fixture
    def ledger(self, ledger_url: str) -> Iterator[Ledger]:
        """An empty ledger, closed afterwards."""
        opened = open_ledger(ledger_url)
        yield opened
        opened.close()
