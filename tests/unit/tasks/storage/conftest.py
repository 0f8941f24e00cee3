"""Folders to store things in, and a web server that gives out signed files as the service does."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from tasks.domain.errors import AccessDenied, KeyUnsafe, ObjectMissing
from tasks.storage.local import LocalStorage
from tasks.storage.loopback import FileUrlSigner, file_url_secret, verify_file_url

pytest.register_assert_rewrite(
    "tests.contracts.storage_content",
    "tests.contracts.storage_objects",
    "tests.contracts.storage_swaps",
    "tests.contracts.storage_many",
    "tests.contracts.storage_signing",
)


@dataclass
class FileServer:
    """Where it listens, what it may give out, and a clock that tests can move."""

    base_url: str = ""
    secret: bytes = file_url_secret("test key")
    allowed: list[Path] = field(default_factory=list)
    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        """The server's time."""
        return datetime.now(UTC) + self.ahead

    def signer(self) -> FileUrlSigner:
        """A signer that shares the server's secret."""
        return FileUrlSigner(self.base_url, self.secret)


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    state = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            statuses = {AccessDenied: 403, KeyUnsafe: 403, ObjectMissing: 404}
            try:
                path = verify_file_url(
                    state.secret, parts.path, dict(parse_qsl(parts.query)), state.now(), state.allowed
                )
            except (AccessDenied, KeyUnsafe, ObjectMissing) as error:
                self.send_error(statuses[type(error)])
                return
            data = path.read_bytes()
            status = 200
            if wanted := self.headers.get("Range", ""):
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                data, status = data[int(first) : int(last) + 1], 206
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.base_url = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root: Path) -> LocalStorage:
    return LocalStorage(root)


@pytest.fixture
def open_root() -> Iterator[Path]:
    """A folder that other users reach too, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
