"""Settings from the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.settings import Settings
from tasks.domain.errors import InputInvalid


@pytest.fixture(autouse=True)
def _nothing_set(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for info in Settings.model_fields.values():
        monkeypatch.delenv(str(info.validation_alias), raising=False)


def load(monkeypatch: pytest.MonkeyPatch, **env: str) -> Settings:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def refusal(monkeypatch: pytest.MonkeyPatch, **env: str) -> str:
    with pytest.raises(InputInvalid) as caught:
        load(monkeypatch, **env)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_nothing_needs_to_be_set(here: Path) -> None:
    """State is in the working directory; there is no key."""
    settings = Settings.load()
    assert here / ".reelroute" == settings.home
    assert f"sqlite:///{here}/.reelroute/ledger.db" == settings.ledger_url.get_secret_value()
    assert f"file://{here}/.reelroute/results/" == settings.results_url
    assert (None, "https://api.roboflow.com", "info") == (
        settings.roboflow_api_key,
        settings.roboflow_api_url,
        settings.log_level,
    )


def test_ledger_and_results_follow_the_home(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One variable moves all state, and the same folder is meant from anywhere."""
    settings = load(monkeypatch, REELROUTE_HOME="state/../state")
    assert here / "state" == settings.home
    assert f"sqlite:///{here}/state/ledger.db" == settings.ledger_url.get_secret_value()
    assert f"file://{here}/state/results/" == settings.results_url


