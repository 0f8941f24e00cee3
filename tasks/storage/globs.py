"""Globs against whole keys, in time that grows with the key and never with what the glob could mean.

    *        any run of characters within one folder
    ?        one character, not a slash
    [a-z]    one of these, never a slash; [!a-z] one of the others
    **       any run of characters, slashes too; ``**/`` also stands for no folder at all,
             so ``**/*.mp4`` finds ``clip.mp4`` at the top

Keys come from whoever may upload: a pattern that tries one way after the other (a regular
expression) can be kept busy for minutes by one of them. Here all ways are followed at once, as
the bits of one number: one step for each character of the key, and most steps are remembered.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections import Counter
from functools import lru_cache
from itertools import accumulate
from operator import xor

from tasks.domain.errors import InputInvalid
from tasks.domain.video import printable

# No key is longer, in any store.
LONGEST_GLOB = 1024
_REMEMBERED_STEPS = 4096
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[(?P<set>!?\]?[^\]]*)\]|.", re.DOTALL)
_ANY_FOLDERS, _ANY, _WITHIN, _ONE = "**/", "**", "*", "?"
_SLASH = ord("/")


class Glob:
    """One glob, ready to be asked.

    Attributes:
        text: As it was written.

    Raises:
        InputInvalid: It is empty, longer than any key, or has a bracket that does not close or a
            range that runs backwards.
    """

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        if not text:
            raise InputInvalid("an empty glob matches nothing", hint="leave it out, or write **")
        if len(text) > LONGEST_GLOB:
            raise InputInvalid(f"a glob of {len(text)} characters matches nothing", hint="no key has more than 1,024")
        self.text = text
        self._ignore_case = ignore_case
        # Bit i of each mask: the i-th token …
        self._within = self._beyond = 0  # … stays where it is at any character but a slash; at any character
        self._optional = self._skips_two = 0  # … may be passed without a character; together with the next
        turns: Counter[int] = Counter()  # code of a character from which on it is (or is not) taken -> masks of tokens
        self._end = 1 << self._compile(_tokens(text), turns)
        self._turns = sorted(turns)
        self._taking: list[int] = [0, *accumulate((turns[code] for code in self._turns), xor)]
        self._start = self._passed(1)
        self._known: dict[tuple[int, str], int] = {}

    def matches(self, key: str) -> bool:
        """Tell whether the glob matches the whole key."""
        known, state = self._known, self._start
        for character in key:
            try:
                state = known[state, character]
            except KeyError:
                state = self._step(state, character)
            if not state:
                return False
        return bool(state & self._end)

    def _compile(self, tokens: list[re.Match[str]], turns: Counter[int]) -> int:
        """Set the masks; return how many bits the tokens take."""
        position = 0
        for token in tokens:
            bit, text = 1 << position, token[0]
            if text == _ANY_FOLDERS:  # nothing; or any run, and then a slash
                self._optional |= bit
                self._skips_two |= bit
                position += 1
                bit, text = 1 << position, "/"
                self._beyond |= bit
            elif text in (_ANY, _WITHIN):
                self._optional |= bit
                self._within |= bit
                self._beyond |= bit if text == _ANY else 0
                position += 1
                continue
            for low, high in _ranges(text, token["set"], self.text):
                turns[low] ^= bit
                turns[high + 1] ^= bit
            position += 1
        return position

    def _step(self, state: int, character: str) -> int:
        """Where the tokens in ``state`` can be after one more character."""
        stays = self._beyond if character == "/" else self._beyond | self._within
        takes = self._takes(character)
        if self._ignore_case:
            takes |= self._takes(character.lower()[:1]) | self._takes(character.upper()[:1])
        after = self._passed((state & stays) | (state & takes) << 1)
        if len(self._known) >= _REMEMBERED_STEPS:
            self._known.clear()
        self._known[state, character] = after
        return after

    def _takes(self, character: str) -> int:
        return self._taking[bisect_right(self._turns, ord(character))]

    def _passed(self, state: int) -> int:
        """With the tokens that can be passed without a character."""
        while True:
            more = state | (state & self._optional) << 1 | (state & self._skips_two) << 2
            if more == state:
                return state
            state = more


@lru_cache(maxsize=1024)
def compile_glob(text: str, *, ignore_case: bool = False) -> Glob:
    """Make a glob ready, once.

    Raises:
        InputInvalid: As :class:`Glob`.
    """
    return Glob(text, ignore_case=ignore_case)


def _tokens(text: str) -> list[re.Match[str]]:
    """Cut a glob up; stars beside a ``**`` say nothing that it does not say."""
    tokens: list[re.Match[str]] = []
    for token in _TOKEN.finditer(text):
        before = tokens[-1][0] if tokens else ""
        if _ANY in (before, token[0]) and {before, token[0]} <= {_ANY_FOLDERS, _ANY, _WITHIN}:
            if before != _ANY:
                tokens[-1] = token
        elif not before == token[0] == _ANY_FOLDERS:
            tokens.append(token)
    return tokens


def _ranges(text: str, members: str | None, glob: str) -> list[tuple[int, int]]:
    """The codes of the characters that a token takes, as ranges that do not touch, in order."""
    if members is None:
        if text == "[":
            raise _unreadable(glob)
        return _others([(_SLASH, _SLASH)]) if text == _ONE else [(ord(text), ord(text))]
    negated, left, found = members.startswith("!"), list(members.removeprefix("!")), list[tuple[int, int]]()
    while left:
        last = 2 if len(left) > 2 and left[1] == "-" else 0
        found.append((ord(left[0]), ord(left[last])))
        del left[: last + 1]
    if not found or any(low > high for low, high in found):
        raise _unreadable(glob)
    # No set takes a slash: the others of the others and the slash.
    return _others([*found, (_SLASH, _SLASH)]) if negated else _others([*_others(found), (_SLASH, _SLASH)])


def _others(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """All codes that are in none of the ranges."""
    others, free = [], 0
    for low, high in sorted(ranges):
        if low > free:
            others.append((free, low - 1))
        free = max(free, high + 1)
    return [*others, (free, sys.maxunicode)] if free <= sys.maxunicode else others


def _unreadable(glob: str) -> InputInvalid:
    return InputInvalid(
        f"the glob {printable(glob)!r} has a bracket that cannot be read", hint="write [[] for a bracket itself"
    )
