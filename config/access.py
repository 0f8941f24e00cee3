"""The three keys that say how a store is reached, which sources and routes share.

They stand beside a location and are refused where its kind of store has no use for them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from config.available import SCHEMES
from config.fields import Allowed, like
from config.problems import refuse

# The keys that hold a location; in a section they come before the three.
LOCATIONS = ("uri", "datasource")


def _means_something_here(value: str | None, info: ValidationInfo) -> str | None:
    location = next((str(info.data[key]) for key in LOCATIONS if info.data.get(key)), "")
    scheme = location.partition("://")[0]
    if value is not None and scheme and info.field_name not in SCHEMES[scheme].options:
        raise refuse(f"'{info.field_name}' means nothing to a {scheme}:// location; leave it out")
    return value


# These are where keys get pasted by mistake, so what is wrong here is not shown.
Credentials = Annotated[
    Annotated[str, like(r"[a-z0-9-]+", "is not the name of a Prefect block", hide=True)] | None,
    AfterValidator(_means_something_here),
    Field(description="A Prefect credentials block, for s3, gs, az. Default: the SDK's own chain."),
    Allowed("the name of a Prefect block: lower-case letters, digits and '-'"),
]
EndpointUrl = Annotated[
    Annotated[str, like(r"https?://[^@?#\s]+", "is not a plain address", hide=True)] | None,
    AfterValidator(_means_something_here),
    Field(description="Another endpoint than the cloud's own, for s3, gs, az."),
    Allowed("an http:// or https:// address without user, password or query"),
]
Account = Annotated[
    Annotated[str, like(r"[a-z0-9]{3,24}", "is not a storage account", hide=True)] | None,
    AfterValidator(_means_something_here),
    Field(description="The storage account, for az."),
    Allowed("3 to 24 lower-case letters and digits"),
]