def test_each_variable_is_read(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name that is documented."""
    settings = load(
        monkeypatch,
        REELROUTE_HOME="/state",
        REELROUTE_LEDGER_URL="sqlite:///ledgers/a.db",
        REELROUTE_RESULTS_URL="out",
        ROBOFLOW_API_KEY="rf_key\n",
        ROBOFLOW_API_URL="https://api.roboflow.eu/",
        REELROUTE_LOG_LEVEL="DEBUG",
        REELROUTE_LOG_FORMAT="JSON",
        REELROUTE_METRICS_KEY="m_key\n",
    )
    assert Path("/state") == settings.home
    assert f"sqlite:///{here}/ledgers/a.db" == settings.ledger_url.get_secret_value()
    assert f"file://{here}/out/" == settings.results_url
    assert settings.roboflow_api_key is not None
    assert "rf_key" == settings.roboflow_api_key.get_secret_value()
    assert ("https://api.roboflow.eu", "debug") == (settings.roboflow_api_url, settings.log_level)
    assert "json" == settings.log_format
    assert settings.metrics_key is not None
    assert "m_key" == settings.metrics_key.get_secret_value()


def test_the_home_folder_of_the_user_is_not_ours(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME is set on every machine; only REELROUTE_HOME counts."""
    assert here / ".reelroute" == load(monkeypatch, HOME="/home/ann", LOG_LEVEL="x", LEDGER_URL="x").home


def test_a_tilde_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """A .env file has no shell to expand it."""
    assert Path("/home/ann/rr") == load(monkeypatch, HOME="/home/ann", REELROUTE_HOME="~/rr").home


def test_a_user_who_does_not_exist_has_no_home(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a shell, the text then stays."""
    assert here / "~nosuchuser" == load(monkeypatch, REELROUTE_HOME="~nosuchuser").home


def test_labelbox_is_found_where_the_settings_say(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own addresses unless others are given; a key loses its newline, and is not shown."""
    plain = load(monkeypatch)
    assert ("https://api.labelbox.com/graphql", "https://api.labelbox.com/api/v1", None) == (
        plain.labelbox_endpoint,
        plain.labelbox_rest_endpoint,
        plain.labelbox_api_key,
    )
    other = load(monkeypatch, LABELBOX_API_KEY="lb_key\n", LABELBOX_ENDPOINT="http://127.0.0.1:5/graphql/")
    assert other.labelbox_api_key is not None
    assert "lb_key" == other.labelbox_api_key.get_secret_value()
    assert "http://127.0.0.1:5/graphql" == other.labelbox_endpoint
    assert "lb_key" not in repr(other)


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_key_is_no_key(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """CI systems set what they lack to nothing."""
    assert load(monkeypatch, ROBOFLOW_API_KEY=value).roboflow_api_key is None


def test_an_empty_variable_counts_as_unset(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so gives its default."""
    settings = load(monkeypatch, REELROUTE_HOME="", REELROUTE_LOG_LEVEL="", REELROUTE_LEDGER_URL="")
    assert (here / ".reelroute", "info") == (settings.home, settings.log_level)


def test_a_dotenv_file_counts_where_the_environment_is_silent(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And other programs' lines in it are left to them."""
    lines = "REELROUTE_LOG_LEVEL=error\nROBOFLOW_API_KEY='from file'\nOTHER_THING=5\nREELROUTE_HOME=/from-file\n"
    (here / ".env").write_text(lines, encoding="utf-8")
    settings = load(monkeypatch, REELROUTE_HOME="/from-env")
    assert (Path("/from-env"), "error") == (settings.home, settings.log_level)
    assert settings.roboflow_api_key is not None
    assert "from file" == settings.roboflow_api_key.get_secret_value()


def test_a_dotenv_file_that_is_no_text_is_told(here: Path) -> None:
    """No UnicodeDecodeError gets out."""
    (here / ".env").write_bytes(b"ROBOFLOW_API_KEY=\xff\n")
    with pytest.raises(InputInvalid, match=r"\.env is not UTF-8 text"):
        Settings.load()


def test_no_secret_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a repr nor in a dump for a log."""
    settings = load(monkeypatch, ROBOFLOW_API_KEY="hunter2", REELROUTE_LEDGER_URL="sqlite:///hunter2.db")
    assert "hunter2" not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hunter2@db.example:5433/reelroute?sslmode=verify-full",
        "postgresql+psycopg://ann:p%40%2F@[::1]/reelroute",
        "postgresql://ann@db/reelroute",
        "postgresql:///reelroute?host=/var/run/postgresql",
    ],
)
def test_a_database_s_url_is_kept_as_it_is_written(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """With or without a password, which does not show."""
    settings = load(monkeypatch, REELROUTE_LEDGER_URL=url)
    assert url == settings.ledger_url.get_secret_value()
    assert "hunter2" not in f"{settings} {settings!r} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("REELROUTE_LEDGER_URL", "ledger.db", "its value is not the URL of a ledger"),
        ("REELROUTE_LEDGER_URL", "sqlit:///a.db", "did you mean 'sqlite'?"),
        ("REELROUTE_LEDGER_URL", "sqlite://", "its value names no file"),
        ("REELROUTE_LEDGER_URL", "sqlite:///", "its value names no file"),
        ("REELROUTE_LEDGER_URL", "sqlite:///:memory:", "its value names no file"),
        ("REELROUTE_LEDGER_URL", "sqlite://relative.db", "its value names no file"),
        ("REELROUTE_LEDGER_URL", "postgres://u:hunter2@h/db", "did you mean 'postgresql'?"),
        ("REELROUTE_LEDGER_URL", "postgresql+pg8000://u:hunter2@h/db", "a driver that is not available"),
        ("REELROUTE_LEDGER_URL", "postgresql://", "its value names no host"),
        ("REELROUTE_LEDGER_URL", "postgresql:///db", "its value names no host"),
        ("REELROUTE_LEDGER_URL", "postgresql://u:hunter2@/db", "its value names no host"),
        ("REELROUTE_LEDGER_URL", "postgresql://u:hunter2@h:0/db", "its value names no host"),
        ("REELROUTE_LEDGER_URL", "postgresql://u:hunter2@h", "its value names no database"),
        ("REELROUTE_LEDGER_URL", "postgresql://u:hunter2@h/?sslmode=x", "its value names no database"),
        ("REELROUTE_LEDGER_URL", "postgresql://u:hunter2@h:port/db", "its value cannot be read"),
        ("REELROUTE_LEDGER_URL", "postgresql://u:p@hunter2@h/db", "its value cannot be read"),
        ("REELROUTE_LEDGER_URL", "postgresql://u:p/hunter2@h/db", "its value cannot be read"),
        ("REELROUTE_LEDGER_URL", "postgresql://u/hunter2@h/db", "its value cannot be read"),
        ("REELROUTE_LEDGER_URL", "postgresql://u:p#hunter2@h/db", "its value"),
        ("REELROUTE_LEDGER_URL", "mysql://u:hunter2@h/db", "its value is not the URL of a ledger"),
        ("REELROUTE_RESULTS_URL", "s4://bucket/x", "is not in a kind of store that reelroute knows"),
        ("REELROUTE_RESULTS_URL", "s3://k:hunter2@bucket/x", "the value has more than a name"),
        ("REELROUTE_PREFECT_LIMIT", "a/b", "'a/b' is not a name that Prefect takes"),
        ("ROBOFLOW_API_URL", "api.roboflow.com", "the value is not the address of a server"),
        ("ROBOFLOW_API_URL", "https://api.roboflow.com/v1", "the value is not the address of a server"),
        ("ROBOFLOW_API_URL", "https://api.roboflow.com?api_key=hunter2", "the value is not the address of a server"),
        ("ROBOFLOW_API_URL", "https://u:hunter2@host", "the value is not the address of a server"),
        ("ROBOFLOW_API_URL", "http://host:port", "the value is not the address of a server"),
        ("ROBOFLOW_API_URL", "http://host:70000", "the value is not the address of a server"),
        ("ROBOFLOW_API_URL", "http://[::1", "the value is not the address of a server"),
        ("LABELBOX_ENDPOINT", "https://api.labelbox.com", "the value is not the address of an API"),
        ("LABELBOX_ENDPOINT", "https://u:hunter2@api.labelbox.com/graphql", "the value is not the address of an API"),
        ("LABELBOX_ENDPOINT", "https://api.labelbox.com/v1", "the value does not end in /graphql"),
        ("LABELBOX_REST_ENDPOINT", "api.labelbox.com/api/v1", "the value is not the address of an API"),
        ("REELROUTE_LOG_LEVEL", "verbos", "'verbos' is not one of the allowed values"),
        ("REELROUTE_LOG_LEVEL", "infos", "did you mean 'info'?"),
    ],
)
def test_a_bad_value_is_told(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str) -> None:
    """The variable, its value where that is no secret, and what is allowed."""
    text = refusal(monkeypatch, **{variable: value})
    assert text.startswith(f"{variable}: ")
    assert expected in text
    assert "\n    allowed: " in text
    assert "hunter2" not in text


def test_all_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round of corrections."""
    text = refusal(monkeypatch, REELROUTE_LOG_LEVEL="loud", REELROUTE_RESULTS_URL="gcs://b", ROBOFLOW_API_URL="x")
    assert ["REELROUTE_RESULTS_URL", "ROBOFLOW_API_URL", "REELROUTE_LOG_LEVEL"] == [
        line.partition(":")[0] for line in text.splitlines() if not line.startswith(" ")
    ]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.roboflow.com", None),
        ("https://api.roboflow.eu", None),
        ("https://API.ROBOFLOW.ONE:443", None),
        ("https://api.roboflow.com.", None),
        ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
        ("http://[::1]:9001", "http://[::1]:9001"),
        ("https://inference.acme.example", "https://inference.acme.example"),
        ("https://notroboflow.com", "https://notroboflow.com"),
    ],
)
def test_local_never_means_an_address_of_roboflows(
    monkeypatch: pytest.MonkeyPatch, url: str, expected: str | None
) -> None:
    """People choose `local` to keep their footage; a service of their own may be elsewhere."""
    settings = load(monkeypatch, ROBOFLOW_API_URL=url)
    assert expected == settings.service_for("local")
    assert url == settings.service_for("roboflow")


def test_the_home_is_found_from_any_folder_of_the_project(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest one, with its ledger and the `.env` beside it; a folder of its own comes first."""
    deep = here / "footage" / "2026"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert deep / ".reelroute" == Settings.load().home

    (here / ".reelroute").mkdir()
    (here / ".env").write_text("REELROUTE_LOG_LEVEL=error\n", encoding="utf-8")
    found = Settings.load()
    assert (here / ".reelroute", "error") == (found.home, found.log_level)
    assert f"sqlite:///{here}/.reelroute/ledger.db" == found.ledger_url.get_secret_value()
    (deep / ".env").write_text("REELROUTE_LOG_LEVEL=debug\n", encoding="utf-8")
    assert "debug" == Settings.load().log_level

    (deep / ".reelroute").mkdir()
    assert deep / ".reelroute" == Settings.load().home
    assert Path("/elsewhere") == load(monkeypatch, REELROUTE_HOME="/elsewhere").home


def test_somebody_elses_home_above_is_not_taken(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all may write, anybody could put one, or settings beside ours."""
    (here / ".reelroute").mkdir()
    (here / ".env").write_text("REELROUTE_LOG_LEVEL=error\n", encoding="utf-8")
    (here / "mine").mkdir()
    monkeypatch.chdir(here / "mine")
    stat = Path.stat
    others = {here / ".env"}

    def owned(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = stat(path, follow_symlinks=follow_symlinks)
        return os.stat_result((*found[:4], found.st_uid + (path in others), *found[5:]))

    monkeypatch.setattr(Path, "stat", owned)
    assert (here / ".reelroute", "info") == (Settings.load().home, Settings.load().log_level)
    others.add(here / ".reelroute")
    assert here / "mine" / ".reelroute" == Settings.load().home
