"""The first steps' words for Prefect's log: whoever looks there sees which videos failed, and why."""

from __future__ import annotations

import re
from fractions import Fraction

from tasks.plan import make_plan
from tasks.steps import FAILURES_LOGGED, failure_lines
from tests.clips import write_clip
from tests.rig import Rig


def test_each_video_that_cannot_be_inferred_has_its_line(rig: Rig) -> None:
    """With its name, its code and what to do; names are one line each, whatever they hold."""
    for name in ("bad\n[b].mp4", "empty.mp4"):
        (rig.videos / name).write_text("no video" if name != "empty.mp4" else "")
    write_clip(rig.videos / "slow.mp4", fps=Fraction(4))
    run = rig.run()
    rig.listed(run)

    bad, empty, slow = sorted(failure_lines(make_plan(run, 0)))

    assert empty.startswith("empty.mp4: ")
    assert "(video_empty)" in empty
    assert "bad\\n[b].mp4" in bad
    assert bad.endswith("(video_unreadable)")
    assert "\n" not in bad
    assert re.search(r"^slow\.mp4: .* \(fps_too_high\): \w+", slow)


def test_thousands_of_failures_do_not_fill_the_log(rig: Rig) -> None:
    """The first are named; how many more there are is said, and where."""
    for n in range(FAILURES_LOGGED + 3):
        (rig.videos / f"{n}.mp4").write_bytes(b"")
    run = rig.run()
    rig.listed(run)

    lines = failure_lines(make_plan(run, 0))

    assert FAILURES_LOGGED + 1 == len(lines)
    assert lines[-1].startswith("3 more videos")
