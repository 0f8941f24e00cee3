"""What a store's test class says about its store."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tasks.storage.base import Storage


class StoreUnderTest:
    """Inherit, and give a ``storage`` fixture: an empty store that may be written to.

    Attributes:
        refused_keys: Those of ``SPECIAL_KEYS`` that this store cannot hold and refuses.
        shadowed_keys: Keys that cannot exist beside ``a/b/c``.
        many: Objects in the paging test; more than two pages of the service.
        fetchable: False where a signed URL cannot be fetched from the test machine.
    """

    refused_keys: ClassVar[frozenset[str]] = frozenset()
    shadowed_keys: ClassVar[frozenset[str]] = frozenset()
    many: ClassVar[int] = 2_500
    fetchable: ClassVar[bool] = True

    @pytest.fixture
    def storage(self) -> Storage:
        raise NotImplementedError
