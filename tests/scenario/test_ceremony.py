"""Root and policy in several hands: real commands, holders with files, a node that follows."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from node.directory.folder import read_index
from node.directory.load import read_targets
from simpul.v1 import directory_pb2
from tests.scenario.harness import Process, done, refused, until
from tests.scenario.world import CONSUMER, REGENCY, World
from tests.support.ports import node_ports

NODE, LATER = "kupang-1", "komdigi-1"


@pytest.fixture
def world(home: Path) -> Iterator[World]:
    with ExitStack() as stack:
        made = World(home, stack)
        done("registry", "init", "--home", made.registry)
        process = Process(home / "r.log", "registry", "serve", "--home", made.registry)
        stack.callback(process.stop)
        made.endpoints = process.until_file(made.registry / "run" / "endpoints.json")
        yield made


def test_root_and_policy_move_into_holders_hands_and_nodes_follow(world: World) -> None:
    world.join(REGENCY, NODE)
    world.serve(NODE)
    _init(world)
    # Its own two keys sign nothing any more, and are gone.
    kept = {file.name for file in (world.registry / "keys").iterdir()}
    assert kept & {"root.pem", "targets.pem"} == set()
    _follows(world, root=2)

    _a_policy_by_two_of_three(world)
    _a_rotation_with_new_online_keys(world)

    # A new node starts from the newest root, whose keys the registry's home never held.
    status = done("registry", "status", "--home", world.registry, "--json").json
    assert status["root_file"].endswith("/3.root.json")
    token = world.enrol(CONSUMER, LATER)
    init = ("node", "init", "--home", world.path(LATER), "--registry", world.endpoints["grpc"])
    old = ("--root", world.registry / "root.json", "--token", token, "--slots", 1)
    refused("ROOT_MISMATCH", *init, *old)
    done(*init, "--root", status["root_file"], "--token", token, "--slots", 1, *node_ports())
    _a_restart(world)


def _init(world: World) -> None:
    home, file = ("--home", world.registry), world.home / "root-2.json"
    holders = [_holder(world, name) for name in ("anna", "budi", "citra")]
    args = [part for holder in holders for part in ("--holder", holder)]
    made = done("registry", "root", "init", *args, "--threshold", 2, *home, "--out", file, "--json")
    assert [(part["threshold"], part["signed"]) for part in made.json["parts"][1:]] == [
        (2, []),
        (2, []),
    ]
    assert made.json["parts"][0]["missing"] == []
    _sign(world, file, "anna")
    early = refused("CHANGE_INVALID", "registry", "root", "publish", file, *home)
    assert "1 of 2 signed, waits for 1 of budi, citra" in early.err
    shown = done("registry", "root", "show", file).out
    assert "budi, citra" in shown
    assert _sign(world, file, "budi")["complete"]
    done("registry", "root", "publish", file, *home)
    refused("CONFLICT", "registry", "root", "publish", file, *home)
    again = ("registry", "root", "init", *args, "--threshold", 2, *home)
    refused("CONFLICT", *again, "--out", world.home / "again.json")


def _a_policy_by_two_of_three(world: World) -> None:
    home, file = ("--home", world.registry), world.home / "policy-3.json"
    policy = json.loads(done("registry", "policy", "show", *home).out)
    policy["member_classes"].append("SEKOLAH")
    policy["stale_after_ms"] = "120000"
    wanted = world.home / "policy.json"
    wanted.write_text(json.dumps(policy))
    proposed = done("registry", "policy", "propose", wanted, *home, "--out", file)
    assert "stale_after_ms" in proposed.out
    school = ("registry", "member", "add", "ID/SEKOLAH/1", "--name", "SMA 1", *home)
    refused("ID_MALFORMED", *school)
    one, two = world.home / "one.json", world.home / "two.json"
    for copy, holder in ((one, "anna"), (two, "citra")):
        copy.write_bytes(file.read_bytes())
        _sign(world, copy, holder, "policy")
    merged = world.home / "merged.json"
    assert done("registry", "policy", "merge", one, two, "--out", merged, "--json").json["complete"]
    done("registry", "policy", "publish", merged, *home)
    done(*school)
    until(lambda: _policy(world, NODE)["stale_after_ms"] == "120000", 10, "the policy")


def _a_rotation_with_new_online_keys(world: World) -> None:
    home, file = ("--home", world.registry), world.home / "root-3.json"
    dewi = _holder(world, "dewi")
    args = ("--remove", "anna", "--add", dewi, "--online", *home, "--out", file)
    done("registry", "root", "rotate", *args)
    # Two who stay suffice for the old root and the new; she who goes counts for the old one only.
    _sign(world, file, "anna")
    _sign(world, file, "budi")
    refused("CHANGE_INVALID", "registry", "root", "publish", file, *home)
    _sign(world, file, "dewi")
    before = (world.registry / "keys" / "timestamp.pem").read_bytes()
    done("registry", "root", "publish", file, *home)
    assert (world.registry / "keys" / "timestamp.pem").read_bytes() != before
    _follows(world, root=3)
    done("registry", "member", "add", "ID/DAERAH/11.01", "--name", "Simeulue", *home)


def _a_restart(world: World) -> None:
    """Node and registry, from what lies on their disks."""
    world.stop(NODE)
    world.serve(NODE)
    _follows(world, root=3)


def _holder(world: World, name: str) -> Path:
    """A key on a holder's machine; returns what is handed over."""
    key = world.home / f"{name}.pem"
    done("registry", "root", "key", name, "--out", key)
    assert key.stat().st_mode & 0o777 == 0o600
    return world.home / f"{name}.pem.pub"


def _sign(world: World, file: Path, name: str, group: str = "root") -> Any:
    key = world.home / f"{name}.pem"
    return done("registry", group, "sign", file, "--key", key, "--yes", "--json").json


def _follows(world: World, root: int) -> None:
    metadata = world.path(NODE) / "directory" / "current" / "metadata"

    def look() -> bool:
        held: int = json.loads((metadata / "root.json").read_bytes())["signed"]["version"]
        return held == root

    until(look, 10, f"root {root} at the node")


def _policy(world: World, node: str) -> Any:
    path = (world.path(node) / "directory" / "current").resolve()
    data = read_targets(path, read_index(path))["policy"]
    message = directory_pb2.FederationPolicy.FromString(data)
    return MessageToDict(message, preserving_proto_field_name=True)
