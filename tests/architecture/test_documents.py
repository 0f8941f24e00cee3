"""What the documents claim is true of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from deployments.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [path for path in ROOT.rglob("*.md") if not {".venv", "demo-out", ".reelroute"} & set(path.parts)]


def commands() -> list[str]:
    """Every command as people type it, such as ``serve inference``."""
    found: list[str] = []

    def walk(command: object, name: str) -> None:
        children = getattr(command, "commands", None)
        if not children:
            found.append(name)
            return
        for child, below in children.items():
            walk(below, f"{name} {child}".strip())

    walk(get_command(app), "")
    return found


@pytest.mark.parametrize("command", commands())
def test_the_readme_explains_every_command(command: str) -> None:
    """Nobody has to read the source to learn that a command exists."""
    assert f"reelroute {command}" in (ROOT / "README.md").read_text()


def test_the_readme_names_no_command_that_does_not_exist() -> None:
    """What can be copied from the README works."""
    known = {command.split()[0] for command in commands()}
    named = set(re.findall(r"(?m)^(?:\s*\$ |\s*)?reelroute ([a-z]+)", (ROOT / "README.md").read_text()))

    assert set() == named - known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    """A link to a file of the project has that file at its end."""
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())

    assert [] == [target for target in targets if not (document.parent / target).exists()]


def test_the_readme_names_every_setting() -> None:
    """Every environment variable that is read can be looked up."""
    from config.settings import Settings

    text = (ROOT / "README.md").read_text() + (ROOT / "config" / "README.md").read_text()
    variables = [str(field.validation_alias) for field in Settings.model_fields.values()]

    assert [] == [name for name in variables if name not in text]
