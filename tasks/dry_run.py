"""What a run would do, shown in Prefect: the step behind the dry-run switch of a form."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import acreate_markdown_artifact

from config.pipeline import Pipeline
from config.settings import Settings
from tasks.credentials import load_credentials
from tasks.domain.errors import LedgerMissing
from tasks.domain.escaping import markdown_text
from tasks.domain.wording import count_of
from tasks.ledger.open import open_ledger
from tasks.log_guard import guard_logs
from tasks.policies import PATIENT_STEP
from tasks.preview import Preview, preview
from tasks.spec import inference_spec
from tasks.storage.filters import NOT_TAKEN
from tasks.stores import Stores
from tasks.unforeseen import discreet_step

FAILURES_SHOWN = 100


@task(name="dry run", **PATIENT_STEP)
@discreet_step
async def dry_run(pipeline: Pipeline, limit: int = 0) -> dict[str, Any]:
    """List, compare with the ledger, estimate; change and submit nothing. Returns what ``plan --json`` prints."""
    settings = Settings.load()
    guard_logs(settings.log_format)
    stores = Stores(pipeline, blocks=await load_credentials(pipeline))
    found = await asyncio.to_thread(_look, pipeline, stores, limit, settings)
    text = markdown(pipeline.name, found)
    get_run_logger().info("%s", text.splitlines()[0].removeprefix("# "))
    await acreate_markdown_artifact(text, key=f"plan-{pipeline.name}", description=f"What {pipeline.name} would do")
    return found.as_json(pipeline.name)


def _look(pipeline: Pipeline, stores: Stores, limit: int, settings: Settings) -> Preview:
    spec, _ = inference_spec(pipeline)
    now = datetime.now(UTC)
    try:
        ledger = open_ledger(settings.ledger_url.get_secret_value(), create=False)
    except LedgerMissing:
        return preview(pipeline, spec, stores, None, now, settings, limit=limit)
    with closing(ledger):
        return preview(pipeline, spec, stores, ledger, now, settings, limit=limit)


def markdown(name: str, found: Preview) -> str:
    """A preview for people."""
    estimate = found.estimate
    cost = "unknown" if estimate.cost is None else f"{estimate.cost:.2f}"
    rows: dict[str, object] = {"discovered": found.discovered, "to submit": estimate.videos}
    rows |= {"frames": estimate.frames, "video minutes": f"{estimate.minutes:.1f}", "cost": cost}
    rows |= {f"already {state}": count for state, count in sorted(found.known.items())}
    rows |= {f"not taken: {NOT_TAKEN[reason]}": count for reason, count in sorted(found.not_taken.items())}
    rows |= {f"left out ({reason})": count for reason, count in found.left_out.items()}
    rows["cannot be inferred"] = len(found.failures)
    lines = [f"# {name} would submit {count_of(estimate.videos, 'video')}", "", "| | |", "|---|---|"]
    lines += [f"| {label} | {value} |" for label, value in rows.items()]
    told = [f"{failure['video']}: {failure['code']}: {failure['message']}" for failure in found.failures]
    told = [*told[:FAILURES_SHOWN], *found.warnings[:FAILURES_SHOWN]]
    lines += ["", *(f"- {markdown_text(text)}" for text in told)]
    return "\n".join(lines) + "\n"
