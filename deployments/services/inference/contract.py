"""The request bodies of the Video Inference API, and how this service words a refusal.

Source of the format: docs.roboflow.com (Video Inference API reference) and roboflow-python 1.7.3.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from deployments.services.bodies import BodyTooLarge, BodyTooSlow, read_whole
from tasks.domain.errors import InputInvalid, ReelrouteError

_MAX_BODY = 1 << 20
# One frame in a thousand seconds: what asks for less is a mistake.
LEAST_FPS = 0.001
Body = TypeVar("Body", bound=BaseModel)


class InferenceParams(BaseModel):
    """Settings of one model; a name that we would ignore is refused instead."""

    model_config = ConfigDict(strict=True, extra="forbid")

    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


class ModelRequest(BaseModel):
    """One model to run. The SDK sends the version as text, other clients as a number."""

    model_config = ConfigDict(strict=True, protected_namespaces=())

    model_id: str
    model_version: str | int
    inference_type: str
    inference_params: InferenceParams | None = None

    @property
    def confidence(self) -> float | None:
        """The threshold asked for, or None for the service's default."""
        return self.inference_params.confidence if self.inference_params else None


class VideoJob(BaseModel):
    """Body of ``POST /videoinfer/``."""

    model_config = ConfigDict(strict=True)

    input_url: Annotated[str, Field(min_length=1, max_length=16384)]
    infer_fps: Annotated[float, Field(ge=LEAST_FPS, le=120, allow_inf_nan=False)]
    models: Annotated[list[ModelRequest], Field(min_length=1)]


class UploadRequest(BaseModel):
    """Body of ``POST /video_upload_signed_url``. The name is required and then not used."""

    model_config = ConfigDict(strict=True)

    file_name: Annotated[str, Field(min_length=1)]


async def read_body(request: Request, shape: type[Body]) -> Body:
    """Read a JSON body of at most 1 MiB.

    Raises:
        InputInvalid: It is larger, not JSON, or not of this shape. The message names the
            field but never repeats its value, which may be a signed URL.
        HTTPException: It did not end in time, which says nothing about what it asks for.
    """
    try:
        body = await read_whole(request, _MAX_BODY)
    except BodyTooLarge:
        raise InputInvalid("the request body is larger than 1 MiB") from None
    except BodyTooSlow:
        raise HTTPException(408, "the request body did not end in time") from None
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    raise InputInvalid(
        f"{field or 'request body'}: {first['msg']}", hint="see Roboflow's Video Inference API reference"
    )


def refusal(error: ReelrouteError, status: int) -> JSONResponse:
    """The JSON that says no: ``error`` is the stable code, ``message`` and ``hint`` are for people."""
    return JSONResponse({"error": error.code, "message": error.message, "hint": error.hint}, status_code=status)
