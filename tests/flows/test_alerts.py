"""``reelroute deploy --notify`` and ``--prune`` on a real Prefect server: what they make, keep, send and remove."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.system import Secret
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed

from tests.flows.orchestrated import Studio, studio
from tests.flows.scripted import until
from tests.orchestra import LOGIN

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

ALERTS = {f"reelroute: tell of {which} runs" for which in ("failed", "degraded", "late")}
NIGHTLY = "ingest/nightly-ingest-yard"


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[str, list[str]]]:
    """Address of somebody who is told, and what they were told."""
    heard: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", heard
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, told: tuple[str, list[str]]) -> Iterator[Studio]:
    """A server that has a notification block `video-team`, and a block that is none."""
    folder = tmp_path_factory.mktemp("alerts")
    with studio(folder, f"sqlite:///{folder}/ledger.db") as made:
        made.pipeline("yard", 1)
        with temporary_settings({PREFECT_API_URL: made.orchestra.api, PREFECT_API_AUTH_STRING: LOGIN}):
            save(
                CustomWebhookNotificationBlock(
                    name="video-team", url=told[0], json_data={"text": "{{subject}}: {{body}}"}
                ),
                "video-team",
            )
            save(Secret(value="not-a-notifier"), "silent")
        yield made


def save(block: Block, name: str) -> None:
    """Keep a block on the server, as its UI does."""
    block.save(name, overwrite=True)


def deploy(live: Studio, *options: str) -> dict[str, Any]:
    done = live.orchestra.reelroute("deploy", "--json", *options)
    assert 0 == done.returncode, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(
    "block", ["custom-webhook/nobody", "no-such-type/video-team", "custom-webhook", "secret/silent"]
)
def test_a_block_that_cannot_tell_is_refused(live: Studio, block: str) -> None:
    """Exit code 2, its name and how to write one; nothing is registered for it."""
    done = live.orchestra.reelroute("deploy", "--json", "--notify", block)

    assert 2 == done.returncode, done.stdout + done.stderr
    error = json.loads(done.stdout)["error"]
    assert block in error["message"]
    assert "TYPE/NAME" in error["hint"]
    assert "not-a-notifier" not in done.stdout + done.stderr


async def test_people_are_told_of_failed_and_degraded_runs(live: Studio, told: tuple[str, list[str]]) -> None:
    """Registered once, left alone by a deploy that names no block, and heard by who is to be told."""
    first = deploy(live, "--notify", "custom-webhook/video-team")["automations"]
    assert ALERTS < set(first)
    assert 5 == len(first)
    assert {"created"} == {first[name] for name in ALERTS}
    assert {"unchanged"} == set(deploy(live, "--notify", "custom-webhook/video-team")["automations"].values())
    assert 2 == len(deploy(live)["automations"])
    kept = await live.orchestra.ask(lambda client: client.read_automations())
    assert set(first) == {one.name for one in kept}
    assert len(kept) == len(first)

    async def end_runs(client: PrefectClient) -> None:
        found = await client.read_deployment_by_name("adhoc-ingest/adhoc-ingest")
        states: list[State[Any]] = [
            Failed(message="bucket gone"),
            Completed(name="Degraded", message="1 of 2 videos failed"),
        ]
        for state in states:
            run = await client.create_flow_run_from_deployment(found.id, parameters={"pipeline": "yard"})
            await client.set_flow_run_state(run.id, state, force=True)

    await live.orchestra.ask(end_runs)
    heard = told[1]
    until(lambda: len(heard) >= 2)
    assert any("failed runs" in text and "bucket gone" in text for text in heard)
    assert any("degraded runs" in text and "1 of 2 videos failed" in text for text in heard)


def changes(answer: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["change"] for entry in answer["deployments"]}


def test_a_nightly_run_that_nothing_asks_for_goes_when_told_to(live: Studio) -> None:
    """It is named and left; ``--prune`` removes it, and nothing else; then there is nothing to remove."""
    assert "created" == changes(deploy(live, "--nightly", "yard=0 2 * * *"))[NIGHTLY]
    assert "left" == changes(deploy(live))[NIGHTLY]
    wanted = changes(deploy(live, "--nightly", "yard=0 2 * * *", "--prune"))
    assert {"unchanged"} == set(wanted.values())

    pruned = changes(deploy(live, "--prune"))
    assert "removed" == pruned.pop(NIGHTLY)
    assert {"unchanged"} == set(pruned.values())
    again = changes(deploy(live, "--prune"))
    assert pruned == again
