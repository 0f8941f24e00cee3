"""The command line as people meet it: what it prints, what it leaves, and its exit codes."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from tests.clips import sample_footage
from tests.flows.conftest import Yard

pytestmark = pytest.mark.engine


def test_the_demo_leaves_all_four_kinds_of_output_and_a_second_one_submits_nothing(lone_yard: Yard) -> None:
    """With nothing set up, three real videos go the whole way; the next demo knows them."""
    first = lone_yard.reelroute("demo", "--json")

    assert 0 == first.code, first.stderr
    assert (3, 3, 3, 0) == tuple(first.json[name] for name in ("discovered", "submitted", "succeeded", "failed"))
    assert {"results": 3, "lightly": 3, "labelbox": 3, "video": 3} == first.json["delivered"]
    out = lone_yard.folder / "demo-out"
    for name in ("street/bikes.mp4", "studio/carphone_pristine.mp4", "studio/bigbuckbunny.mp4"):
        for place in (f"results/{name}.json.gz", f"results/{name}.parquet", f"labelbox/{name}.ndjson"):
            assert (out / place).is_file(), place
        assert (out / "annotated" / name).stat().st_size > 10_000
    tree = out / "lightly" / ".lightly" / "predictions"
    assert ["oidv4"] == json.loads((tree / "tasks.json").read_text())
    assert 50 == len(list((tree / "oidv4" / "street").glob("bikes-*-mp4.json")))
    results = json.loads((out / "results" / "results.json").read_text())
    assert list(range(0, 250, 5)) == results["street/bikes.mp4"]["frame_offset"]

    second = lone_yard.reelroute("demo", "--json")

    assert (0, 3, 0) == (second.code, second.json["skipped"], second.json["submitted"])


def test_a_run_prints_what_the_documents_promise(yard: Yard) -> None:
    """`run --json` has every promised key, and its report is there to be read."""
    yard.clip("a.mp4")
    ended = yard.reelroute("run", yard.pipeline(), "--json")

    assert 0 == ended.code, ended.stderr
    promised = {
        "pipeline",
        "discovered",
        "skipped",
        "submitted",
        "succeeded",
        "failed",
        "unknown",
        "delivered",
        "failures",
        "report",
    }
    assert promised <= set(ended.json)
    assert "All is well." in Path(ended.json["report"]).read_text()


def test_bad_videos_are_listed_each_with_its_code_and_the_good_one_goes_through(yard: Yard) -> None:
    """Not a video, cut short, empty, too slow: four reasons, one delivery, exit code 1."""
    yard.clip("good.mp4")
    (yard.videos / "text.mp4").write_text("this is not a video")
    whole = sample_footage("bikes.mp4").read_bytes()
    (yard.videos / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (yard.videos / "empty.mp4").write_bytes(b"")
    yard.clip("slow.mp4", fps=Fraction(4))

    ended = yard.reelroute("run", yard.pipeline(), "--json")

    assert 1 == ended.code
    codes = {failure["video"]: failure["code"] for failure in ended.json["failures"]}
    assert {
        "text.mp4": "video_unreadable",
        "cut.mp4": "video_truncated",
        "empty.mp4": "video_empty",
        "slow.mp4": "fps_too_high",
    } == codes
    assert all(failure["message"] for failure in ended.json["failures"])
    assert (5, 1, 4, 1) == tuple(ended.json[name] for name in ("discovered", "submitted", "failed", "succeeded"))

    planned = yard.reelroute("plan", yard.pipeline(), "--json")
    assert (0, {"succeeded": 1, "failed": 4}) == (planned.code, planned.json["known"])
    status = yard.reelroute("status", yard.pipeline(), "--json")
    assert codes == {failure["video"]: failure["code"] for failure in status.json["failures"]}


def test_a_missing_folder_is_named(yard: Yard) -> None:
    """Exit code 2, and the message has the folder."""
    yard.videos.rmdir()
    ended = yard.reelroute("run", yard.pipeline())

    assert 2 == ended.code
    assert str(yard.videos) in ended.stderr


def test_an_empty_folder_is_a_warning(yard: Yard) -> None:
    """Nothing to do is not a failure, but it is said, with what is there and not taken."""
    (yard.videos / "._clip.mp4").write_bytes(b"of another computer")
    ended = yard.reelroute("run", yard.pipeline(), "--json")

    assert (0, 0) == (ended.code, ended.json["discovered"])
    assert {"hidden": 1} == ended.json["not_taken"]
    assert ["no videos in"] == [warning[:12] for warning in ended.json["warnings"]]


@pytest.mark.parametrize("model", ["oidv4/9", "no-such-project/1"])
def test_an_unknown_model_is_told_before_anything_is_submitted(yard: Yard, model: str) -> None:
    """Exit code 3, and the message names the project and what there is."""
    yard.clip("a.mp4")
    ended = yard.reelroute("run", yard.pipeline(model=model))

    assert 3 == ended.code
    assert "model_unknown" in ended.stderr
    assert model.partition("/")[0] in ended.stderr


def test_a_wrong_key_is_told_before_anything_is_submitted(yard: Yard) -> None:
    """Exit code 3; the key itself is not repeated."""
    yard.clip("a.mp4")
    yard.environment["ROBOFLOW_API_KEY"] = "wrong-key-wrong"
    ended = yard.reelroute("run", yard.pipeline(), "--json")

    assert 3 == ended.code
    assert "auth_refused" == ended.json["error"]["code"]
    assert "wrong-key-wrong" not in ended.stdout + ended.stderr


def test_a_service_out_of_reach_is_told(yard: Yard) -> None:
    """Exit code 3, with the address that did not answer."""
    yard.clip("a.mp4")
    yard.environment["ROBOFLOW_API_URL"] = "http://127.0.0.1:9"
    ended = yard.reelroute("run", yard.pipeline())

    assert 3 == ended.code
    assert "127.0.0.1:9" in ended.stderr


def test_a_file_with_three_mistakes_names_all_three(yard: Yard) -> None:
    """Nobody has to mend a file one error message at a time."""
    path = Path(yard.pipeline())
    path.write_text(path.read_text().replace("fps: 5", "fsp: 500").replace("yard\n", "My Yard\n", 1) + "colour: red\n")
    ended = yard.reelroute("run", str(path))

    assert 2 == ended.code
    for mistake in ("fsp", "My Yard", "colour"):
        assert mistake in ended.stderr
    assert "yard.yaml:" in ended.stderr


def test_a_plan_counts_and_changes_nothing(yard: Yard) -> None:
    """Frames are counted as they would be inferred; no ledger appears."""
    yard.clip("a.mp4")
    yard.clip("sub/b.mp4")
    ended = yard.reelroute("plan", yard.pipeline(), "--json")

    assert (0, 2, 10) == (ended.code, ended.json["discovered"], ended.json["estimate"]["frames"])
    assert not (yard.folder / "home").exists()


def test_without_waiting_the_next_run_collects(yard: Yard) -> None:
    """`--no-wait` submits and leaves; what it left is collected and delivered, not submitted again."""
    yard.clip("a.mp4")
    left = yard.reelroute("run", yard.pipeline(), "--no-wait", "--json")
    later = yard.reelroute("run", yard.pipeline(), "--json")

    assert (0, 1, 0) == (left.code, left.json["submitted"], left.json["succeeded"])
    assert "1 job not done yet, for the next run or `reelroute collect`." in left.stderr
    assert (0, 0, 1) == (later.code, later.json["submitted"], later.json["succeeded"])
    assert 1 == later.json["delivered"]["results"]


def test_a_limit_leaves_the_rest_for_another_run(yard: Yard) -> None:
    """`--limit 1` of two: one is done, one is counted as left out, and the next run takes it."""
    yard.clip("a.mp4")
    yard.clip("b.mp4")
    first = yard.reelroute("run", yard.pipeline(), "--limit", "1", "--json")
    second = yard.reelroute("run", yard.pipeline(), "--json")

    assert (1, {"--limit 1": 1}) == (first.json["submitted"], first.json["left_out"])
    assert (1, 1) == (second.json["submitted"], second.json["skipped"])


def test_a_new_route_gets_the_results_of_the_past(yard: Yard) -> None:
    """Routes can be added later: what was paid for once goes there too, without paying again."""
    yard.clip("a.mp4")
    yard.reelroute("run", yard.pipeline())
    path = Path(yard.pipeline())
    path.write_text(path.read_text() + f'  - {{to: video, uri: "{yard.out}/annotated"}}\n')
    ended = yard.reelroute("run", str(path), "--json")

    assert (0, 1) == (ended.json["submitted"], ended.json["delivered"]["video"])
    assert (yard.out / "annotated" / "a.mp4").is_file()


def test_a_changed_video_is_a_new_video(yard: Yard) -> None:
    """Another version of the object is inferred, and its outputs take the place of the old ones."""
    yard.clip("a.mp4")
    yard.reelroute("run", yard.pipeline())
    yard.clip("a.mp4", b_frames=0)
    ended = yard.reelroute("run", yard.pipeline(), "--json")

    assert (1, 1) == (ended.json["submitted"], ended.json["delivered"]["results"])
