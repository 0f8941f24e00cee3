"""The shape of the source tree: sizes, names, folders, and what the files may mention."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("config", "tasks", "flows", "deployments")
FILES = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    if (ROOT / name).is_file()
]
MODULES = [path for path in FILES if path.suffix == ".py"]


def test_the_files_of_the_project_are_found() -> None:
    """The checks below look at something."""
    assert len(MODULES) > 50


def test_no_module_is_longer_than_350_lines() -> None:
    """A module that outgrows one sitting is split."""
    long = {str(path.relative_to(ROOT)): n for path in MODULES if (n := len(path.read_text().splitlines())) > 350}

    assert {} == long


def test_no_module_is_named_for_nothing_in_particular() -> None:
    """A module is named after the thing that it holds."""
    vague = {"utils", "helpers", "common", "misc"}

    assert [] == [path for path in MODULES if path.stem in vague]


def test_no_flow_module_shadows_a_package() -> None:
    """Prefect puts flows/ first on the path: a module there must not be named like a package we import."""
    packages = {
        "config",
        "tasks",
        "tests",
        "flows",
        "deployments",
        "prefect",
        "boto3",
        "roboflow",
        "labelbox",
        "pandas",
    }

    assert set() == {path.stem for path in (ROOT / "flows").glob("*.py")} & packages


@pytest.mark.parametrize("folder", [*SOURCES, "tests"])
def test_every_top_folder_says_what_lives_in_it(folder: str) -> None:
    """A newcomer finds a README where they look first, and it names what must not be there."""
    text = (ROOT / folder / "README.md").read_text()

    assert len(text) > 300


def test_the_lock_file_names_hashes_and_no_addresses() -> None:
    """Where packages come from is the user's own setting."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = [line for line in lines if re.match(r"[a-z0-9]", line)]

    assert len(pinned) > 100
    assert [] == [line for line in lines if "://" in line]
    assert all(line.rstrip().endswith("\\") for line in pinned), "a package without hashes"


def test_nothing_refers_to_a_place_outside_of_the_project() -> None:
    """The project stands alone: no path of a developer's machine, no address of a package file."""
    outside = re.compile(r"(?<![\w.])/(?:work|root)/\w+|\.\./" + r"shared|https?://[^ \"]+\.(?:whl|tgz)")
    mentions = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in FILES
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".lock", ""} and path.name != "LICENSE"
        for found in [outside.search(path.read_text(errors="replace"))]
        if found
    ]

    assert [] == mentions


def test_functions_are_mostly_under_forty_lines() -> None:
    """Nine functions in ten fit on a screen."""
    import ast

    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for path in MODULES
        if path.relative_to(ROOT).parts[0] in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )

    assert lengths[int(len(lengths) * 0.9)] <= 40
