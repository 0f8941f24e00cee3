"""Half-sent requests, slow bodies and answers that nobody reads hold nothing for long, and shut nobody out."""

from __future__ import annotations

import contextlib
import logging
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from deployments.services import connections
from deployments.services.bodies import BodyTooSlow, read_whole
from deployments.services.connections import BoundedProtocol, make_room, peer_of
from tests.services.events.event_process import EventProcess
from tests.services.inference.service_process import ServiceProcess
from tests.services.listening import listening

HALF = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "


@pytest.fixture
def ended() -> list[str]:
    """How the bodies of requests ended."""
    return []


@pytest.fixture
def app(ended: list[str]) -> FastAPI:
    app = FastAPI()

    @app.get("/healthz")
    async def healthz() -> Response:
        return PlainTextResponse("ok")

    @app.put("/body")
    async def body(request: Request) -> Response:
        with contextlib.suppress(BodyTooSlow):
            ended.append(f"{len(await read_whole(request, 1 << 30))} bytes")
            return PlainTextResponse("taken")
        ended.append("left")
        return Response(status_code=408)

    @app.post("/refused")
    async def refused() -> Response:
        return PlainTextResponse("no", 413)

    @app.get("/large")
    async def large() -> Response:
        return StreamingResponse((b"x" * 65536 for _ in range(2000)), media_type="text/plain")

    return app


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little time, so that tests need not wait."""
    monkeypatch.setattr(connections, "HEAD_WITHIN_S", 0.5)
    monkeypatch.setattr(connections, "BODY_WINDOW_S", 0.5)
    monkeypatch.setattr(connections, "READ_WITHIN_S", 0.5)


def closed(client: socket.socket) -> bool:
    """Wait until the service has closed the connection, whatever it says before that."""
    client.settimeout(60)
    with contextlib.suppress(ConnectionError):
        while client.recv(65536):
            pass
    return True


@contextlib.contextmanager
def trickling(client: socket.socket, piece: bytes) -> Iterator[None]:
    """Send a piece now and then until the service has had enough."""
    client.settimeout(0.1)
    with contextlib.suppress(ConnectionError):
        for _ in range(600):
            client.sendall(piece)
            try:
                if not client.recv(65536):
                    break
            except TimeoutError:
                pass
        else:
            pytest.fail("it was let go on")
    yield


def test_a_request_of_two_lengths_is_the_last_of_its_connection(app: FastAPI) -> None:
    """What a proxy in front takes for the rest of its body is answered to nobody."""
    two = b"PUT /body HTTP/1.1\r\nHost: x\r\nContent-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with listening(app) as where, socket.create_connection(where) as client:
        client.settimeout(60)
        client.sendall(two + b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        said = b""
        while piece := client.recv(65536):
            said += piece
    assert 1 == said.count(b"HTTP/1.1 ")
    assert said.endswith(b"taken")


@pytest.mark.usefixtures("hasty")
class TestTime:
    def test_half_a_head_is_given_up(self, app: FastAPI) -> None:
        """Nothing sent, and half a head."""
        with listening(app) as where:
            for sent in (b"", HALF):
                with socket.create_connection(where) as client:
                    client.sendall(sent)
                    assert closed(client)

    def test_a_head_in_drops_is_given_up(self, app: FastAPI) -> None:
        """What comes does not make the time longer; after an answer, too."""
        with listening(app) as where:
            for before in (b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"):
                with socket.create_connection(where) as client:
                    client.sendall(before + HALF)
                    with trickling(client, b"x"):
                        pass

    def test_a_body_in_drops_is_given_up(self, app: FastAPI, ended: list[str]) -> None:
        """Whoever reads it is told that the client left."""
        with listening(app) as where, socket.create_connection(where) as client:
            client.sendall(b"PUT /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
            with trickling(client, b"x"):
                pass
        assert ["left"] == ended

    def test_a_body_that_keeps_coming_is_taken(self, app: FastAPI, ended: list[str]) -> None:
        """Over several of the times that a body has."""
        piece = connections.LEAST_OF_BODY
        with listening(app) as where, socket.create_connection(where) as client:
            client.sendall(f"PUT /body HTTP/1.1\r\nHost: x\r\nContent-Length: {piece * 8}\r\n\r\n".encode())
            client.settimeout(0.2)
            for _ in range(8):
                client.sendall(b"x" * piece)
                with contextlib.suppress(TimeoutError):
                    assert client.recv(100).startswith(b"HTTP/1.1 200")
            client.settimeout(60)
            assert [f"{piece * 8} bytes"] == ended or client.recv(100)
        assert [f"{piece * 8} bytes"] == ended

    def test_a_body_that_nobody_wanted_is_given_up(self, app: FastAPI) -> None:
        """It was refused before it ended, and goes on in drops."""
        with listening(app) as where, socket.create_connection(where) as client:
            client.sendall(b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
            with trickling(client, b"x"):
                pass

    @pytest.mark.parametrize("asked", [b"GET /large", b"GET /healthz"])
    def test_an_answer_that_nobody_reads_is_given_up(self, app: FastAPI, asked: bytes) -> None:
        """A large one, and many small ones that were asked for at once."""
        with listening(app) as where, socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(where)
            client.settimeout(60)
            with contextlib.suppress(ConnectionError):
                while True:  # until it is reset, without a byte read; waiting in vain is a TimeoutError
                    client.sendall(asked + b" HTTP/1.1\r\nHost: x\r\n\r\n")

    def test_a_connection_that_is_kept_alive_answers_again(self, app: FastAPI) -> None:
        """Each request has its own time."""
        with listening(app) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
            assert ["ok"] * 20 == [client.get("/healthz").text for _ in range(20)]


class TestNumber:
    def test_the_longest_waiting_of_the_largest_peer_make_room(self) -> None:
        """Never those that are answered, and not the few of a peer that behaves."""

        class Connection(BoundedProtocol):
            def __init__(self, host: str, since: float | None) -> None:
                self.client, self.waiting_since, self.gone = (host, 1), since, False

            def give_up(self) -> None:
                self.gone = True

        attacker = [Connection("10.0.0.1", float(at)) for at in range(20, 0, -1)]
        answered = [Connection("10.0.0.1", None) for _ in range(20)]
        good = Connection("10.0.0.2", 0.0)
        make_room([good, *answered, *attacker], 40)
        assert [True] * 5 == [one.gone for one in attacker[-5:]]
        assert 5 == sum(one.gone for one in (good, *answered, *attacker))

    def test_nothing_to_give_up_is_no_fault(self) -> None:
        """Everybody is being answered."""
        make_room([], 8)

    @pytest.mark.parametrize(
        ("host", "peer"),
        [
            ("10.0.0.7", "10.0.0.7"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("", ""),
            ("a name", "a name"),
        ],
    )
    def test_a_peer_is_an_address_or_the_network_of_one(self, host: str, peer: str) -> None:
        """Everybody has 2^64 addresses of IPv6."""
        assert peer == peer_of(host)

    @pytest.mark.parametrize("bad", [400, 4000])
    def test_half_sent_heads_do_not_shut_a_good_client_out(
        self, app: FastAPI, bad: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """From the same address, many more than may be open, while each of them goes on dripping."""
        with caplog.at_level(logging.WARNING), listening(app) as where, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.create_connection(where)) for _ in range(bad)]
            for client in clients:
                with contextlib.suppress(ConnectionError):
                    client.sendall(HALF)
            for _ in range(5):
                assert "ok" == httpx.get(f"http://{where[0]}:{where[1]}/healthz", timeout=60).text
        lines = [record for record in caplog.records if "connections are open" in record.message]
        assert len(lines) <= 1


def few_files() -> None:
    """A machine where a process may open 256 files, as macOS begins with."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


