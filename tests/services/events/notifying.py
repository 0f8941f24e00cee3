"""Have the emulated S3 notify: a queue, a topic with an HTTP subscriber, and EventBridge with an API destination."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.emulators.s3 import REGION, S3Emulator
from tests.services.events.messages import KEY, TOPIC, sns
from tests.services.events.run_service import AMAZON

NUMBER = "000000000000"


def client(s3: S3Emulator, service: str) -> Any:
    """Of another service of the emulator."""
    return s3.session.client(service, endpoint_url=s3.url)


def new_queue(s3: S3Emulator, name: str) -> str:
    """A queue that S3 may write to; its URL as the emulator can be reached."""
    sqs = client(s3, "sqs")
    arn = f"arn:aws:sqs:{REGION}:{NUMBER}:{name}"
    sqs.create_queue(QueueName=name, Attributes={"Policy": _policy("sqs:SendMessage", arn)})
    return f"{s3.url}/{NUMBER}/{name}"


def _policy(action: str, arn: str) -> str:
    allowed = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": action, "Resource": arn}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


def subscribe(s3: S3Emulator, relay: str) -> None:
    """A topic that S3 may publish to, with the relay as its subscriber."""
    topic = client(s3, "sns")
    topic.create_topic(Name=TOPIC.rsplit(":", 1)[1], Attributes={"Policy": _policy("sns:Publish", TOPIC)})
    topic.subscribe(TopicArn=TOPIC, Protocol="http", Endpoint=relay)


def send_to_api(s3: S3Emulator, bucket: str, address: str) -> None:
    """A rule that sends what lands below ``bridge/`` to an address, with the key in a header."""
    events = client(s3, "events")
    connection = events.create_connection(
        Name="reelroute",
        AuthorizationType="API_KEY",
        AuthParameters={"ApiKeyAuthParameters": {"ApiKeyName": "x-reelroute-key", "ApiKeyValue": KEY}},
    )
    destination = events.create_api_destination(
        Name="reelroute",
        ConnectionArn=connection["ConnectionArn"],
        InvocationEndpoint=address,
        HttpMethod="POST",
    )
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": "bridge/"}]}},
    }
    events.put_rule(Name="uploads", EventPattern=json.dumps(pattern))
    role = f"arn:aws:iam::{NUMBER}:role/events"
    events.put_targets(Rule="uploads", Targets=[{"Id": "1", "Arn": destination["ApiDestinationArn"], "RoleArn": role}])


def notify(s3: S3Emulator, bucket: str, queue: str) -> None:
    """Below ``queue/`` to the queue, below ``topic/`` to the topic, everything to EventBridge."""

    def below(prefix: str, **target: str) -> dict[str, Any]:
        rules = [{"Name": "prefix", "Value": prefix}]
        return {**target, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}

    arn = f"arn:aws:sqs:{REGION}:{NUMBER}:{queue.rsplit('/', 1)[1]}"
    s3.client.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "QueueConfigurations": [below("queue/", QueueArn=arn)],
            "TopicConfigurations": [below("topic/", TopicArn=TOPIC)],
            "EventBridgeConfiguration": {},
        },
    )


@contextmanager
def signing_relay() -> Iterator[tuple[str, list[str]]]:
    """Signs what the emulated SNS sends as Amazon does, and passes it on.

    The emulator signs nothing. Gives the relay's address, and a list that the address of the
    service is to be put into.
    """
    targets: list[str] = []

    class Relay(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))
            more = {}
            if "SubscribeURL" in message:
                more = {"SubscribeURL": AMAZON + urlsplit(message["SubscribeURL"]).query, "Token": message["Token"]}
            kind, text = message["Type"], message["Message"]
            signed = sns(text, at=datetime.now(UTC), version="1", kind=kind, **more)
            answer = httpx.post(targets[0], json=signed, timeout=30)
            self.send_response(answer.status_code)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", targets
    server.shutdown()
    server.server_close()
