"""One message, from wherever it came, into the inbox: read, match, write, count."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deployments.services.events.meters import Meters
from deployments.services.events.writer import PATIENCE_S, Writer
from tasks.domain.video import printable
from tasks.match import Matcher
from tasks.uploads.notice import Notice
from tasks.uploads.recognise import read

_log = logging.getLogger("reelroute.events")


@dataclass(frozen=True, slots=True)
class Reception:
    """What every way in leads to."""

    matcher: Matcher
    writer: Writer
    meters: Meters
    clock: Callable[[], datetime]

    async def take(
        self, message: Any, headers: Mapping[str, str], via: str, *, patience_s: float = PATIENCE_S
    ) -> dict[str, int]:
        """Put what a believed message tells into the inbox; return outcome -> events.

        Outcomes are ``new``, ``duplicate``, ``superseded`` and ``ignored_`` with a reason.

        Args:
            via: Who brought it, for the counters.

        Raises:
            ShapeUnknown: It is none that we know.
            LedgerUnavailable, LedgerUnusable: The inbox does not have it.
        """
        notice = read(message, headers)
        matched = self.matcher.match(notice.uploads, self.clock())
        ignored = notice.ignored + matched.ignored
        answers = await self.writer.put(matched.wanted, patience_s=patience_s)
        outcomes = Counter(str(answer) for answer in answers)
        outcomes.update({f"ignored_{reason}": count for reason, count in ignored.items()})
        self.meters.count_events(via, outcomes)
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        _log.info("%s: %s%s", via, told or "nothing", _strangers(notice) if matched.ignored["place"] else "")
        return dict(outcomes)


def _strangers(notice: Notice) -> str:
    """Name the places, so that a misconfigured notification is found."""
    places = sorted({printable(f"{event.scheme}://{event.container}") for event in notice.uploads})
    return f" (from {', '.join(places[:3])})"
