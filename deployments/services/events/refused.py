"""A request that is turned down, in words that help and tell nobody anything."""

from __future__ import annotations


class Refused(Exception):
    """We do not take it.

    Attributes:
        status: Of HTTP. Senders give up on most 4xx and try 5xx again.
        code: Stable name, as the counter and the answer have it.
        message: What is wrong, without anything that the request said.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
