"""What goes wrong with the Prefect server, in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.exceptions import PrefectHTTPStatusError

from tasks.domain.errors import AuthRefused, ServerUnavailable


@contextmanager
def in_our_words(server: str) -> Iterator[None]:
    """Tell what goes wrong with the Prefect server in our words.

    Args:
        server: Where it is, such as ``at http://127.0.0.1:4200/api``.

    Raises:
        ServerUnavailable: It does not answer, or fails.
        AuthRefused: It wants a login.
    """
    try:
        yield
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise AuthRefused(
                f"the Prefect server {server} refuses us ({status})",
                hint="set PREFECT_API_AUTH_STRING to what the server has in PREFECT_SERVER_API_AUTH_STRING",
            ) from None
        raise ServerUnavailable(f"the Prefect server {server} answered {status}") from None
    except httpx.HTTPError as error:
        raise ServerUnavailable(f"the Prefect server {server} does not answer: {type(error).__name__}") from None
    except RuntimeError as error:
        # What Prefect makes of it when a flow begins; the second is of a server that it started itself.
        if not str(error).startswith(("Failed to reach API", "Timed out while attempting to connect")):
            raise
        raise ServerUnavailable(f"the Prefect server {server} does not answer") from None
