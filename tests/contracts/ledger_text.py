"""What every ledger promises about text: it comes back code point for code point."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.domain.job import DeliveryState, InferenceSpec, JobState, ModelRef, job_key
from tasks.domain.video import VideoRef
from tasks.ledger.base import Ledger
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE, SPEC, add, found, planned

# Low surrogates are what os.fsdecode makes of bytes that are no UTF-8; high ones never come alone.
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.characters(categories=["Cs"], min_codepoint=0xDC80))
ODD = [
    "s3://b/" + "long/" * 400 + "x.mp4",
    "s3://b/line\nbreak\ttab\r.mp4",
    "s3://b/caf\u00e9.mp4",
    "s3://b/cafe\u0301.mp4",
    "s3://b/🎬 مباراة \u202eright.mp4",
    "s3://b/back\\slash\\u0041.mp4",
    "s3://b/nul\0.mp4",
    "s3://b/%2F?a=1&b=2#top 'quoted' \"twice\"; DROP TABLE jobs;--.mp4",
    "file:///" + os.fsdecode(b"caf\xe9 \xff\xfe.mp4"),
    " s3://b/spaces ",
]


class TextContract:
    """Keys are bytes that somebody chose."""

    def test_odd_uris_stay_apart_and_come_back(self, ledger: Ledger) -> None:
        """Nothing is normalised, cut, stripped or escaped; composed and decomposed accents are two videos."""
        refs = [VideoRef(uri=uri, version=uri, size=1, modified=NOW, name=uri) for uri in ODD]
        assert ledger.plan(PIPELINE, [planned(ref) for ref in refs], NOW) == len(ODD)
        assert [(uri, uri, uri) for uri in ODD] == [
            (job.video.uri, job.video.version, job.video.name) for job in ledger.jobs(PIPELINE)
        ]

    @pytest.mark.parametrize("uri", ODD)
    def test_a_job_is_found_by_its_odd_uri(self, ledger: Ledger, uri: str) -> None:
        """By exactly it, and by no other."""
        for other in ODD:
            add(ledger, planned(VideoRef(uri=other, version="1", size=1, modified=NOW, name="x")))
        assert [uri] == [job.video.uri for job in ledger.jobs(uri=uri)]

    # Every implementation's test class inherits it and has a ledger of its own.
    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(
        text=TEXT,
        size=st.integers(0, 2**63 - 1),
        modified=st.datetimes(timezones=st.just(UTC)),
        fps=st.floats(0.01, 120),
        confidence=st.none() | st.floats(0, 1),
    )
    def test_any_text_makes_the_whole_way(
        self, ledger: Ledger, text: str, size: int, modified: datetime, fps: float, confidence: float | None
    ) -> None:
        """As a URI, name, version, pipeline, model, owner, token, id, route and output."""
        version = f"{text}-{size}-{modified}"
        ref = VideoRef(uri=f"file://{text}", version=version, size=size, modified=modified, name=text)
        spec = InferenceSpec("local", (ModelRef(text, "1", text),), fps, confidence)
        key = job_key(ref, spec)
        ledger.plan(text, [(key, ref, spec)], NOW)
        record = found(ledger, key, text)
        assert (ref, spec) == (record.video, record.spec)
        assert (text, size, modified) == (record.video.name, record.video.size, record.video.modified)

        owner = f"me{text}"
        if record.state is JobState.PLANNED:  # Hypothesis may come back to an example
            ledger.claim(key, owner, LEASE, NOW)
            ledger.move(key, JobState.PLANNED, JobState.SUBMITTING, owner, NOW, token=text, job_id=text)
            ledger.plan_deliveries(text, key, {text: text}, NOW)
            ledger.claim_delivery(text, key, text, owner, LEASE, NOW)
            ledger.finish_delivery(text, key, text, owner, DeliveryState.DELIVERED, NOW, outputs=[f"file://{text}"])
        record = found(ledger, key, text)
        assert (owner, text, text) == (record.lease_owner, record.token, record.job_id)
        (delivery,) = ledger.deliveries(text, job_key=key)
        assert (text, text, (f"file://{text}",)) == (delivery.route, delivery.fingerprint, delivery.outputs)

    def test_a_spec_compares_equal_however_its_numbers_are_written(self, ledger: Ledger) -> None:
        """5 and 5.0 frames per second are one spec."""
        key = add(ledger, planned(spec=InferenceSpec(SPEC.backend, SPEC.models, 5, 0.4)))
        assert SPEC == found(ledger, key).spec
