"""Sources of a pipeline: where videos are listed and which of them count, as the file says it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from config.access import Account, Credentials, EndpointUrl
from config.available import available_forms
from config.fields import Allowed, Glob, PositiveDuration, Section, Size, SourceLocation, not_empty
from config.problems import refuse_value
from config.units import DURATIONS, GLOBS, SIZES


class Source(Section):
    """A place where videos are listed."""

    uri: Annotated[SourceLocation, Field(description="Folder or prefix to list."), Allowed(available_forms())]
    include: Annotated[
        tuple[Glob, ...],
        AfterValidator(not_empty),
        Field(description="Only keys that match one of these. Default: every known video suffix, in any case."),
        Allowed(f"a list of {GLOBS}"),
    ] = ()
    exclude: Annotated[tuple[Glob, ...], Field(description="And none of these."), Allowed(f"a list of {GLOBS}")] = ()
    modified_within: Annotated[
        PositiveDuration | None, Field(description="Only videos changed this recently."), Allowed(DURATIONS)
    ] = None
    min_size: Annotated[Size | None, Field(description="Only videos at least this large."), Allowed(SIZES)] = None
    max_size: Annotated[Size | None, Field(description="Only videos at most this large."), Allowed(SIZES)] = None
    credentials: Credentials = None
    endpoint_url: EndpointUrl = None
    account: Account = None

    @property
    def location(self) -> str:
        """Where videos are listed."""
        return self.uri

    @field_validator("max_size")
    @classmethod
    def _sizes_leave_room(cls, size: int | None, info: ValidationInfo) -> int | None:
        if size is not None and size < (info.data.get("min_size") or 0):
            raise refuse_value("is less than min_size, which leaves no videos")
        return size
