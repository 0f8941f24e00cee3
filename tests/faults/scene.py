"""What the fault tests play on: videos, a pipeline over them, a service that plays a script, and the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tasks.domain.job import DeliveryState, JobState
from tasks.ledger.base import DeliveryRecord, JobRecord, Ledger
from tasks.ledger.open import open_ledger
from tasks.storage.atomic import TEMP_PREFIX
from tests.clips import write_clip
from tests.faults.nursery import Nursery, Order
from tests.flows.conftest import Finished, Yard
from tests.rig import results
from tests.scripted_service import KEY, ScriptedService

PIPELINE = """
name: yard
sources: [{{uri: "{videos}"}}]
inference: {{backend: roboflow, model: players-x1/1, fps: 5, poll_interval: {interval}, max_in_flight: {limit}}}
routes:
  - {{to: results, uri: "{out}/results"}}
  - {{to: lightly, datasource: "{out}/lightly", task_name: yard}}
  - {{to: labelbox, upload: false, uri: "{out}/labelbox"}}
"""
VIDEO_ROUTE = '  - {{to: video, uri: "{out}/video"}}\n'


@dataclass
class Scene(Yard):
    """A yard whose videos may be another's, and whose service counts.

    Attributes:
        footage: Where the videos are.
        service: What answers the commands.
    """

    footage: Path = Path()
    service: ScriptedService | None = None

    @property
    def videos(self) -> Path:
        return self.footage

    def write_pipeline(self, *, limit: int = 50, interval: str = "0.2s", videos_too: bool = False) -> str:
        """Write the pipeline file and return its path."""
        text = PIPELINE + (VIDEO_ROUTE if videos_too else "")
        path = self.folder / "yard.yaml"
        path.write_text(text.format(videos=self.videos, out=self.out, limit=limit, interval=interval))
        return str(path)

    def env(self) -> dict[str, str]:
        assert self.service is not None
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        mine = {"ROBOFLOW_API_URL": self.service.base_url, "ROBOFLOW_API_KEY": KEY, "TMPDIR": str(temporary)}
        return super().env() | mine | self.environment

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def born(self, nursery: Nursery, *arguments: str, mark: str = "") -> Finished:
        """Run a command to its end, or to its death at a mark, without the cost of its start."""
        (ended,) = self.born_together(nursery, arguments, mark=mark)
        return ended

    def born_together(self, nursery: Nursery, *commands: Sequence[str], mark: str = "") -> list[Finished]:
        """As :meth:`born`, of several commands that start at one moment."""
        orders = []
        for number, arguments in enumerate(commands):
            out, err = self.folder / f"stdout-{number}", self.folder / f"stderr-{number}"
            orders.append(Order([*arguments], str(self.folder), self.env(), str(out), str(err), mark))
        codes = [nursery.wait(pid) for pid in [nursery.start(order) for order in orders]]
        texts = [(Path(order.stdout).read_text(), Path(order.stderr).read_text()) for order in orders]
        return [Finished(code, *text) for code, text in zip(codes, texts, strict=True)]

    def jobs(self) -> list[JobRecord]:
        """What the ledger has of the pipeline's videos."""
        with opened(self.ledger_url) as ledger:
            return list(ledger.jobs("yard"))

    def deliveries(self) -> list[DeliveryRecord]:
        """What the ledger has of deliveries."""
        with opened(self.ledger_url) as ledger:
            return list(ledger.deliveries("yard"))

    @property
    def ledger_url(self) -> str:
        return self.environment.get("REELROUTE_LEDGER_URL") or f"sqlite:///{self.folder}/home/ledger.db"

    def states(self) -> dict[str, JobState]:
        """Video name -> where its job stands."""
        return {job.video.name: job.state for job in self.jobs()}

    def delivered(self) -> dict[str, set[str]]:
        """Video name -> routes that have it, by the ledger."""
        names = {job.key: job.video.name for job in self.jobs()}
        found: dict[str, set[str]] = {name: set() for name in names.values()}
        for delivery in self.deliveries():
            if delivery.state is DeliveryState.DELIVERED:
                found[names[delivery.job_key]].add(delivery.route)
        return found

    def leavings(self) -> list[str]:
        """Files of half-done work that are still there, besides the hidden ones that no store lists."""
        places = [self.folder / "tmp", self.folder / "home" / "work"]
        return sorted(str(path.relative_to(self.folder)) for place in places for path in files_below(place))


def finished(process: subprocess.Popen[str]) -> Finished:
    """Wait for a command's end."""
    stdout, stderr = process.communicate(timeout=280)
    return Finished(process.returncode, stdout, stderr)


@contextmanager
def opened(ledger_url: str) -> Iterator[Ledger]:
    """A ledger that is there."""
    with closing(open_ledger(ledger_url, create=False)) as ledger:
        yield ledger


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in a folder and the folders in it, hidden ones too."""
    return (path for path in folder.rglob("*") if path.is_file())


def tree(folder: Path) -> dict[str, bytes]:
    """Path -> content of every file that a store would list."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files_below(folder)
        if not path.name.startswith(TEMP_PREFIX)
    }


def submissions(service: ScriptedService) -> Counter[str]:
    """Upload name of a video -> jobs that the service created for it."""
    return Counter(Path(urlsplit(request["input_url"]).path).name for request in service.jobs.values())


def film(folder: Path, names: Iterable[str]) -> Path:
    """Put the same second of video into a folder under each name."""
    folder.mkdir(parents=True, exist_ok=True)
    first, *others = names
    write_clip(folder / first, frames=25)
    for name in others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / first, folder / name)
    return folder


@contextmanager
def scripted() -> Iterator[ScriptedService]:
    """A service with the results of one person who walks."""
    with ScriptedService() as service:
        service.results = json.dumps(results(key="players-x1")).encode()
        yield service
