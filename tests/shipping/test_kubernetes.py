"""The Kubernetes manifests, the template of jobs, and the values of Prefect's chart."""

from __future__ import annotations

import json
import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from config.load import load_pipeline
from tests.shipping.files import DEPLOYMENTS, assert_known_command, environment, manifests, pods

FOLDER = DEPLOYMENTS / "kubernetes"
OBJECTS = list(manifests())
PODS = dict(pods())
# The oldest version that is still supported somewhere, and the newest that the schemas know.
VERSIONS = ("1.31", kubernetes_validate.latest_version())


def named(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", OBJECTS, ids=named)
def test_manifests_are_what_kubernetes_takes(manifest: dict[str, Any], version: str) -> None:
    """By its own schemas, strictly: a field that it does not know is a mistake in ours."""
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_broken_manifest_would_be_found() -> None:
    """The check above can fail."""
    broken = json.loads(json.dumps(next(one for one in OBJECTS if one["kind"] == "Deployment")))
    broken["spec"]["template"]["spec"]["containers"][0]["redinessProbe"] = {}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


def test_the_kustomization_names_every_manifest() -> None:
    """And nothing that is not there."""
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    others = {"kustomization.yaml", "worker-values.yaml"}

    assert set(kustomization["resources"]) == {path.name for path in FOLDER.glob("*.yaml")} - others
    for generated in kustomization["configMapGenerator"]:
        assert all((FOLDER / file).is_file() for file in generated["files"])


@pytest.mark.parametrize("name", PODS)
def test_pods_are_of_the_restricted_kind(name: str) -> None:
    """As the namespace demands: no root, no privileges, nothing written but volumes, no token of the cluster."""
    spec = PODS[name]
    pod = spec["securityContext"]

    assert (True, 10001, "RuntimeDefault") == (pod["runAsNonRoot"], pod["runAsUser"], pod["seccompProfile"]["type"])
    assert spec["automountServiceAccountToken"] is False
    for container in [*spec["containers"], *spec.get("initContainers", ())]:
        assert {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        } == container["securityContext"]
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/var/lib/reelroute", "/tmp"} <= mounted


@pytest.mark.parametrize("name", PODS)
def test_folders_of_pods_have_a_limit(name: str) -> None:
    """Nobody fills the node's disk."""
    folders = [volume["emptyDir"] for volume in PODS[name]["volumes"] if "emptyDir" in volume]

    assert folders
    assert all(re.fullmatch(r"\d+[MG]i", folder["sizeLimit"]) for folder in folders)


def test_the_pod_that_strangers_reach_has_a_limit_of_everything() -> None:
    """And none of the labelling tools' and clouds' keys."""
    (container,) = PODS["events"]["containers"]

    assert {"cpu", "memory"} == set(container["resources"]["limits"])
    assert [] == [source for source in container["envFrom"] if "secretRef" in source]


@pytest.mark.parametrize("name", [name for name in PODS if name != "run"])
def test_pods_that_stay_are_probed(name: str) -> None:
    """On a port that they name; a restart never waits for another service to be well."""
    (container,) = PODS[name]["containers"]
    ports = {port["name"] for port in container["ports"]}
    probes = {kind: container[kind]["httpGet"] for kind in container if kind.endswith("Probe")}

    assert {"startupProbe", "livenessProbe"} <= set(probes)
    assert {probe["port"] for probe in probes.values()} <= ports
    assert "/readyz" != probes["livenessProbe"]["path"]


def test_services_policies_and_budgets_mean_pods_that_exist() -> None:
    """A selector that matches nothing protects nothing."""
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in OBJECTS if "template" in one.get("spec", {})]

    def meant(selector: dict[str, str]) -> bool:
        return any(selector.items() <= pod.items() for pod in labels)

    for one in OBJECTS:
        if one["kind"] == "Service":
            assert meant(one["spec"]["selector"]), named(one)
        if one["kind"] in ("PodDisruptionBudget", "Deployment", "StatefulSet"):
            assert meant(one["spec"]["selector"]["matchLabels"]), named(one)
        if one["kind"] == "NetworkPolicy":
            assert meant(one["spec"]["podSelector"].get("matchLabels", {})), named(one)


