"""A request's body as a whole, up to a size and within a time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

_BODY_WITHIN_S = 30.0


class BodyTooLarge(Exception):
    """It has more bytes than a request of this kind."""


class BodyTooSlow(Exception):
    """It did not end in time, or the client left."""


async def read_whole(request: Request, most: int) -> bytes:
    """Read the body; what declares itself as too large is not read at all.

    Raises:
        BodyTooLarge: It has more than ``most`` bytes.
        BodyTooSlow: It did not end within half a minute.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise BodyTooLarge
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise BodyTooLarge
    except (TimeoutError, ClientDisconnect):
        raise BodyTooSlow from None
    return bytes(body)
