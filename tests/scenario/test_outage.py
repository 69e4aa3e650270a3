"""The registry stands still for six days: traffic goes on, nodes restart, and all heals by itself.

Days pass by the clock of the processes that are started then (`days_later`).
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from examples.gen.wisata.v1 import wisata_pb2 as pb
from runtime.ports import free_addresses
from tests.scenario.harness import Process, answering, done, refused, serving, until
from tests.scenario.world import ASKER, CONSUMER, FIRST, REGENCY, World

DAYS_LATER = Path(__file__).parent / "days_later"


def later(days: int) -> dict[str, str]:
    return {"PYTHONPATH": str(DAYS_LATER), "TEST_DAYS_LATER": str(days)}


@pytest.fixture
def target() -> Iterator[str]:
    answer = pb.GetResponse(island=pb.Island(name="one")).SerializeToString()
    with answering(lambda _: answer) as address:
        yield address


def start_registry(world: World, **env: str) -> Process:
    process = Process(world.home / "r.log", "registry", "serve", "--home", world.registry, **env)
    world.endpoints = process.until_file(world.registry / "run" / "endpoints.json")
    return process


def serve(world: World, node: str, **env: str) -> None:
    block = serving(world.path(node), world.home / f"{node}.log", **env)
    world.nodes[node] = world.stack.enter_context(block)


def version(world: World, node: str) -> int:
    status = done("node", "status", "--home", world.path(node), "--json").json
    return int(status["directory_version"])


def set_up(world: World, target: str) -> Process:
    registry = start_registry(world)
    world.join(REGENCY, FIRST)
    world.join(CONSUMER, ASKER)
    world.serve(FIRST)
    world.serve(ASKER)
    world.publish(FIRST, REGENCY, target)
    world.token = world.app()
    world.allow(FIRST, REGENCY)
    until(lambda: world.answered_by(REGENCY) == "one", 30, "an answer")
    return registry


def test_six_days_without_a_registry(tmp_path: Path, target: str) -> None:
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        done("registry", "init", "--home", world.registry)
        registry = set_up(world, target)
        token = world.enrol("ID/DAERAH/11.01", "aceh-1")
        newest = _a_change_reaches_one_node_only(world)
        registry.stop()
        _restart_six_days_later(world)
        assert world.answered_by(REGENCY) == "one"
        # One has from the other what it missed.
        until(lambda: version(world, ASKER) == newest, 20, "the other node's directory")
        # A new node waits, and is told why.
        refused(
            "REGISTRY_UNREACHABLE", "node", "init", "--home", world.path("aceh-1"), "--registry",
            world.endpoints["grpc"], "--root", world.registry / "root.json", "--token", token,
        )  # fmt: skip
        # It heals by itself.
        registry = start_registry(world, **later(6))
        try:
            done(
                "registry", "member", "add", "ID/DAERAH/11.02", "--name", "11.02",
                "--home", world.registry,
            )  # fmt: skip
            for node in (FIRST, ASKER):
                until(lambda: version(world, node) > newest, 60, f"{node} to heal")  # noqa: B023
            assert world.answered_by(REGENCY) == "one"
        finally:
            registry.stop()
        world.stop(ASKER)
        # Past the hard limit: refused, with the reason.
        ran = refused("DIRECTORY_DEAD", "node", "serve", "--home", world.path(ASKER), **later(14))
        assert "604800 s" in ran.err


def _a_change_reaches_one_node_only(world: World) -> int:
    world.stop(ASKER)
    before = version(world, FIRST)
    done(
        "registry", "member", "add", "ID/DAERAH/11.03", "--name", "11.03",
        "--home", world.registry,
    )  # fmt: skip
    until(lambda: version(world, FIRST) > before, 20, "the change at the node that runs")
    return version(world, FIRST)


def _restart_six_days_later(world: World) -> None:
    """The one gives its copy to the other."""
    (address,) = free_addresses(1)
    world.stop(FIRST)
    serve(world, FIRST, SIMPUL_NODE__DIRECTORY__LISTEN=str(address), **later(6))
    urls = f"{world.endpoints['directory']},http://{address}"
    serve(world, ASKER, SIMPUL_NODE__REGISTRY__DIRECTORY_URL=urls, **later(6))
