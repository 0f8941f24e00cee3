"""Credential blocks are read by name and made into what the stores take; what is wrong is told, not shown."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import boto3
import httpx
import pytest
from azure.identity import ClientSecretCredential
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel, SecretStr

from config.pipeline import Pipeline
from tasks.credentials import KINDS, Blocks, assumed, from_azure, from_gcp, load_credentials, named_blocks
from tasks.domain.errors import InputInvalid, ReelrouteError, ServiceUnavailable
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.emulators.s3 import S3Emulator

KEY = "wJalrXUtnFEMI"


class Parameters(BaseModel):
    """As prefect-aws' AwsClientParameters."""

    endpoint_url: str | None = None


class RoleArguments(BaseModel):
    """As prefect-aws' AssumeRoleParameters."""

    external_id: str | None = None

    def get_params_override(self) -> dict[str, Any]:
        return {"ExternalId": self.external_id} if self.external_id else {}


class Saved(BaseModel):
    """A type of block, with the blocks that the server has of it, or what goes wrong with it."""

    blocks: ClassVar[dict[str, Any]]

    @classmethod
    async def aload(cls, name: str) -> Any:
        found = cls.blocks.get(name)
        if isinstance(found, Exception):
            raise found
        if found is None:
            raise ValueError(f"Unable to find block document named {name}") from ObjectNotFound(Exception("404"))
        return found


class Aws(Saved):
    """As prefect-aws' AwsCredentials and MinIOCredentials."""

    blocks: ClassVar[dict[str, Any]] = {}
    key: str = "AKIA"
    profile_name: str | None = None
    assume_role_arn: str | None = None
    assume_role_kwargs: RoleArguments = RoleArguments()
    aws_client_parameters: Parameters = Parameters()

    def get_boto3_session(self) -> boto3.Session:
        assert self.assume_role_arn is None, "the block takes a role for good"
        return boto3.Session(self.key, KEY, region_name="eu-west-1", profile_name=self.profile_name)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Class name -> blocks of it, in packages that are installed."""
    saved: dict[str, dict[str, Any]] = {}
    packages: dict[str, ModuleType] = {}
    for kinds in KINDS.values():
        for kind in kinds:
            saved[kind.name] = {}
            kind_class = type(kind.name, (Saved,), {"blocks": saved[kind.name], "__annotations__": {}})
            packages.setdefault(kind.package, ModuleType(kind.package)).__dict__[kind.name] = kind_class
    for name, package in packages.items():
        monkeypatch.setitem(sys.modules, name, package)
    return saved


def pipeline(*uris: str, routes: list[dict[str, Any]] | None = None) -> Pipeline:
    return Pipeline.model_validate(
        {
            "name": "yard",
            "sources": [{"uri": uri, "credentials": "prod"} for uri in uris],
            "inference": {"backend": "local", "model": "oidv4/1"},
            "routes": routes or [{"to": "results", "uri": "/out"}],
        }
    )


def load(*uris: str) -> Blocks:
    return asyncio.run(load_credentials(pipeline(*uris)))


def refused(error: type[ReelrouteError], *uris: str) -> ReelrouteError:
    with pytest.raises(error) as caught:
        load(*uris)
    assert KEY not in str(caught.value) + caught.value.hint
    assert caught.value.__cause__ is None
    return caught.value


def test_a_pipeline_without_blocks_asks_nobody() -> None:
    """No package, no server: the SDKs' own chains."""
    plain = pipeline("s3://a/").model_copy(update={"sources": ()})
    assert {} == asyncio.run(load_credentials(plain))


def test_blocks_of_sources_and_routes_are_found_by_scheme_and_name() -> None:
    """One name may stand for a block of each cloud."""
    routes = [{"to": "lightly", "datasource": "gs://out/", "task_name": "t", "credentials": "writer"}]
    assert {("s3", "prod"), ("az", "prod"), ("gs", "writer")} == set(
        named_blocks(pipeline("s3://a/x", "s3://b/", "az://c/", routes=routes))
    )


