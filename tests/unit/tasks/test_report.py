"""The report: every video of today is counted once, and whoever reads it knows what to do."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.choose import Plan
from tasks.discover import Discovery
from tasks.domain.errors import AuthRefused, ObjectMissing, StorageUnavailable
from tasks.domain.job import DeliveryState, Failure, JobState
from tasks.plan import Assessment
from tasks.report import Outcome, _row, headline, markdown, passing_of, stand, summarise, write_report
from tasks.run import Run
from tests.rig import Rig

BROKEN = Failure("poll", "job_failed", "it broke | badly\nreally", "upload again")


def finish(rig: Rig, run: Run, *, failing: str = "") -> None:
    """Bring every listed job to its end; the one named ``failing`` fails."""
    for job in rig.listed(run):
        run.ledger.claim(job.key, run.owner, run.lease, run.clock())
        run.ledger.move(job.key, JobState.PLANNED, JobState.SUBMITTING, run.owner, run.clock(), token="t")
        run.ledger.move(job.key, JobState.SUBMITTING, JobState.SUBMITTED, run.owner, run.clock(), job_id="j")
        bad = job.video.name == failing
        run.ledger.move(
            job.key,
            JobState.SUBMITTED,
            JobState.FAILED if bad else JobState.SUCCEEDED,
            run.owner,
            run.clock(),
            failure=BROKEN if bad else None,
        )


def summary_of(run: Run, outcome: Outcome | None = None, plan: Plan | None = None) -> dict[str, object]:
    """The summary of a run that discovered two videos."""
    outcome = outcome or Outcome()
    return summarise(run, Discovery(2, 0), plan or Plan(), outcome, stand(run, outcome))


def test_a_clean_run_has_nothing_to_say(rig: Rig) -> None:
    """All numbers agree and the exit code is 0."""
    run = rig.run()
    finish(rig, run)

    summary = summary_of(run, Outcome(submitted=2, succeeded=2, delivered=Counter(results=2)))

    assert (2, 0, 2, 2, 0, 0, 0) == tuple(
        summary[name] for name in ("discovered", "skipped", "submitted", "succeeded", "failed", "unknown", "exit_code")
    )
    assert {"results": 2, "lightly": 0, "labelbox": 0} == summary["delivered"]
    assert [] == summary["failures"]


def test_a_failed_video_is_listed_with_reason_and_hint(rig: Rig) -> None:
    """The dead letter reads like an instruction, and the exit code is 1."""
    run = rig.run()
    finish(rig, run, failing="a.mp4")

    summary = summary_of(run)

    assert (1, 1) == (summary["failed"], summary["exit_code"])
    assert [
        {
            "video": "a.mp4",
            "stage": "poll",
            "code": "job_failed",
            "message": "it broke | badly\nreally",
            "hint": "upload again",
        }
    ] == summary["failures"]


def test_a_second_run_counts_what_was_done_before(rig: Rig) -> None:
    """Nothing to do is not the same as nothing found; a failure of yesterday is still a failure."""
    finish(rig, rig.run(), failing="a.mp4")
    rig.clock.now += timedelta(hours=1)
    again = rig.run()
    rig.listed(again)

    summary = summary_of(again)

    assert (2, 1, 0, 1) == tuple(summary[name] for name in ("discovered", "skipped", "submitted", "failed"))


def test_what_is_delivered_without_being_submitted_is_not_nothing(rig: Rig) -> None:
    """A replay of stored results, or a new route, is work; a run with nothing new has nothing to do."""
    finish(rig, rig.run())
    rig.clock.now += timedelta(hours=1)
    again = rig.run()
    rig.listed(again)

    delivered = summary_of(again, Outcome(delivered=Counter(lightly=2)))
    idle = summary_of(again)

    assert "All is well." == headline(delivered)
    assert "Nothing to do: 2 videos done before." == headline(idle)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "All is well."),
        ({"in_flight": 2}, "2 jobs not done yet, for the next run or `reelroute collect`."),
        ({"in_flight": 1, "elsewhere": 1}, "1 video in the hands of another process."),
        ({"undelivered": 1}, "1 video with results, to be delivered by the next run."),
        (
            {"left_out": {"--limit 1": 2}, "in_flight": 1},
            "1 job not done yet, for the next run or `reelroute collect`; ",
        ),
        (
            {"failed": 1, "undelivered": 2},
            "1 of 3 videos failed; 2 videos with results, to be delivered by",
        ),
    ],
)
def test_all_is_well_only_when_nothing_is_left(given: dict[str, object], said: str) -> None:
    """What is in flight, elsewhere, left out or undelivered is said, with what takes it up."""
    none = ("interrupted", "in_flight", "failed", "unknown", "skipped", "stopped", "elsewhere", "undelivered")
    summary = dict.fromkeys(none, 0) | {"discovered": 3, "unscheduled": 0, "left_out": {}, "delivered": {"results": 3}}

    assert headline(summary | given).startswith(said)


def test_a_report_of_a_hundred_thousand_failures_can_be_opened(rig: Rig) -> None:
    """The file has the first 5,000 and how many more there are; what the run returns has all."""
    run = rig.run()
    failure = {"video": "a", "stage": "poll", "code": "x", "message": "y", "hint": ""}
    summary = summary_of(run) | {"failures": [failure] * 5003, "warnings": ["w"] * 101}

    text = markdown(summary)
    write_report(run, summary, text)
    kept = json.loads(Path(str(summary["report"])).with_suffix(".json").read_text())

    assert ([failure] * 5000, {"failures": 3, "warnings": 0}) == (kept["failures"], kept["not_shown"])
    assert (101, 5003) == (len(kept["warnings"]), len(summary["failures"]))  # type: ignore[arg-type]
    assert "… and 4903 more in the JSON file beside this report, which has the first 5000; `reelroute status`" in text
    assert "… and 1 more in the JSON file beside this report." in text


def test_what_no_route_has_yet_is_undelivered(rig: Rig) -> None:
    """Results whose deliveries were begun and not ended, by nobody's fault, are not done."""
    run = rig.run()
    finish(rig, run)
    for job in run.ledger.jobs("yard"):
        run.ledger.plan_deliveries("yard", job.key, run.fingerprints, run.clock())

    summary = summary_of(run, Outcome(submitted=2, succeeded=2))

    assert (2, 0) == (summary["undelivered"], summary["exit_code"])
    assert "2 videos with results, to be delivered by the next run." == headline(summary)


