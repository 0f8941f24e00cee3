"""What every client promises about submissions: one request, one job, and no doubt hidden."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from tasks.domain.errors import (
    ObjectMissing,
    RateLimited,
    ReelrouteError,
    Retryable,
    ServiceUnavailable,
    SubmissionUnknown,
)
from tasks.inference.base import InferenceBackend, LocalVideo
from tests.contracts.inference_backend import BackendContract
from tests.contracts.inference_samples import DOUBTS, MODEL, REFUSALS, SPEC, VIDEO, XML, assert_discreet, job_of
from tests.scripted_service import SIGNATURE, Fault, ScriptedService


class SubmitContract(BackendContract):
    """A submission, of a URL."""

    async def test_a_submission_is_one_request(self, service: ScriptedService, backend: InferenceBackend) -> None:
        """The job request holds the URL byte for byte, and its answer is the job's id."""
        job_id = await job_of(backend)
        assert [job_id] == list(service.jobs)
        assert [asked.call for asked in service.asked] == ["submit"]
        assert service.jobs[job_id] == {
            "input_url": VIDEO.url,
            "infer_fps": 5,
            "models": [{"model_id": "players-x1", "model_version": "2", "inference_type": "object-detection"}],
        }

    @pytest.mark.parametrize(("fault", "kind"), REFUSALS)
    async def test_a_refusal_means_that_there_is_no_job(
        self, service: ScriptedService, backend: InferenceBackend, fault: Fault, kind: type[ReelrouteError]
    ) -> None:
        """What cannot have created a job is told apart by kind, and asked once."""
        service.script("submit", fault)
        with pytest.raises(kind) as caught:
            await job_of(backend)
        assert kind is caught.type
        assert service.jobs == {}
        assert len(service.asked) == 1
        assert_discreet(caught.value)

    @pytest.mark.parametrize("fault", DOUBTS)
    async def test_a_lost_answer_is_never_sent_again(
        self, service: ScriptedService, backend: InferenceBackend, fault: Fault
    ) -> None:
        """Whatever leaves a doubt is ambiguous, and the request is not repeated."""
        service.script("submit", fault)
        with pytest.raises(SubmissionUnknown) as caught:
            await job_of(backend)
        assert service.connections == 1
        assert len(service.jobs) <= 1
        assert_discreet(caught.value)

    async def test_a_connection_that_is_reset_at_once(
        self, service: ScriptedService, backend: InferenceBackend
    ) -> None:
        """Whether the reset comes before or after our first byte is a matter of luck; both ways, no job is hidden."""
        service.script("connection", Fault())
        with pytest.raises((SubmissionUnknown, ServiceUnavailable)) as caught:
            await job_of(backend)
        assert (service.jobs, service.connections) == ({}, 1)
        assert_discreet(caught.value)

    async def test_nobody_there_is_no_doubt(self) -> None:
        """A refused connection is worth another try: nothing was sent."""
        with ScriptedService() as gone:
            pass
        backend = self.open(gone)
        with pytest.raises(ServiceUnavailable) as caught:
            await job_of(backend)
        await backend.aclose()
        assert_discreet(caught.value)

    @pytest.mark.parametrize(
        ("header", "wait_s"), [("7", 7.0), ("0", 0.0), ("", None), ("soon", None), ("-3", None), ("nan", None)]
    )
    async def test_a_429_carries_its_wait(
        self, service: ScriptedService, backend: InferenceBackend, header: str, wait_s: float | None
    ) -> None:
        """The caller gets the seconds to wait, or None where the service does not say."""
        service.script("submit", Fault(429, (("Retry-After", header),), {"message": "Too Many Requests"}))
        with pytest.raises(RateLimited) as caught:
            await job_of(backend)
        assert wait_s == caught.value.retry_after_s

    async def test_a_storm_never_hides_a_job(self, service: ScriptedService, backend: InferenceBackend) -> None:
        """In 150 submissions with mixed faults every created job is either named or in doubt."""
        chance = random.Random(7)
        faults = [case.values[0] for case in (*REFUSALS, *DOUBTS) if case.id != "hang"]
        ids, doubts, refused = [], 0, 0
        for _ in range(150):
            if chance.random() < 0.6:
                fault = chance.choice(faults)
                assert isinstance(fault, Fault)
                service.script("submit", fault)
            try:
                ids.append(await job_of(backend))
            except SubmissionUnknown:
                doubts += 1
            except ReelrouteError:
                refused += 1
        assert len(set(ids)) == len(ids)
        assert set(ids) <= set(service.jobs)
        assert len(ids) <= len(service.jobs) <= len(ids) + doubts
        assert min(len(ids), doubts, refused) > 10


class Leave:
    """A permit that notes what had been asked when it was asked for, and is refused at one of its two moments."""

    def __init__(self, service: ScriptedService, refused_at: str = "") -> None:
        self.service = service
        self.refused_at = refused_at
        self.seen: list[tuple[str, list[str]]] = []

    async def confirm(self) -> None:
        self._ask("confirm")

    def check(self) -> None:
        self._ask("check")

    def _ask(self, when: str) -> None:
        self.seen.append((when, [asked.call for asked in self.service.asked]))
        if when == self.refused_at:
            raise Retryable("not any more")


