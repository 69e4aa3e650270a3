"""The manifests, built as `kubectl` builds them and judged by Kubernetes' own schemas."""

import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.architecture.project import PROJECT

ROOT = PROJECT / "deploy/kubernetes"
VARIANTS = sorted(path.parent.name for path in ROOT.glob("*/kustomization.yaml"))
VERSION = "1.31"

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl isn't on this machine"
)


def build(variant: str) -> dict[str, Any]:
    """What would be applied, by kind and name."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / variant)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in made}


@pytest.fixture(params=VARIANTS)
def built(request: pytest.FixtureRequest) -> dict[str, Any]:
    return build(request.param)


def pod(built: dict[str, Any]) -> Any:
    return built["StatefulSet/simpul-node"]["spec"]["template"]["spec"]


def environment(container: Any) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def test_kubernetes_takes_each_manifest(built: dict[str, Any]) -> None:
    for manifest in built.values():
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_a_node_is_closed_to_what_it_does_not_need(built: dict[str, Any]) -> None:
    spec = pod(built)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    for container in (*spec["initContainers"], *spec["containers"]):
        closed = container["securityContext"]
        assert closed["readOnlyRootFilesystem"] is True
        assert closed["allowPrivilegeEscalation"] is False
        assert closed["capabilities"] == {"drop": ["ALL"]}


def test_what_is_mounted_and_reached_is_there(built: dict[str, Any]) -> None:
    spec = pod(built)
    there = {volume["name"] for volume in spec["volumes"]} | {"home"}
    (node,) = spec["containers"]
    for container in (*spec["initContainers"], node):
        assert {mount["name"] for mount in container["volumeMounts"]} <= there
    ports = {port["name"] for port in node["ports"]}
    for service in ("Service/simpul-gateway", "Service/simpul-node"):
        assert {port["targetPort"] for port in built[service]["spec"]["ports"]} <= ports
        assert built[service]["spec"]["selector"].items() <= (
            built["StatefulSet/simpul-node"]["spec"]["template"]["metadata"]["labels"].items()
        )
    assert node["readinessProbe"]["tcpSocket"]["port"] in ports


def test_every_setting_by_environment_is_one_of_node_toml(built: dict[str, Any]) -> None:
    known = (PROJECT / "docs/reference/configuration.md").read_text()
    (node,) = pod(built)["containers"]
    set_here = [name for name in environment(node) if name.startswith("SIMPUL_NODE__")]
    assert set_here
    for name in set_here:
        key = name.removeprefix("SIMPUL_NODE__").lower().replace("__", ".")
        assert f"| `{key}` |" in known


def test_the_journal_is_where_the_variant_says() -> None:
    (sqlite,) = pod(build("node"))["containers"]
    (postgresql,) = pod(build("node-postgresql"))["containers"]
    key = "SIMPUL_NODE__JOURNAL__URL"
    assert key not in environment(sqlite)
    assert environment(postgresql)[key].startswith("postgresql://")
    assert "secretKeyRef" in environment(postgresql)["PGPASSWORD"]
