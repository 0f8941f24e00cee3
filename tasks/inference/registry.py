"""Which backends there are, by the name that a pipeline file uses."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import SecretStr

from tasks.domain.errors import InputInvalid
from tasks.inference.base import InferenceBackend
from tasks.inference.roboflow import RoboflowClient

# Our own service speaks the hosted API, so one client serves both.
_BACKENDS: dict[str, Callable[[str, SecretStr | None], InferenceBackend]] = {
    "roboflow": RoboflowClient,
    "local": RoboflowClient,
}


def open_backend(name: str, *, base_url: str, api_key: SecretStr | None) -> InferenceBackend:
    """Make the client that a pipeline's ``backend`` names; the caller closes it.

    Raises:
        InputInvalid: No backend has that name, or ``base_url`` is no web address.
        AuthRefused: There is no key.
    """
    if name not in _BACKENDS:
        raise InputInvalid(f"there is no inference backend {name!r}", hint=f"one of: {', '.join(_BACKENDS)}")
    return _BACKENDS[name](base_url, api_key)
