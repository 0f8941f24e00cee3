"""What a store may need besides its URI. One shape for all stores; each reads the fields it knows."""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.storage.loopback import FileUrlSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageOptions:
    """How to open a store.

    Attributes:
        endpoint_url: Address of an S3-compatible store or an emulator; None for the cloud's own.
        credentials: What the cloud's module takes as credentials; None for the SDK's own chain.
        account: Azure storage account.
        create: For folders: make the folder at the first write, and take a missing one as empty.
        url_signer: For folders: who signs URLs of files; None makes them not signable.
    """

    endpoint_url: str | None = None
    credentials: object | None = field(default=None, repr=False)
    account: str | None = None
    create: bool = False
    url_signer: FileUrlSigner | None = field(default=None, repr=False)
