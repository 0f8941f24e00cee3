"""Signed URLs and keys leave no trace: every table, file, log and message of a run is searched for them."""

from __future__ import annotations

import gzip
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.clips import write_clip
from tests.emulators.s3 import S3Emulator
from tests.flows.clouds import enter
from tests.flows.conftest import Finished, Yard
from tests.flows.scripted import until
from tests.postgres import PASSWORD, PostgresServer
from tests.scripted_service import KEY, MARK, SIGNATURE, Fault, ScriptedService

pytestmark = pytest.mark.engine

# Of the SDK, so that it signs with it: the emulator does not look at it.
SECRET_KEY = "wJalr-MARKED-AWS-SECRET"
# What is sent to Prefect's database; everything, httpx and Prefect included, goes to the terminal.
# (A record of the request that sends records would be sent, and so on.)
SENT = ("tasks", "boto3", "botocore", "urllib3", "s3transfer")
PIPELINE = """
name: marked
sources: [{{uri: "{bucket}"}}, {{uri: "{videos}"}}]
inference: {{backend: roboflow, model: players-x1/1, fps: 5, poll_interval: 0.2s, max_in_flight: 1}}
routes:
  - {{to: results, uri: "{out}/results"}}
  - {{to: labelbox, upload: false, uri: "{out}/labelbox"}}
"""
SPOILED = f'{{"error": "cannot read https://storage.example/x.mp4?{SIGNATURE}", "api_key": "{KEY}"}}'.encode()


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    """A hosted service that says too much whenever it fails."""
    with ScriptedService() as service:
        yield service


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[PostgresServer, str] | None]:
    """A PostgreSQL database for the ledger, or None for a file."""
    if request.param == "sqlite":
        yield None
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database() as name:
        yield server, name


class Marked(Yard):
    """A yard in which everything logs as much as it can, and the program has a bug in it."""

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tests.flows.blundering_process", *arguments]


@pytest.fixture
def yard(tmp_path: Path, prefect_server: str, service: ScriptedService, request: pytest.FixtureRequest) -> Marked:
    """Videos in a bucket and in a folder: by signed URL and by upload."""
    cloud = enter("s3", request, tmp_path)
    clip = write_clip(tmp_path / "clip.mp4", frames=25).read_bytes()
    store = cloud.store(cloud.videos)
    for name in ("1-good", "2-refused", "3-blunder", "4-expired"):
        store.write(f"{name}.mp4", clip)
    (tmp_path / "videos").mkdir()
    for name in ("5-lost", "6-spoiled", "7-failed", "8-good"):
        (tmp_path / "videos" / f"{name}.mp4").write_bytes(clip)
    (tmp_path / "marked.yaml").write_text(
        PIPELINE.format(bucket=cloud.videos, videos=tmp_path / "videos", out=tmp_path / "out")
    )
    levels = dict.fromkeys(("PREFECT_LOGGING_LEVEL", "PREFECT_LOGGING_ROOT_LEVEL", "REELROUTE_LOG_LEVEL"), "DEBUG")
    environment = {
        **cloud.environment,
        **levels,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "PREFECT_API_URL": prefect_server,
        "PREFECT_LOGGING_EXTRA_LOGGERS": ",".join(SENT),
        "ROBOFLOW_API_URL": service.base_url,
        "ROBOFLOW_API_KEY": KEY,
    }
    return Marked(tmp_path, environment)


def misbehave(service: ScriptedService) -> None:
    """Fail in each call once, with everything that was said in the answer."""
    echo = Fault(status=500, echoes=True)
    service.script("control", echo)
    service.script("check", echo, None, Fault(status=429, headers=(("Retry-After", "0"),), echoes=True))
    service.script("result", Fault(status=403, echoes=True), None, Fault(status=502, echoes=True))
    service.script("submit", None, Fault(status=400, echoes=True), None, Fault(drop="read", acts=True))
    service.script("upload_url", echo)
    service.script("upload", echo)
    service.bodies = {"job-4": SPOILED}
    service.verdicts = {"job-5": {"status": 2, "error": "video_unreadable", "message": f"no frames in ?{SIGNATURE}"}}


def marks(service: ScriptedService) -> set[str]:
    """What must not be found: keys, passwords, and the signatures of all URLs that were handed out."""
    asked = [asked.json["input_url"] for asked in service.calls("submit")]
    signed = {value for url in asked for name, value in parse_qsl(urlsplit(url).query) if "Signature" in name}
    assert len(signed) > 2
    return {KEY, MARK, SECRET_KEY, PASSWORD, *signed}


