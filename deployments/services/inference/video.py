"""The Video Inference API itself: ask for an upload URL, upload, submit, poll, download.

Signed URLs are made here for the caller that asks and are never logged or stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from deployments.services.inference.contract import UploadRequest, VideoJob, read_body, refusal
from deployments.services.inference.jobs import JobRequest
from deployments.services.inference.service import InService, Service, base_url, own_addresses, require_key
from deployments.services.inference.settings import UPLOAD_LIFETIME
from deployments.services.inference.sources import UPLOAD_PREFIX
from tasks.domain.errors import AccessDenied, InputInvalid, JobUnknown, VideoTooLarge

router = APIRouter()
_key = [Depends(require_key)]


@router.post("/video_upload_signed_url", dependencies=_key)
@router.post("/video_upload_signed_url/", dependencies=_key)
async def upload_url(request: Request, service: InService) -> dict[str, str]:
    """Give out a URL to PUT a video to; submit the job with that same URL."""
    await read_body(request, UploadRequest)
    path = UPLOAD_PREFIX + service.uploads.new_id()
    return {"signed_url": base_url(request) + service.signer.sign(path, UPLOAD_LIFETIME, service.clock())}


@router.put(UPLOAD_PREFIX + "{upload_id}")
async def upload(upload_id: str, request: Request, service: InService) -> Response:
    """Take a video, streamed to disk. The signature is the permission; no key is needed."""
    try:
        service.signer.check(UPLOAD_PREFIX + upload_id, request.query_params, service.clock())
    except AccessDenied as error:
        return refusal(error, 403)
    try:
        declared = request.headers.get("content-length", "")
        service.uploads.refuse_larger(int(declared) if declared.isdecimal() else 0)
        await service.uploads.receive(upload_id, request.stream())
    except VideoTooLarge as error:
        return refusal(error, 413)
    except ClientDisconnect:  # nobody is left to read this; nothing was kept
        return Response(status_code=400)
    return Response(status_code=200)


@router.post("/videoinfer", dependencies=_key)
@router.post("/videoinfer/", dependencies=_key)
async def submit(request: Request, service: InService) -> dict[str, str]:
    """Queue a job. Everything that can be known without fetching the video is checked first."""
    job = await read_body(request, VideoJob)
    job_id = await run_in_threadpool(_accept, service, job, request)
    service.pool.wake()
    return {"job_id": job_id, "message": "the job is queued; ask for it with GET /videoinfer/?job_id="}


def _accept(service: Service, job: VideoJob, request: Request) -> str:
    models: dict[str, str] = {}
    for wanted in job.models:
        model = service.catalog.find(wanted.model_id, str(wanted.model_version), wanted.inference_type)
        if model.name in models:
            raise InputInvalid(f"the model {model.name!r} is named twice", hint="name each model once")
        models[model.name] = str(model.path)
    thresholds = {wanted.confidence for wanted in job.models}
    if len(thresholds) > 1:
        raise InputInvalid(
            "the models of a job must share one confidence here", hint="give all the same, or submit two jobs"
        )
    footage = service.inputs.resolve(job.input_url, own_addresses(request), service.clock())
    return service.store.create(
        JobRequest(models=models, fps=job.infer_fps, confidence=thresholds.pop(), path=footage.path, url=footage.url)
    )


@router.get("/videoinfer", dependencies=_key)
@router.get("/videoinfer/", dependencies=_key)
def poll(request: Request, service: InService, job_id: str = "") -> dict[str, Any]:
    """Say how a job is: 1 waits or runs, 0 done (with a fresh result URL), 2 failed (with the reason)."""
    end = service.store.end_of(job_id)
    if end is None:
        return {"status": 1, "job_id": job_id}
    if not end.succeeded:
        return {"status": 2, "job_id": job_id, "error": end.code, "message": end.message, "hint": end.hint}
    signed = service.signer.sign(f"/results/{job_id}", service.settings.result_lifetime, service.clock())
    return {"status": 0, "job_id": job_id, "output_signed_url": base_url(request) + signed}


@router.api_route("/results/{job_id}", methods=["GET", "HEAD"])
def result(job_id: str, request: Request, service: InService) -> Response:
    """Stream the results JSON. The signature is the permission; no key is needed."""
    query: Mapping[str, str] = request.query_params
    try:
        service.signer.check(f"/results/{job_id}", query, service.clock())
        return FileResponse(service.store.result(job_id), media_type="application/json")
    except AccessDenied as error:
        return refusal(error, 403)
    except JobUnknown as error:
        return refusal(error, 404)
