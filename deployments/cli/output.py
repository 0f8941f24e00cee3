"""What goes where: with ``--json`` one object on stdout and everything for people on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from tasks.domain.escaping import terminal_text

if TYPE_CHECKING:
    from rich.console import Console

    from tasks.domain.errors import ReelrouteError


class Printer:
    """Prints for people, and for machines where ``--json`` asks for it."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    @property
    def console(self) -> Console:
        """Where text for people goes."""
        from rich.console import Console

        return Console(stderr=self.as_json, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Tell people something, verbatim but for what would steer their terminal."""
        self.console.print(terminal_text(text), markup=False)

    def result(self, value: dict[str, Any]) -> None:
        """Give machines their one object; nothing without ``--json``."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, ensure_ascii=True) + "\n")
            sys.stdout.flush()

    def error(self, error: ReelrouteError) -> None:
        """Say what went wrong and what to do about it, on stderr; machines get it as an object."""
        from rich.console import Console

        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"[bold red]error[/] [dim]({error.code})[/]", end=" ")
        console.print(terminal_text(str(error)), markup=False)
        if error.hint:
            console.print(terminal_text(f"  hint: {error.hint}"), markup=False)
        self.failure(error.code, str(error), error.hint, exit_code=error.exit_code)

    def failure(self, code: str, message: str, hint: str = "", *, exit_code: int) -> None:
        """Give machines the object of a command that came to no result."""
        self.result({"error": {"code": code, "message": message, "hint": hint}, "exit_code": exit_code})
