"""Progress bars on a terminal, drawn from what a run tells its watcher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tasks.domain.escaping import terminal_text
from tasks.domain.video import printable
from tasks.progress import Watcher, watcher


class Bars(Watcher):
    """One bar for videos, one for each route's deliveries, and a line for what comes before them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._before = progress.add_task("", total=None)
        self._videos: TaskID | None = None
        self._routes: dict[str, TaskID] = {}
        self._expected = 0

    def stage(self, text: str) -> None:
        """Say what is going on before the first video."""
        self._progress.update(self._before, description=text)

    def expected(self, videos: int) -> None:
        """Start the bar of videos."""
        self._expected = videos
        self._progress.update(self._before, visible=False)
        if videos:
            self._videos = self._progress.add_task("inferring", total=videos)

    def finished(self, video: str, problem: str) -> None:
        """Count a video; name it if something is wrong with it."""
        if self._videos is not None:
            self._progress.advance(self._videos)
        self._name(video, problem)

    def delivered(self, route: str, video: str, problem: str) -> None:
        """Count a delivery; name it if it failed."""
        if route not in self._routes:
            self._routes[route] = self._progress.add_task(
                escape(printable(f"to {route}")), total=self._expected or None
            )
        self._progress.advance(self._routes[route])
        self._name(f"{video} to {route}", problem)

    def say(self, text: str) -> None:
        """Tell people something, on a line of its own above the bars; callable from any thread and from signals."""
        self._progress.console.print(terminal_text(text), markup=False, highlight=False, soft_wrap=True)

    def _name(self, what: str, problem: str) -> None:
        if problem:
            self._progress.console.print(printable(f"{what}: {problem}"), markup=False, highlight=False)


@contextmanager
def watching(*, enabled: bool) -> Iterator[Bars]:
    """Draw bars on stderr for the length of the block; without a terminal nothing is drawn."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not enabled) as progress:
        bars = Bars(progress)
        token = watcher.set(bars)
        try:
            yield bars
        finally:
            watcher.reset(token)
