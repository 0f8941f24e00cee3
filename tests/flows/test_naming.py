"""What runs are called in Prefect."""

from __future__ import annotations

from pathlib import Path

import prefect.runtime.flow_run
import pytest

from flows.naming import pipeline_called, run_name


def test_a_pipeline_is_called_by_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a path too; where the file cannot be read, by the file's name, on one line."""
    (tmp_path / "a.yaml").write_text(
        f"name: yard\nsources: [{{uri: '{tmp_path}'}}]\ninference: {{backend: local, model: oidv4/1}}\n"
        f"routes: [{{to: results, uri: '{tmp_path}/out'}}]\n"
    )
    monkeypatch.chdir(tmp_path)

    named = [pipeline_called(text) for text in ("./a.yaml", "a.yaml", str(tmp_path / "a.yaml"), "yard", "./no\n.yaml")]

    assert ["yard", "yard", "yard", "yard", "no\\n"] == named


@pytest.mark.parametrize(
    ("flow", "parameters", "name"),
    [
        ("ingest", {"pipeline": "yard", "limit": 1}, "ingest yard"),
        ("collect", {"pipeline": "", "once": True}, "collect"),
        ("adhoc-ingest", {"pipeline": "", "source": "s3://b/in/"}, "adhoc-ingest s3://b/in/"),
    ],
)
def test_a_run_is_called_after_its_flow_and_what_it_is_of(
    flow: str, parameters: dict[str, object], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a pipeline nothing is left open at the end."""
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__FLOW_NAME", flow)
    monkeypatch.setattr(prefect.runtime.flow_run, "parameters", parameters, raising=False)

    assert name == run_name()
