"""Run a service as a process of its own: `python run_service.py '{"state_dir": ..., "api_key": ...}'`.

Prints the base URL on stdout once it answers. Other keys are those of ServiceSettings, and
`exit_with_parent`.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import timedelta
from pathlib import Path

from deployments.services.inference.app import create_app
from deployments.services.inference.settings import ServiceSettings
from deployments.services.server import serve


def main() -> None:
    logging.basicConfig(level=logging.DEBUG)  # what would show a secret if anything does
    given = json.loads(sys.argv[1])
    exit_with_parent = given.pop("exit_with_parent", False)
    given["state_dir"] = Path(given["state_dir"])
    given["allow_folders"] = tuple(Path(folder) for folder in given.get("allow_folders", ()))
    given["models"] = {name: Path(path) for name, path in given.get("models", {}).items()}
    if "job_timeout" in given:
        given["job_timeout"] = timedelta(seconds=given["job_timeout"])
    settings = ServiceSettings(port=0, **given)
    serve(
        lambda: create_app(settings),
        settings.host,
        settings.port,
        on_ready=lambda url: print(url, flush=True),
        exit_with_parent=exit_with_parent,
    )


if __name__ == "__main__":
    main()
