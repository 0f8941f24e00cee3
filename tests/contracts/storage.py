"""What every store promises. A store's test class inherits this and says how to open it.

    class TestLocalStorage(StorageContract):
        refused_keys = frozenset({...})

        @pytest.fixture
        def storage(self, ...) -> Storage: ...

Deviations are named, never skipped in silence: a refused key must raise ``KeyUnsafe``.
"""

from __future__ import annotations

from tests.contracts.storage_content import ContentContract
from tests.contracts.storage_many import ManyContract
from tests.contracts.storage_objects import ObjectsContract
from tests.contracts.storage_signing import SigningContract
from tests.contracts.storage_swaps import SwapsContract


class StorageContract(ObjectsContract, ContentContract, SwapsContract, ManyContract, SigningContract):
    """Inherit, and give a ``storage`` fixture: an empty store that may be written to."""
