"""Starts our own video inference service for as long as a run needs it, and stops it again.

Knows nothing of the service but its manners: it reads the key from ``ROBOFLOW_API_KEY`` and its
state folder from ``REELROUTE_HOME``, prints one JSON line with its ``url`` on stdout when it is
ready, logs to stderr, and leaves when its stdin closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from pydantic import SecretStr

from tasks.domain.environment import child_environment
from tasks.domain.errors import InputInvalid, ModelInvalid, ReelrouteError, ServiceUnavailable
from tasks.domain.redaction import HIDDEN, redact

READY_TIMEOUT = timedelta(seconds=60)
STOP_TIMEOUT = timedelta(seconds=10)
LARGEST_LOG = 8 << 20
_ITS_SETTINGS = ("REELROUTE_LOG_LEVEL", "REELROUTE_LOG_FORMAT")
TAIL_BYTES = 2000


@dataclass(frozen=True, slots=True)
class LocalService:
    """A running service of our own.

    Attributes:
        base_url: Where it listens.
        api_key: The key that it accepts.
        log_file: Where its stderr goes.
    """

    base_url: str
    api_key: SecretStr
    log_file: Path
    _process: asyncio.subprocess.Process = field(repr=False)

    @property
    def running(self) -> bool:
        """False once it has ended, on its own or because we stopped it."""
        return self._process.returncode is None


@asynccontextmanager
async def local_service(
    command: Sequence[str],
    *,
    home: Path,
    api_key: SecretStr,
    ready_timeout: timedelta = READY_TIMEOUT,
    stop_timeout: timedelta = STOP_TIMEOUT,
) -> AsyncIterator[LocalService]:
    """Run the service that ``command`` starts; it is gone when the block ends, however it ends.

    Args:
        home: State folder; the log is ``logs/inference-service.log`` in it.

    Raises:
        ServiceUnavailable: It cannot be started, stops at once, or is not ready in time.
        ModelInvalid, InputInvalid: It does not take a model, or another argument.
    """
    log_file = home / "logs" / "inference-service.log"
    # Its key is in the environment, which only this user can read; arguments are for everybody.
    environment = child_environment(os.environ, _ITS_SETTINGS)
    environment |= {"ROBOFLOW_API_KEY": api_key.get_secret_value(), "REELROUTE_HOME": str(home)}
    with contextlib.ExitStack() as stack:
        try:
            log, log_start = _open_log(log_file)
            stack.callback(os.close, log)
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is for us: we still need the service while we wind up
            )
        except OSError as error:
            reason = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
            raise ServiceUnavailable(f"cannot start the inference service: {reason}") from None
    drain: asyncio.Task[None] | None = None
    try:
        base_url = await _announced(process, ready_timeout)
        if base_url is None:
            raise await _failed_start(process, ready_timeout, log_file, log_start, api_key)
        drain = asyncio.create_task(_discard(cast(asyncio.StreamReader, process.stdout)))
        yield LocalService(base_url, api_key, log_file, process)
    finally:
        await _stop(process, stop_timeout)
        if drain is not None:
            await drain


def _open_log(log_file: Path) -> tuple[int, int]:
    """Open the log for appending, readable by its owner alone; return descriptor and size so far."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists() and log_file.stat().st_size > LARGEST_LOG:
        log_file.replace(log_file.with_suffix(".log.old"))
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return descriptor, os.fstat(descriptor).st_size


async def _announced(process: asyncio.subprocess.Process, within: timedelta) -> str | None:
    """Read stdout up to the line that names the URL; None if it ends or time is up before that.

    Raises:
        ModelInvalid, InputInvalid: The service says that what it was given is wrong.
    """
    stdout = cast(asyncio.StreamReader, process.stdout)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within.total_seconds()):
            while not stdout.at_eof():
                with contextlib.suppress(ValueError):  # not JSON, or a line without end
                    line = json.loads(await stdout.readline())
                    if isinstance(line, dict) and isinstance(line.get("url"), str):
                        return cast(str, line["url"]).rstrip("/")
                    if isinstance(line, dict) and isinstance(line.get("error"), dict) and line.get("exit_code") == 2:
                        raise _refusal(line["error"])
            await process.wait()
    return None


def _refusal(error: dict[str, Any]) -> ReelrouteError:
    """The service's own error, as if it were raised here."""
    kind = ModelInvalid if error.get("code") == ModelInvalid.code else InputInvalid
    message, hint = (redact(str(error.get(key) or "")) for key in ("message", "hint"))
    return kind(message or "the inference service does not take what it was given", hint=hint)


async def _discard(stdout: asyncio.StreamReader) -> None:
    """Read on until the end, so that a service that prints never blocks on a full pipe."""
    while await stdout.read(1 << 16):
        pass


async def _failed_start(
    process: asyncio.subprocess.Process, within: timedelta, log_file: Path, log_start: int, api_key: SecretStr
) -> ServiceUnavailable:
    """Say why there is no service, in the words of its own log."""
    code = process.returncode
    what = (
        f"was not ready after {within.total_seconds():g} s" if code is None else f"stopped at start (exit code {code})"
    )
    with log_file.open("rb") as log:
        log.seek(max(log_start, log.seek(0, os.SEEK_END) - TAIL_BYTES))
        tail = log.read().decode("utf-8", "replace").strip()
    said = redact(tail.replace(api_key.get_secret_value(), HIDDEN)) or "nothing"
    return ServiceUnavailable(
        f"the inference service {what}; the end of its log:\n{said}", hint=f"its whole log is in {log_file}"
    )


async def _stop(process: asyncio.subprocess.Process, within: timedelta) -> None:
    """End the service and everything it started: close stdin, ask, then insist."""
    cast(asyncio.StreamWriter, process.stdin).close()
    if process.returncode is not None:
        return  # it left on its own; its number may be somebody else's by now
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                process.terminate()
                await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # and its workers, should it have left any
        await process.wait()
