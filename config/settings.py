"""Settings of the machine and the person, from the environment: where state is, who we are.

What a pipeline does is in its file; what differs from machine to machine, and every secret, is
here. A ``.env`` file in the working directory, or beside the state that is found above it, counts as
environment, and the environment proper comes first.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.available import LEDGERS, available_forms
from config.fields import Allowed, Folder, allowed_in
from config.home import default_home, env_files
from config.problems import explain_value, nearest, quoted, refuse_value
from tasks.domain.errors import InputInvalid

S = TypeVar("S", bound=BaseSettings)

_SOCKET = re.compile(r"(^|&)host=[^&]")
_ROBOFLOW_HOST = re.compile(r"(^|\.)roboflow\.(com|eu|one)$")


def _absolute(path: Path) -> Path:
    # Path keeps "..", and raises for the home of a user that does not exist.
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111


def _ledger_url(secret: SecretStr) -> SecretStr:
    """Accept the URL of a ledger that this version can open, with a relative path made absolute."""
    dialect, separator, rest = secret.get_secret_value().partition("://")
    driver = dialect.partition("+")[0]
    if not separator or driver not in LEDGERS:
        raise refuse_value("is not the URL of a ledger", suggestion=nearest(driver, LEDGERS))
    if not LEDGERS[driver]:
        raise refuse_value(f"is a {driver} ledger, which is not available in this version")
    if driver == "postgresql":
        return _database_url(secret, dialect)
    path = rest.removeprefix("/")
    if not rest.startswith("/") or path in ("", ":memory:"):
        raise refuse_value("names no file; a ledger in memory would forget what was paid for")
    return SecretStr(f"{dialect}:///{_absolute(Path(path))}")


def _database_url(secret: SecretStr, dialect: str) -> SecretStr:
    """Accept the URL of a PostgreSQL database as it is."""
    if dialect not in ("postgresql", "postgresql+psycopg"):
        raise refuse_value("names a driver that is not available in this version")
    spelling = refuse_value("cannot be read: write @ : / ? # in a password as %40 %3A %2F %3F %23")
    try:
        parts = urlsplit(secret.get_secret_value())
        host, port = parts.hostname or _SOCKET.search(parts.query), parts.port
    except ValueError:
        raise spelling from None
    # What stands behind a second @ would be taken for the host, and shown in messages.
    if parts.netloc.count("@") > 1 or "@" in parts.path or parts.fragment:
        raise spelling
    if not host or port == 0:
        raise refuse_value("names no host")
    if not parts.path.strip("/"):
        raise refuse_value("names no database")
    return secret


def _limit_name(name: str | None) -> str | None:
    # What Prefect takes for a name (its own rule for objects).
    if name is not None and re.search(r"[/%&><'\"]", name):
        raise refuse_value("is not a name that Prefect takes")
    return name


def _api_url(url: str) -> str:
    # No path: the official SDK, which looks models up, drops it and asks elsewhere.
    try:
        sound = re.fullmatch(r"https?://[^/@?#\s]+/?", url) and urlsplit(url).port != 0
    except ValueError:
        sound = False
    if not sound:
        raise refuse_value("is not the address of a server", hide=True)
    return url.rstrip("/")


def _cluster_address(address: str | None) -> str | None:
    if address is not None and not re.fullmatch(r"([a-z]+://)?[^/@?#\s]+:\d+/?", address):
        raise refuse_value("is not the address of a cluster", hide=True)
    return address


def _endpoint(url: str) -> str:
    """Accept the address of an API below a path."""
    try:
        sound = re.fullmatch(r"https?://[^/@?#\s]+/[^@?#\s]*", url) and urlsplit(url).port != 0
    except ValueError:
        sound = False
    if not sound:
        raise refuse_value("is not the address of an API", hide=True)
    return url.rstrip("/")


def _graphql(url: str) -> str:
    # The SDK makes the address of newer calls by replacing this end.
    if not url.endswith("/graphql"):
        raise refuse_value("does not end in /graphql", hide=True)
    return url


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _stripped(secret: SecretStr | None) -> SecretStr | None:
    # A key read from a file often has the file's last newline, and would be refused with it.
    text = secret.get_secret_value().strip() if secret else ""
    return SecretStr(text) if text else None


def _default_ledger(data: dict[str, Any]) -> SecretStr:
    return SecretStr(f"sqlite:///{data['home']}/ledger.db")


def _default_results(data: dict[str, Any]) -> str:
    return f"file://{data['home']}/results/"


class Settings(BaseSettings):
    """What the environment says. Make one with :meth:`load`."""

    # Field names are not read from the environment, only the aliases: HOME is not our home.
    model_config = SettingsConfigDict(
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Annotated[
        Path,
        AfterValidator(_absolute),
        Field(
            validation_alias="REELROUTE_HOME",
            default_factory=default_home,
            description="State: the ledger and, by default, results. Default: `.reelroute` here, or in the nearest "
            "folder above that has one.",
        ),
        Allowed("a folder"),
    ]
    ledger_url: Annotated[
        SecretStr,  # may hold a password
        AfterValidator(_ledger_url),
        Field(
            validation_alias="REELROUTE_LEDGER_URL",
            default_factory=_default_ledger,
            description="The ledger. Default: `ledger.db` in the home.",
        ),
        Allowed("sqlite:///path/to/ledger.db or postgresql://user:password@host/database"),
    ]
    results_url: Annotated[
        Folder,
        Field(
            validation_alias="REELROUTE_RESULTS_URL",
            default_factory=_default_results,
            description="Where each job's results JSON is kept, to be routed again. Default: `results/` in the home.",
        ),
        Allowed(available_forms()),
    ]
    roboflow_api_key: Annotated[
        SecretStr | None,
        AfterValidator(_stripped),
        Field(validation_alias="ROBOFLOW_API_KEY", description="Key of the workspace that owns the model."),
        Allowed("a key"),
    ] = None
    roboflow_api_url: Annotated[
        str,
        AfterValidator(_api_url),
        Field(validation_alias="ROBOFLOW_API_URL", description="Where Roboflow's API is, or a service of your own."),
        Allowed("http:// or https:// and a host, without path, user or query"),
    ] = "https://api.roboflow.com"
    lightly_token: Annotated[
        SecretStr | None,
        AfterValidator(_stripped),
        Field(validation_alias="LIGHTLY_TOKEN", description="Token of LightlyOne, for routes with `selection_run`."),
        Allowed("a token"),
    ] = None
    lightly_server_location: Annotated[
        str,
        AfterValidator(_api_url),
        Field(validation_alias="LIGHTLY_SERVER_LOCATION", description="Where LightlyOne's API is."),
        Allowed("http:// or https:// and a host, without path, user or query"),
    ] = "https://api.lightly.ai"
    labelbox_api_key: Annotated[
        SecretStr | None,
        AfterValidator(_stripped),
        Field(validation_alias="LABELBOX_API_KEY", description="Key of the workspace that predictions go to."),
        Allowed("a key"),
    ] = None
    labelbox_endpoint: Annotated[
        str,
        AfterValidator(_endpoint),
        AfterValidator(_graphql),
        Field(validation_alias="LABELBOX_ENDPOINT", description="Where Labelbox' GraphQL API is."),
        Allowed("http:// or https://, a host and a path that ends in /graphql, without user or query"),
    ] = "https://api.labelbox.com/graphql"
    labelbox_rest_endpoint: Annotated[
        str,
        AfterValidator(_endpoint),
        Field(validation_alias="LABELBOX_REST_ENDPOINT", description="Where Labelbox' REST API is."),
        Allowed("http:// or https://, a host and a path, without user or query"),
    ] = "https://api.labelbox.com/api/v1"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(_lower),
        Field(validation_alias="REELROUTE_LOG_LEVEL", description="How much is logged."),
        Allowed("debug, info, warning, error"),
    ] = "info"
    prefect_limit: Annotated[
        str | None,
        AfterValidator(_limit_name),
        Field(
            validation_alias="REELROUTE_PREFECT_LIMIT",
            description="A global concurrency limit of Prefect; each run holds one of its slots while it submits.",
        ),
        Allowed("the name of a limit, without / % & > < or quotes"),
    ] = None
    log_format: Annotated[
        Literal["text", "json"],
        BeforeValidator(_lower),
        Field(
            validation_alias="REELROUTE_LOG_FORMAT",
            description="How the log is written: for people, or one JSON object per line on stderr.",
        ),
        Allowed("text, json"),
    ] = "text"
    prune_weekly: Annotated[
        bool,
        Field(
            validation_alias="REELROUTE_PRUNE_WEEKLY", description="Whether `deploy` schedules the deployment `prune`."
        ),
        Allowed("true, false"),
    ] = True
    metrics_key: Annotated[
        SecretStr | None,
        AfterValidator(_stripped),
        Field(
            validation_alias="REELROUTE_METRICS_KEY",
            description="Bearer token that `/metrics` of `serve metrics` and `serve events` asks for.",
        ),
        Allowed("a key"),
    ] = None

    task_runner: Annotated[
        Literal["pool", "dask", "ray"],
        BeforeValidator(_lower),
        Field(
            validation_alias="REELROUTE_TASK_RUNNER",
            description="Who takes the shards of a large run: workers of the work pool, or a Dask or Ray cluster.",
        ),
        Allowed("pool, dask, ray"),
    ] = "pool"
    cluster_address: Annotated[
        str | None,
        AfterValidator(_cluster_address),
        Field(
            validation_alias="REELROUTE_CLUSTER_ADDRESS",
            description="Where that cluster is. Without it, each large run starts one of its machine's own cores.",
        ),
        Allowed("tcp://scheduler:8786 or ray://head:10001, without user, path or query"),
    ] = None
    shard_above: Annotated[
        int,
        Field(
            ge=1,
            validation_alias="REELROUTE_SHARD_ABOVE",
            description="A run that submits more videos than this shares them with the workers of a Prefect server.",
        ),
        Allowed("a whole number from 1 up"),
    ] = 1000
    shard_size: Annotated[
        int,
        Field(ge=1, validation_alias="REELROUTE_SHARD_SIZE", description="How many videos a worker takes at a time."),
        Allowed("a whole number from 1 up"),
    ] = 500
    detail: Annotated[
        Literal["video", "batch"],
        BeforeValidator(_lower),
        Field(
            validation_alias="REELROUTE_DETAIL",
            description="What Prefect shows: a task run per video, or one for all of them and a table.",
        ),
        Allowed("video, batch"),
    ] = "video"

    @classmethod
    def load(cls) -> Settings:
        """Read the settings; tell every mistake in them at once.

        Raises:
            InputInvalid: A variable has a value that cannot be. The message names the variable,
                its value unless that may be secret, and what is allowed.
        """
        return read_environment(cls)

    def service_for(self, backend: str) -> str | None:
        """Return the base URL of a backend's service, or None where a run has to start its own.

        ``ROBOFLOW_API_URL`` can also name a service of one's own for ``local``. It never does if
        it is an address of Roboflow's: people choose ``local`` to keep their footage.
        """
        if backend != "local":
            return self.roboflow_api_url
        host = urlsplit(self.roboflow_api_url).hostname or ""
        host = host.rstrip(".")  # the same host, written as DNS does
        return None if _ROBOFLOW_HOST.search(host) else self.roboflow_api_url


def read_environment(settings: type[S], **given: Any) -> S:
    """Make settings of the environment; what is ``given``, by variable, comes before it.

    Raises:
        InputInvalid: As :meth:`Settings.load`.
    """
    try:
        return settings(_env_file=env_files(), **given)
    except ValidationError as error:
        found = [_explained(detail, settings) for detail in error.errors(include_url=False)]
        raise InputInvalid("\n".join(text for text in found if text)) from None
    except UnicodeDecodeError:
        raise InputInvalid(f"{' or '.join(map(str, env_files()))} is not UTF-8 text") from None


def _explained(detail: ErrorDetails, settings: type[BaseSettings]) -> str:
    """One mistake in words; "" for one that only follows from another."""
    if detail["type"] == "default_factory_not_called":
        return ""
    variable = str(detail["loc"][0])
    fields = {str(info.validation_alias): name for name, info in settings.model_fields.items()}
    field = fields[variable]
    secret = "SecretStr" in str(settings.model_fields[field].annotation)
    shown = "its value" if secret else quoted(str(detail["input"]))
    message, allowed, suggestion = explain_value(detail, shown)
    meant = f"; did you mean '{suggestion}'?" if suggestion else ""
    return f"{variable}: {message}{meant}\n    allowed: {allowed or allowed_in(settings, field)}"
