"""A model, a video, answers and doubts of a service, for tests of its clients."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path

import pytest

from tasks.domain.errors import (
    AuthRefused,
    NotTheService,
    PlanRefused,
    RateLimited,
    RequestRefused,
    ServiceUnavailable,
)
from tasks.domain.job import InferenceSpec, ModelRef
from tasks.domain.predictions import TaskType
from tasks.domain.video import SignedUrl
from tasks.inference.base import InferenceBackend, ModelInfo
from tests.scripted_service import MARK, Fault

MODEL = ModelInfo(ModelRef("players-x1", "2"), TaskType.OBJECT_DETECTION, ("player",))
SPEC = InferenceSpec("roboflow", (MODEL.ref,), 5.0)
VIDEO = SignedUrl(f"https://bucket.example/a%20b/it's%2Bme.mp4?X-Amz-Signature={MARK}%2F%2b&x=~", None)
HTML = b"<html><body>Bad Gateway</body></html>"
LARGEST_RESULT = 4 << 20
XML = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"

# How gateways and load balancers word that they gave up waiting for what is behind them.
GATEWAYS: dict[str, dict[str, object]] = {
    "aws": {"message": "Service Unavailable"},
    "aws-null": {"message": None},
    "aws-late": {"message": "Endpoint request timed out"},
    "kong": {"message": "The upstream server is timing out", "request_id": "7c2f"},
    "envoy": {"error": {"code": 503, "message": "upstream connect error", "status": "UNAVAILABLE"}},
    "azure": {"statusCode": 503, "message": "The service is unavailable"},
    "apigee": {"fault": {"faultstring": "timed out", "detail": {"errorcode": "messaging.adaptors"}}},
    "tyk": {"error": "There was a problem proxying the request"},
    "spring": {"status": 503, "error": "Service Unavailable", "message": "timed out", "path": "/videoinfer/"},
    "fastapi": {"detail": "upstream timed out"},
    "code-alone": {"error": "unavailable"},
    "code-null": {"error": "unavailable", "message": None},
}

# Answers that prove that no job was created.
REFUSALS = [
    pytest.param(Fault(401, body={"message": "no"}), AuthRefused, id="401"),
    pytest.param(Fault(402, body={"error": {"message": "plan"}}), PlanRefused, id="402"),
    pytest.param(Fault(403), AuthRefused, id="403"),
    pytest.param(Fault(423), PlanRefused, id="423"),
    pytest.param(Fault(429, (("Retry-After", "7"),)), RateLimited, id="429"),
    pytest.param(Fault(400, body={"message": "fps"}), RequestRefused, id="400"),
    pytest.param(Fault(404, body={"error": "no such model"}), RequestRefused, id="404"),
    pytest.param(Fault(422, body={"detail": [{"msg": "fps"}]}), RequestRefused, id="422"),
    pytest.param(Fault(429, body={"message": "Too Many Requests"}), RateLimited, id="429-own"),
    pytest.param(Fault(503, (("Retry-After", "3"),), HTML), ServiceUnavailable, id="503"),
    pytest.param(Fault(503, body={"error": "http_503", "message": "busy"}), ServiceUnavailable, id="503-own"),
    pytest.param(Fault(503, body={"error": {"message": "busy", "hint": "later"}}), ServiceUnavailable, id="503-hint"),
    pytest.param(Fault(408, body={"error": "http_408", "message": "too slow"}), ServiceUnavailable, id="408-own"),
    pytest.param(Fault(425, (("Retry-After", "1"),)), ServiceUnavailable, id="425"),
    # Something in between answers, and hands nothing on.
    pytest.param(Fault(400, body=b"Bad Request"), NotTheService, id="400-text"),
    pytest.param(Fault(404, body=HTML), NotTheService, id="404-page"),
    pytest.param(Fault(405), NotTheService, id="405-empty"),
    pytest.param(Fault(407, body={"message": "log in"}), NotTheService, id="407"),
    pytest.param(Fault(413, body=HTML, drop="midway"), NotTheService, id="413-cut"),
    pytest.param(Fault(511, body=HTML), NotTheService, id="511"),
    # About the address or the connection, whoever words it.
    *(
        pytest.param(Fault(status, body={"message": "Not here"}), NotTheService, id=f"{status}-own")
        for status in (405, 421, 426, 431)
    ),
    *(
        pytest.param(Fault(status, (("Location", f"/?api_key={MARK}"),)), NotTheService, id=str(status))
        for status in (301, 302, 307, 308)
    ),
]
# Trouble that leaves open whether a job was created; in half of the cases one was.
DOUBTS = [
    pytest.param(Fault(500, body=HTML, acts=True), id="500"),
    pytest.param(Fault(500, body=HTML), id="500-before"),
    pytest.param(Fault(500, body={"message": "broke"}, acts=True), id="500-own"),
    pytest.param(Fault(502, (("Retry-After", "3"),), HTML, acts=True), id="502-wait"),
    pytest.param(Fault(503, body=HTML, acts=True), id="503"),
    pytest.param(Fault(503, acts=True), id="503-empty"),
    pytest.param(Fault(503, body={"message": "busy"}, drop="midway", acts=True), id="503-cut"),
    pytest.param(Fault(503, (("Retry-After", "soon"),), HTML, acts=True), id="503-soon"),
    pytest.param(Fault(504, body={"message": "Endpoint request timed out"}, acts=True), id="504-json"),
    *(pytest.param(Fault(503, body=body, acts=True), id=f"503-{whose}") for whose, body in GATEWAYS.items()),
    pytest.param(Fault(408, body={"message": "Request Timeout"}, acts=True), id="408-json"),
    pytest.param(Fault(425, body={"error": "Too Early", "message": "x"}, acts=True), id="425-json"),
    pytest.param(Fault(408, acts=True), id="408"),
    pytest.param(Fault(425, body=HTML, acts=True), id="425"),
    pytest.param(Fault(429, body=HTML, acts=True), id="429"),
    pytest.param(Fault(460, body=HTML, acts=True), id="460"),
    pytest.param(Fault(499, body={"error": {"code": 499, "status": "CANCELLED"}}, acts=True), id="499-json"),
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
    pytest.param(Fault(body={"job_id": "job-\ud800"}, acts=True), id="surrogate-job-id"),
    pytest.param(Fault(body={"job_id": "x" * 501}, acts=True), id="endless-job-id"),
    pytest.param(Fault(body={"job_id": 10**501}, acts=True), id="endless-number"),
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