def test_a_budget_never_blocks_a_drain() -> None:
    """One pod of each may always go."""
    replicas = {one["metadata"]["name"]: one["spec"]["replicas"] for one in OBJECTS if one["kind"] == "Deployment"}
    budgets = [one for one in OBJECTS if one["kind"] == "PodDisruptionBudget"]

    assert budgets
    for budget in budgets:
        stays = budget["spec"].get("minAvailable", 0)
        assert stays < replicas[budget["metadata"]["name"]]


@pytest.mark.parametrize("name", PODS)
def test_our_commands_exist(name: str) -> None:
    """With their options."""
    spec = PODS[name]
    commands = [container["args"] for container in [*spec["containers"], *spec.get("initContainers", ())]]
    ours = [command for command in commands if command[0] == "reelroute"]

    for command in ours:
        assert_known_command(command)
    assert ours or name in ("server", "run")


def test_the_server_has_the_settings_that_are_shipped() -> None:
    """One set of numbers."""
    (server,) = [one for one in OBJECTS if one["metadata"]["name"] == "prefect-server"]

    assert environment(DEPLOYMENTS / "server.env") == server["data"]


def test_no_secret_is_written_down() -> None:
    """Values come from a Secret that is not part of the project."""
    assert [] == [one for one in OBJECTS if one["kind"] == "Secret"]
    for name, spec in PODS.items():
        for container in spec["containers"]:
            for variable in container["env"] if isinstance(container["env"], list) else ():
                if re.search(r"KEY|AUTH|LEDGER_URL|DATABASE", variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"], f"{name}: {variable['name']}"


def test_jobs_of_runs_are_not_tried_again_by_kubernetes() -> None:
    """Prefect would see the same run twice; what is left of one is resumed by the next."""
    job = template()["job_configuration"]["job_manifest"]

    assert (0, "Never") == (job["spec"]["backoffLimit"], job["spec"]["template"]["spec"]["restartPolicy"])


def template() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / "base-job-template.json").read_text())
    return content


def test_the_template_of_jobs_makes_a_job() -> None:
    """With Prefect's own placeholders filled in as its worker does, the manifest is one that Kubernetes takes."""
    from prefect.utilities.templating import apply_values, find_placeholders

    content = template()
    properties = content["variables"]["properties"]
    values = {name: one["default"] for name, one in properties.items() if "default" in one}
    values |= {"name": "run", "command": ["prefect", "flow-run", "execute"], "labels": {"a": "b"}, "env": []}

    assert {found.name for found in find_placeholders(content["job_configuration"])} == set(properties)
    job = apply_values(content["job_configuration"], values)["job_manifest"]
    for version in VERSIONS:
        kubernetes_validate.validate(job, version, strict=True)


def test_the_chart_s_worker_meets_the_others() -> None:
    """It asks the server of these manifests, is let through to it, and makes jobs by the template's namespace."""
    values = yaml.safe_load((FOLDER / "worker-values.yaml").read_text())["worker"]

    assert "http://server.reelroute.svc.cluster.local:4200/api" == values["selfHostedServerApiConfig"]["apiUrl"]
    assert "kubernetes" == values["config"]["type"]
    assert {"app.kubernetes.io/part-of": "reelroute"} == values["podLabels"]
    assert "reelroute" == template()["variables"]["properties"]["namespace"]["default"]
    assert values["containerSecurityContext"]["readOnlyRootFilesystem"]
    locked = re.search(r"(?m)^prefect==([\d.]+) ", (DEPLOYMENTS.parent / "requirements.lock").read_text())
    assert locked is not None
    assert f"{locked[1]}-python3.11-kubernetes" == values["image"]["prefectTag"]


@pytest.mark.parametrize("folder", ["docker", "kubernetes"])
def test_the_first_pipeline_is_one(folder: str) -> None:
    """It can be loaded, and is replaced by the user's own."""
    assert "yard" == load_pipeline(str(DEPLOYMENTS / folder / "pipelines" / "yard.yaml")).name