def test_a_block_becomes_a_session_of_ours(blocks: dict[str, dict[str, Any]]) -> None:
    """Its keys and region in a boto3 session, its endpoint beside it; no client of the block's."""
    blocks["AwsCredentials"]["prod"] = Aws(aws_client_parameters=Parameters(endpoint_url="http://10.0.0.1:9000"))
    found = load("s3://a/", "s3://b/")
    assert [("s3", "prod")] == list(found)
    options = found["s3", "prod"]
    assert isinstance(options.credentials, boto3.Session)
    assert ("AKIA", "eu-west-1") == (options.credentials.get_credentials().access_key, options.credentials.region_name)
    assert "http://10.0.0.1:9000" == options.endpoint_url
    assert KEY not in repr(found)


def test_minio_has_its_own_kind_of_block(blocks: dict[str, dict[str, Any]]) -> None:
    """It is looked for under the same key of the pipeline file."""
    blocks["MinIOCredentials"]["prod"] = Aws(key="minio")
    session = load("s3://a/")["s3", "prod"].credentials
    assert isinstance(session, boto3.Session)
    assert "minio" == session.get_credentials().access_key


def test_a_name_for_two_blocks_is_refused(blocks: dict[str, dict[str, Any]]) -> None:
    """Which of them was meant is not ours to guess."""
    blocks["AwsCredentials"]["prod"] = blocks["MinIOCredentials"]["prod"] = Aws()
    assert "two blocks: AwsCredentials and MinIOCredentials" in str(refused(InputInvalid, "s3://a/"))


@pytest.mark.parametrize(
    ("uri", "kind"),
    [("s3://a/", "AwsCredentials or MinIO"), ("gs://a/", "GcpCredentials"), ("az://a/", "AzureBlobStorageCredentials")],
)
def test_a_block_that_is_not_there_is_named(blocks: dict[str, dict[str, Any]], uri: str, kind: str) -> None:
    """With its type, and how to see what there is."""
    error = refused(InputInvalid, uri)
    assert f"'prod' is no block for {uri[:5]} in Prefect: {kind}" in str(error)
    assert "prefect block ls" in error.hint


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages are extras; the SDK's own chain needs none."""
    for package, extra, uri in (("prefect_aws", "aws", "s3://a/"), ("prefect_gcp", "gcp", "gs://a/")):
        monkeypatch.setitem(sys.modules, package, None)
        error = refused(InputInvalid, uri)
        assert package in str(error)
        assert f"reelroute[{extra}]" in error.hint


def _not_installed(name: str) -> ModuleType:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_package_that_is_broken_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it lacks itself is its own error."""
    monkeypatch.setattr("importlib.import_module", lambda name: _not_installed("azure.mgmt"))
    with pytest.raises(ModuleNotFoundError):
        load("az://c/")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ValueError(f"1 validation error: {KEY}"), InputInvalid),
        (httpx.ConnectError(f"no connection to http://u:{KEY}@prefect"), ServiceUnavailable),
        (RuntimeError("Timed out while attempting to connect to ephemeral Prefect API server."), ServiceUnavailable),
    ],
)
def test_what_prefect_cannot_give_is_told_without_its_words(
    blocks: dict[str, dict[str, Any]], raised: Exception, expected: type[ReelrouteError]
) -> None:
    """Prefect's texts may hold what a block holds."""
    blocks["AwsCredentials"]["prod"] = raised
    refused(expected, "s3://a/")


def test_a_block_of_another_schema_is_told(blocks: dict[str, dict[str, Any]]) -> None:
    """Prefect raises a RuntimeError about a field that is missing."""
    error = RuntimeError("Unable to load block document due to schema mismatch")
    error.__cause__ = ValueError(KEY)
    blocks["GcpCredentials"]["prod"] = error
    assert "fields" in str(refused(InputInvalid, "gs://a/"))


