"""What sinks are told of the rest of the pipeline."""

from __future__ import annotations

from tasks.domain.job import DeliveryState
from tasks.sink_setup import outputs_of
from tests.rig import Rig


def test_a_sink_learns_where_other_videos_outputs_are(rig: Rig) -> None:
    """Of every version of a video of this pipeline; nothing of what is not delivered; None of what it never had."""
    run = rig.run()
    first = rig.listed(run)[0]
    uri = first.video.uri
    (rig.videos / first.video.name).write_bytes(b"another version")
    both = [job for job in rig.listed(run) if job.video.uri == uri]
    assert 2 == len(both)
    assert set() == outputs_of(run, uri)
    for number, job in enumerate(both):
        run.ledger.plan_deliveries(run.pipeline.name, job.key, {"results": "f"}, run.clock())
        run.ledger.claim_delivery(run.pipeline.name, job.key, "results", run.owner, run.lease, run.clock())
        assert number == len(outputs_of(run, uri) or ())
        run.ledger.finish_delivery(
            run.pipeline.name,
            job.key,
            "results",
            run.owner,
            DeliveryState.DELIVERED,
            run.clock(),
            outputs=[f"file:///out/{number}"],
        )
    assert {"file:///out/0", "file:///out/1"} == outputs_of(run, uri)
    assert outputs_of(run, uri + ".mp4") is None
    run.ledger.close()
