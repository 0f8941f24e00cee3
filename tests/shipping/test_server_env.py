"""The settings of Prefect's server that are shipped, read by Prefect itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest

from deployments.cli.prefect_setup import SERVER_ENV
from tests.shipping.files import environment

LOGGING = ("PREFECT_LOGGING_LEVEL", "PREFECT_LOGGING_EXTRA_LOGGERS", "DO_NOT_TRACK")
_READ = """
import json, sys
from prefect.settings import get_current_settings
services = get_current_settings().server.services
vacuum = services.db_vacuum
print(json.dumps({
    "types": sorted(vacuum.enabled_vacuum_types),
    "seconds": vacuum.retention_period.total_seconds(),
    "batch": services.task_run_recorder.batch_size,
}))
"""


def test_every_setting_is_one_of_prefects() -> None:
    """A name that Prefect does not know would change nothing, and nobody would hear of it."""
    from prefect.settings import Settings
    from prefect.settings.legacy import _get_settings_fields

    known = {setting.name for setting in _get_settings_fields(Settings).values()}

    assert set() == set(environment(SERVER_ENV)) - known


def test_old_runs_are_deleted_and_the_batches_are_as_written() -> None:
    """Runs go 30 days after they ended, with their logs and artifacts; events as Prefect does it."""
    env = {**os.environ, **environment(SERVER_ENV)}
    read = subprocess.run([sys.executable, "-c", _READ], env=env, capture_output=True, text=True, check=True)

    assert {
        "types": ["events", "flow_runs", "orphans"],
        "seconds": timedelta(days=30).total_seconds(),
        "batch": 200,
    } == json.loads(read.stdout)


def test_a_server_of_a_runs_own_deletes_nothing_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """It works on the database that the user's other flows are in."""
    from deployments.cli.prefect_setup import prepare_prefect

    for name in (*environment(SERVER_ENV), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", *LOGGING):
        monkeypatch.setenv(name, "")  # so that it is put back as it was
        monkeypatch.delenv(name)
    with monkeypatch.context() as patch:
        patch.setattr("prefect.logging.configuration.setup_logging", lambda: None)
        prepare_prefect(log_level="info", verbose=True)
        given = set(environment(SERVER_ENV)) & set(os.environ)

    assert {"PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE", "PREFECT_SERVER_DATABASE_TIMEOUT"} <= given
    assert [] == [name for name in given if "VACUUM" in name]
