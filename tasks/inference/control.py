"""What the service knows of a model: its kind and classes, by way of the official SDK.

Runs :mod:`tasks.inference.roboflow_sdk` in a short-lived process and reads its answer. Looks in
the workspace that the key belongs to; a public model of another workspace has to be forked first.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tasks.domain.environment import PROXIES, child_environment
from tasks.domain.errors import AuthRefused, ModelUnknown, ReelrouteError, ServiceUnavailable
from tasks.domain.job import ModelRef
from tasks.domain.predictions import TaskType
from tasks.inference.answers import Discretion, refusal, retry_after_s, spoken
from tasks.inference.base import ModelInfo

LOOK_UP_TIMEOUT_S = 120.0

_ELSEWHERE = "write project-slug/version as in the model's URL; it must be in the workspace of the key"
# Project types that video inference takes; "classification" may turn out to be multi-label.
_TASKS = {
    "object-detection": TaskType.OBJECT_DETECTION,
    "instance-segmentation": TaskType.INSTANCE_SEGMENTATION,
    "keypoint-detection": TaskType.KEYPOINT_DETECTION,
    "classification": TaskType.CLASSIFICATION,
}


async def look_up(
    models: Sequence[ModelRef], base_url: str, api_key: SecretStr, *, timeout_s: float = LOOK_UP_TIMEOUT_S
) -> tuple[ModelInfo, ...]:
    """Describe trained models, in order.

    Raises:
        AuthRefused, PlanRefused, RateLimited, ServiceUnavailable: As the service answers.
        ModelUnknown: There is no such project or version, it has no trained model, or its kind is
            not one that video inference takes.
    """
    if not any(letter.islower() for letter in api_key.get_secret_value()):
        # The SDK takes such a key for a placeholder and never asks the service.
        raise AuthRefused(
            "the API key has no lower-case letter: that is a placeholder, not a key",
            hint="set ROBOFLOW_API_KEY to the private key on the workspace's API keys page",
        )
    question = {"api_key": api_key.get_secret_value(), "models": [[ref.project, ref.version] for ref in models]}
    show = Discretion(api_key)
    answer = await _ask_sdk(json.dumps(question).encode(), base_url, show, timeout_s)
    if "fault" in answer:
        raise _translated(answer, base_url, show)
    return tuple(_info(ref, found) for ref, found in zip(models, answer["models"], strict=True))


async def _ask_sdk(question: bytes, base_url: str, show: Discretion, timeout_s: float) -> dict[str, Any]:
    """Run the SDK's process; the key goes through its stdin, where no other user can read it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # not the current folder: a stray module there could shadow the SDK's
        "-m",
        "tasks.inference.roboflow_sdk",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(base_url),
    )
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr = await process.communicate(question)
    except TimeoutError:
        raise ServiceUnavailable(f"looking up models at {base_url}: no answer in {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        answer: dict[str, Any] = json.loads(stdout)
        return answer
    last = (stderr.decode("utf-8", "replace").strip().splitlines() or [""])[-1]
    raise ServiceUnavailable(f"looking up models: the roboflow SDK failed: {show(last)}")


def _environment(base_url: str) -> dict[str, str]:
    """What the SDK's process needs to know, and nothing of the user's own SDK settings."""
    root = str(Path(__file__).parents[2])
    environment = {**child_environment(os.environ, PROXIES), "API_URL": base_url}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), root)))
    environment["ROBOFLOW_CONFIG_DIR"] = os.path.join(os.devnull, "none")  # noqa: PTH118 (a file that cannot exist)
    environment.setdefault("HOME", tempfile.gettempdir())  # without HOME the SDK cannot be imported
    own = {"127.0.0.1", "::1", "localhost"}
    environment["NO_PROXY"] = ",".join(own.union(filter(None, os.environ.get("NO_PROXY", "").split(","))))
    return environment


def _translated(answer: dict[str, Any], base_url: str, show: Discretion) -> ReelrouteError:
    """Make the error for a fault that the SDK's process reports."""
    what = f"looking up model {answer['model']}" if answer["model"] else f"checking the API key at {base_url}"
    words = show(_own_words(answer["words"]))
    if answer["fault"] == "refused":
        wait_s = retry_after_s(answer["retry_after"], datetime.now(UTC))
        error = refusal(what, answer["status"], words, wait_s, missing=ModelUnknown)
        if isinstance(error, ModelUnknown):
            error.hint = show(_own_hint(answer["words"])) or _ELSEWHERE
        return error
    if answer["fault"] == "unreachable":
        return ServiceUnavailable(f"{what}: cannot reach {base_url}: {words}")
    return ServiceUnavailable(
        f"{what}: the service's answer cannot be read: {words}", hint="is ROBOFLOW_API_URL the address of its API?"
    )


def _own_words(text: str) -> str:
    """The explanation within an answer's text, which is JSON more often than not."""
    try:
        value = json.loads(text)
    except ValueError:
        return "" if text.lstrip().startswith("<") else text
    return spoken(value) if isinstance(value, dict) else text


def _own_hint(text: str) -> str:
    """The hint within an answer's text: a service of our own says which models it has."""
    try:
        value = json.loads(text)
    except ValueError:
        return ""
    said = value.get("hint") if isinstance(value, dict) else ""
    return said if isinstance(said, str) else ""


def _info(ref: ModelRef, found: dict[str, Any]) -> ModelInfo:
    if ref.version not in found["versions"]:
        known = ", ".join(found["versions"]) or "none"
        raise ModelUnknown(f"project {ref.project} has no version {ref.version}", hint=f"its versions: {known}")
    task = _TASKS.get(found["type"])
    if task is None:
        raise ModelUnknown(
            f"{ref} is a {found['type']} model, and video inference does not take that kind",
            hint=f"it takes {', '.join(_TASKS)}, clip and gaze",
        )
    if not found["trained"]:
        raise ModelUnknown(f"{ref} has no trained model", hint="train this version, or name one that is trained")
    if task is TaskType.CLASSIFICATION and found["multilabel"]:
        task = TaskType.MULTILABEL_CLASSIFICATION
    return ModelInfo(ref, task, tuple(found["classes"]))
