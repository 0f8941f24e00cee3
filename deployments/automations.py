"""What Prefect does by itself: end runs that nobody is at work on any more, and tell people what went wrong.

A self-hosted Prefect marks no run as crashed whose worker died with it: that takes the two
automations that are always registered. Those that notify are registered once there is a block to
notify with (``reelroute deploy --notify TYPE/NAME``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from tasks.domain.errors import InputInvalid

# Runs send a sign of life every three minutes (PREFECT_FLOWS_HEARTBEAT_FREQUENCY).
SILENT = timedelta(minutes=9)
# A node that has to be added and an image that has to be fetched take less.
STUCK = timedelta(minutes=20)
LATE = timedelta(minutes=10)

_RUNS = {"prefect.resource.id": ["prefect.flow-run.*"]}
# Only our own: a server may be shared.
_OURS = {"prefect.resource.id": "prefect.tag.reelroute", "prefect.resource.role": "tag"}
_ANY = {"prefect.flow-run.*"}
_WHAT = "{{ flow.name }}: {{ flow_run.name }} is {{ flow_run.state.name }}"
_BODY = f"{_WHAT}: {{{{ flow_run.state.message }}}}\n{{{{ flow_run|ui_url }}}}"


def clean_up(silent: timedelta = SILENT, stuck: timedelta = STUCK) -> list[AutomationCore]:
    """The automations that end runs whose process is gone.

    Args:
        silent: A run without a sign of life for so long is over.
        stuck: So is one that has been Pending for so long.
    """
    return [
        AutomationCore(
            name="reelroute: crash runs without a sign of life",
            description=f"A run that has sent no heartbeat for {silent} died with its worker.",
            trigger=_absence("prefect.flow-run.heartbeat", silent),
            actions=[_crash(f"no sign of life for {silent}: the worker died; the next run goes on")],
        ),
        AutomationCore(
            name="reelroute: crash runs that never start",
            description=f"A run that has been Pending for {stuck} was lost between worker and process.",
            trigger=_absence("prefect.flow-run.Pending", stuck),
            actions=[_crash(f"pending for {stuck}: the worker died before it started the run")],
        ),
    ]


def alerts(block: UUID) -> list[AutomationCore]:
    """The automations that notify people by a block."""
    told = {
        "failed runs": ({"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"}, _BODY),
        "degraded runs": ({"prefect.flow-run.Degraded"}, _BODY),
        "late runs": ({"prefect.flow-run.Late"}, _BODY + "\nIs a worker running?"),
    }
    return [
        AutomationCore(
            name=f"reelroute: tell of {which}",
            description="Registered by `reelroute deploy --notify`.",
            trigger=EventTrigger(
                expect=events, match=_RUNS, match_related=_OURS, posture=Posture.Reactive, threshold=1
            ),
            actions=[SendNotification(block_document_id=block, subject=f"reelroute: {which}", body=body)],
        )
        for which, (events, body) in told.items()
    ]


def _absence(after: str, within: timedelta) -> EventTrigger:
    # Whatever a run says next counts, also the states that have names of their own, such as Degraded:
    # a list of states would miss some, and the automation would crash runs that have ended.
    return EventTrigger(
        after={after},
        expect=_ANY,
        match=_RUNS,
        match_related=_OURS,
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )


def _crash(message: str) -> ChangeFlowRunState:
    return ChangeFlowRunState(state=StateType.CRASHED, name=None, message=message)


async def find_block(client: PrefectClient, text: str) -> UUID:
    """Return the id of the notification block that ``TYPE/NAME`` means.

    Raises:
        InputInvalid: There is none.
    """
    kind, _, name = text.partition("/")
    hint = "TYPE/NAME of a notification block, as `prefect block ls` shows it: slack-webhook/video-team"
    try:
        document = await client.read_block_document_by_name(name=name, block_type_slug=kind, include_secrets=False)
    except ObjectNotFound:
        raise InputInvalid(f"there is no block {text} on the Prefect server", hint=hint) from None
    if document.block_schema is None or "notify" not in document.block_schema.capabilities:
        raise InputInvalid(f"block {text} sends no notifications", hint=hint)
    return document.id


async def apply_automation(client: PrefectClient, wanted: AutomationCore) -> str:
    """Make the server have this automation once; say "created", "updated" or "unchanged".

    Whether it is switched on stays as people left it.
    """
    there = await client.read_automations_by_name(wanted.name)
    if not there:
        await client.create_automation(wanted)
        return "created"
    first, *others = there
    for other in others:
        await client.delete_automation(other.id)
    if _essence(first) == _essence(wanted):
        return "updated" if others else "unchanged"
    await client.update_automation(first.id, wanted.model_copy(update={"enabled": first.enabled}))
    return "updated"


def _essence(automation: AutomationCore) -> dict[str, Any]:
    """What an automation does, as plain values without ids and defaults that the server adds."""
    data = automation.model_dump(mode="json", include={"name", "description", "trigger", "actions"})
    data["trigger"] = {key: _sorted(value) for key, value in data["trigger"].items() if key != "id"}
    return data


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value