def test_a_block_whose_profile_is_gone_is_told(
    blocks: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3's own error becomes ours."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    blocks["AwsCredentials"]["prod"] = Aws(profile_name="nobody")
    assert "ProfileNotFound" in str(refused(InputInvalid, "s3://a/"))


# --- a role ----------------------------------------------------------------------------------------


def test_a_role_is_taken_when_needed_and_not_for_good(
    blocks: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block would take it at once and never again, and nobody would know when that ends."""
    monkeypatch.setattr("boto3.Session.client", None)  # nothing is asked while loading
    role = "arn:aws:iam::123456789012:role/reader"
    blocks["AwsCredentials"]["prod"] = Aws(assume_role_arn=role, assume_role_kwargs=RoleArguments(external_id="x"))
    session = load("s3://a/")["s3", "prod"].credentials
    assert isinstance(session, boto3.Session)
    credentials: Any = session.get_credentials()
    assert "assume-role" == credentials.method
    assert "eu-west-1" == session.region_name


def test_a_role_without_anybody_to_take_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """There have to be credentials first."""
    base = boto3.Session()
    monkeypatch.setattr(base, "get_credentials", lambda: None)
    with pytest.raises(InputInvalid, match="no credentials with which to take the role arn"):
        assumed(base, "arn:aws:iam::123456789012:role/reader", {})


def test_a_roles_credentials_sign_for_as_long_as_they_last(s3: S3Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real role, taken at a real STS: a URL for a day says that it ends with the role, in half an hour."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3.url)
    iam = s3.session.client("iam", endpoint_url=s3.url)
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=_policy(allow))
    reading = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    iam.put_role_policy(RoleName="reader", PolicyName="read", PolicyDocument=_policy(reading))
    bucket = s3.new_bucket()
    s3.client.put_object(Bucket=bucket, Key="a.mp4", Body=b"abc")
    session = assumed(s3.session, "arn:aws:iam::000000000000:role/reader", {"DurationSeconds": 1800})
    store = open_storage(f"s3://{bucket}", StorageOptions(endpoint_url=s3.url, credentials=session))
    assert ["a.mp4"] == [found.key for found in store.list()]
    signed = store.sign("a.mp4", timedelta(days=1))
    assert signed.expires_at is not None
    assert timedelta(minutes=25) < signed.expires_at - datetime.now(UTC) <= timedelta(minutes=30)
    assert b"abc" == httpx.get(signed.url).content


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


# --- Google and Azure ------------------------------------------------------------------------------


def test_a_google_block_without_a_key_leaves_it_to_the_chain() -> None:
    """The block's own way there asks for no scopes."""
    assert from_gcp(SimpleNamespace(service_account_info=None, service_account_file=None)).credentials is None


@pytest.mark.parametrize("field", ["service_account_info", "service_account_file"])
def test_a_google_block_with_a_key_gives_its_credentials(field: str) -> None:
    """Inline or as a file."""
    credentials = object()
    fields = {"service_account_info": None, "service_account_file": None, field: "given"}
    block = SimpleNamespace(**fields, get_credentials_from_service_account=lambda: credentials)
    assert credentials is from_gcp(block).credentials


def azure_block(**fields: Any) -> Any:
    empty = dict.fromkeys(("connection_string", "account_url", "client_id", "tenant_id", "client_secret"))
    return SimpleNamespace(**(empty | fields))


def test_an_azure_block_is_a_connection_string_a_principal_or_an_account() -> None:
    """Its client is asynchronous, so only its fields are taken."""
    text = f"AccountName=acme;AccountKey={KEY}"
    assert text == from_azure(azure_block(connection_string=SecretStr(text))).credentials
    url = "https://acme.blob.core.windows.net"
    only_account = from_azure(azure_block(account_url=url))
    assert (None, url) == (only_account.credentials, only_account.endpoint_url)
    principal = from_azure(
        azure_block(
            account_url=url,
            client_id="11111111-1111-1111-1111-111111111111",
            tenant_id="22222222-2222-2222-2222-222222222222",
            client_secret=SecretStr(KEY),
        )
    )
    assert isinstance(principal.credentials, ClientSecretCredential)
    assert url == principal.endpoint_url
    assert KEY not in repr(principal)
