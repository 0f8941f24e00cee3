"""Which pipelines want an object that landed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.load import load_pipeline
from config.settings import Settings
from tasks.domain.upload import UploadEvent
from tasks.match import Matcher

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PIPELINE = """
name: {name}
sources: [{sources}]
inference: {{backend: roboflow, model: players/2}}
routes: [{routes}]
"""
RESULTS = '{to: results, uri: "s3://out/{date}/{pipeline}/results"}'


def event(uri: str, **facts: Any) -> UploadEvent:
    scheme, _, rest = uri.partition("://")
    container, _, key = rest.partition("/")
    return UploadEvent(scheme=scheme, container=container, key=key, **{"version": "v", "size": 9, **facts})


class Files:
    """Pipelines of a test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: list[Any] = []

    def add(self, sources: str, routes: str = RESULTS, *, name: str = "yard") -> None:
        path = self._folder / f"{name}.yaml"
        path.write_text(PIPELINE.format(name=name, sources=sources, routes=routes))
        self._loaded.append(load_pipeline(str(path)))

    def match(self, *events: UploadEvent) -> tuple[list[str], dict[str, int]]:
        settings = Settings.model_validate({"REELROUTE_HOME": self._folder, "REELROUTE_RESULTS_URL": "s3://yard/kept"})
        matched = Matcher(self._loaded, settings).match(events, NOW)
        return [f"{name} {one.uri}" for name, one in matched.wanted], dict(matched.ignored)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_sources_and_filters_decide(files: Files) -> None:
    """As far as an event tells: place, name and size."""
    files.add('{uri: "s3://yard/in/", exclude: ["drafts/**"], min_size: 5B, max_size: 20B, modified_within: 1h}')
    wanted, ignored = files.match(
        event("s3://yard/in/a.mp4"),
        event("s3://yard/in/unsized.MOV", size=None),
        event("s3://yard/out/a.mp4"),
        event("s3://other/in/a.mp4"),
        event("gs://yard/in/a.mp4"),
        event("s3://yard/in/drafts/a.mp4"),
        event("s3://yard/in/a.txt"),
        event("s3://yard/in/folder/", size=0),
        event("s3://yard/in/small.mp4", size=1),
        event("s3://yard/in/large.mp4", size=21),
    )
    assert ["yard s3://yard/in/a.mp4", "yard s3://yard/in/unsized.MOV"] == wanted
    assert {"place": 3, "exclude": 1, "suffix": 1, "marker": 1, "size": 2} == ignored


def test_a_prefix_is_plain_text_but_ends_at_the_bucket(files: Files) -> None:
    """``match-`` takes match-1.mp4; ``s3://yard`` does not take the bucket yard-2."""
    files.add('{uri: "s3://archive/2026/match-"}, {uri: "s3://yard"}')
    wanted, ignored = files.match(
        event("s3://archive/2026/match-1.mp4"), event("s3://archive/2026/other.mp4"), event("s3://yard-2/a.mp4")
    )
    assert (["yard s3://archive/2026/match-1.mp4"], {"place": 2}) == (wanted, ignored)


def test_each_pipeline_that_wants_it_gets_it(files: Files) -> None:
    """Ignored is only what nobody wants."""
    files.add('{uri: "s3://yard/in/", exclude: ["b*"]}', name="one")
    files.add('{uri: "s3://yard/"}', name="two")
    wanted, ignored = files.match(event("s3://yard/in/a.mp4"), event("s3://yard/in/b.mp4"))
    assert ["one s3://yard/in/a.mp4", "two s3://yard/in/a.mp4", "two s3://yard/in/b.mp4"] == wanted
    assert {} == ignored


def test_our_own_outputs_start_nothing(files: Files) -> None:
    """Of any pipeline and any day, and the kept results; else a run's outputs would start the next."""
    files.add('{uri: "s3://out/"}, {uri: "s3://yard/"}', '{to: video, uri: "s3://out2/x/"}, ' + RESULTS)
    files.add('{uri: "s3://yard/"}', '{to: lightly, datasource: "s3://yard/", task_name: t}', name="other")
    outputs = [
        "s3://out/2026-03-01/yard/results/a.mp4",
        "s3://out/2020-01-31/other/results/a.mp4",
        "s3://yard/kept/a.mp4",
        "s3://yard/.lightly/a.mp4",
    ]
    inputs = ["s3://out/2026-03-01/stranger/results/a.mp4", "s3://out/today/yard/results/a.mp4"]
    wanted, ignored = files.match(*map(event, outputs + inputs))
    assert [f"yard {uri}" for uri in inputs] == wanted
    assert {"output": 4} == ignored


def test_a_pipeline_may_go_on_where_another_ends(files: Files) -> None:
    """Whoever names an output as a source means it."""
    files.add('{uri: "s3://yard/"}', '{to: video, uri: "s3://out/annotated"}', name="first")
    files.add('{uri: "s3://out/annotated/"}', '{to: video, uri: "s3://out2/"}', name="second")
    assert (["second s3://out/annotated/a.mp4"], {}) == files.match(event("s3://out/annotated/a.mp4"))


def test_an_azure_container_is_of_one_account(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two accounts may have a container of the same name."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT", raising=False)
    files.add('{uri: "az://videos/", account: ours}')
    wanted, ignored = files.match(
        event("az://videos/a.mp4", account="ours"),
        event("az://videos/b.mp4", account="theirs"),
        event("az://videos/c.mp4"),
    )
    assert (["yard az://videos/a.mp4", "yard az://videos/c.mp4"], {"place": 1}) == (wanted, ignored)
