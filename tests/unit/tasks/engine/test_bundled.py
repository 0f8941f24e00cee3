"""The model that comes with the project is the one that its card describes."""

from __future__ import annotations

import hashlib
import re

import pytest

from tasks.engine.bundled import BUNDLED_PROJECT, BUNDLED_VERSION, bundled_model
from tasks.engine.detectors import load_detector


def test_the_file_is_the_one_on_the_card() -> None:
    """Digest and size are those that the model card states."""
    card = (bundled_model().parent / "MODEL_CARD.md").read_text()
    data = bundled_model().read_bytes()
    assert hashlib.sha256(data).hexdigest() in card
    assert f"{len(data):,} bytes" in card


def test_its_classes_are_the_ones_on_the_card() -> None:
    """Names, in the order of their ids from 0, without the background."""
    card = (bundled_model().parent / "MODEL_CARD.md").read_text()
    listed = re.search(r"\| Classes, in the order of their ids from 0 \| (.+) \|", card)
    assert listed is not None
    detector = load_detector(bundled_model())
    assert tuple(listed[1].split(", ")) == detector.classes
    assert 23 == len(detector.classes)
    assert ("SSD", "Bicycle", "Car") == (detector.layout.name, detector.classes[0], detector.classes[22])


def test_its_licence_goes_with_it() -> None:
    """The notice that Apache-2.0 asks for lies beside the file and names what was changed."""
    notice = (bundled_model().parent / "NOTICE").read_text()
    assert "Copyright The MediaPipe Authors" in notice
    assert "Apache License, Version 2.0" in notice
    assert bundled_model().name in notice


def test_it_is_known_as_a_project_and_version() -> None:
    """`model: oidv4/1` in a pipeline means this file."""
    assert "oidv4/1" == f"{BUNDLED_PROJECT}/{BUNDLED_VERSION}"


@pytest.mark.parametrize("name", ["MODEL_CARD.md", "NOTICE"])
def test_the_papers_are_short_lines_of_plain_text(name: str) -> None:
    """They can be read without any tool."""
    text = (bundled_model().parent / name).read_text("utf-8")
    assert text.endswith("\n")
    assert "\t" not in text
