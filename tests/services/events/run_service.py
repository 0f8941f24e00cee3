"""The upload-event service as a process of its own, as `reelroute serve events` starts it.

`python run_service.py DOCUMENTS SNS`: a JSON file (URL -> what is there) stands in for what the clouds
publish, and the address of an emulated SNS for Amazon's. Everything else comes from the environment.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import parse_qsl

import boto3

from config.event_settings import EventSettings
from config.settings import Settings
from deployments.services.events.app import create_app
from deployments.services.events.service import build_service
from deployments.services.logs import log_to_stderr
from deployments.services.server import serve

AMAZON = "https://sns.eu-west-1.amazonaws.com/?"


def main() -> None:
    documents: dict[str, str] = json.loads(Path(sys.argv[1]).read_text())
    log_to_stderr("debug", "text")  # what would show a secret if anything does

    def load(url: str) -> bytes:
        if url.startswith(AMAZON):
            asked = dict(parse_qsl(url.removeprefix(AMAZON)))
            # The emulator learns the region from the signature, and Amazon from the host.
            sns = boto3.client("sns", endpoint_url=sys.argv[2])
            sns.confirm_subscription(TopicArn=asked["TopicArn"], Token=asked["Token"])
            return b""
        return documents[url].encode()

    serve(
        lambda: create_app(build_service(Settings.load(), EventSettings.load(), load=load)),
        "127.0.0.1",
        int(sys.argv[3]),
        on_ready=lambda url: print(url, flush=True),
        exit_with_parent=True,
    )


if __name__ == "__main__":
    main()
