"""Text that others chose (keys, names of classes, messages), made fit for where people read it.

For a line of a log or a terminal that is :func:`tasks.domain.video.printable`.
"""

from __future__ import annotations

import re

from tasks.domain.video import printable

# Emphasis, code, links, tables, tags, entities, headings. An underscore within a word marks nothing up.
_MARKUP = re.compile(r"[\\`*\[\]<>|~&#]|(?<![^\W_])_|_(?![^\W_])")
# What makes a list or a rule at the beginning of a line; blanks there make a block of code.
_AT_START = re.compile(r"^(\d*)([-+=.)])")


def markdown_text(text: str) -> str:
    """``text`` on one line of Markdown, shown as it is: nothing in it is markup, a tag, or a link of its own.

    Also for cells of Prefect's table artifacts, which its UI renders as Markdown.
    """
    escaped = _MARKUP.sub(lambda found: "\\" + found[0], printable(text))
    blanks = len(escaped) - len(escaped.lstrip(" "))
    return "&#32;" * blanks + _AT_START.sub(r"\1\\\2", escaped[blanks:])


def terminal_text(text: str) -> str:
    """``text`` of several lines, without a character that steers a terminal or turns the order of others."""
    return "\n".join(printable(line) for line in text.split("\n"))
