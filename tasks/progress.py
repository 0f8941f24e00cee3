"""How a run tells whoever is watching what just happened; the command line draws bars from it.

Prefect passes only plain parameters to a flow, so the watcher travels in a context variable.
"""

from __future__ import annotations

from contextvars import ContextVar


class Watcher:
    """Hears what happens; this one ignores it. Methods are called from the event loop, in order."""

    def expected(self, videos: int) -> None:
        """So many videos will be worked on, as far as is known by now."""

    def submitted(self, video: str) -> None:
        """The service took the video's job."""

    def finished(self, video: str, problem: str) -> None:
        """The video's results are stored, or ``problem`` (a code) says why not."""

    def delivered(self, route: str, video: str, problem: str) -> None:
        """A route has the video's predictions, or ``problem`` says why not."""


watcher: ContextVar[Watcher] = ContextVar("watcher", default=Watcher())  # noqa: B039 (it holds no state)
