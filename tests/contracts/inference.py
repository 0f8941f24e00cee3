"""What every client of a video inference service must keep to, whatever the service does to it.

A subclass says how to open its client on the stand-in service; the promises are here. The one
that costs money when broken: whatever goes wrong, a job that was created is never reported as not
created, and a submission is never sent twice.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import pickle
import random
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import stamina

from tasks.domain.errors import (
    AuthRefused,
    JobFailed,
    JobUnknown,
    ObjectMissing,
    PlanRefused,
    RateLimited,
    ReelrouteError,
    RequestRefused,
    ResultExpired,
    ResultInvalid,
    Retryable,
    ServiceUnavailable,
    StorageUnavailable,
    SubmissionUnknown,
)
from tasks.domain.job import InferenceSpec, ModelRef
from tasks.domain.predictions import TaskType
from tasks.domain.video import SignedUrl
from tasks.inference.base import InferenceBackend, JobStatus, LocalVideo, ModelInfo
from tests.scripted_service import MARK, SIGNATURE, Fault, ScriptedService

MODEL = ModelInfo(ModelRef("players-x1", "2"), TaskType.OBJECT_DETECTION, ("player",))
SPEC = InferenceSpec("roboflow", (MODEL.ref,), 5.0)
VIDEO = SignedUrl(f"https://bucket.example/a%20b/it's%2Bme.mp4?X-Amz-Signature={MARK}%2F%2b&x=~", None)
HTML = b"<html><body>Bad Gateway</body></html>"
LARGEST_RESULT = 4 << 20
XML = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"

# Answers that prove that no job was created.
REFUSALS = [
    pytest.param(Fault(401, body={"message": "no"}), AuthRefused, id="401"),
    pytest.param(Fault(402, body={"error": {"message": "plan"}}), PlanRefused, id="402"),
    pytest.param(Fault(403), AuthRefused, id="403"),
    pytest.param(Fault(423), PlanRefused, id="423"),
    pytest.param(Fault(429, (("Retry-After", "7"),)), RateLimited, id="429"),
    pytest.param(Fault(400, body={"message": "fps"}), RequestRefused, id="400"),
    pytest.param(Fault(404, body=HTML), RequestRefused, id="404"),
    pytest.param(Fault(408), ServiceUnavailable, id="408"),
    pytest.param(Fault(422), RequestRefused, id="422"),
    pytest.param(Fault(307, (("Location", f"/?api_key={MARK}"),)), RequestRefused, id="307"),
    pytest.param(Fault(503, (("Retry-After", "3"),), HTML), ServiceUnavailable, id="503"),
    pytest.param(Fault(503, body=HTML, drop="midway"), ServiceUnavailable, id="503-cut"),
]
# Trouble that leaves open whether a job was created; in half of the cases one was.
DOUBTS = [
    pytest.param(Fault(500, body=HTML, acts=True), id="500"),
    pytest.param(Fault(500, body=HTML), id="500-before"),
    pytest.param(Fault(502, body=HTML), id="502-before"),
    pytest.param(Fault(504, body=HTML, acts=True), id="504"),
    pytest.param(Fault(520, body=HTML, acts=True), id="520"),
    pytest.param(Fault(303, (("Location", "/jobs/1"),), acts=True), id="303"),
    pytest.param(Fault(drop="unread"), id="reset-in-mid-request"),
    pytest.param(Fault(drop="read", acts=True), id="reset-after-read"),
    pytest.param(Fault(hang=True, acts=True), id="hang"),
    pytest.param(Fault(body={"message": "queued"}, acts=True), id="no-job-id"),
    pytest.param(Fault(body={"job_id": None}, acts=True), id="null-job-id"),
    pytest.param(Fault(body={"job_id": " "}, acts=True), id="blank-job-id"),
    pytest.param(Fault(body=b'["job-1"]', acts=True), id="no-object"),
    pytest.param(Fault(body=HTML, acts=True), id="html"),
    pytest.param(Fault(202, acts=True), id="empty"),
    pytest.param(Fault(body={"job_id": "job-1"}, drop="midway", acts=True), id="answer-cut"),
]


def assert_discreet(error: BaseException) -> None:
    """No marked secret is in the error, its traceback, its pickle, or anything that it hangs on."""
    shown = "".join(traceback.format_exception(error))
    seen: BaseException | None = error
    while seen is not None:
        shown += f"{seen!r} {seen} {vars(seen)} {pickle.dumps(seen)!r}"
        seen = seen.__cause__ or seen.__context__
    assert MARK not in shown


def left_in(folder: Path) -> list[Path]:
    """Everything in a folder, hidden files too."""
    return list(folder.iterdir())


async def job_of(backend: InferenceBackend) -> str:
    """Submit one well-behaved job."""
    return await backend.submit(VIDEO, SPEC, (MODEL,))


class InferenceContract:
    """Inherit, and say how to open the client on the stand-in."""

    def open(self, service: ScriptedService) -> InferenceBackend:
        """Make a client that waits at most a second for an answer and takes ``LARGEST_RESULT`` bytes."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def no_waiting(self) -> Iterator[None]:
        stamina.set_testing(True, attempts=3)
        yield
        stamina.set_testing(False)

    @pytest.fixture
    def service(self, caplog: pytest.LogCaptureFixture) -> Iterator[ScriptedService]:
        caplog.set_level(logging.DEBUG)
        with ScriptedService(prefix="/api") as service:
            yield service
        assert MARK not in caplog.text

    @pytest.fixture
    async def backend(self, service: ScriptedService) -> AsyncIterator[InferenceBackend]:
        backend = self.open(service)
        yield backend
        await backend.aclose()

    # --- submit ------------------------------------------------------------------------------

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
        service.script("submit", Fault(429, (("Retry-After", header),)))
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

    # --- local files -------------------------------------------------------------------------

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

    # --- check -------------------------------------------------------------------------------

    async def test_a_job_runs_and_is_done(self, service: ScriptedService, backend: InferenceBackend) -> None:
        """Running is not done; done comes with a result URL that ``repr`` does not show."""
        service.polls = 2
        job_id = await job_of(backend)
        answers = [await backend.check(job_id) for _ in range(3)]
        assert [JobStatus(False), JobStatus(False)] == answers[:2]
        assert answers[2].done
        assert answers[2].result_url == SignedUrl(f"{service.origin}/bucket/out/{job_id}.json?{SIGNATURE}", None)
        assert MARK not in repr(answers)

    @pytest.mark.parametrize(
        ("body", "code", "message", "hint"),
        [
            (
                {"status": 2, "error": "video_unreadable", "message": "cut", "hint": "send again"},
                "video_unreadable", "cut", "send again",
            ),
            ({"status": 3, "error": "Could not read the video"}, "job_failed", "Could not read the video", ""),
            ({"status": "2", "message": f"https://b/x?sig={MARK} 403"}, "job_failed", "https://b/x?*** 403", ""),
            ({"status": 9}, "job_failed", "the service gives status 9 and no reason", ""),
            ({"status": 2, "error": {"message": "deep"}, "hint": 3}, "job_failed", "deep", ""),
        ],
    )  # fmt: skip
    async def test_a_failed_job_is_an_error_and_not_a_result(
        self,
        service: ScriptedService,
        backend: InferenceBackend,
        body: dict[str, object],
        code: str,
        message: str,
        hint: str,
    ) -> None:
        """The error carries the service's own code, message and hint, without secrets."""
        service.script("check", Fault(body=body))
        with pytest.raises(JobFailed) as caught:
            await backend.check("job-1")
        assert (code, message, hint) == (caught.value.code, caught.value.message, caught.value.hint)
        assert_discreet(caught.value)

    @pytest.mark.parametrize(
        "body",
        [
            {}, {"status": None}, {"status": True}, {"status": "done"}, {"status": -1}, {"status": 1.5},
            {"error": "later"},
            {"status": 0}, {"status": 0, "output_signed_url": None}, {"status": 0, "output_signed_url": "/relative"},
            HTML, b"", b"[1]", b"\xff{", b"[" * 100_000, HTML * 50_000,
        ],
    )  # fmt: skip
    async def test_an_answer_without_meaning_ends_no_job(
        self, service: ScriptedService, backend: InferenceBackend, body: bytes | dict[str, object]
    ) -> None:
        """The job may well be running: retryable, and not asked again at once."""
        service.script("check", Fault(body=body))
        with pytest.raises(ServiceUnavailable):
            await backend.check("job-1")
        assert len(service.asked) == 1

    @pytest.mark.parametrize(("status", "done"), [("1", False), (1, False), ("0", True), (0, True)])
    async def test_a_quoted_status_is_a_status(
        self, service: ScriptedService, backend: InferenceBackend, status: object, done: bool
    ) -> None:
        """Services that quote their numbers are understood."""
        service.script("check", Fault(body={"status": status, "output_signed_url": "http://127.0.0.1/r?x=1"}))
        assert done == (await backend.check("job-1")).done

    async def test_an_unknown_job_is_unknown(self, service: ScriptedService, backend: InferenceBackend) -> None:
        """404 for a job id is an answer about the job, not about the service."""
        with pytest.raises(JobUnknown):
            await backend.check("job-99")

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(500, body=HTML), Fault(502), Fault(503, (("Retry-After", "1"),)), Fault(504),
            Fault(drop="read"), Fault(hang=True), Fault(body={"status": 1}, drop="midway"),
            Fault(429, (("Retry-After", "2"),)),
        ],
        ids=lambda fault: f"{fault.status}-{fault.drop}-{fault.hang}",
    )  # fmt: skip
    async def test_asking_survives_a_passing_fault(
        self, service: ScriptedService, backend: InferenceBackend, fault: Fault
    ) -> None:
        """One fault between two answers is not even noticed."""
        job_id = await job_of(backend)
        service.script("check", fault)
        assert (await backend.check(job_id)).done

    async def test_asking_gives_up_after_three_faults(
        self, service: ScriptedService, backend: InferenceBackend
    ) -> None:
        """Lasting trouble is the caller's, who knows the deadline."""
        service.script("check", *[Fault(503)] * 5)
        with pytest.raises(ServiceUnavailable):
            await backend.check("job-1")
        assert len(service.asked) == 3

    @pytest.mark.parametrize(("header", "wait_s"), [("3600", 3600.0), ("", None)])
    async def test_a_long_or_unnamed_wait_is_the_callers(
        self, service: ScriptedService, backend: InferenceBackend, header: str, wait_s: float | None
    ) -> None:
        """A 429 that names no wait, or a long one, is raised at once instead of blocking the poller."""
        service.script("check", *[Fault(429, (("Retry-After", header),))] * 2)
        with pytest.raises(RateLimited) as caught:
            await backend.check("job-1")
        assert (wait_s, 1) == (caught.value.retry_after_s, len(service.asked))

    @pytest.mark.parametrize(
        ("status", "kind"), [(401, AuthRefused), (403, AuthRefused), (402, PlanRefused), (400, RequestRefused)]
    )
    async def test_a_refused_question_is_not_repeated(
        self, service: ScriptedService, backend: InferenceBackend, status: int, kind: type[ReelrouteError]
    ) -> None:
        """Permanent answers are raised at once."""
        service.script("check", Fault(status, body={"message": f"key {MARK}? no: https://x/?api_key={MARK}"}))
        with pytest.raises(kind):
            await backend.check("job-1")
        assert len(service.asked) == 1

    # --- download ----------------------------------------------------------------------------

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
            (Fault(body=HTML), ResultInvalid),
            (Fault(body=b"[1, 2]"), ResultInvalid),
            (Fault(body=b"null"), ResultInvalid),
            (Fault(body=b"{}"), ResultInvalid),
            (Fault(body=b" {\n} "), ResultInvalid),
            (Fault(body=b""), ResultInvalid),
            (Fault(body=b'{"frame_offset": [1'), ResultInvalid),
            (Fault(204), ResultInvalid),
            (Fault(301), ResultInvalid),
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
