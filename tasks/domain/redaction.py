"""Takes secrets out of text: query strings of URLs, keys, signatures, tokens, passwords.

The last line of defence for logs, error messages and reports. It knows shapes, not values, and
rather hides too much than too little: an unclosed quotation is hidden to the end of the text.
"""

from __future__ import annotations

import logging
import re
import traceback

HIDDEN = "***"

# What may follow a "?" in a URL: anything but blanks, quotes and angle brackets. A backslash
# counts only in JSON's \u0026 (an escaped "&") and \/, at any depth of escaping.
_URL_RUN = r"(?:[^\s\"'<>\\]|\\+(?=u[0-9a-fA-F]{4}|/))*"
_QUERY = re.compile(rf"(\?|%(?:25)*3[fF])({_URL_RUN})")
_WEB_ADDRESS = re.compile(rf"(?i)https?:(?:\\*/){{2}}{_URL_RUN}")
_ASSIGNS = re.compile(r"=|%(?:25)*3[dD]|\\u003[dD]")
_USER_INFO = re.compile(r"(:(?:\\*/){2})[^\s/?#\"'<>\\]*@")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[^\s\"'<>]{8,}")

# Cheap to look for: no text without one of these holds a name of _NAMED.
_HINTS = ("key", "secret", "passw", "token", "x-amz", "x-goog", "authorization", "sig")
_NAMED = re.compile(
    r"""
    (?P<name>
        api[_-]?key | access[_-]?key (?:[_-]?id)? | account[_-]?key
      | secret (?:[_-][a-z]{1,12}){0,3} | passw(?:or)?d | signature | token
      | x-(?:amz|goog)-[a-z0-9-]{1,40} | authorization
      | (?: (?<![a-z0-9]) | (?<=%26) | (?<=%3f) | (?<=u0026) ) sig
    )
    (?P<between>
        (?P<end_quote> \\*["'] )?                       # the name itself was quoted
        \s* (?: =>? | : | %(?:25)*3d | \\+u003d | (?(end_quote) , | (?!) ) )
        [\s\[({]*                                        # a list or tuple of values, as parse_qs gives
    )
    (?:
        (?P<prefix> [bruf]{0,2} ) (?P<quote> \\*["'] )
        (?: .*? (?<!\\) (?P<closed> (?P=quote) ) | .* )  # closed by the same quote at the same depth
      | (?: (?:bearer|basic|digest|token) \s+ )? [^\s"'<>&]+
    )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def redact(text: str) -> str:
    """Replace everything in ``text`` that looks like a secret by ``***``; keep the rest.

    Works on plain text, JSON and ``repr`` output at any depth of quoting. Hidden are: query
    strings (of absolute and relative URLs, percent-encoded ones too), user and password of a
    URL, bearer tokens, and the values of ``api_key``, ``token``, ``sig``, ``signature``,
    ``secret…``, ``password``, ``authorization``, ``X-Amz-*``, ``X-Goog-*`` and their like.
    """
    if "?" in text or "%" in text:
        text = _WEB_ADDRESS.sub(_cut_query, text)
        text = _QUERY.sub(_hide_query, text)
    if "@" in text:
        text = _USER_INFO.sub(rf"\1{HIDDEN}@", text)
    lowered = text.lower()
    if any(hint in lowered for hint in _HINTS):
        text = _NAMED.sub(_hide_value, text)
    if "bearer" in lowered:
        text = _BEARER.sub(rf"\1{HIDDEN}", text)
    return text


def _cut_query(found: re.Match[str]) -> str:
    """Hide everything after the first question mark of a web address."""
    address, mark, query = found[0].partition("?")
    return f"{address}?{HIDDEN}" if query else address + mark


def _hide_query(found: re.Match[str]) -> str:
    """Hide what follows a question mark if it assigns anything; a plain question stays."""
    return found[1] + HIDDEN if _ASSIGNS.search(found[2]) else found[0]


def _hide_value(found: re.Match[str]) -> str:
    opening = (found["prefix"] or "") + (found["quote"] or "")
    return f"{found['name']}{found['between']}{opening}{HIDDEN}{found['closed'] or ''}"


_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class RedactingFilter(logging.Filter):
    """Redacts log records in place: message with its arguments, traceback, stack, extra text.

    Put it on handlers, or on a logger for what is logged with exactly that logger: Python does
    not apply a logger's filters to its children. Lets every record pass.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact ``record``; formatters of every kind then see redacted text only."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # arguments do not fit the message
            message = f"{record.msg} {record.args!r}"
        record.msg, record.args = redact(message), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = record.exc_text or "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            record.exc_info = None  # a formatter that renders it anew would show the secret again
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        for name, value in vars(record).items():
            if isinstance(value, str) and name not in _STANDARD_FIELDS:
                setattr(record, name, redact(value))
        return True
