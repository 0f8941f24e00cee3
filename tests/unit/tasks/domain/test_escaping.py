"""Names and messages that others chose are text, in Markdown and on terminals."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from deployments.cli.output import Printer
from tasks.domain.errors import InputInvalid
from tasks.domain.escaping import markdown_text, terminal_text
from tasks.domain.video import printable

HOSTILE = [
    "<script>alert(1)</script>.mp4",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "![x](https://evil.example/a.png)",
    "[x]: https://evil.example",
    "a|b|c",
    "a\\|b",
    "`code` ``x``",
    "**bold** __also__ _x_ ~~gone~~",
    "# heading",
    "- item",
    "+ item",
    "1. item",
    "12) item",
    "===",
    "---",
    "> quoted",
    "    code",
    "\tcode",
    "&lt;script&gt; &#60; &amp;",
    "first\n\nsecond",
    "a\r\n| b |",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "abc\u202e4pm.exe",
    "a\u2028b\u0085c",
    "nul\x00",
    "lone \ud800",
    "my_video_1.mp4",
    "__init__",
    "ünï 東京 مباراة",
]
_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def shown(rendered: str) -> str:
    return html.unescape(re.sub(r"</?(?:p|ul|li|table|thead|tbody|tr|th|td)>|\n", "", rendered))


def of_item(name: str) -> str:
    """What a reader sees of a name in a list, if nothing but the list is markup."""
    return shown(_MARKDOWN.render(f"- {markdown_text(name)}\n"))


def of_cell(name: str) -> str:
    """The same in a cell of a table."""
    return shown(_MARKDOWN.render(f"| h |\n|---|\n| {markdown_text(name)} |\n")).removeprefix("h")


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_nothing_in_a_name_is_markup(name: str) -> None:
    """A reader sees the name, as a terminal shows it; no tag, link, emphasis, row or line comes of it."""
    assert printable(name) == of_item(name)
    assert printable(name).strip() == of_cell(name).strip()
    assert "\n" not in markdown_text(name)


@given(st.text())
@example("*_`<[&\\")
def test_no_text_is_markup(name: str) -> None:
    """Whatever it is made of."""
    assert printable(name).strip() == of_item(name).strip()
    assert printable(name).strip() == of_cell(name).strip()


def test_ordinary_names_stay_readable() -> None:
    """Reports are read as files, too."""
    plain = "2026/match-archive/my_video 1 (final).mp4: results: 5.0 fps, 100%"
    assert plain == markdown_text(plain)


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_nothing_in_a_name_steers_a_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No escape sequence, no turned order, no second line that looks like ours; what people tell may have lines."""
    printer = Printer(as_json=False)
    printer.say(f"✗ {printable(name)}")
    printer.error(InputInvalid(f"cannot read {name}", hint=name))
    out, err = capsys.readouterr()
    assert all(character == "\n" or character.isprintable() for character in out + err)
    assert 1 == out.count("\n")


def test_lines_of_our_own_stay_lines() -> None:
    """The end of a log in a message is read line by line."""
    assert "its log:\na\\x1b[2J\nb" == terminal_text("its log:\na\x1b[2J\nb")
