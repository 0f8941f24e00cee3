"""What people get wrong: each with its code, a hint and its exit code, and nothing paid."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest

from config.load import load_pipeline
from config.settings import Settings
from tasks.discover import Discovery, record_listing
from tasks.domain.errors import ReelrouteError
from tasks.plan import make_plan
from tasks.report import Outcome, headline, stand, summarise
from tasks.run import open_run
from tests.clips import write_clip
from tests.rig import Rig
from tests.scripted_service import KEY, MARK, PROJECT, Fault, ScriptedService

PIPELINE = """
name: yard
sources: [{{uri: "{videos}"}}]
inference: {{backend: roboflow, model: {model}, fps: {fps}}}
{more}
routes: [{{to: results, uri: "{out}"}}]
"""


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    """A hosted service with one project."""
    with ScriptedService() as service:
        yield service
        assert {} == service.jobs
        assert [] == service.calls("submit")


def written(rig: Rig, *, model: str = "players-x1/1", fps: object = 5, more: str = "") -> str:
    """Write a pipeline file and return its path."""
    path = rig.folder / "yard.yaml"
    path.write_text(PIPELINE.format(videos=rig.videos, out=rig.out, model=model, fps=fps, more=more))
    return str(path)


def settings(rig: Rig, service: ScriptedService, key: str | None = KEY) -> Settings:
    """Settings that lead to the service."""
    values = {"REELROUTE_HOME": rig.folder / "home", "ROBOFLOW_API_URL": service.base_url}
    return Settings.model_validate(values | ({} if key is None else {"ROBOFLOW_API_KEY": key}))


def other_kind(service: ScriptedService) -> None:
    service.projects["players-x1"]["project"] = PROJECT | {"type": "semantic-segmentation"}


def control(status: int) -> Callable[[ScriptedService], None]:
    """A control plane that refuses everybody."""
    return lambda service: service.script("control", *[Fault(status=status, body={"error": "no"})] * 20)


@pytest.mark.parametrize(
    ("prepare", "key", "model", "code"),
    [
        (lambda _: None, None, "players-x1/1", "auth_refused"),
        (lambda _: None, f"wrong-{MARK}", "players-x1/1", "auth_refused"),
        (control(402), KEY, "players-x1/1", "plan_refused"),
        (control(403), KEY, "players-x1/1", "auth_refused"),
        (control(423), KEY, "players-x1/1", "plan_refused"),
        (lambda _: None, KEY, "no-such-project/1", "model_unknown"),
        (lambda _: None, KEY, "players-x1/9", "model_unknown"),
        (other_kind, KEY, "players-x1/1", "model_unknown"),
    ],
    ids=["no key", "wrong key", "402", "403", "423", "no such project", "no such version", "kind not taken"],
)
async def test_a_run_that_the_service_would_refuse_ends_before_it_begins(
    rig: Rig,
    service: ScriptedService,
    prepare: Callable[[ScriptedService], None],
    key: str | None,
    model: str,
    code: str,
) -> None:
    """Exit code 3, a hint, no secret in the message, and no video listed yet."""
    prepare(service)

    with pytest.raises(ReelrouteError) as raised:
        async with open_run(written(rig, model=model), settings(rig, service, key)):
            pass

    assert (code, 3) == (raised.value.code, raised.value.exit_code)
    assert raised.value.hint
    assert MARK not in f"{raised.value}{raised.value.hint}"


@pytest.mark.parametrize("fps", [0, 121, -1, "fast"])
def test_a_rate_that_no_service_takes_is_a_mistake_in_the_file(rig: Rig, fps: object) -> None:
    """Exit code 2, with the line and what is allowed."""
    with pytest.raises(ReelrouteError, match="from 1 to 120") as raised:
        load_pipeline(written(rig, fps=fps))

    assert ("pipeline_invalid", 2) == (raised.value.code, raised.value.exit_code)
    assert "yard.yaml:4" in str(raised.value)


async def planned(rig: Rig, service: ScriptedService, path: str) -> dict[str, Any]:
    """The summary of a run that gets as far as planning, and how that reads."""
    async with open_run(path, settings(rig, service)) as run:
        found = record_listing(run)
        plan = make_plan(run, 0)
        outcome = Outcome()
        assert [] == plan.todo
        summary = summarise(run, Discovery(found.videos, found.new), plan, outcome, stand(run, outcome))
    json.dumps(summary)
    return summary | {"headline": headline(summary)}


async def test_a_rate_above_the_videos_own_fails_the_video_with_both_figures(
    rig: Rig, service: ScriptedService
) -> None:
    """The hosted service would take the money and give empty results."""
    shutil.rmtree(rig.videos)
    rig.videos.mkdir()
    write_clip(rig.videos / "slow.mp4", frames=20, fps=Fraction(4))

    summary = await planned(rig, service, written(rig, fps=5))

    (failure,) = summary["failures"]
    assert ("fps_too_high", 1) == (failure["code"], summary["exit_code"])
    assert "lower" in failure["hint"]


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        ("max_video_minutes: 0.001", "budget.max_video_minutes 0.001"),
        ("cost_per_1000_frames: 10, max_cost: 0.001", "budget.max_cost 0.001"),
    ],
)
async def test_a_budget_smaller_than_one_video_submits_nothing_and_says_so(
    rig: Rig, service: ScriptedService, budget: str, reason: str
) -> None:
    """That is what a budget is for: exit code 0, and the limit that was reached is named."""
    summary = await planned(rig, service, written(rig, more=f"budget: {{{budget}}}"))

    assert (Counter({reason: 2}), 0) == (summary["left_out"], summary["exit_code"])
    assert f"2 videos left for another run: {reason}." == summary["headline"]
