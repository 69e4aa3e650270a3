"""A node's start, where something that it needs is not as it should be."""

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scenario.harness import Process, done, refused, serving
from tests.support.ports import node_ports

DAYS_LATER = Path(__file__).parent / "days_later"


@dataclass
class Small:
    """A registry of these tests' own, which they may stop, with one node that has joined."""

    registry: Path
    node: Path
    process: Process


@pytest.fixture(scope="module")
def small(place: Path) -> Iterator[Small]:
    home = place / "small"
    home.mkdir()
    done("registry", "init", "--home", home / "r")
    process = Process(home / "r.log", "registry", "serve", "--home", home / "r")
    try:
        found = process.until_file(home / "r" / "run" / "endpoints.json")
        token = done(
            "registry", "enrol", "ID/DAERAH/53.15", "--node", "n", "--home", home / "r"
        ).out.strip()
        done(
            "node", "init", "--home", home / "n", "--registry", found["grpc"],
            "--root", found["root"], "--token", token, *node_ports(),
        )  # fmt: skip
        yield Small(home / "r", home / "n", process)
    finally:
        if process.status is None:
            process.stop()


def test_a_port_in_use(small: Small) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:{1}".format(*taken.getsockname())
        for key in ("GATEWAY__LISTEN", "LINK__LISTEN", "METRICS__LISTEN"):
            env = {f"SIMPUL_NODE__{key}": address}
            ran = refused("PORT_IN_USE", "node", "serve", "--home", small.node, **env)
            assert address in ran.err


def test_an_unknown_key_of_the_configuration(small: Small) -> None:
    env = {"SIMPUL_NODE__GATEWAY__LISTN": "127.0.0.1:1"}
    ran = refused("CONFIG_INVALID", "node", "serve", "--home", small.node, **env)
    assert "did you mean SIMPUL_NODE__GATEWAY__LISTEN" in ran.err


def test_more_workers_than_slots(small: Small) -> None:
    env = {"SIMPUL_NODE__NODE__WORKERS": "99"}
    refused("CONFIG_INVALID", "node", "serve", "--home", small.node, **env)


def test_a_registry_that_is_down(small: Small, home: Path) -> None:
    assert small.process.stop() == 0
    with serving(small.node, home / "n.log") as (node, process):
        status = done("node", "status", "--home", node.home, "--json").json
        assert status["directory_version"] > 0
        assert status["workers_ready"] == 1
    assert process.status == 0
    # Without a copy it can't start, and says what it needs.
    moved = small.node / "directory"
    shutil.move(moved, home / "directory")
    moved.mkdir(mode=0o700)
    ran = refused("DIRECTORY_ABSENT", "node", "serve", "--home", small.node)
    assert "registry" in ran.err
    shutil.rmtree(moved)
    shutil.move(home / "directory", moved)


def test_a_copy_of_the_directory_past_its_dead_age(small: Small) -> None:
    if small.process.status is None:
        small.process.stop()
    ran = refused(
        "DIRECTORY_DEAD", "node", "serve", "--home", small.node,
        PYTHONPATH=str(DAYS_LATER), TEST_DAYS_LATER="8",
    )  # fmt: skip
    assert "604800 s" in ran.err
