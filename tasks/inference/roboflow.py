"""Client of Roboflow's hosted Video Inference API, and of our own service, which speaks the same.

Plain HTTP instead of the SDK: the SDK loses status codes, has no timeouts and takes a failed job
for a result. The SDK is asked once per run what the models are (:mod:`tasks.inference.control`).

Five calls (https://docs.roboflow.com, "Video Inference API"); K, the key, goes in the query:

    A  POST /video_upload_signed_url?api_key=K   {"file_name"}                    -> {"signed_url"}
    B  PUT  <signed_url>                         the file                         -> 2xx
    C  POST /videoinfer/?api_key=K               {"input_url", "infer_fps", "models"} -> {"job_id"}
    D  GET  /videoinfer/?api_key=K&job_id=J      -> {"status": 0 done, 1 running, >1 failed, "output_signed_url"}
    E  GET  <output_signed_url>                  -> results JSON

C costs money and takes no idempotency key, so it is sent once, on a connection of its own (a kept-alive
one may be closed under us, and then nobody knows whether the request was read). All others are
repeated on passing trouble.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from tasks.domain.errors import (
    AuthRefused,
    JobFailed,
    JobUnknown,
    NotTheService,
    ReelrouteError,
    RequestRefused,
    ResultExpired,
    ServiceUnavailable,
    SubmissionUnknown,
)
from tasks.domain.job import FOUNDATION_MODELS, InferenceSpec, ModelRef
from tasks.domain.predictions import TaskType
from tasks.domain.redaction import RedactingFilter
from tasks.domain.video import SignedUrl
from tasks.inference.acceptance import is_foreign, not_the_service, taken_job
from tasks.inference.answers import (
    Answer,
    Discretion,
    checked_base_url,
    patiently,
    refusal,
    retry_after_s,
    spoken,
    transport_fault,
    usable_url,
)
from tasks.inference.base import JobStatus, LocalVideo, ModelInfo, Permit
from tasks.inference.control import look_up
from tasks.inference.transfer import checking, keep_results, put_file, too_slow
from tasks.inference.wire import failure_code, job_request, job_status

# A service may think long about a submission; giving up early leaves a job that nobody knows of.
TIMEOUT = httpx.Timeout(connect=10, read=120, write=60, pool=None)
# At once, each kind for itself so that short calls never wait for long ones. More connections do not
# ask faster: httpx's pool costs CPU by the square of their number.
MAX_CALLS = 10
MAX_SUBMISSIONS = 10
MAX_TRANSFERS = 8
MAX_RESULT_BYTES = 4 << 30
LARGEST_ANSWER = 1 << 20
HTTP_STATUSES = range(100, 600)  # a gateway may write its own where a job's status would be
_FOUNDATION_TASKS = {"clip": TaskType.EMBEDDING, "gaze": TaskType.GAZE}
_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks")
_REDACTING = RedactingFilter()


class RoboflowClient:
    """An :class:`tasks.inference.base.InferenceBackend` over HTTP; close it with ``aclose``.

    Raises on construction, before anything is sent:
        AuthRefused: There is no key.
        InputInvalid: ``base_url`` is not a web address.
    """

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr | None,
        *,
        timeout: httpx.Timeout = TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
        max_result_bytes: int = MAX_RESULT_BYTES,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.base_url = checked_base_url(base_url)
        key = api_key.get_secret_value().strip() if api_key else ""
        if not key:
            raise AuthRefused("there is no API key for the inference service", hint="set ROBOFLOW_API_KEY")
        self._api_key = SecretStr(key)
        self._show = Discretion(self._api_key)
        self._max_result_bytes = max_result_bytes
        self._now = now
        self._calls = asyncio.Semaphore(MAX_CALLS)
        self._submissions = asyncio.Semaphore(MAX_SUBMISSIONS)
        self._transfers = asyncio.Semaphore(MAX_TRANSFERS)
        # No answer takes longer, however its headers drip: httpx limits each wait, and not their sum.
        self._longest_s = sum(part or 0.0 for part in (timeout.connect, timeout.write, timeout.read))
        self._client = self._open(timeout, transport, kept_alive=MAX_CALLS)
        self._submitting = self._open(timeout, transport, kept_alive=0)
        for name in _LOGGERS:  # httpx logs every URL with its query
            logging.getLogger(name).addFilter(_REDACTING)

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()
        await self._submitting.aclose()

    async def describe(self, models: tuple[ModelRef, ...]) -> tuple[ModelInfo, ...]:
        """Look up type and classes of each model in the key's workspace; once per run, never per video.

        Raises:
            ModelUnknown: There is no such project or version there, or video inference does not take its kind.
        """
        trained = tuple(ref for ref in models if ref.project not in FOUNDATION_MODELS)
        found = await patiently(look_up, trained, self.base_url, self._api_key) if trained else ()
        infos = dict(zip(trained, found, strict=True))
        return tuple(infos.get(ref) or ModelInfo(ref, _FOUNDATION_TASKS[ref.project]) for ref in models)

    async def submit(
        self,
        video: SignedUrl | LocalVideo,
        spec: InferenceSpec,
        models: tuple[ModelInfo, ...],
        permit: Permit | None = None,
    ) -> str:
        """Start the job and return its id; uploads the video first if it is a local file.

        What answers mean is in :mod:`tasks.inference.acceptance`. Being cancelled in mid-request
        leaves the same doubt as ``SubmissionUnknown``.

        Raises:
            SubmissionUnknown: The job request was sent, and no answer came that settles its fate.
            NotTheService: Something else answered; no job was created.
            ObjectMissing, AccessDenied, StorageUnavailable: The local file cannot be uploaded.
        """
        body = job_request(spec, models)
        try:
            body["input_url"] = (await self._upload(video) if isinstance(video, LocalVideo) else video).url
        except asyncio.CancelledError:
            # Told apart from a job request that was cut short: nothing has been asked for yet.
            raise ServiceUnavailable(f"{self._show(str(video))}: the upload was broken off") from None
        what = "submitting a job"
        request = self._request("POST", "/videoinfer/", body=body)
        async with self._submissions:
            if permit is not None:
                await permit.confirm()
                request.extensions["trace"] = checking(permit)
            answer = await self._send(self._submitting, request, what, lost=SubmissionUnknown)
        return taken_job(what, answer, self._show, self._now())

    async def check(self, job_id: str) -> JobStatus:
        """Ask how the job is; a passing fault is tried again, a longer one raised.

        Raises:
            JobFailed: The service says so; the error carries its code, message and hint.
            JobUnknown: The service says, in JSON of its own, that it does not know the id.
            ServiceUnavailable: It did not answer, or with nothing that can be understood: the job
                may well be running, ask again later.
        """
        what = f"asking for job {self._show(job_id)}"
        answer = await patiently(self._ask, "GET", "/videoinfer/", what, {"job_id": job_id}, missing=JobUnknown)
        value = answer.json_object() or {}
        match job_status(value.get("status")):
            case status if status is None or status in HTTP_STATUSES:
                said = self._show(spoken(value))
                raise ServiceUnavailable(f"{what}: the answer holds no status" + (f" ({said})" if said else ""))
            case 0:
                if url := usable_url(value.get("output_signed_url")):
                    return JobStatus(True, SignedUrl(url, None))
                raise ServiceUnavailable(f"{what}: it is done, but the service gave no usable result URL")
            case 1:
                return JobStatus(False)
            case status:
                raise self._failure(status, value)

    async def download(self, result_url: SignedUrl, target: Path) -> int:
        """Stream the results to ``target`` (which appears only when whole); return the bytes.

        Raises:
            ResultExpired: The URL no longer works; ``check`` gives a fresh one.
            NotTheService: Something else than results came, such as a web page; they may come later.
            ResultInvalid: The body is no JSON object, an empty one, or too large.
            StorageUnavailable: The disk did not take it.
        """
        return await patiently(self._download, result_url, target)

    # --- one request -------------------------------------------------------------------------

    def _open(
        self, timeout: httpx.Timeout, transport: httpx.AsyncBaseTransport | None, *, kept_alive: int
    ) -> httpx.AsyncClient:
        loopback = urlsplit(self.base_url).hostname in ("127.0.0.1", "::1", "localhost")
        return httpx.AsyncClient(
            verify=_certificates(),
            timeout=timeout,
            transport=transport,
            limits=httpx.Limits(max_connections=MAX_CALLS + MAX_TRANSFERS, max_keepalive_connections=kept_alive),
            headers={"User-Agent": "reelroute"},
            trust_env=not loopback,  # a proxy cannot reach our own service
        )

    def _request(
        self, method: str, path: str, *, params: dict[str, str] | None = None, body: dict[str, Any] | None = None
    ) -> httpx.Request:
        query = {"api_key": self._api_key.get_secret_value(), **(params or {})}
        return self._client.build_request(method, f"{self.base_url}{path}", params=query, json=body)

    async def _ask(
        self,
        method: str,
        path: str,
        what: str,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        missing: type[ReelrouteError] = RequestRefused,
    ) -> Answer:
        """Send a request that may be repeated; return its answer if that is a whole 2xx."""
        request = self._request(method, path, params=params, body=body)
        async with self._calls:
            answer = await self._send(self._client, request, what)
        if not 200 <= answer.status < 300:
            raise self._refusal(what, answer, missing)
        if answer.body is None:
            raise ServiceUnavailable(f"{what}: the answer broke off")
        return answer

    async def _send(
        self,
        client: httpx.AsyncClient,
        request: httpx.Request,
        what: str,
        lost: type[ReelrouteError] = ServiceUnavailable,
    ) -> Answer:
        """Send once; ``lost`` is raised when the request may have arrived and no status came back."""
        try:
            async with asyncio.timeout(self._longest_s):
                response = await client.send(request, stream=True)
            try:
                return Answer(response.status_code, response.headers, await self._read(response))
            finally:
                await response.aclose()
        except httpx.RequestError as error:
            fault = transport_fault(f"{what} at {self.base_url}", error, self._show, lost=lost)
        except TimeoutError:
            fault = lost(f"{what} at {self.base_url}: no whole answer within {self._longest_s:g} seconds")
        raise fault

    async def _read(self, response: httpx.Response) -> bytes | None:
        """Read a small body, or the start of one that is no answer; None if it breaks off or stalls."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._client.timeout.read):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > LARGEST_ANSWER:
                        break
        except (httpx.RequestError, TimeoutError):
            return None
        return bytes(body)

    async def _download(self, result_url: SignedUrl, target: Path) -> int:
        what = "downloading results"
        if not usable_url(result_url.url):
            raise ResultExpired(f"{what}: the result URL cannot be requested")
        async with self._transfers:
            try:
                async with (
                    asyncio.timeout(self._longest_s) as limit,
                    self._client.stream("GET", result_url.url, follow_redirects=True) as response,
                ):
                    if response.status_code == 200:
                        return await keep_results(response, target, self._max_result_bytes, self._show, limit)
                    fault = self._no_results(what, Answer(response.status_code, response.headers, None))
            except httpx.RequestError as error:
                fault = transport_fault(what, error, self._show)
            except TimeoutError:
                fault = too_slow(what)
        raise fault

    async def _upload(self, video: LocalVideo) -> SignedUrl:
        """Put a local file where the service can read it; return that address."""
        what = f"asking where to upload {self._show(video.path.name)}"
        body = {"file_name": video.upload_name}
        value = (await patiently(self._ask, "POST", "/video_upload_signed_url", what, None, body)).json_object() or {}
        url = usable_url(value.get("signed_url") or value.get("signedUrl"))
        if not url:
            raise ServiceUnavailable(f"{what}: the service gave no usable URL")
        status = await patiently(self._put, url, video.path)
        if not 200 <= status < 300:
            # Not our key is refused but the URL: a fresh one may do, so this is no AuthRefused.
            raise ServiceUnavailable(f"uploading {self._show(video.path.name)}: the upload URL answered {status}")
        return SignedUrl(url, None)

    async def _put(self, url: str, path: Path) -> int:
        async with self._transfers:
            status = await put_file(self._client, url, path, self._show, self._longest_s)
        if status in (408, 425, 429) or status >= 500:
            raise ServiceUnavailable(f"uploading {self._show(path.name)}: the upload URL answered {status}")
        return status

    # --- what answers mean ---------------------------------------------------------------------

    def _refusal(self, what: str, answer: Answer, missing: type[ReelrouteError] = RequestRefused) -> ReelrouteError:
        if is_foreign(answer):
            return not_the_service(what, answer, self._show)
        wait_s = retry_after_s(answer.headers.get("Retry-After"), self._now())
        return refusal(what, answer.status, self._show(answer.words()), wait_s, missing=missing)

    def _no_results(self, what: str, answer: Answer) -> ReelrouteError:
        """What a status other than 200 means for a result URL."""
        if answer.status in (400, 401, 403, 404, 410):
            return ResultExpired(f"{what}: the result URL no longer works ({answer.status})")
        if answer.status in (408, 425, 429) or answer.status >= 500:
            return self._refusal(what, answer)
        return NotTheService(f"{what}: the result URL answered {answer.status}")

    def _failure(self, status: int, value: dict[str, Any]) -> JobFailed:
        hint = value.get("hint")
        said = self._show(spoken(value)) or f"the service gives status {status} and no reason"
        return JobFailed(
            said, code=failure_code(value.get("error")), hint=self._show(hint) if isinstance(hint, str) else ""
        )


@cache
def _certificates() -> ssl.SSLContext:
    """Load the trusted certificates once: it takes a tenth of a second each time."""
    return httpx.create_ssl_context()
