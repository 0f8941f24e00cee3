"""Locations as people write them, made into the URIs that the rest of reelroute uses.

URIs are ``scheme://container/key`` with the key verbatim: never percent-encoded, so a folder
named ``a%20b`` is written just so. Only text is looked at; whether a place exists is asked when it
is used.
"""

from __future__ import annotations

import os.path
import re
from datetime import date

from config.available import SCHEMES, available_forms
from config.problems import nearest, refuse, refuse_value

PLACEHOLDERS = ("date", "pipeline")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?P<slashes>//)?")


def read_folder(text: str) -> str:
    """Return the URI of a folder, with its trailing slash.

    Plain paths are taken relative to the working directory and become ``file://`` URIs.
    """
    uri = _read_uri(text)
    return uri if uri.endswith("/") else f"{uri}/"


def read_source_location(text: str) -> str:
    """As :func:`read_folder`, but a key prefix in a bucket is left as it is.

    ``s3://bucket/2026/match-`` lists ``match-1.mp4`` too. Placeholders mean nothing in a source
    and are refused.
    """
    for name in PLACEHOLDERS:
        if f"{{{name}}}" in text:
            raise refuse_value("has a placeholder; only routes have them", allowed=available_forms())
    return _read_uri(text)


def read_route_location(text: str) -> str:
    """As :func:`read_folder`, with ``{date}`` and ``{pipeline}`` left in place."""
    return read_folder(check_template(text))


def _read_uri(text: str) -> str:
    if not text.strip():
        raise refuse_value("is empty", allowed=available_forms())
    if _CONTROL.search(text):
        raise refuse_value("has control characters", allowed=available_forms())
    match = _SCHEME.match(text)
    if match is None:
        return _file_uri(text)
    scheme = match[1]
    if scheme not in SCHEMES:
        meant = nearest(scheme, SCHEMES)
        raise refuse_value(
            "is not in a kind of store that reelroute knows",
            allowed=available_forms(),
            suggestion=meant and f"{meant}://…",
            hide=scheme.lower() in ("http", "https"),  # a pasted address is often a signed one
        )
    if not match["slashes"]:
        raise refuse_value("lacks the // of a URI", allowed=SCHEMES[scheme].form)
    rest = text[match.end() :]
    return _file_uri_of(rest) if scheme == "file" else _cloud_uri(scheme, rest)


def _file_uri_of(rest: str) -> str:
    if not rest.startswith("/"):
        raise refuse_value(
            "is not an absolute path: a relative one is written without file://",
            allowed=available_forms(),
            suggestion=rest,
        )
    return _file_uri(rest)


def _file_uri(path: str) -> str:
    # normpath keeps two leading slashes, which POSIX lets mean something else.
    absolute = os.path.abspath(os.path.expanduser(path)).lstrip("/")  # noqa: PTH100, PTH111 - Path keeps ".."
    return f"file:///{absolute}/" if absolute else "file:///"


def _cloud_uri(scheme: str, rest: str) -> str:
    container = rest.split("/", 1)[0]
    if "@" in container or ":" in container:
        raise refuse_value("has more than a name before the first /: keys do not belong in a URI", hide=True)
    if not container:
        raise refuse_value("names no bucket or container", allowed=SCHEMES[scheme].form)
    if not SCHEMES[scheme].available:
        raise refuse(f"{scheme}:// is not available in this version", allowed=available_forms())
    return f"{scheme}://{rest}"


def check_template(text: str) -> str:
    """Return the text if every brace in it belongs to a known placeholder."""
    allowed = "the placeholders " + " and ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    for name in _PLACEHOLDER.findall(text):
        if name not in PLACEHOLDERS:
            meant = nearest(name, PLACEHOLDERS)
            raise refuse_value(
                f"has the unknown placeholder '{name}'", allowed=allowed, suggestion=meant and f"{{{meant}}}"
            )
    if re.search(r"[{}]", _PLACEHOLDER.sub("", text)):
        raise refuse_value("has a brace without its partner", allowed=allowed)
    return text


def expand(template: str, day: date, pipeline: str) -> str:
    """Fill in ``{date}`` (as 2026-01-31) and ``{pipeline}`` of a checked template."""
    return template.replace("{date}", day.isoformat()).replace("{pipeline}", pipeline)
