"""Rights and notifications of the clouds: what AWS would take, and no more than the README says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.validate import ParamValidator
from policy_sentry.querying.actions import get_action_data

from config.event_settings import EventSettings
from tests.shipping.files import DEPLOYMENTS, ROOT

CLOUD = DEPLOYMENTS / "cloud"
POLICIES = sorted((CLOUD / "aws").glob("*policy.json"))
STATEMENTS = [
    pytest.param(statement, id=f"{policy.stem}-{statement['Sid']}")
    for policy in POLICIES
    for statement in json.loads(policy.read_text())["Statement"]
]
README = (ROOT / "README.md").read_text()


def actions(statement: dict[str, Any]) -> list[str]:
    wanted = statement["Action"]
    return [wanted] if isinstance(wanted, str) else wanted


def known(action: str) -> list[dict[str, Any]]:
    """What AWS's own list of actions says about one, an entry per kind of resource."""
    service, name = action.split(":")
    found: dict[str, list[dict[str, Any]]] = get_action_data(service, name)
    return found.get(service, [])


@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_action_exists_and_takes_the_resource(statement: dict[str, Any]) -> None:
    """A misspelled action is taken by IAM and then means nothing."""
    for action in actions(statement):
        entries = known(action)
        assert [action] == sorted({entry["action"] for entry in entries})
        if "Resource" in statement:
            formats = [
                re.sub(r"\\\$\\\{\w+\\\}", r"[^:]*", re.escape(entry["resource_arn_format"])) for entry in entries
            ]
            assert any(re.fullmatch(each, statement["Resource"]) for each in formats), action


@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_condition_is_one_of_its_action(statement: dict[str, Any]) -> None:
    """A key that an action does not know denies everything."""
    everywhere = {"aws:SourceAccount", "aws:SourceArn"}
    for action in actions(statement):
        keys = {key for entry in known(action) for key in entry["condition_keys"]}
        for tests in statement.get("Condition", {}).values():
            assert set(tests) <= keys | everywhere


@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_right_is_wider_than_a_bucket_or_a_queue(statement: dict[str, Any]) -> None:
    """And whoever is let in from outside is a service of AWS, for this account alone."""
    assert "*" not in "".join(actions(statement))
    assert "Allow" == statement["Effect"]
    assert not statement.get("Resource", "").endswith(":*")
    if "Principal" in statement:
        assert ["Service"] == list(statement["Principal"])
        assert "aws:SourceAccount" in statement["Condition"]["StringEquals"]


def readme_rights(cloud: str) -> tuple[set[str], set[str]]:
    """What the README's table of rights asks for: source, route."""
    (row,) = re.findall(rf"(?m)^\| {cloud} \| (.*storage.*|.*s3:.*|.*Blob Data.*) \| (.*) \|$", README)

    def names(cell: str) -> set[str]:
        found = re.findall(r"`([\w.:]+)`", cell)
        return {f"storage.objects{name}" if name.startswith(".") else name for name in found}

    return names(row[0]), names(row[1])


def test_aws_policies_give_what_the_readme_says() -> None:
    """One truth in two places."""
    given = {
        policy.stem: {a for s in json.loads(policy.read_text())["Statement"] for a in actions(s)} for policy in POLICIES
    }

    assert readme_rights("S3") == (given["source-policy"], given["route-policy"])


def test_google_roles_give_what_the_readme_says() -> None:
    """The signer's right is its own role, to be given on itself alone."""
    roles = {
        name: set(yaml.safe_load((CLOUD / "gcp" / f"reelroute-{name}-role.yaml").read_text())["includedPermissions"])
        for name in ("source", "route", "signer")
    }

    assert readme_rights("GCS") == (roles["source"] | roles["signer"], roles["route"])
    assert {"iam.serviceAccounts.signBlob"} == roles["signer"]


def test_azure_roles_are_those_of_the_readme() -> None:
    """By the names that Azure gives them."""
    text = (CLOUD / "azure" / "README.md").read_text()
    (row,) = re.findall(r"(?m)^\| Azure \| (.*Blob Data Reader.*)$", README)

    for role in ("Storage Blob Data Reader", "Storage Blob Delegator", "Storage Blob Data Contributor"):
        assert role in row
        assert f'grant "{role}"' in text


@pytest.mark.parametrize("name", ["notify-queue", "notify-topic"])
def test_notifications_are_what_s3_takes(name: str) -> None:
    """By the shape in Amazon's own SDK."""
    configuration = json.loads((CLOUD / "aws" / f"{name}.json").read_text())
    model = boto3.client("s3", region_name="eu-central-1", aws_access_key_id="-", aws_secret_access_key="-").meta
    shape = model.service_model.operation_model("PutBucketNotificationConfiguration").input_shape
    report = ParamValidator().validate({"Bucket": "b", "NotificationConfiguration": configuration}, shape)

    assert not report.has_errors(), report.generate_report()
    (listed,) = configuration.values()
    assert ["s3:ObjectCreated:*"] == listed[0]["Events"]


def test_policies_and_notifications_mean_the_same_things() -> None:
    """One account, one region, one queue, one topic, one bucket: a copy works when names are replaced."""
    text = "".join(path.read_text() for path in (CLOUD / "aws").glob("*.json"))

    assert {"eu-central-1:123456789012"} == set(re.findall(r"arn:aws:(?:sqs|sns|events):([\w-]+:\d+):", text))
    assert {"reelroute-uploads"} == set(re.findall(r"arn:aws:(?:sqs|sns):[\w-]+:\d+:([\w-]+)", text))
    assert {"match-archive", "match-archive-out"} == set(re.findall(r"arn:aws:s3:::([\w-]+)", text))


@pytest.mark.parametrize("document", sorted(CLOUD.rglob("README.md")), ids=lambda path: path.parent.name)
def test_documents_name_files_and_settings_that_exist(document: Path) -> None:
    """Commands that are copied find what they read."""
    text = document.read_text()
    settings = {str(field.validation_alias) for field in EventSettings.model_fields.values()}

    assert [] == [name for name in re.findall(r"file://([\w.-]+)", text) if not (document.parent / name).is_file()]
    assert set() == set(re.findall(r"REELROUTE_EVENTS_[A-Z_]+", text)) - settings


def test_every_policy_is_explained() -> None:
    """A file that no document names is used by nobody."""
    text = (CLOUD / "aws" / "README.md").read_text()

    assert [] == [path.name for path in (CLOUD / "aws").glob("*.json") if path.name not in text]
