"""When a pipeline runs by itself."""

from __future__ import annotations

import pytest

# Prefect's own parser: what we accept, it has to accept.
from prefect.client.schemas.schedules import CronSchedule
from pydantic import ValidationError

from config.schedule import Schedule


def refusal(**values: object) -> str:
    with pytest.raises(ValidationError) as caught:
        Schedule.model_validate({"cron": "0 2 * * *"} | values)
    (error,) = caught.value.errors()
    return error["msg"]


@pytest.mark.parametrize(
    "cron",
    ["0 2 * * *", "*/15 * * * *", "0 2 1,15 * *", "30 1-5 * * mon-fri", "0 0 * JAN,dec 0", "5-55/10 0 * * 7"],
)
def test_what_crontab_takes_is_taken(cron: str) -> None:
    """Numbers, lists, ranges, steps and names; Prefect reads the same."""
    assert cron == Schedule(cron=cron).cron == CronSchedule(cron=Schedule(cron=cron).cron).cron


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "2am",
        "@daily",
        "0 2 * *",
        "0 0 2 * * *",
        "60 2 * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 * 13 *",
        "0 0 * * 8",
        "0 5-2 * * *",
        "0 0 * * mon-",
        "0 5/10 * * *",
        "*/0 * * * *",
        "0 ² * * *",
        "mon 0 * * *",
    ],
)
def test_what_would_never_come_or_means_nothing_is_refused(cron: str) -> None:
    """Before it reaches a server."""
    assert "is not a cron schedule" == refusal(cron=cron)


def test_spaces_do_not_make_another_schedule() -> None:
    """So that registering again changes nothing."""
    assert "0 2 * * *" == Schedule(cron="  0  2 *\t* * ").cron


def test_the_zone_is_utc_unless_said() -> None:
    """And a slip in one gets a suggestion."""
    assert ("UTC", True) == (Schedule(cron="0 2 * * *").timezone, Schedule(cron="0 2 * * *").wait)
    assert "is not a time zone" == refusal(timezone="Europe/Zurch")
    assert "is not a time zone" == refusal(timezone="../etc/passwd")