def test_a_video_that_could_not_be_looked_at_just_now_is_told(rig: Rig) -> None:
    """It stays planned, and the run that left it there is not called well."""
    run = rig.run()
    one, other = rig.listed(run)
    gone = ObjectMissing("b is gone")
    plan = Plan()
    plan.failures = [
        (one.key, Assessment(one.video, None, 0, StorageUnavailable("the store does not answer", hint="later"))),
        (other.key, Assessment(other.video, None, 0, gone)),
    ]

    passing = passing_of(plan)

    assert {one.key: ("probe", "storage_unavailable", "later")} == {
        key: (failure.stage, failure.code, failure.hint) for key, failure in passing.items()
    }
    assert 1 == summary_of(run, Outcome(passing=passing), plan)["exit_code"]


def test_a_video_that_has_left_the_sources_is_not_counted(rig: Rig) -> None:
    """The report is about today's listing."""
    finish(rig, rig.run(), failing="a.mp4")
    (rig.videos / "a.mp4").unlink()
    rig.clock.now += timedelta(hours=1)
    again = rig.run()
    rig.listed(again)

    assert [] == summary_of(again)["failures"]


def test_a_failed_delivery_names_its_route(rig: Rig) -> None:
    """A route that could not take a video is told per route."""
    run = rig.run()
    finish(rig, run)
    job = next(iter(run.ledger.jobs("yard")))
    run.ledger.plan_deliveries("yard", job.key, run.fingerprints, run.clock())
    run.ledger.claim_delivery("yard", job.key, "lightly", run.owner, run.lease, run.clock())
    run.ledger.finish_delivery(
        "yard", job.key, "lightly", run.owner, DeliveryState.FAILED, run.clock(), failure=Failure("route", "x", "y")
    )

    summary = summary_of(run)

    assert 1 == summary["failed"]
    assert ["route lightly"] == [failure["stage"] for failure in summary["failures"]]  # type: ignore[attr-defined]