def shut_out(url: str) -> None:
    """Ask while 400 others send half a head; each must be answered."""
    host, port = url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            client = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            with contextlib.suppress(ConnectionError):
                client.sendall(HALF)
        for _ in range(5):
            assert 200 == httpx.get(f"{url}/healthz", timeout=60).status_code


def test_neither_service_is_shut_out_where_files_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 half-sent heads against real processes that may open 256 files."""
    begin = subprocess.Popen

    def limited(*args: object, **given: object) -> subprocess.Popen[str]:
        return begin(*args, **given, preexec_fn=few_files)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(subprocess, "Popen", limited)
    inference = ServiceProcess(
        tmp_path / "inference.log", api_key="test-key", state_dir=str(tmp_path / "state"), workers=1
    )
    try:
        shut_out(inference.url)
    finally:
        inference.stop()
    (tmp_path / "config" / "pipelines").mkdir(parents=True)
    (tmp_path / "config" / "pipelines" / "yard.yaml").write_text(
        f"name: yard\nsources: [{{uri: 'file://{tmp_path}'}}]\n"
        "inference: {backend: local, model: oidv4/1}\n"
        f"routes: [{{to: results, uri: 'file://{tmp_path}/out'}}]\n"
    )
    events = EventProcess(tmp_path, {"PATH": str(Path(sys.executable).parent)})
    try:
        shut_out(events.url)
    finally:
        events.stop()
