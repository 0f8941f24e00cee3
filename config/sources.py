"""Sources of a pipeline: where videos are listed and which of them count, as the file says it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from config.available import SCHEMES, available_forms
from config.fields import Allowed, Glob, PositiveDuration, Section, Size, SourceLocation, like, not_empty
from config.problems import refuse, refuse_value
from config.units import DURATIONS, GLOBS, SIZES


class Source(Section):
    """A place where videos are listed."""

    uri: Annotated[SourceLocation, Field(description="Folder or prefix to list."), Allowed(available_forms())]
    include: Annotated[
        tuple[Glob, ...],
        AfterValidator(not_empty),
        Field(description="Only keys that match one of these. Default: every known video suffix."),
        Allowed(f"a list of {GLOBS}"),
    ] = ()
    exclude: Annotated[tuple[Glob, ...], Field(description="And none of these."), Allowed(f"a list of {GLOBS}")] = ()
    modified_within: Annotated[
        PositiveDuration | None, Field(description="Only videos changed this recently."), Allowed(DURATIONS)
    ] = None
    min_size: Annotated[Size | None, Field(description="Only videos at least this large."), Allowed(SIZES)] = None
    max_size: Annotated[Size | None, Field(description="Only videos at most this large."), Allowed(SIZES)] = None
    # These three are where keys get pasted by mistake, so what is wrong here is not shown.
    credentials: Annotated[
        Annotated[str, like(r"[a-z0-9-]+", "is not the name of a Prefect block", hide=True)] | None,
        Field(description="A Prefect credentials block, for s3, gs, az. Default: the SDK's own chain."),
        Allowed("the name of a Prefect block: lower-case letters, digits and '-'"),
    ] = None
    endpoint_url: Annotated[
        Annotated[str, like(r"https?://[^@?#\s]+", "is not a plain address", hide=True)] | None,
        Field(description="Another endpoint than the cloud's own, for s3, gs, az."),
        Allowed("an http:// or https:// address without user, password or query"),
    ] = None
    account: Annotated[
        Annotated[str, like(r"[a-z0-9]{3,24}", "is not a storage account", hide=True)] | None,
        Field(description="The storage account, for az."),
        Allowed("3 to 24 lower-case letters and digits"),
    ] = None

    @field_validator("max_size")
    @classmethod
    def _sizes_leave_room(cls, size: int | None, info: ValidationInfo) -> int | None:
        if size is not None and size < (info.data.get("min_size") or 0):
            raise refuse_value("is less than min_size, which leaves no videos")
        return size

    @field_validator("credentials", "endpoint_url", "account")
    @classmethod
    def _means_something_here(cls, value: str | None, info: ValidationInfo) -> str | None:
        scheme = str(info.data.get("uri", "")).partition("://")[0]
        if value is not None and scheme and info.field_name not in SCHEMES[scheme].options:
            raise refuse(f"'{info.field_name}' means nothing to a {scheme}:// source; leave it out")
        return value
