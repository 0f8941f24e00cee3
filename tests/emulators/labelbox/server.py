"""The stand-in as a server on loopback: one thread, an ephemeral port, gone with its block."""

from __future__ import annotations

import email
import email.policy
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.emulators.labelbox.faults import Faults
from tests.emulators.labelbox.graphql import Refused, execute, parse
from tests.emulators.labelbox.operations import mutations, queries
from tests.emulators.labelbox.world import World

KEY = "labelbox-key-for-tests"


class LabelboxServer:
    """A workspace of Labelbox', reachable by ``endpoint`` and ``rest_endpoint``.

    Attributes:
        world: What is in it.
        faults: Trouble that requests meet.
    """

    def __init__(self) -> None:
        self.world = World()
        self.faults = Faults()
        self._one_at_a_time = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = self.world.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.endpoint, self.rest_endpoint = f"{self.url}/graphql", f"{self.url}/api/v1"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What the product finds it by."""
        return {
            "LABELBOX_API_KEY": KEY,
            "LABELBOX_ENDPOINT": self.endpoint,
            "LABELBOX_REST_ENDPOINT": self.rest_endpoint,
        }

    def close(self) -> None:
        """Stop serving; requests that hang are let go."""
        self.faults.hangs.set()
        self._http.shutdown()
        self._http.server_close()

    def graphql(self, body: dict[str, Any], file: bytes | None) -> dict[str, Any]:
        """Answer a GraphQL request that carries its file, if any, beside it."""
        with self._one_at_a_time:
            self.world.advance()
            try:
                operation = parse(body["query"])
                given = dict(body.get("variables") or {})
                if file is not None:
                    given["file"] = file
                roots = queries(self.world) if operation.kind == "query" else mutations(self.world)
                return {"data": execute(operation, given, roots)}
            except Refused as error:
                return _error(error.code, str(error))
            except (TypeError, KeyError) as error:  # an argument that does not exist, or is missing
                return _error("GRAPHQL_VALIDATION_FAILED", f"{type(error).__name__}: {error}")

    def rest(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer a request about features of ontologies."""
        world = self.world
        with self._one_at_a_time:
            if found := re.fullmatch(r"/api/v1/feature-schemas/(\w+)", path):
                feature = json.loads(body["normalized"])
                known = feature.get("featureSchemaId")
                if method != "PUT" or found[1] != (known or "new_feature_schema_id"):
                    return 400, {"message": "the feature's id is not the address's"}
                if known and known not in world.schemas:
                    return 404, {"message": "no such feature"}
                self._remember(known)
                return 200, {"schemaId": world.take_feature(feature)["featureSchemaId"]}
            if found := re.fullmatch(r"/api/v1/ontologies/(\w+)/feature-schemas/(\w+)", path):
                if method != "POST" or type(body.get("position")) is not int or found[1] not in world.ontologies:
                    return 400, {"message": "needs a position, and an ontology that exists"}
                self._insert(world.ontologies[found[1]], found[2], body["position"])
                return 201, {}
            if (found := re.fullmatch(r"/api/v1/ontologies/(\w+)", path)) and method == "DELETE":
                world.ontologies[found[1]]["deleted"] = True
                return 204, {}
            return 404, {"message": "no such address"}

    def _remember(self, feature: str | None) -> None:
        """Note how ontologies with a feature were, for answers that lag."""
        for ontology in self.world.ontologies.values():
            if feature in ontology["features"]:
                ontology.update(old=self.world.normalized(ontology), lagging=self.world.lag)

    def _insert(self, ontology: dict[str, Any], feature: str, position: int) -> None:
        old = self.world.normalized(ontology)
        others = [uid for uid in ontology["features"] if uid != feature]
        ontology["features"] = [*others[:position], feature, *others[position:]]
        ontology.update(old=old, lagging=self.world.lag)

    # --- what tests ask -----------------------------------------------------------------------

    def predictions(self, run: str, kind: str = "predictions") -> list[dict[str, Any]]:
        """Every annotation in the model run of a name, sorted by its uuid."""
        (found,) = [one for one in self.world.runs.values() if one["name"] == run and not one["deleted"]]
        return sorted((line for row in found["rows"].values() for line in row.get(kind, ())), key=lambda x: x["uuid"])

    def named(self, store: dict[str, dict[str, Any]]) -> list[str]:
        """Names of what is in one of the world's stores and not deleted."""
        return sorted(one["name"] for one in store.values() if not one["deleted"])


