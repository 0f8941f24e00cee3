"""The image and the compose file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from config.event_settings import EventSettings
from tests.shipping.files import (
    COMPOSE,
    DEPLOYMENTS,
    ROOT,
    assert_known_command,
    compose,
    environment,
    filled_in,
    tool,
    variables,
)

DOCKERFILE = DEPLOYMENTS / "docker" / "Dockerfile"
EXAMPLE = DEPLOYMENTS / "docker" / ".env.example"
EVENTS_EXAMPLE = DEPLOYMENTS / "docker" / "events.env.example"
SERVICES: dict[str, dict[str, Any]] = compose()["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "postgres"}


def test_the_linter_of_dockerfiles_has_nothing_to_say() -> None:
    """Nothing is ignored, in the file or here."""
    linted = tool("hadolint", "--no-fail", "--failure-threshold", "style", DOCKERFILE)

    assert (0, "") == (linted.returncode, linted.stdout + linted.stderr)
    assert "hadolint" not in DOCKERFILE.read_text()


def test_the_image_is_not_root_and_says_whether_it_is_well() -> None:
    """By a number, which Kubernetes can check."""
    text = DOCKERFILE.read_text()
    last = text[text.rindex("FROM ") :]

    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "--require-hashes" in text
    assert "ENTRYPOINT" not in text  # Prefect's workers give the whole command


def test_what_is_copied_into_the_image_is_let_through() -> None:
    """And nothing that is secret or large: the context is closed but for a few names."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    sources = {source.split("/")[0] for line in copied for source in line.split()}

    assert "*" in ignored
    assert {"pyproject.toml", "config", "tasks", "flows", "deployments"} <= sources
    assert set() == sources - {line[1:] for line in ignored if line.startswith("!")}
    assert ignored.index("**/.env") > ignored.index("!deployments")
    assert all((ROOT / source).exists() for source in sources)


def test_the_image_has_the_tested_versions_and_nothing_for_developers() -> None:
    """Its lock is a part of the project's lock, hash by hash."""

    def packages(text: str) -> dict[str, set[str]]:
        found = re.findall(r"(?m)^([a-z0-9][^ ]*==[^ ]+)[^\n]*\\\n((?:    --hash=\S+(?: \\)?\n)+)", text + "\n")
        return {name: set(re.findall(r"sha256:\w+", hashes)) for name, hashes in found}

    image = packages((DEPLOYMENTS / "docker" / "requirements.lock").read_text())
    tested = packages((ROOT / "requirements.lock").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[<>=~ ]", wanted)[0].lower() for wanted in requirements}

    runtime, dev = names(project["dependencies"]), names(project["optional-dependencies"]["dev"])
    here = {name.split("==")[0] for name in image}
    assert {} == {name: hashes for name, hashes in image.items() if tested.get(name) != hashes}
    assert set() == runtime - here
    assert {"setuptools"} == dev & here - runtime  # it builds our package, and is removed again


def test_the_compose_file_is_one() -> None:
    """By the compose specification's own schema."""
    checked = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)

    assert 0 == checked.returncode, checked.stdout


def test_all_that_the_documents_promise_is_started() -> None:
    """One command for everything, and each in its order."""
    assert {"postgres", "server", "deploy", "worker", "events", "inference"} == set(SERVICES)
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)


@pytest.mark.parametrize("name", [name for name in OURS if "reelroute" == OURS[name]["command"][0]])
def test_commands_exist(name: str) -> None:
    """A file that is copied must not name yesterday's options."""
    assert_known_command(OURS[name]["command"])


@pytest.mark.parametrize("name", OURS)
def test_containers_can_do_no_more_than_they_must(name: str) -> None:
    """Nothing is gained, nothing is written but state."""
    service = OURS[name]

    assert (True, ["ALL"]) == (service["read_only"], service["cap_drop"])
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert "privileged" not in service
    written = [volume for volume in service.get("volumes", ()) if not volume.endswith(":ro")]
    assert all(volume.endswith(":/var/lib/reelroute") for volume in written)


@pytest.mark.parametrize("name", SERVICES)
def test_containers_take_no_more_than_they_are_given(name: str) -> None:
    """Memory, processes and files have limits; a core dump would hold keys."""
    service = SERVICES[name]

    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert 512 == service["pids_limit"]
    assert {"core": 0, "nofile": 8192} == service["ulimits"]


def test_base_images_are_named_by_digest() -> None:
    """A tag may be another image tomorrow; the builder's own syntax image would be one more."""
    pinned = re.compile(r"[a-z]+:[0-9.]+-[a-z-]+@sha256:[0-9a-f]{64}")
    text = DOCKERFILE.read_text()
    (image,) = re.findall(r"(?m)^ARG PYTHON_IMAGE=(.+)$", text)

    assert pinned.fullmatch(image)
    assert {"${PYTHON_IMAGE}"} == set(re.findall(r"(?m)^FROM (\S+)", text))
    assert "# syntax" not in text
    assert pinned.fullmatch(SERVICES["postgres"]["image"])


