"""A run on a real ledger and real folders, with a service that plays a script.

For tests of the steps: everything is as in production but the service, the clock, the sleep and
the chance, which the test owns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from config.load import load_pipeline
from config.settings import Settings
from tasks.discover import record_listing
from tasks.domain.errors import ReelrouteError
from tasks.domain.job import InferenceSpec, ModelRef
from tasks.domain.predictions import TaskType
from tasks.domain.video import SignedUrl
from tasks.inference.base import JobStatus, LocalVideo, ModelInfo, Permit
from tasks.ledger.base import JobRecord
from tasks.ledger.open import open_ledger
from tasks.run import Run
from tasks.spec import inference_spec
from tasks.stores import Stores

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = ModelInfo(ModelRef("oidv4", "1"), TaskType.OBJECT_DETECTION, ("Person", "Car"))


def results(frames: Iterable[int] = (0, 5, 10), key: str = "oidv4") -> dict[str, Any]:
    """A results JSON with one person who walks to the right."""
    indices = list(frames)
    seen = [
        {
            "time": 0.01,
            "image": {"width": 160, "height": 96},
            "predictions": [
                {
                    "x": 40.0 + index,
                    "y": 48.0,
                    "width": 20.0,
                    "height": 40.0,
                    "confidence": 0.9,
                    "class": "Person",
                    "class_id": 0,
                }
            ],
        }
        for index in indices
    ]
    return {"frame_offset": indices, "time_offset": [index / 25 for index in indices], key: seen}


@dataclass
class Clock:
    """Time that passes only when somebody sleeps, and a date that may be set meanwhile."""

    now: datetime = NOON
    slept: list[float] = field(default_factory=list)
    jumped: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return self.now

    def timer(self) -> float:
        return (self.now - self.jumped - NOON).total_seconds()

    def set_back(self, by: timedelta) -> None:
        """Change the date; no time passes."""
        self.now -= by
        self.jumped -= by

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


@dataclass
class ScriptedBackend:
    """A service that does what it is told: each list is used up from its front, then all goes well.

    Attributes:
        submits: Errors to raise, or None to take the job, one per submission.
        checks: Errors, or True/False for done or not, one per question.
        downloads: Errors, or bytes to give as results, one per download.
        asked: Every grant that a submission came with.
    """

    submits: list[ReelrouteError | None] = field(default_factory=list)
    checks: list[Exception | bool] = field(default_factory=list)
    downloads: list[ReelrouteError | bytes] = field(default_factory=list)
    asked: list[SignedUrl | LocalVideo] = field(default_factory=list)
    taken: int = 0
    before_confirming: Callable[[], None] = lambda: None
    before_sending: Callable[[], None] = lambda: None
    before_answer: Callable[[], None] = lambda: None

    async def describe(self, models: tuple[ModelRef, ...]) -> tuple[ModelInfo, ...]:
        return (MODEL,)

    async def submit(
        self,
        video: SignedUrl | LocalVideo,
        spec: InferenceSpec,
        models: tuple[ModelInfo, ...],
        permit: Permit | None = None,
    ) -> str:
        self.before_confirming()
        if permit is not None:
            await permit.confirm()
        self.before_sending()
        if permit is not None:
            permit.check()
        self.asked.append(video)
        self.before_answer()
        fate = self.submits.pop(0) if self.submits else None
        if fate is not None:
            raise fate
        self.taken += 1
        return f"job-{self.taken}"

    async def check(self, job_id: str) -> JobStatus:
        fate = self.checks.pop(0) if self.checks else True
        if isinstance(fate, Exception):
            raise fate
        return JobStatus(fate, SignedUrl("http://results", None) if fate else None)

    async def download(self, result_url: SignedUrl, target: Path) -> int:
        fate = self.downloads.pop(0) if self.downloads else json.dumps(results()).encode()
        if isinstance(fate, ReelrouteError):
            raise fate
        return target.write_bytes(fate)

    async def aclose(self) -> None:
        pass


PIPELINE = """
name: yard
sources: [{{uri: "{videos}"}}]
inference: {{backend: local, model: oidv4/1, fps: 5, poll_interval: 10s, deadline: 10m{inference}}}
{more}
routes:
  - {{to: results, uri: "{out}/results"}}
  - {{to: lightly, datasource: "{out}/lightly", task_name: yard}}
  - {{to: labelbox, upload: false, uri: "{out}/labelbox"}}
"""


@dataclass
class Rig:
    """A folder with videos, a pipeline over it, and a run of that pipeline.

    Attributes:
        folder: Everything is below it: ``videos``, ``out``, ``home``.
        backend, clock: The script and the time.
    """

    folder: Path
    backend: ScriptedBackend = field(default_factory=ScriptedBackend)
    clock: Clock = field(default_factory=Clock)

    @property
    def videos(self) -> Path:
        return self.folder / "videos"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def pipeline_file(self, *, inference: str = "", more: str = "") -> Path:
        """Write the pipeline's file; ``inference`` is appended to that section, ``more`` is a section."""
        path = self.folder / "yard.yaml"
        path.write_text(PIPELINE.format(videos=self.videos, out=self.out, inference=inference, more=more))
        return path

    def settings(self) -> Settings:
        return Settings.model_validate({"REELROUTE_HOME": self.folder / "home"})

    def run(self, *, inference: str = "", more: str = "") -> Run:
        """A new run, as another process would make it; sees the ledger that earlier ones wrote."""
        pipeline = load_pipeline(str(self.pipeline_file(inference=inference, more=more)))
        spec, _ = inference_spec(pipeline)
        settings = self.settings()
        return Run(
            pipeline=pipeline,
            settings=settings,
            spec=spec,
            models=(MODEL,),
            ledger=open_ledger(settings.ledger_url.get_secret_value()),
            backend=self.backend,
            service="http://127.0.0.1:9",
            stores=Stores(pipeline),
            clock=self.clock,
            timer=self.clock.timer,
            sleep=self.clock.sleep,
            chance=lambda: 0.5,
        )

    def listed(self, run: Run) -> list[JobRecord]:
        """List the sources into the ledger and return its jobs."""
        record_listing(run)
        return list(run.ledger.jobs(run.pipeline.name))
