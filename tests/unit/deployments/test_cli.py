"""The command line without a run: help, errors, where output goes."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from deployments.cli.bars import Bars
from deployments.cli.demo import CLIPS, lay_out_footage
from deployments.cli.output import Printer
from deployments.cli.run import show
from deployments.cli.serve import named_files
from tasks.domain.errors import AuthRefused, InputInvalid
from tests.clips import write_clip
from tests.flows.conftest import Yard

HEAVY = (
    "prefect",
    "av",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "supervision",
    "roboflow",
    "labelbox",
    "sqlalchemy",
    "httpx",
)


def test_help_loads_nothing_heavy() -> None:
    """`--help` answers at once because nothing that is slow to import is imported."""
    code = (
        "import sys\nfrom deployments.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "[]" == done.stderr.strip().splitlines()[-1]
    assert "serve" in done.stdout


def test_an_error_is_told_with_its_hint_and_its_exit_code(tmp_path: Path) -> None:
    """For people on stderr, for machines as one object on stdout."""
    yard = Yard(tmp_path)
    plain, as_json = yard.reelroute("run", "no-such-pipeline"), yard.reelroute("plan", "no-such-pipeline", "--json")

    assert (2, 2) == (plain.code, as_json.code)
    assert "no-such-pipeline" in plain.stderr
    assert "" == plain.stdout
    assert "input_invalid" == as_json.json["error"]["code"]


def test_status_without_a_ledger_is_no_error(tmp_path: Path) -> None:
    """Asking before the first run makes nothing and says so."""
    yard = Yard(tmp_path)
    ended = yard.reelroute("status", "--json")

    assert (0, {}) == (ended.code, ended.json["jobs"])
    assert not (tmp_path / "home").exists()


def test_a_wrong_option_is_exit_code_2(tmp_path: Path) -> None:
    """Arguments are input."""
    assert 2 == Yard(tmp_path).reelroute("run", "demo", "--limit", "minus one").code


@pytest.mark.parametrize("variable", ["REELROUTE_LEDGER_URL", "REELROUTE_RESULTS_URL"])
def test_a_bad_setting_is_told_before_anything_starts(tmp_path: Path, variable: str) -> None:
    """The variable is named."""
    (tmp_path / "videos").mkdir()
    yard = Yard(tmp_path, {variable: "nonsense://"})
    ended = yard.reelroute("run", yard.pipeline())

    assert 2 == ended.code
    assert variable in ended.stderr


def test_machines_get_one_object_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json, whatever is said goes to stderr."""
    printer = Printer(as_json=True)
    printer.say("for people [not markup]")
    printer.result({"é": "日本"})
    out, err = capsys.readouterr()

    assert {"é": "日本"} == json.loads(out)
    assert 1 == len(out.splitlines())
    assert "for people [not markup]" in err


def test_an_error_for_machines_has_code_message_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """The same words as for people."""
    Printer(as_json=True).error(AuthRefused("the key [x] is wrong", hint="look [here]"))
    out, err = capsys.readouterr()

    assert {
        "error": {"code": "auth_refused", "message": "the key [x] is wrong", "hint": "look [here]"},
        "exit_code": 3,
    } == json.loads(out)
    assert "the key [x] is wrong" in err
    assert "look [here]" in err


def test_odd_names_do_not_disturb_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """A newline or an escape sequence in a key does not reach the terminal."""
    summary = {
        "pipeline": "p",
        "discovered": 1,
        "skipped": 0,
        "submitted": 1,
        "succeeded": 0,
        "reused": 0,
        "failed": 1,
        "unknown": 0,
        "in_flight": 0,
        "elsewhere": 0,
        "undelivered": 0,
        "not_taken": {"hidden": 3, "gone": 4},
        "left_out": {"--limit 1": 2},
        "delivered": {"results": 0},
        "failures": [{"video": "a\x1b[31m\nb.mp4", "stage": "poll", "code": "x", "message": "m\n", "hint": "h"}],
        "warnings": ["w\x07"],
        "interrupted": "",
        "stopped": None,
        "report": "/r.md",
    }
    show(summary, Printer(as_json=False))
    out = capsys.readouterr().out

    assert r"a\x1b[31m\nb.mp4" in out
    assert "\x07" not in out
    assert "1 of 1 video failed; 2 videos left for another run: --limit 1." in out
    assert re.search(r"not taken: hidden, or in a hidden folder +3\n", out)
    assert re.search(r"not taken: gone +4\n", out)


def test_bars_count_and_name_what_fails() -> None:
    """Whoever watches sees progress, and failures as they happen."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    progress = Progress(console=console)
    bars = Bars(progress)
    bars.expected(2)
    bars.finished("a.mp4", "")
    bars.finished("b.mp4", "job_failed")
    bars.delivered("results", "a.mp4", "")
    counts = {task.description: [task.completed, task.total] for task in progress.tasks}

    assert [2, 2] == counts["inferring"]
    assert [1, 2] == counts["to results"]
    assert "b.mp4: job_failed" in stream.getvalue()


@pytest.mark.parametrize("pair", ["model.onnx", "=file", "a=/no/such/file"])
def test_models_to_serve_are_named_files(pair: str) -> None:
    """A pair that is none is told."""
    with pytest.raises(InputInvalid):
        named_files([pair])


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    """The second would hide the first."""
    file = tmp_path / "m.onnx"
    file.touch()

    assert {"a": file} == named_files([f"a={file}"])
    with pytest.raises(InputInvalid):
        named_files([f"a={file}", f"a={file}"])


def test_the_demos_footage_keeps_its_identity(tmp_path: Path) -> None:
    """Laid out twice, the clips are the same versions: nothing is inferred again."""
    lay_out_footage(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    lay_out_footage(tmp_path)

    assert len(CLIPS) == len(before)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}


def test_a_traceback_has_no_secret(tmp_path: Path) -> None:
    """A bug is shown as Python shows it, but for what a URL in it gives access to."""
    code = (
        "import sys, deployments.cli\n"
        "cli = sys.modules['deployments.cli.app']\n"
        "def app(standalone_mode):\n"
        "    raise KeyError('https://api.example/x?api_key=5ec7e7')\n"
        "cli.app = app\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3])

    assert (1, "") == (done.returncode, done.stdout)
    assert "Traceback" in done.stderr
    assert "KeyError: 'https://api.example/x?***'" in done.stderr


def test_a_plan_does_not_load_prefect(tmp_path: Path) -> None:
    """Two seconds for everybody who only wants to know what a run would do."""
    (tmp_path / "videos").mkdir()
    write_clip(tmp_path / "videos" / "a.mp4", frames=25)
    yard = Yard(tmp_path)
    code = (
        "import atexit, sys\n"
        "from deployments.cli import main\n"
        "atexit.register(lambda: print([name for name in ('prefect', 'onnxruntime') if name in sys.modules]))\n"
        "sys.argv = ['reelroute', 'plan', sys.argv[1], '--json']\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, yard.pipeline()], env=yard.env(), cwd=tmp_path, capture_output=True, text=True
    )

    assert 0 == done.returncode, done.stderr
    found, loaded = done.stdout.splitlines()
    assert (1, "[]") == (json.loads(found)["estimate"]["videos"], loaded)
