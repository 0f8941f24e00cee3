"""What makes a key of our own services hard to guess."""

from __future__ import annotations

SHORTEST_KEY = 16


def is_hard_to_guess(key: str) -> bool:
    """Whether a key is long enough, and of characters that every client can send."""
    return len(key) >= SHORTEST_KEY and key.isascii() and key.isprintable()