def test_a_run_that_was_stopped_returns_what_stopped_it(rig: Rig) -> None:
    """A wrong key is exit code 3, whatever else went on."""
    run = rig.run()
    rig.listed(run)

    summary = summary_of(run, Outcome(stopped=AuthRefused("the key is wrong", hint="check it")))

    assert 3 == summary["exit_code"]
    assert {"code": "auth_refused", "message": "the key is wrong", "hint": "check it"} == summary["stopped"]


def test_a_fault_that_may_pass_is_reported_though_the_ledger_forgets_it(rig: Rig) -> None:
    """A job that is planned again still says why it was not done this time."""
    run = rig.run()
    job = rig.listed(run)[0]

    summary = summary_of(run, Outcome(passing={job.key: Failure("submit", "rate_limited", "429")}))

    assert ["rate_limited"] == [failure["code"] for failure in summary["failures"]]  # type: ignore[attr-defined]


def test_the_markdown_survives_odd_text(rig: Rig) -> None:
    """Pipes and newlines in names and messages do not break the table."""
    run = rig.run()
    finish(rig, run, failing="a.mp4")

    text = markdown(summary_of(run))

    row = next(line for line in text.splitlines() if "a.mp4" in line)
    assert r"it broke \| badly\\nreally" in row
    assert "upload again" in row


def test_no_name_or_message_is_markup_in_the_report_or_the_artifacts(rig: Rig) -> None:
    """Prefect renders the report, and the cells of its tables, as Markdown."""
    hostile = "<script>a</script> [x](javascript:y) `b` | **c**.mp4"
    run = rig.run()
    finish(rig, run, failing="a.mp4")
    summary = summary_of(run)
    summary["failures"] = [dict.fromkeys(("video", "stage", "code", "message", "hint"), hostile)]
    summary["warnings"] = [hostile]
    summary["delivered"] = {hostile: 1}
    job = rig.listed(run)[0]
    job = replace(job, video=replace(job.video, name=hostile))
    cells = _row(job, [Failure("submit", "refused", hostile)])

    for text in (markdown(summary), cells["video"], cells["problem"]):
        assert not re.search(r"(?<!\\)<script|(?<!\\)\]\(|(?<!\\)`|(?<!\\)\*\*", text)
    assert 7 == markdown(summary).count(r"\[x\](javascript:y)")


def test_the_report_is_kept_for_people_and_machines(rig: Rig) -> None:
    """The markdown's neighbour holds the same as JSON."""
    run = rig.run()
    finish(rig, run)
    summary = summary_of(run)

    write_report(run, summary, markdown(summary))

    path = Path(str(summary["report"]))
    assert path.read_text().startswith("# yard")
    assert summary == json.loads(path.with_suffix(".json").read_text())


def test_a_disk_that_takes_no_report_costs_a_warning(rig: Rig) -> None:
    """What the run did is done; machines find null, and everybody the reason."""
    run = rig.run()
    finish(rig, run)
    summary = summary_of(run)
    (run.settings.home / "reports").write_text("a file")

    write_report(run, summary, markdown(summary))

    assert summary["report"] is None
    assert any("the report could not be written" in str(warning) for warning in summary["warnings"])  # type: ignore[attr-defined]
