"""Taking the port and saying where it is; the life of the process is tested in test_service.py."""

from __future__ import annotations

import socket
import threading

import httpx
import pytest
from fastapi import FastAPI

from deployments.services import server
from deployments.services.health import Health, add_health
from tasks.domain.errors import InputInvalid


def _app() -> FastAPI:
    app = FastAPI()
    add_health(app, Health({}))
    return app


@pytest.mark.parametrize(
    ("host", "start"),
    [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:"), ("localhost", "http://localhost:")],
)
def test_the_service_answers_when_it_says_so(host: str, start: str) -> None:
    """At the address that is told, on a port that was free; asking from within the callback works."""
    stopping: list[server._Server] = []
    told: list[tuple[str, int]] = []
    make = server._Server

    class Remembered(make):  # type: ignore[valid-type,misc]
        def __init__(self, *args: object) -> None:
            super().__init__(*args)
            stopping.append(self)

    def on_ready(url: str) -> None:
        told.append((url, httpx.get(f"{url}/healthz").status_code))
        stopping[0].should_exit = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "_Server", Remembered)
        # In a thread, where no signal handlers can be set: embedding the service works too.
        thread = threading.Thread(target=server.serve, args=(_app, host, 0), kwargs={"on_ready": on_ready})
        thread.start()
        thread.join(timeout=60)
    assert not thread.is_alive()
    ((url, status),) = told
    assert url.startswith(start)
    assert status == 200


def test_a_port_that_is_taken_is_an_error_before_anything_starts() -> None:
    """Named, with its number."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputInvalid, match=str(port)):
            server.serve(_app, "127.0.0.1", port, on_ready=lambda url: None)


def test_a_host_that_is_not_ours_is_an_error() -> None:
    """A documentation address that no machine has."""
    with pytest.raises(InputInvalid, match=r"192\.0\.2\.1"):
        server.serve(_app, "192.0.2.1", 0, on_ready=lambda url: None)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("::", "http://[::1]:5"),
        ("::1", "http://[::1]:5"),
        ("", "http://127.0.0.1:5"),
        ("10.0.0.7", "http://10.0.0.7:5"),
    ],
)
def test_the_url_is_one_that_can_be_asked(host: str, url: str) -> None:
    """IPv6 is bracketed, "everywhere" becomes loopback."""

    class Listener:
        def getsockname(self) -> tuple[str, int]:
            return ("?", 5)

    assert server._url_of(host, Listener()) == url  # type: ignore[arg-type]
