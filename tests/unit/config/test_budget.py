"""Budgets of a period: what may be written, and when a period began."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from config.budget import Budget
from tasks.domain.budget import Limits, Spent
from tests.unit.config.conftest import Mistakes


@pytest.mark.parametrize(
    ("per", "zone", "since"),
    [
        ("day", "UTC", "2026-10-26T00:00:00+00:00"),
        ("day", "Europe/Zurich", "2026-10-26T00:00:00+01:00"),
        ("day", "America/Los_Angeles", "2026-10-25T00:00:00-07:00"),
        ("week", "UTC", "2026-10-26T00:00:00+00:00"),
        ("week", "America/Los_Angeles", "2026-10-19T00:00:00-07:00"),
        ("month", "Europe/Zurich", "2026-10-01T00:00:00+02:00"),
        ("24h", "Europe/Zurich", "2026-10-25T01:30:00+00:00"),
        ("7d", "UTC", "2026-10-19T01:30:00+00:00"),
    ],
)
def test_periods_begin_at_midnight_of_the_time_zone(per: str, zone: str, since: str) -> None:
    """Summer time included (it ended on 25 October in Zurich); a duration goes back from now, wherever one is."""
    now = datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    assert datetime.fromisoformat(since) == Budget(per=per).since(now, zone)


def test_a_budget_of_a_run_has_no_period() -> None:
    """As it was before there were periods, and by default."""
    assert Budget().since(datetime(2026, 3, 1, tzinfo=UTC), "UTC") is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("dya", "'dya' is not a period; did you mean 'day'?"),
        ("24", "'24'"),
        ("0s", "'0s' is too short or too long"),
        ("32d", "'32d' is too short or too long"),
        ("1 day", "'1 day' is not a period"),
        ("true", "'true'"),
    ],
)
def test_other_periods_are_refused(mistakes: Mistakes, value: str, said: str) -> None:
    """With the line, and what is allowed."""
    [problem] = mistakes(
        f"""
        name: yard
        sources: [{{uri: ./videos}}]
        inference: {{backend: local, model: oidv4/1}}
        budget:
          max_videos: 5
          per: {value}
        routes: [{{to: results, uri: ./out}}]
        """
    )
    assert "budget.per" in str(problem)
    assert ":7" in str(problem)
    assert said.casefold() in str(problem).casefold()
    assert "day, week, month" in str(problem)


def test_a_limit_names_its_period() -> None:
    """People read it in reports: of a run without one."""
    assert "budget.max_videos 2 per day" == Limits(max_videos=2, per="day").exceeded_by(Spent(3))
    assert "budget.max_videos 2" == Limits(max_videos=2).exceeded_by(Spent(3))
    assert "budget.max_cost 1 per 24h" == Limits(max_cost=1, cost_per_1000_frames=0.5, per="24h").exceeded_by(
        Spent(1, 2001)
    )
    assert "" == Limits(max_cost=1, cost_per_1000_frames=0.5, max_videos=1).exceeded_by(Spent(1, 2000))