def prefect_database(yard: Yard) -> Path:
    """The file behind the tests' Prefect server."""
    from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL

    return Path(str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()).partition(":///")[2])


def rows(file: Path) -> Iterator[tuple[str, str]]:
    """Every row of every table of a SQLite file, as text, with where it is."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        database.text_factory = lambda data: data.decode(errors="replace")
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in database.execute(f'SELECT * FROM "{table}"'):
                yield f"{file.name}:{table}", repr(row)


def ledger_rows(server: PostgresServer, name: str) -> Iterator[tuple[str, str]]:
    """Every row of a PostgreSQL ledger."""
    tables = server.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'", name)
    assert len(tables) > 4
    for (table,) in tables:
        for row in server.sql(f"SELECT t::text FROM {table} AS t", name):
            yield f"{name}:{table}", str(row)


def files(folder: Path, but: set[Path]) -> Iterator[tuple[str, str]]:
    """Everything that a run left on the disk, unpacked where it is packed."""
    for path in folder.rglob("*"):
        if path.is_file() and path not in but:
            data = path.read_bytes()
            yield str(path), (gzip.decompress(data) if path.suffix == ".gz" else data).decode(errors="replace")


def test_no_secret_is_anywhere(
    yard: Marked, service: ScriptedService, ledger: tuple[PostgresServer, str] | None, s3: S3Emulator
) -> None:
    """Every way to fail, at DEBUG, with a real Prefect server: not one key, signature or password is kept or shown."""
    if ledger is not None:
        yard.environment["REELROUTE_LEDGER_URL"] = ledger[0].url(ledger[1])
    misbehave(service)

    ended = [yard.reelroute("run", "marked.yaml", "--verbose", "--json")]

    failed = {failure["video"].rpartition("/")[2]: failure["code"] for failure in ended[0].json["failures"]}
    assert {
        "2-refused.mp4": "request_refused",
        "3-blunder.mp4": "unexpected",
        "5-lost.mp4": "submission_unknown",
        "6-spoiled.mp4": "result_invalid",
        "7-failed.mp4": "video_unreadable",
    } == failed, ended[0].stderr
    if ledger is None:
        ended += troubles_before_a_run(yard)
    assert_nothing_in(yard, ended, service, ledger)


def troubles_before_a_run(yard: Marked) -> list[Finished]:
    """A name that nobody resolves, and a key that is not known: each ends a command."""
    lost = {"ROBOFLOW_API_URL": "http://no-such-host.invalid"}
    wrong = {"ROBOFLOW_API_KEY": f"wrong-{MARK}"}
    commands = [(("run", "marked.yaml", "--verbose"), lost), (("doctor", "marked.yaml", "--json"), wrong)]
    ended = [Marked(yard.folder, yard.environment | extra).reelroute(*command) for command, extra in commands]
    assert [3, 3] == [one.code for one in ended], [one.stderr for one in ended]
    return ended


def assert_nothing_in(
    yard: Yard, ended: list[Finished], service: ScriptedService, ledger: tuple[PostgresServer, str] | None
) -> None:
    """Search what was printed, every file, every row of the ledger and of Prefect's database."""
    prefect = prefect_database(yard)
    # What Prefect records comes in with a delay; the log of the last step is the end of it.
    until(lambda: "8-good.mp4" in "".join(row for _, row in rows(prefect)))
    secrets = re.compile("|".join(map(re.escape, marks(service))))
    places: list[tuple[str, str]] = [(f"output {n}", one.stdout + one.stderr) for n, one in enumerate(ended)]
    places += files(yard.folder, but=set())
    places += rows(prefect)
    if ledger is not None:
        places += ledger_rows(*ledger)
    searched = {where.partition(":")[2] for where, _ in places}
    assert {"flow_run", "task_run", "task_run_state", "log", "artifact", "events"} <= searched

    # The bug's own text is there for people to find, as far as it is fit to be.
    assert any("Blunder: POST" in text for where, text in places if where.endswith(":log"))

    found: dict[str, Any] = {}
    for where, text in places:
        if hit := secrets.search(text):
            found[where] = text[max(0, hit.start() - 200) : hit.end()]
    kinds = {"rows": sum(":" in where for where, _ in places), "places": len(places), "hits": len(found)}
    print(f"\n{kinds}")
    assert {} == found
