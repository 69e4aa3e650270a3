"""Two registries on one PostgreSQL: either is killed, and the federation goes on with the other."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.harness import Process, done, read_json, until
from tests.support import postgres
from tests.support.ports import node_ports


@dataclass
class Registry:
    """One of the two, and its process."""

    home: Path
    log: Path
    process: Process | None = None
    endpoints: Any = None

    def start(self) -> None:
        self.process = Process(self.log, "registry", "serve", "--home", self.home)
        self.endpoints = self.process.until_file(self.home / "run" / "endpoints.json")

    def kill(self) -> None:
        assert self.process is not None
        self.process.stop(signal.SIGKILL)
        (self.home / "run" / "endpoints.json").unlink(missing_ok=True)

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Registry, Registry]]:
    with ExitStack() as stack:
        url = postgres.registry_url(stack.enter_context(postgres.registry_database()))
        homes = tmp_path / "r1", tmp_path / "r2"
        done("registry", "init", "--home", homes[0])
        settings = homes[0] / "registry.toml"
        settings.write_text(settings.read_text() + f'\n[database]\nurl = "{url}"\n')
        done("registry", "replica", homes[1], "--home", homes[0])
        pair = Registry(homes[0], tmp_path / "r1.log"), Registry(homes[1], tmp_path / "r2.log")
        for registry in pair:
            registry.start()
            stack.callback(registry.stop)
        yield pair


def version(home: Path) -> int:
    status = done("node", "status", "--home", home, "--json").json
    return int(status["directory_version"])


def test_nodes_go_on_with_the_one_that_lives(
    two: tuple[Registry, Registry], tmp_path: Path
) -> None:
    first = two[0]
    addresses = ",".join(registry.endpoints["grpc"] for registry in two)
    urls = ",".join(registry.endpoints["directory"] for registry in two)
    token = done(
        "registry", "enrol", "ID/DAERAH/53.15", "--node", "labuan-bajo-1", "--home", first.home
    ).out.strip()  # fmt: skip
    home = tmp_path / "node"
    done(
        "node", "init", "--home", home, "--registry", addresses, "--token", token,
        "--root", first.home / "root.json", *node_ports(),
    )  # fmt: skip
    settings = home / "node.toml"
    one = json.dumps(first.endpoints["directory"])
    assert one in settings.read_text()
    settings.write_text(settings.read_text().replace(one, json.dumps(urls)))
    node = Process(tmp_path / "node.log", "node", "serve", "--home", home)
    try:
        node.until_file(home / "run" / "endpoints.json")
        _goes_on(two, home)
    finally:
        node.stop()
    # Nobody had to be told anything, and all is one directory at the end.
    first_status, second_status = (
        done("registry", "status", "--home", registry.home, "--json").json for registry in two
    )
    assert first_status["directory_version"] == second_status["directory_version"]


def _goes_on(two: tuple[Registry, Registry], home: Path) -> None:
    """Each is killed in turn; a change at the other reaches the node all the same."""
    for number, (dies, lives) in enumerate((two, two[::-1])):
        dies.kill()
        done(
            "registry", "member", "add", f"ID/DAERAH/11.0{number + 1}", "--home", lives.home,
            "--name", f"Kabupaten {number}",
        )  # fmt: skip
        wanted = done("registry", "status", "--home", lives.home, "--json").json
        at_least = int(wanted["directory_version"])
        until(lambda: version(home) >= at_least, 20, f"version {at_least}")  # noqa: B023
        dies.start()


def test_a_registry_killed_and_back_has_what_the_other_did(
    two: tuple[Registry, Registry],
) -> None:
    first, second = two
    first.kill()
    done(
        "registry", "member", "add", "ID/DAERAH/11.01", "--name", "Aceh Selatan",
        "--home", second.home,
    )  # fmt: skip
    first.start()
    members = done("registry", "member", "list", "--home", first.home, "--json").json
    assert [member["id"] for member in members["members"]] == ["ID/DAERAH/11.01"]
    published = [
        read_json(registry.home / "directory/metadata/timestamp.json")["signed"]["meta"]
        for registry in two
    ]
    assert published[0] == published[1]