def _error(code: str, message: str) -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"code": code}}], "data": None}


@contextmanager
def labelbox_server() -> Iterator[LabelboxServer]:
    """A workspace for the time of a block."""
    server = LabelboxServer()
    try:
        yield server
    finally:
        server.close()


def _handler(server: LabelboxServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        box = server

    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go in two writes; else each answer takes 40 ms
    box: LabelboxServer

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2].partition("?")[0]
        trouble = self.box.faults.meet(f"GET {name.rpartition('.')[2]}")
        if self._meets(trouble):
            return
        if trouble == "hold":
            self._hold()
            return
        if trouble == "lost":
            self._reset()
            return
        found = self.box.world.files.get(name)
        self._answer(200 if found is not None and "sig=file-secret" in self.path else 404, found or b"")

    def do_POST(self) -> None:
        self._change()

    def do_PUT(self) -> None:
        self._change()

    def do_DELETE(self) -> None:
        self._change()

    def _change(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            self._answer(401, json.dumps(_error("AUTHENTICATION_ERROR", "Invalid API key")).encode())
            return
        if self.path in ("/graphql", "/_gql"):
            body, file = _read(self.headers.get("Content-Type", ""), raw)
            call = parse(body["query"])
            name = call.selections[0].name
            inner = call.selections[0].selections
            trouble = self.box.faults.meet(f"{name}.{inner[0].name}" if name == "project" else name)
            if self._meets(trouble):
                return
            if self.path == "/_gql" and not (inner and inner[0].name in ("createBatchV2", "id")):
                self._answer(404, b"{}")
                return
            status, answer = 200, self.box.graphql(body, file)
        else:
            trouble = self.box.faults.meet(f"{self.command} {self.path}")
            if self._meets(trouble):
                return
            status, answer = self.box.rest(self.command, self.path, json.loads(raw or b"{}"))
        if trouble == "hold":
            self._hold()
        elif trouble == "lost 500":
            self._answer(500, b"<html>oops</html>")
        elif trouble == "lost":
            self._reset()
        else:
            self._answer(status, json.dumps(answer).encode())

    def _meets(self, trouble: str) -> bool:
        """Let the request meet its trouble, if that comes before anything is done."""
        if trouble == "429":
            self._answer(429, b'{"message": "You have exceeded your limit of requests"}', {"Retry-After": "1"})
        elif trouble == "429 html":
            self._answer(429, b"<html>slow down</html>", {"Retry-After": "1"})
        elif trouble in ("500", "502 html"):
            self._answer(int(trouble[:3]), b"<html>bad gateway</html>")
        elif trouble == "graphql 500":
            self._answer(200, json.dumps(_error("INTERNAL_SERVER_ERROR", "something went wrong")).encode())
        elif trouble == "reset":
            self._reset()
        elif trouble == "hang":
            self.box.faults.hangs.wait()
        else:
            return False
        return True

    def _hold(self) -> None:
        """What was asked is done; whoever asked never hears of it."""
        self.box.faults.held.set()
        self.box.faults.hangs.wait()

    def _reset(self) -> None:
        """Break the connection as a dying peer does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if status != 204 else 0))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)


def _read(content_type: str, raw: bytes) -> tuple[dict[str, Any], bytes | None]:
    """Read a GraphQL request: JSON, or a form of operations, map and one file."""
    if not content_type.startswith("multipart/form-data"):
        return json.loads(raw), None
    message = email.message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + raw, policy=email.policy.HTTP
    )
    parts: dict[str, bytes] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        parts[str(name)] = bytes(part.get_payload(decode=True))
    operations = json.loads(parts.pop("operations"))
    ((file, places),) = json.loads(parts.pop("map")).items()
    if places != ["variables.file"] or list(parts) != [file]:
        raise AssertionError(f"a form with {list(parts)} and the map {places}")
    return operations, parts[file]