def test_the_container_that_strangers_reach_has_no_key_but_its_own() -> None:
    """None of .env by the dozen: what it needs is named, and its queues are in a file of its own."""
    events = SERVICES["events"]
    example = EVENTS_EXAMPLE.read_text()

    assert [{"path": "events.env", "required": False}] == events["env_file"]
    assert {
        "PREFECT_API_URL",
        "PREFECT_API_AUTH_STRING",
        "REELROUTE_LEDGER_URL",
        "REELROUTE_EVENTS_KEY",
        "REELROUTE_METRICS_KEY",
        "REELROUTE_HEALTH_URL",
    } == set(events["environment"])
    assert {} == environment(EVENTS_EXAMPLE)
    # Every setting of senders and queues that has no other place.
    wanted = {str(field.validation_alias) for field in EventSettings.model_fields.values()}
    named = set(re.findall(r"(?m)^# (REELROUTE_EVENTS_[A-Z_]+)=", example))
    assert named <= wanted
    assert {name for name in wanted if re.search("QUEUES|SUBSCRIPTIONS|SNS|PUBSUB|AZURE", name)} == named
    for ignore in (ROOT / ".gitignore", ROOT / ".dockerignore"):
        assert any(line.endswith("events.env") for line in ignore.read_text().splitlines())


def test_the_worker_has_no_key_of_the_services_beside() -> None:
    """It runs pipelines, which may name any variable of .env but those that open what is around them."""
    worker = SERVICES["worker"]
    runs_need = {"PREFECT_API_AUTH_STRING", "REELROUTE_LEDGER_URL", "ROBOFLOW_API_KEY"}

    assert [".env"] == worker["env_file"]
    beside = set(environment(EXAMPLE)) - runs_need
    assert {"POSTGRES_PASSWORD", "PREFECT_AUTH_STRING", "REELROUTE_EVENTS_KEY", "REELROUTE_METRICS_KEY"} == beside
    assert dict.fromkeys(beside, "") == {name: worker["environment"][name] for name in beside}


def test_nothing_is_published_to_other_machines() -> None:
    """Who wants that puts TLS in front first."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]

    assert ports
    assert [] == [port for port in ports if not port.startswith("127.0.0.1:")]


def test_no_secret_is_written_down() -> None:
    """Each is filled in from a file that git ignores, and its absence stops everything with a word."""
    text = COMPOSE.read_text()
    secret = re.compile(r"(PASSWORD|AUTH_STRING|_KEY)\b")
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if secret.search(name):
                assert re.fullmatch(r"(\$\{[A-Z_]+:\?.+\})?", value), f"{name} is {value}"
    with pytest.raises(ValueError, match="set it in"):
        filled_in(text, {})
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_example_names_every_variable_and_sets_no_secret() -> None:
    """Copied, filled in, done."""
    text = EXAMPLE.read_text()
    named = set(re.findall(r"(?m)^#? ?([A-Z_]+)=", text))
    required = set(re.findall(r"\$\{([A-Z_]+):\?", COMPOSE.read_text()))

    assert set() == variables(COMPOSE.read_text()) - named - {"REELROUTE_IMAGE"}
    assert required == set(environment(EXAMPLE))
    assert {""} == set(environment(EXAMPLE).values())
    filled_in(COMPOSE.read_text(), dict.fromkeys(required, "x"))


def test_every_service_is_watched() -> None:
    """By its own word on whether it works: each container that stays has an address to ask, or a test."""
    for name, service in SERVICES.items():
        if name == "deploy":  # it ends, and its exit code says how
            continue
        assert "healthcheck" in service or service["environment"]["REELROUTE_HEALTH_URL"].startswith("http://127.0.0.1")


def test_the_package_brings_all_that_it_reads(tmp_path: Path) -> None:
    """In the image there is nothing else: pipelines, models, declared deployments, migrations."""
    tree = tmp_path / "tree"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
        for source in line.split()
    }
    for name in listed:
        if name and (name in copied or name.split("/")[0] in copied):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            tmp_path,
            tree,
        ],
        capture_output=True,
        text=True,
    )
    assert 0 == built.returncode, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    read = re.compile(
        r"^(config|tasks|flows|deployments)/(?!docker/|kubernetes/|systemd/|cloud/).*(?<!README\.md)(?<!\.env)$"
    )
    wanted = {name for name in listed if read.match(name)}

    assert len(wanted) > 150
    assert set() == wanted - inside - {"tasks/engine/models/MODEL_CARD.md"}
