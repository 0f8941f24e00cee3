"""Bad weather at the service: how often it misbehaves in which way, and which jobs it spoils."""

from __future__ import annotations

import json
import random
from collections import Counter

from tests.scripted_service import Fault

CALLS = ("upload_url", "upload", "submit", "check", "result")
SERVER_FAULTS = (500, 502, 503, 504, 408)
PAGE = b"<html>sorry</html>"
GATEWAYS = (PAGE, b"", b'{"message": "Service Unavailable"}', b'{"message": null}')
EXPIRED = b'<?xml version="1.0"?><Error><Code>ExpiredToken</Code></Error>'
# What is no result, though it came as one.
MALFORMED = (
    b"{}",
    json.dumps({"status": 2, "message": "failed"}).encode(),
    json.dumps({"frame_offset": [0, 5], "time_offset": [0.0], "players-x1": [None, None]}).encode(),
    b'{"frame_offset": [0], "time_offset": [0.0], "players-x1": [nul',
    json.dumps({"frame_offset": [0], "time_offset": [0.0], "another-model": [None]}).encode(),
)
VERDICTS = (
    ({"status": 2, "error": "video_unreadable", "message": "no frames could be decoded"}, "video_unreadable"),
    ({"status": 3, "message": "something broke"}, "job_failed"),
)


class Weather:
    """A storm of 20 % 429, 10 % 5xx and 408, 5 % resets, 2 % hangs, 2 % dead result URLs and 6 % of what others say
    in the service's place (pages, redirects, empty refusals), the same for a seed. A gateway that gives up (with a
    page, nothing, or JSON of its own) or shows a page may have handed the request on.

    Attributes:
        seen: (call, what) -> how often.
        calm: True once it is over.
    """

    def __init__(self, seed: int) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()
        self.calm = False
        self._chances = {call: random.Random(f"{seed} {call}") for call in CALLS}

    def __call__(self, call: str) -> Fault | None:
        if self.calm or call not in CALLS:
            return None
        what, fault = self._draw(call, self._chances[call])
        self.seen[call, what] += 1
        return fault

    def lost_answers(self) -> int:
        """How many submissions nobody can know the fate of: whether they were read and done or not, no id came."""
        known = {"well", "429", "busy", "404", "302", "405"}
        return sum(count for (call, what), count in self.seen.items() if call == "submit" and what not in known)

    def _draw(self, call: str, chance: random.Random) -> tuple[str, Fault | None]:
        drawn, acts = chance.random(), chance.random() < 0.5
        if drawn < 0.20:
            wait = ("Retry-After", chance.choice(("1", "3", "Wed, 21 Oct 2015 07:28:00 GMT")))
            return "429", Fault(429, (wait,) if acts else (), {"message": "Too Many Requests"})
        if drawn < 0.30:
            status = chance.choice(SERVER_FAULTS)
            if status == 503 and chance.random() < 0.3:
                return "busy", Fault(503, body={"error": "busy", "message": "come again"})
            return str(status), Fault(status, body=chance.choice(GATEWAYS), acts=acts)
        if drawn < 0.35:
            when = "unread" if chance.random() < 0.5 else "read"
            return f"reset {when}", Fault(drop=when, acts=acts)
        if drawn < 0.37:
            return "hang", Fault(hang=True, acts=acts)
        if drawn < 0.39 and call == "result":
            return "dead URL", Fault(403, body=EXPIRED)
        if 0.39 <= drawn < 0.45 and call in ("submit", "check", "result"):
            odd = chance.choice((200, 404, 302, 405))
            moved = (("Location", "/log-in"),) if odd == 302 else ()
            return str(odd), Fault(odd, moved, b"" if odd == 405 else PAGE, acts=acts and odd == 200)
        return "well", None


def spoil(seed: int, jobs: int) -> tuple[dict[str, int], dict[str, int]]:
    """Choose 5 % of job ids to fail and 3 % to have malformed results: id -> which of the kinds above."""
    chance = random.Random(f"{seed} jobs")
    failed: dict[str, int] = {}
    malformed: dict[str, int] = {}
    for number in range(1, jobs + 1):
        drawn = chance.random()
        if drawn < 0.05:
            failed[f"job-{number}"] = chance.randrange(len(VERDICTS))
        elif drawn < 0.08:
            malformed[f"job-{number}"] = chance.randrange(len(MALFORMED))
    return failed, malformed
