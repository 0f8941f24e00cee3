"""Credentials that people keep in Prefect blocks, made into what our stores take.

The one module that reads credential blocks. Only what a block knows is taken from it, never a
client that it makes: prefect-aws' sign URLs as AWS no longer takes them, and prefect-azure's are
asynchronous. The packages with the blocks are optional and slow to import, so each is imported
when a pipeline names a block of its cloud.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from config.pipeline import Pipeline
from config.routes import Route
from config.sources import Source
from tasks.domain.errors import InputInvalid, ServiceUnavailable
from tasks.storage.options import StorageOptions

if TYPE_CHECKING:
    import boto3

# (scheme, name of the block) -> what it says: credentials, and an endpoint if it names one.
Blocks = Mapping[tuple[str, str], StorageOptions]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of block.

    Attributes:
        package: Where it comes from; an extra of ours.
        name: Its class there.
        extra: What to install it with.
        convert: Makes of the loaded block what a store takes.
    """

    package: str
    name: str
    extra: str
    convert: Callable[[Any], StorageOptions]


async def load_credentials(pipeline: Pipeline) -> Blocks:
    """Load each block that a pipeline names, once.

    Raises:
        InputInvalid: There is no such block, its package is not installed, or what it holds is
            not usable.
        ServiceUnavailable: Prefect's server does not answer.
    """
    return {(scheme, name): await _load(scheme, name) for scheme, name in sorted(set(named_blocks(pipeline)))}


def named_blocks(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """(scheme, block name) of every source and route that names a block."""
    sections: tuple[Source | Route, ...] = (*pipeline.sources, *pipeline.routes)
    for section in sections:
        if section.credentials and (place := section.location):
            yield place.partition("://")[0], section.credentials


async def _load(scheme: str, name: str) -> StorageOptions:
    found = []
    for kind in KINDS[scheme]:
        block = await _read(_block_class(kind), name)
        if block is not None:
            found.append((kind, block))
    kinds = " and ".join(kind.name for kind, _ in found) or " or ".join(kind.name for kind in KINDS[scheme])
    if len(found) != 1:
        problem = "stands for two blocks" if found else f"is no block for {scheme}:// in Prefect"
        raise InputInvalid(
            f"credentials: '{name}' {problem}: {kinds}",
            hint="`prefect block ls` shows what there is on the server that PREFECT_API_URL names",
        )
    kind, block = found[0]
    unusable: tuple[type[Exception], ...] = (ValueError, OSError, *_sdk_errors())
    try:
        return kind.convert(block)
    except unusable as error:  # its text may hold the key
        raise InputInvalid(
            f"the block '{name}' ({kind.name}) holds no usable credentials ({type(error).__name__})",
            hint="correct it in the Prefect UI, or save it again",
        ) from None


def _block_class(kind: Kind) -> Any:
    try:
        return getattr(importlib.import_module(kind.package), kind.name)
    except ModuleNotFoundError as error:
        if error.name != kind.package:
            raise
        raise InputInvalid(
            f"credentials in a Prefect block need the package {kind.package}, which is not installed",
            hint=f"pip install 'reelroute[{kind.extra}]', or leave `credentials` out to use the SDK's own chain",
        ) from None


async def _read(block: Any, name: str) -> Any:
    """Load a block by name; None if there is none of this type."""
    from prefect.exceptions import ObjectNotFound

    try:
        return await block.aload(name)
    except (ValueError, RuntimeError, httpx.HTTPError) as error:
        if isinstance(error.__cause__, ObjectNotFound):
            return None
        if isinstance(error, ValueError) or isinstance(error.__cause__, ValueError):
            raise InputInvalid(
                f"the block '{name}' ({block.__name__}) cannot be read: its fields are not those of this version",
                hint="save it again in the Prefect UI",
            ) from None
        raise ServiceUnavailable(
            f"cannot load the block '{name}': Prefect's server does not answer ({type(error).__name__})",
            hint="check PREFECT_API_URL and PREFECT_API_AUTH_STRING",
        ) from None


def _sdk_errors() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError
    from google.auth.exceptions import GoogleAuthError

    return BotoCoreError, GoogleAuthError


# --- what the blocks hold --------------------------------------------------------------------------


def from_aws(block: Any) -> StorageOptions:
    """A boto3 session, from AwsCredentials or MinIOCredentials; of its parameters only the endpoint is ours to take."""
    role = getattr(block, "assume_role_arn", None)
    if role:
        # The block would take the role once, for an hour, and forget when that ends.
        given = block.assume_role_kwargs.get_params_override()
        session = assumed(block.model_copy(update={"assume_role_arn": None}).get_boto3_session(), role, given)
    else:
        session = block.get_boto3_session()
    return StorageOptions(credentials=session, endpoint_url=block.aws_client_parameters.endpoint_url or None)


def assumed(base: boto3.Session, role: str, given: Mapping[str, Any]) -> boto3.Session:
    """A session that takes a role when it is first used, and takes it again before its credentials end.

    Args:
        base: Whose credentials may take the role.
        given: Further arguments of ``AssumeRole``, such as ``ExternalId``.
    """
    import boto3
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
    from botocore.session import Session

    source = base.get_credentials()
    if source is None:
        raise InputInvalid(f"there are no credentials with which to take the role {role}")
    extra = {"RoleSessionName": "reelroute", **given}
    fetcher = AssumeRoleCredentialFetcher(base._session.create_client, source, role, extra_args=extra)
    core = Session()
    core._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
    return boto3.Session(botocore_session=core, region_name=base.region_name)


def from_gcp(block: Any) -> StorageOptions:
    """The service account's credentials, from GcpCredentials; nothing, for the SDK's own chain, if it holds none."""
    if block.service_account_info or block.service_account_file:
        return StorageOptions(credentials=block.get_credentials_from_service_account())
    return StorageOptions()


def from_azure(block: Any) -> StorageOptions:
    """A connection string or a service principal, from AzureBlobStorageCredentials; else the SDK's own chain."""
    if block.connection_string is not None:
        return StorageOptions(credentials=block.connection_string.get_secret_value())
    if block.client_id is None:
        return StorageOptions(endpoint_url=block.account_url)
    from azure.identity import ClientSecretCredential

    principal = ClientSecretCredential(
        tenant_id=block.tenant_id, client_id=block.client_id, client_secret=block.client_secret.get_secret_value()
    )
    return StorageOptions(credentials=principal, endpoint_url=block.account_url)


KINDS: dict[str, tuple[Kind, ...]] = {
    "s3": (
        Kind("prefect_aws", "AwsCredentials", "aws", from_aws),
        Kind("prefect_aws", "MinIOCredentials", "aws", from_aws),
    ),
    "gs": (Kind("prefect_gcp", "GcpCredentials", "gcp", from_gcp),),
    "az": (Kind("prefect_azure", "AzureBlobStorageCredentials", "azure", from_azure),),
}
