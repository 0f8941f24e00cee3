"""Settings of the upload-event service, from the environment: whom it believes, which queues it reads.

Which objects count is in the pipeline files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from config.fields import Allowed, Count, PositiveDuration
from config.problems import refuse_value
from config.settings import read_environment
from config.units import DURATIONS
from tasks.domain.keys import SHORTEST_KEY, is_hard_to_guess


def _split(value: object) -> object:
    return tuple(part for part in re.split(r"[,\s]+", value) if part) if isinstance(value, str) else value


def _all_like(pattern: str, phrase: str, *, hide: bool = False) -> AfterValidator:
    def check(items: tuple[str, ...]) -> tuple[str, ...]:
        for item in items:
            if not re.fullmatch(pattern, item):
                raise refuse_value(phrase, hide=hide)
        return items

    return AfterValidator(check)


def _key(secret: SecretStr | None) -> SecretStr | None:
    text = secret.get_secret_value().strip() if secret else ""
    if not text:
        return None
    if not is_hard_to_guess(text):
        raise refuse_value("is no key that is hard to guess")
    return SecretStr(text)


def _name(like: str, phrase: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text and not re.fullmatch(like, text):
            raise refuse_value(phrase)
        return text

    return check


Items = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class EventSettings(BaseSettings):
    """What the environment says about upload events. Make one with :meth:`load`."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    pipelines: Annotated[
        Items,
        Field(
            validation_alias="REELROUTE_EVENTS_PIPELINES",
            description="Pipelines that uploads start. Default: those in `config/pipelines` of the working directory.",
        ),
        Allowed("names or paths of pipeline files, with commas between"),
    ] = ()
    key: Annotated[
        SecretStr | None,
        AfterValidator(_key),
        Field(
            validation_alias="REELROUTE_EVENTS_KEY",
            description="Secret of EventBridge, Event Grid and raw messages: in `x-reelroute-key` or `?code=`.",
        ),
        Allowed(f"{SHORTEST_KEY} characters or more, ASCII"),
    ] = None
    sns_topics: Annotated[
        Items,
        _all_like(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]+", "is not the ARN of a topic"),
        Field(validation_alias="REELROUTE_EVENTS_SNS_TOPICS", description="SNS topics whose messages are taken."),
        Allowed("ARNs of topics, with commas between"),
    ] = ()
    pubsub_audience: Annotated[
        str,
        Field(
            validation_alias="REELROUTE_EVENTS_PUBSUB_AUDIENCE",
            description="Audience of the tokens that Pub/Sub pushes with.",
        ),
        Allowed("text, the same as in the push subscription"),
    ] = ""
    pubsub_account: Annotated[
        str,
        AfterValidator(_name(r"[^@\s]+@[^@\s]+", "is not a service account's email")),
        Field(
            validation_alias="REELROUTE_EVENTS_PUBSUB_ACCOUNT",
            description="Service account that Pub/Sub pushes as.",
        ),
        Allowed("the email of a service account"),
    ] = ""
    azure_tenant: Annotated[
        str,
        AfterValidator(_name(r"[0-9a-fA-F-]{36}", "is not the id of a tenant")),
        Field(
            validation_alias="REELROUTE_EVENTS_AZURE_TENANT",
            description="Entra tenant whose tokens Event Grid may come with instead of the key.",
        ),
        Allowed("a tenant's id"),
    ] = ""
    azure_audience: Annotated[
        str,
        Field(
            validation_alias="REELROUTE_EVENTS_AZURE_AUDIENCE",
            description="Audience of these tokens: the application that the event subscription names.",
        ),
        Allowed("an application's id or URI"),
    ] = ""
    sqs_queues: Annotated[
        Items,
        _all_like(r"https?://[^?#\s]+/\d{12}/[A-Za-z0-9_.-]+", "is not the URL of a queue", hide=True),
        Field(validation_alias="REELROUTE_EVENTS_SQS_QUEUES", description="SQS queues to read."),
        Allowed("URLs of queues, with commas between"),
    ] = ()
    pubsub_subscriptions: Annotated[
        Items,
        _all_like(r"projects/[^/\s]+/subscriptions/[^/\s]+", "is not the name of a subscription"),
        Field(
            validation_alias="REELROUTE_EVENTS_PUBSUB_SUBSCRIPTIONS", description="Pub/Sub subscriptions to pull from."
        ),
        Allowed("projects/PROJECT/subscriptions/NAME, with commas between"),
    ] = ()
    azure_queues: Annotated[
        Items,
        _all_like(
            r"https?://[^?#\s]+/[a-z0-9-]+", "is not the URL of a queue", hide=True
        ),  # a pasted one is often signed
        Field(validation_alias="REELROUTE_EVENTS_AZURE_QUEUES", description="Azure storage queues to read."),
        Allowed("URLs of queues without a signature, with commas between"),
    ] = ()
    quiet: Annotated[
        PositiveDuration,
        Field(
            validation_alias="REELROUTE_EVENTS_QUIET",
            description="A run starts when nothing has landed for so long.",
        ),
        Allowed(DURATIONS),
    ] = timedelta(seconds=5)
    longest_wait: Annotated[
        PositiveDuration,
        Field(
            validation_alias="REELROUTE_EVENTS_LONGEST_WAIT", description="Or when an upload has waited for so long."
        ),
        Allowed(DURATIONS),
    ] = timedelta(minutes=1)
    batch: Annotated[
        Count,
        Field(validation_alias="REELROUTE_EVENTS_BATCH", description="Uploads of one run; so many start one at once."),
        Allowed("a whole number from 1 up"),
    ] = 1000
    deployment: Annotated[
        str,
        AfterValidator(_name(r"[^/]+/[^/]+", "is not the name of a deployment")),
        Field(
            validation_alias="REELROUTE_EVENTS_DEPLOYMENT",
            description="Prefect deployment that sees to a batch, where a Prefect server is configured.",
        ),
        Allowed("FLOW/DEPLOYMENT"),
    ] = "on-upload/on-upload"
    retention: Annotated[
        PositiveDuration,
        Field(
            validation_alias="REELROUTE_EVENTS_RETENTION",
            description="Uploads that were seen to are remembered for so long, to know them if they are told again.",
        ),
        Allowed(DURATIONS),
    ] = timedelta(days=30)

    @classmethod
    def load(cls, pipelines: tuple[str, ...] = ()) -> EventSettings:
        """Read the settings; tell every mistake in them at once.

        Args:
            pipelines: Instead of those that the environment names, if there are any.

        Raises:
            InputInvalid: A variable has a value that cannot be.
        """
        return read_environment(cls, **({"REELROUTE_EVENTS_PIPELINES": pipelines} if pipelines else {}))

    @property
    def believes_somebody(self) -> bool:
        """Whether any request could be authenticated."""
        return bool(self.key or self.sns_topics or self.pubsub_audience or self.azure_audience)
