"""SQS, which S3 notifies directly, through SNS or through EventBridge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from deployments.services.events.queues.base import Message, QueueUnavailable

_WAIT_S = 10
# Long enough for a slow ledger, short enough that a killed service's messages come back soon.
_HIDDEN_S = 60
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=5, read_timeout=_WAIT_S + 10)


class SqsQueue:
    """One queue, by its URL; credentials and region come from boto3's own chain, the region also from the URL."""

    via = "sqs"

    def __init__(self, url: str) -> None:
        self.name = url
        self._client: Any = None

    def receive(self) -> list[Message]:
        """Wait up to ten seconds for up to ten messages."""
        found = self._call(
            "receive_message",
            MaxNumberOfMessages=10,
            WaitTimeSeconds=_WAIT_S,
            VisibilityTimeout=_HIDDEN_S,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return [
            Message(
                one["MessageId"],
                one["Body"].encode(errors="surrogatepass"),
                one["ReceiptHandle"],
                tries=int(one.get("Attributes", {}).get("ApproximateReceiveCount", 0)),
            )
            for one in found.get("Messages", [])
        ]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Delete up to ten messages."""
        entries = [{"Id": str(n), "ReceiptHandle": message.receipt} for n, message in enumerate(messages)]
        failed = self._call("delete_message_batch", Entries=entries).get("Failed", [])
        if failed:
            raise QueueUnavailable(f"{len(failed)} messages could not be deleted")

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        try:
            if self._client is None:
                self._client = boto3.client("sqs", config=_CONFIG, region_name=_region(self.name))
            answer: dict[str, Any] = getattr(self._client, method)(QueueUrl=self.name, **arguments)
        except ClientError as error:
            raise QueueUnavailable(f"SQS refused: {error.response.get('Error', {}).get('Code', 'unknown')}") from None
        except (BotoCoreError, ValueError) as error:
            raise QueueUnavailable(f"SQS does not answer: {type(error).__name__}") from None
        return answer


def _region(url: str) -> str | None:
    """The region that a queue's URL names; None leaves it to the environment."""
    host = url.partition("://")[2].partition("/")[0].split(".")
    return host[1] if len(host) > 3 and host[0] == "sqs" and host[2] == "amazonaws" else None