class PermitContract(BackendContract):
    """The last look before what is paid."""

    async def test_leave_is_asked_for_when_everything_else_is_done(
        self, service: ScriptedService, backend: InferenceBackend, tmp_path: Path
    ) -> None:
        """Confirmed after the upload, checked before a byte of the job request."""
        (tmp_path / "clip.mp4").write_bytes(b"abc")
        leave = Leave(service)
        await backend.submit(LocalVideo(tmp_path / "clip.mp4", "u.mp4"), SPEC, (MODEL,), leave)
        assert [("confirm", ["upload_url", "upload"]), ("check", ["upload_url", "upload"])] == leave.seen
        assert len(service.jobs) == 1

    @pytest.mark.parametrize("moment", ["confirm", "check"])
    async def test_without_leave_nothing_is_sent(
        self, service: ScriptedService, backend: InferenceBackend, moment: str
    ) -> None:
        """The refusal is raised as it is, with no doubt in it, and the service has read nothing."""
        with pytest.raises(Retryable, match="not any more") as caught:
            await backend.submit(VIDEO, SPEC, (MODEL,), Leave(service, moment))
        assert Retryable is caught.type
        assert ([], {}) == (service.asked, service.jobs)
        await job_of(backend)
        assert len(service.jobs) == 1


class UploadContract(BackendContract):
    """A submission of a local file, which is uploaded first."""

    async def test_a_local_file_is_uploaded_whole(
        self, service: ScriptedService, backend: InferenceBackend, tmp_path: Path
    ) -> None:
        """The bytes arrive under the unique name, with their length and without the key."""
        data = random.Random(1).randbytes(3_000_001)
        (tmp_path / "clip.mp4").write_bytes(data)
        job_id = await backend.submit(LocalVideo(tmp_path / "clip.mp4", "0123abcd.mp4"), SPEC, (MODEL,))
        upload = service.calls("upload")[0]
        assert [asked.call for asked in service.asked] == ["upload_url", "upload", "submit"]
        assert service.calls("upload_url")[0].json == {"file_name": "0123abcd.mp4"}
        assert hashlib.sha256(data).hexdigest() == upload.sha256
        assert (
            upload.headers["content-length"],
            upload.headers["content-type"],
        ) == ("3000001", "application/octet-stream")
        assert f"/bucket/in/0123abcd.mp4?{SIGNATURE}" == upload.target
        assert f"{service.origin}{upload.target}" == service.jobs[job_id]["input_url"]

    async def test_only_the_transfer_is_repeated(
        self, service: ScriptedService, backend: InferenceBackend, tmp_path: Path
    ) -> None:
        """A bucket that stumbles gets the file again, from its start; the service is not asked again."""
        (tmp_path / "clip.mp4").write_bytes(b"abc" * 1000)
        service.script("upload", Fault(503), Fault(drop="read"))
        await backend.submit(LocalVideo(tmp_path / "clip.mp4", "u.mp4"), SPEC, (MODEL,))
        assert [len(service.calls(call)) for call in ("upload_url", "upload", "submit")] == [1, 3, 1]
        assert len({asked.sha256 for asked in service.calls("upload")}) == 1

    @pytest.mark.parametrize("status", [400, 403, 412])
    async def test_a_refused_upload_is_no_refused_key(
        self, service: ScriptedService, backend: InferenceBackend, tmp_path: Path, status: int
    ) -> None:
        """A dead upload URL is worth another try, with a fresh one; no job was created."""
        (tmp_path / "clip.mp4").write_bytes(b"abc")
        service.script("upload", Fault(status, body=XML))
        with pytest.raises(ServiceUnavailable) as caught:
            await backend.submit(LocalVideo(tmp_path / "clip.mp4", "u.mp4"), SPEC, (MODEL,))
        assert (service.jobs, len(service.calls("upload"))) == ({}, 1)
        assert_discreet(caught.value)

    async def test_the_other_spelling_of_the_upload_url(
        self, service: ScriptedService, backend: InferenceBackend, tmp_path: Path
    ) -> None:
        """``signedUrl`` is taken as well; no URL at all is an error and no job."""
        (tmp_path / "clip.mp4").write_bytes(b"abc")
        video = LocalVideo(tmp_path / "clip.mp4", "u.mp4")
        service.script("upload_url", Fault(body={"signedUrl": f"{service.origin}/bucket/u?{SIGNATURE}"}))
        assert await backend.submit(video, SPEC, (MODEL,)) == "job-1"
        service.script("upload_url", Fault(body={"signed_url": "ftp://x/y"}))
        with pytest.raises(ServiceUnavailable):
            await backend.submit(video, SPEC, (MODEL,))
        assert len(service.jobs) == 1

    async def test_a_missing_file_is_nobody_elses_fault(
        self, service: ScriptedService, backend: InferenceBackend, tmp_path: Path
    ) -> None:
        """A local file that is gone is named, and nothing is submitted."""
        with pytest.raises(ObjectMissing, match=r"gone\.mp4"):
            await backend.submit(LocalVideo(tmp_path / "gone.mp4", "u.mp4"), SPEC, (MODEL,))
        assert service.jobs == {}
