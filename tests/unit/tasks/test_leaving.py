"""`--no-wait`: only where somebody is left who works on the jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.domain.errors import InputInvalid
from tasks.leaving import require_service_that_stays
from tests.flows.conftest import Yard
from tests.rig import Rig


def test_a_service_that_ends_with_the_run_is_waited_for(tmp_path: Path) -> None:
    """Exit code 2 before anything starts, with what happens and what to do; `wait: false` of a schedule is the same."""
    (tmp_path / "videos").mkdir()
    yard = Yard(tmp_path)

    ended = yard.reelroute("run", yard.pipeline(), "--no-wait", "--json")

    assert (2, "input_invalid") == (ended.code, ended.json["error"]["code"])
    assert "ends with it" in ended.json["error"]["message"]
    assert "ROBOFLOW_API_URL" in ended.json["error"]["hint"]
    assert not (tmp_path / "home").exists()


def test_a_service_that_stays_may_be_left_with_jobs(tmp_path: Path) -> None:
    """One that has an address of its own goes on when the run has ended."""
    rig = Rig(tmp_path)
    rig.videos.mkdir()
    run = rig.run()

    require_service_that_stays(run.pipeline, run.settings.model_copy(update={"roboflow_api_url": "http://10.0.0.1:9"}))
    with pytest.raises(InputInvalid):
        require_service_that_stays(
            run.pipeline, run.settings.model_copy(update={"roboflow_api_url": "https://api.roboflow.com"})
        )
