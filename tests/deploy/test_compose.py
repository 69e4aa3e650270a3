"""The Compose file: judged by what it says, and run by the commands in it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture.project import PROJECT
from tests.deploy.composed import FILE, Composed, composed, in_order, load
from tests.support import hosts

PASSWORDS = {"DATABASE_PASSWORD": "p@ss/w:rd", "GRAFANA_PASSWORD": "x"}
NOT_HERE = ("prometheus", "grafana")
SERVICE = "ID/DAERAH/74.07/pariwisata/wisata.v1.Wisata"


@pytest.fixture(scope="module")
def file() -> Any:
    return load(PASSWORDS)


def test_docker_takes_it() -> None:
    asked = ["docker", "compose", "version"]
    if shutil.which("docker") is None or subprocess.run(asked, check=False).returncode:
        pytest.skip("docker's compose isn't on this machine")
    ran = subprocess.run(
        ["docker", "compose", "--file", FILE, "config", "--quiet"],
        env=PASSWORDS, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def test_a_password_that_nobody_set_is_asked_for() -> None:
    with pytest.raises(KeyError):
        load({})
    example = (PROJECT / "deploy/compose/.env.example").read_text()
    assert {line.rstrip("=") for line in example.splitlines() if "=" in line} == {*PASSWORDS}


def test_each_service_is_closed_to_what_it_does_not_need(file: Any) -> None:
    for name, service in file["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service["image"].endswith((":latest", "@")), name
        assert ":" in service["image"], name
        # What is reached from outside of Docker is reached from this machine alone.
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (name, port)


def test_all_that_it_names_is_there(file: Any) -> None:
    recipe = (PROJECT / "deploy/container/Containerfile").read_text()
    built = {service["image"] for service in file["services"].values() if "build" in service}
    for name, service in file["services"].items():
        assert {*service["networks"]} <= {*file["networks"]}, name
        assert {*service.get("depends_on", {})} <= {*file["services"]}, name
        if service["image"].startswith("simpul"):
            assert service["image"] in built, name
        if "build" in service:
            target = service["build"].get("target", "simpul")
            assert f" AS {target}\n" in recipe, name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (FILE.parent / source).is_dir(), volume
            else:
                assert source in file["volumes"], volume


def test_prometheus_asks_services_that_are_there(file: Any) -> None:
    config = yaml.safe_load((PROJECT / "deploy/prometheus/prometheus.yaml").read_text())
    targets = [
        target
        for job in config["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    ]
    mine = file["services"]["prometheus"]["networks"]
    for target in targets:
        service = file["services"][target.partition(":")[0]]
        assert {*service["networks"]} & {*mine}, target


def test_grafana_finds_its_dashboards_and_its_source(file: Any) -> None:
    folder = PROJECT / "deploy/grafana/provisioning"
    (provider,) = yaml.safe_load((folder / "dashboards/simpul.yaml").read_text())["providers"]
    mounts = dict(volume.split(":")[:2] for volume in file["services"]["grafana"]["volumes"])
    assert mounts["../grafana"] == provider["options"]["path"]
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"].partition("//")[2].split(":")[0] in file["services"]


def test_every_setting_by_environment_is_known(file: Any) -> None:
    known = (PROJECT / "docs/reference/configuration.md").read_text()
    names = {
        name
        for service in file["services"].values()
        for name in service.get("environment", {})
        if name.startswith(("SIMPUL_NODE__", "SIMPUL_REGISTRY__"))
    }
    assert names
    for name in names:
        assert f"`{'.'.join(name.split('__')[1:]).lower()}`" in known, name


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    if (missing := hosts.why_not()) is not None:
        pytest.skip(missing)
    place = tmp_path_factory.mktemp("compose")
    # PostgreSQL gives up root's rights, and must reach its folder.
    for folder in (place, *place.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    with composed(place, PASSWORDS, without=NOT_HERE) as found:
        found.up()
        yield found


def test_the_ministry_calls_the_regency(running: Composed) -> None:
    ran = running.inside("komdigi", "simpul", "call", SERVICE, "List", "-d", '{"limit": 3}')
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count('"name"') >= 3


def test_the_registry_is_on_the_database(running: Composed) -> None:
    said = running.inside("registry", "simpul", "registry", "node", "list", "--json")
    assert "komdigi-1" in said.stdout
    counted = running.inside(
        "registry", "psql", "--host=database", "--username=simpul", "registry", "--tuples-only",
        "--command", "SELECT count(*) FROM nodes",
    )  # fmt: skip
    assert counted.stdout.strip() == "2", counted.stderr


def test_each_sees_only_those_with_which_it_has_a_network(running: Composed) -> None:
    def knows(name: str, other: str) -> bool:
        return running.inside(name, "getent", "hosts", other).returncode == 0

    assert knows("wakatobi", "wisata")
    assert not knows("komdigi", "wisata")
    assert knows("registry", "database")
    assert not knows("wakatobi", "database")


def test_prometheus_could_read_all(running: Composed) -> None:
    for target in ("registry:8438", "komdigi:8443", "wakatobi:8443"):
        asked = [
            "python",
            "-c",
            f"import urllib.request as u; print(u.urlopen('http://{target}/metrics').status)",
        ]
        ran = running.machines["prometheus"].run(*asked)
        assert ran.stdout == "200\n", (target, ran.stderr)


def test_a_second_up_changes_nothing(running: Composed) -> None:
    before = running.inside("registry", "simpul", "registry", "node", "list", "--json").stdout
    running.once_more()
    assert (
        running.inside("registry", "simpul", "registry", "node", "list", "--json").stdout == before
    )
    agreed = running.inside("wakatobi", "simpul", "access", "list", "--json")
    assert agreed.stdout.count('"agreement":') == 1


def test_services_come_after_what_they_depend_on(file: Any) -> None:
    order = in_order(file["services"])
    for name, service in file["services"].items():
        for other in service.get("depends_on", {}):
            assert order.index(other) < order.index(name)
