"""What every client promises about asking for a job: failed is not done, and a fault ends no job."""

from __future__ import annotations

import pytest

from tasks.domain.errors import (
    AuthRefused,
    JobFailed,
    JobUnknown,
    NotTheService,
    PlanRefused,
    RateLimited,
    ReelrouteError,
    RequestRefused,
    ServiceUnavailable,
)
from tasks.domain.video import SignedUrl
from tasks.inference.base import InferenceBackend, JobStatus
from tests.contracts.inference_backend import BackendContract
from tests.contracts.inference_samples import HTML, assert_discreet, job_of
from tests.scripted_service import MARK, SIGNATURE, Fault, ScriptedService


class CheckContract(BackendContract):
    """Asking for a job."""

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
            {"error": "later"}, {"status": 404, "message": "Not Found"}, {"status": 200}, {"status": "503"},
            {"status": 10**20},
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
        """A 404 in the service's own JSON is an answer about the job, not about the service."""
        with pytest.raises(JobUnknown):
            await backend.check("job-99")

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(404, body=HTML), Fault(404), Fault(410, body=HTML), Fault(404, body={"message": "x"}, drop="midway"),
            Fault(302, (("Location", "/log-in"),)), Fault(303), Fault(308), Fault(400, body=HTML),
            Fault(405), Fault(422),
        ],
        ids=lambda fault: f"{fault.status}-{bool(fault.body)}-{fault.drop}",
    )  # fmt: skip
    async def test_what_others_say_says_nothing_about_a_job(
        self, service: ScriptedService, backend: InferenceBackend, fault: Fault
    ) -> None:
        """A page, a redirect or an empty refusal is not the service's word; it is not asked again at once."""
        service.script("check", fault)
        with pytest.raises(NotTheService):
            await backend.check("job-1")
        assert len(service.asked) == 1

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
