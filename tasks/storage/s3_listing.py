"""Read pages of ListObjectsV2 at a fraction of botocore's CPU; it keeps signing, retries and errors.

botocore parses dates with dateutil and walks a model for every field, which is most of what a
listing costs. Here the objects are cut out of a page before botocore parses it; the small rest,
with the token of the next page, goes its usual way.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from botocore.handlers import BUILTIN_HANDLERS
from botocore.model import OperationModel

_BEFORE_PARSE = "before-parse.s3.*"
_USUAL_CLASS = "STANDARD"
_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})


def parse_fast(client: Any) -> None:
    """Make the client give the objects of a listing as flat dicts of text, keyed as S3 names the elements."""
    events = client.meta.events
    # botocore looks for errors in answers of status 200 by parsing all of each: it gets what is left of a page.
    others = [handler for event, handler, *_ in BUILTIN_HANDLERS if event == _BEFORE_PARSE]
    for handler in others:
        events.unregister(_BEFORE_PARSE, handler)
    for handler in (_cut_objects_out, *others):
        events.register_first(_BEFORE_PARSE, handler)


def _cut_objects_out(
    operation_model: OperationModel,
    response_dict: dict[str, Any],
    customized_response_dict: dict[str, Any],
    **_: object,
) -> None:
    if operation_model.name != "ListObjectsV2" or response_dict["status_code"] != 200:
        return
    try:
        page = ET.fromstring(response_dict["body"])  # noqa: S314 - as botocore would; expat bounds expansion
    except ET.ParseError:
        return  # botocore finds the same, and tries again
    namespace = page.tag.rpartition("ListBucketResult")[0]
    contents = f"{namespace}Contents"
    start = len(namespace)
    objects: list[dict[str, str]] = []
    rest = []
    for element in page:
        if element.tag == contents:
            objects.append({field.tag[start:]: field.text or "" for field in element.iter()})
        else:
            rest.append(element)
    page[:] = rest
    response_dict["body"] = ET.tostring(page)
    if objects:
        # botocore's own handler decodes their keys afterwards.
        customized_response_dict["Contents"] = objects


def listed_moment(text: str) -> datetime:
    """Read a listing's time, to the second: all that a HEAD tells, and the two have to agree."""
    return datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0)


def class_and_archived(storage_class: str, *, restored: bool) -> tuple[str, bool]:
    """Name the storage class ("" for the usual one), and whether the object must be restored first."""
    shown = "" if storage_class == _USUAL_CLASS else storage_class
    return shown, shown in _ARCHIVES and not restored
