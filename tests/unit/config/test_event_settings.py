"""Settings of the upload-event service, from the environment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from config.event_settings import EventSettings
from tasks.domain.errors import InputInvalid

KEY = "a-key-that-is-MARKED-5ec7e7"


@pytest.fixture(autouse=True)
def _nothing_set(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for info in EventSettings.model_fields.values():
        monkeypatch.delenv(str(info.validation_alias), raising=False)


def load(monkeypatch: pytest.MonkeyPatch, **env: str) -> EventSettings:
    for name, value in env.items():
        monkeypatch.setenv(f"REELROUTE_EVENTS_{name}", value)
    return EventSettings.load()


def test_nothing_needs_to_be_set() -> None:
    """Nobody is believed then, and nothing is read."""
    settings = EventSettings.load()
    assert not settings.believes_somebody
    assert ((), timedelta(seconds=5), 1000) == (settings.sqs_queues, settings.quiet, settings.batch)


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or blanks, or line breaks, as YAML files of Kubernetes have them."""
    topics = "arn:aws:sns:eu-west-1:000000000000:a,\n arn:aws-cn:sns:cn-north-1:000000000000:b.fifo,"
    settings = load(monkeypatch, SNS_TOPICS=topics, PIPELINES="yard ./other.yaml")
    assert (2, ("yard", "./other.yaml")) == (len(settings.sns_topics), settings.pipelines)
    assert settings.believes_somebody


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`reelroute serve events PIPELINE` means this one only."""
    monkeypatch.setenv("REELROUTE_EVENTS_PIPELINES", "yard")
    assert ("other",) == EventSettings.load(("other",)).pipelines


def test_durations_have_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere."""
    settings = load(monkeypatch, QUIET="500s", RETENTION="7d", KEY=f"{KEY}\n")
    assert (timedelta(seconds=500), timedelta(days=7)) == (settings.quiet, settings.retention)
    assert settings.key is not None
    assert settings.key.get_secret_value() == KEY


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("KEY", "short", "is no key that is hard to guess"),
        ("KEY", "MARKED-é-and-long-enough", "is no key that is hard to guess"),
        ("SNS_TOPICS", "uploads", "is not the ARN of a topic"),
        ("PUBSUB_ACCOUNT", "somebody", "is not a service account's email"),
        ("AZURE_TENANT", "contoso", "is not the id of a tenant"),
        ("SQS_QUEUES", "uploads", "is not the URL of a queue"),
        ("PUBSUB_SUBSCRIPTIONS", "uploads", "is not the name of a subscription"),
        ("AZURE_QUEUES", "https://a.queue.core.windows.net/q?sig=MARKED", "is not the URL of a queue"),
        ("QUIET", "5", ""),
        ("QUIET", "0s", ""),
        ("BATCH", "0", ""),
        ("DEPLOYMENT", "on-upload", "is not the name of a deployment"),
    ],
)
def test_mistakes_are_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    """With the variable's name and what is allowed, and no secret."""
    with pytest.raises(InputInvalid) as caught:
        load(monkeypatch, **{name: value})
    message = str(caught.value)
    assert message.startswith(f"REELROUTE_EVENTS_{name}: ")
    assert said in message
    assert "allowed: " in message
    assert "MARKED" not in message
