"""What every client promises about results: they arrive whole, or not at all."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tasks.domain.errors import (
    NotTheService,
    ReelrouteError,
    ResultExpired,
    ResultInvalid,
    Retryable,
    ServiceUnavailable,
    StorageUnavailable,
)
from tasks.domain.video import SignedUrl
from tasks.inference.base import InferenceBackend
from tests.contracts.inference_backend import BackendContract
from tests.contracts.inference_samples import HTML, LARGEST_RESULT, XML, assert_discreet, job_of, left_in
from tests.scripted_service import Fault, ScriptedService


class DownloadContract(BackendContract):
    """Fetching the results of a job."""

    async def result_url(self, backend: InferenceBackend) -> SignedUrl:
        """Where the results of a fresh job are."""
        status = await backend.check(await job_of(backend))
        assert status.result_url is not None
        return status.result_url

    async def test_results_arrive_whole(
        self, service: ScriptedService, backend: InferenceBackend, tmp_path: Path
    ) -> None:
        """The file holds the service's bytes, replaces an older one, and its size is returned."""
        url, target = await self.result_url(backend), tmp_path / "new" / "r.json"
        service.results = b" \n" + json.dumps({"frame_offset": list(range(500_000))}).encode() + b"\n"
        assert await backend.download(url, target) == len(service.results)
        assert service.results == target.read_bytes()
        service.results = b'{"frame_offset": []}'
        assert await backend.download(url, target) == 20
        assert [target] == left_in(target.parent)

    async def test_packed_results_arrive_unpacked(
        self, service: ScriptedService, backend: InferenceBackend, tmp_path: Path
    ) -> None:
        """Content-Encoding is undone on the way."""
        url = await self.result_url(backend)
        service.script("result", Fault(headers=(("Content-Encoding", "gzip"),), body=gzip.compress(service.results)))
        assert len(service.results) == await backend.download(url, tmp_path / "r.json")
        assert service.results == (tmp_path / "r.json").read_bytes()

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(503, body=XML), Fault(500, body=HTML), Fault(drop="read"), Fault(hang=True),
            Fault(429, (("Retry-After", "1"),)),
            Fault(body=json.dumps({"frame_offset": [0] * 9999}).encode(), drop="midway"),
            Fault(headers=(("Content-Length", ""),), body=b'{"frame_offset": [0, 1'),
        ],
        ids=["503", "500", "reset", "hang", "429", "cut", "cut-without-length"],
    )  # fmt: skip
    async def test_a_download_survives_a_passing_fault(
        self, service: ScriptedService, backend: InferenceBackend, tmp_path: Path, fault: Fault
    ) -> None:
        """What broke off is fetched again from its start."""
        url = await self.result_url(backend)
        service.script("result", fault)
        assert len(service.results) == await backend.download(url, tmp_path / "r.json")

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            (Fault(403, body=XML), ResultExpired),
            (Fault(400, body=XML), ResultExpired),
            (Fault(401), ResultExpired),
            (Fault(404, body={"error": "gone"}), ResultExpired),
            (Fault(410), ResultExpired),
            (Fault(body=XML), ResultExpired),
            (Fault(body=HTML), NotTheService),
            (Fault(body=b"[1, 2]"), ResultInvalid),
            (Fault(body=b"null"), ResultInvalid),
            (Fault(body=b"{}"), ResultInvalid),
            (Fault(body=b" {\n} "), ResultInvalid),
            (Fault(body=b""), ResultInvalid),
            (Fault(body=b'{"frame_offset": [1'), ResultInvalid),
            (Fault(204), NotTheService),
            (Fault(301), NotTheService),
            (Fault(405, body=HTML), NotTheService),
            (Fault(body=b'{"a": "' + b"x" * LARGEST_RESULT + b'"}'), ResultInvalid),
        ],
    )
    async def test_what_is_no_result_leaves_no_file(
        self,
        service: ScriptedService,
        backend: InferenceBackend,
        tmp_path: Path,
        fault: Fault,
        kind: type[ReelrouteError],
    ) -> None:
        """Expired URLs can be renewed, other things than results are refused; nothing is left on disk."""
        url = await self.result_url(backend)
        service.script("result", fault)
        with pytest.raises(kind) as caught:
            await backend.download(url, tmp_path / "r.json")
        assert kind is caught.type
        assert left_in(tmp_path) == []
        assert len(service.calls("result")) == 1
        assert_discreet(caught.value)

    async def test_a_download_that_always_breaks_off_can_be_tried_later(
        self, service: ScriptedService, backend: InferenceBackend, tmp_path: Path
    ) -> None:
        """Three broken transfers are a retryable error and leave nothing behind."""
        url = await self.result_url(backend)
        service.script("result", *[Fault(body=service.results, drop="midway")] * 3)
        with pytest.raises(ServiceUnavailable) as caught:
            await backend.download(url, tmp_path / "r.json")
        assert left_in(tmp_path) == []
        assert_discreet(caught.value)

    async def test_a_disk_that_refuses_is_named(
        self, service: ScriptedService, backend: InferenceBackend, tmp_path: Path
    ) -> None:
        """What stops us locally is retryable, says where, and says what to do."""
        (tmp_path / "file").write_text("in the way")
        url = await self.result_url(backend)
        with pytest.raises(StorageUnavailable, match="file") as caught:
            await backend.download(url, tmp_path / "file" / "r.json")
        assert isinstance(caught.value, Retryable)
        assert "REELROUTE_HOME" in caught.value.hint
        assert_discreet(caught.value)
