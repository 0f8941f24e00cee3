"""Who may read the receiver's counters."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from config.settings import Settings
from deployments.services.events.app import create_app
from deployments.services.events.service import build_service
from tests.services.events.conftest import NotingStarter, event_settings
from tests.services.events.messages import KEY

WATCHER = "key-of-who-watches"


async def scraped(tmp_path: Path, pipelines: str, given: str, *, metrics_key: str, others: bool) -> httpx.Response:
    settings = {"REELROUTE_HOME": tmp_path / "home"} | ({"REELROUTE_METRICS_KEY": metrics_key} if metrics_key else {})
    service = build_service(
        Settings.model_validate(settings),
        event_settings(REELROUTE_EVENTS_PIPELINES=pipelines),
        starter=NotingStarter(),
        watched_by_others=others,
    )
    transport = httpx.ASGITransport(create_app(service))
    async with service.running(), httpx.AsyncClient(transport=transport, base_url="http://events") as client:
        return await client.get("/metrics", headers={"Authorization": f"Bearer {given}"} if given else {})


@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize(("given", "status"), [("", 401), (KEY, 401), (WATCHER, 200)])
async def test_a_key_of_who_watches_is_asked_for_everywhere(
    tmp_path: Path, pipelines: str, given: str, status: int, others: bool
) -> None:
    """On loopback too, where a proxy may lead others; the senders' key does not open the counters."""
    answer = await scraped(tmp_path, pipelines, given, metrics_key=WATCHER, others=others)

    assert status == answer.status_code
    assert (status == 200) == ("reelroute_ledger_up" in answer.text)


@pytest.mark.parametrize(("given", "others", "status"), [("", False, 200), ("", True, 401), (KEY, True, 200)])
async def test_without_one_others_need_the_senders_key(
    tmp_path: Path, pipelines: str, given: str, others: bool, status: int
) -> None:
    """Nothing is open to other machines."""
    answer = await scraped(tmp_path, pipelines, given, metrics_key="", others=others)

    assert status == answer.status_code
