"""What an import costs beside the time that it takes at the service: ours, and the SDK's own wait."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest

from tasks.sinks.labelbox.imports import ImportKind, Imports
from tasks.sinks.labelbox.workspace import Workspace
from tests.emulators.labelbox.server import KEY, labelbox_server
from tests.unit.tasks.sinks.labelbox.test_document_kinds import FEATURES
from tests.unit.tasks.sinks.labelbox.workplace import NAMES

pytestmark = pytest.mark.bench

AT_SERVICE_S = 1.0


def test_an_import_of_one_second_costs_about_one(tmp_path: Path) -> None:
    """Followed to its statuses, at most half as long again; the SDK's own wait takes ten times as long."""
    from labelbox import MEAPredictionImport

    from tasks.sinks.labelbox.api import Labelbox

    with labelbox_server() as server:
        box = Labelbox(KEY, endpoint=server.endpoint, rest_endpoint=server.rest_endpoint)
        place = Workspace(box, NAMES).open(FEATURES)
        box.create_rows(place.dataset, [{"row_data": "https://example.com/a.mp4", "global_key": "a.mp4"}])
        box.put_into_run(place.run, ["a.mp4"])
        server.world.import_s = AT_SERVICE_S
        line = {"uuid": str(uuid.uuid4()), "name": "free_text", "dataRow": {"globalKey": "a.mp4"}, "answer": "text"}

        imports, ours = Imports(box), []
        for name in ("first", "second", "third"):
            begun = time.monotonic()
            ended = imports.ended(imports.start(ImportKind.PREDICTIONS, place.run, name, [line]))
            statuses = imports.statuses(ended)
            ours.append(time.monotonic() - begun)
        begun = time.monotonic()
        theirs_import = MEAPredictionImport.create_from_objects(box.client, place.run, "theirs", [line])
        assert theirs_import.statuses
        theirs = time.monotonic() - begun

    assert [""] == [status.problem for status in statuses]
    print(f"\nan import of {AT_SERVICE_S:.0f} s: {min(ours):.2f} s, by the SDK's own wait {theirs:.2f} s")
    assert min(ours) <= 1.5 * AT_SERVICE_S
    assert theirs >= 5 * min(ours)
