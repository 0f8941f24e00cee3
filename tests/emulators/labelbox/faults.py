"""Trouble on demand: which request meets which, and how often."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal

Trouble = Literal[
    "429",  # with Retry-After
    "429 html",  # of something in front of the service
    "500",  # nothing was done
    "502 html",
    "graphql 500",  # INTERNAL_SERVER_ERROR, in an answer of status 200
    "reset",  # nothing was done, the connection breaks
    "lost",  # all was done, and the connection breaks before the answer
    "lost 500",  # all was done, and the answer is a 500
    "hang",  # nothing is done for as long as the client waits
]


@dataclass
class Fault:
    """Requests whose root field (or path) contains ``of`` meet ``trouble``, ``times`` times."""

    of: str
    trouble: Trouble
    times: int = 1


@dataclass
class Faults:
    """Plans trouble, and counts what was asked.

    Attributes:
        calls: Root field, or method and path, of every request so far.
        planned: Met in order; each goes when it has been met often enough.
        cut_at: The answer to the request of that number (from 1) is lost; 0 for none.
        hold_at: The request of that number is done and never answered; ``held`` is set then.
        hangs: Set at the end, so that nothing hangs for ever.
    """

    calls: list[str] = field(default_factory=list)
    planned: list[Fault] = field(default_factory=list)
    cut_at: int = 0
    hold_at: int = 0
    held: threading.Event = field(default_factory=threading.Event)
    hangs: threading.Event = field(default_factory=threading.Event)

    def plan(self, of: str, trouble: Trouble, times: int = 1) -> None:
        """Let requests meet trouble."""
        self.planned.append(Fault(of, trouble, times))

    def meet(self, call: str) -> str:
        """Count a request, and say what it meets; "" for nothing."""
        self.calls.append(call)
        number = len(self.calls)
        if number == self.cut_at:
            return "lost"
        if number == self.hold_at:
            return "hold"
        for fault in self.planned:
            if fault.of in call:
                fault.times -= 1
                if not fault.times:
                    self.planned.remove(fault)
                return fault.trouble
        return ""
