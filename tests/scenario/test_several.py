"""Several members on one node, several nodes of one member, and keys that change under traffic.

One small federation of its own, with a stale age of seconds: a new seal key serves after one.
Its tests build on each other, in the order of the file.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from examples.gen.wisata.v1 import wisata_pb2 as pb
from registry import app
from registry.home import NewRegistry
from simpul.registry.v1 import admin_pb2
from tests.scenario.harness import (
    Process,
    answering,
    done,
    refused,
    until,
)
from tests.scenario.world import (
    ASKER,
    CONSUMER,
    FIRST,
    REGENCY,
    SECOND,
    STALE_MS,
    World,
)

PROVINCE = "ID/PROVINSI/53"
IN_TIME_S = 2.0


@pytest.fixture(scope="module")
def services() -> Iterator[dict[str, str]]:
    """Each answers every call with its own name."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(answering(partial(_named, name)))
            for name in ("one", "two", "province")
        }


def _named(name: str, _request: bytes) -> bytes:
    return pb.GetResponse(island=pb.Island(name=name)).SerializeToString()


@pytest.fixture(scope="module")
def world(place: Path, services: dict[str, str]) -> Iterator[World]:
    """Registry, a province's node that offers a service, a ministry's node that calls it."""
    home = place / "several"
    home.mkdir()
    app.init(home / "r", NewRegistry(stale_after_ms=STALE_MS))
    registry = Process(home / "registry.log", "registry", "serve", "--home", home / "r")
    with ExitStack() as stack:
        stack.callback(registry.stop)
        made = World(home, stack)
        made.endpoints = registry.until_file(home / "r" / "run" / "endpoints.json")
        made.join(PROVINCE, FIRST)
        made.join(CONSUMER, ASKER)
        # A further member on the first node, before it runs.
        token = made.enrol(REGENCY, FIRST, "--host")
        hosted = done(
            "node", "host", REGENCY, "--token", token, "--home", made.path(FIRST), "--json"
        )
        assert not hosted.json["asked"]
        made.serve(FIRST)
        made.serve(ASKER)
        made.token = made.app()
        made.publish(FIRST, PROVINCE, services["province"])
        made.publish(FIRST, REGENCY, services["one"])
        made.allow(FIRST, PROVINCE)
        made.allow(FIRST, REGENCY)
        yield made


def test_a_node_answers_for_two_members_each_under_its_own_keys(world: World) -> None:
    assert world.answered_by(PROVINCE) == "province"
    assert world.answered_by(REGENCY) == "one"

    keys = world.keys(FIRST)
    identities = {keys[member]["identity_key_id"] for member in (PROVINCE, REGENCY)}
    seals = {key["key_id"] for member in (PROVINCE, REGENCY) for key in keys[member]["seal_keys"]}
    assert len(identities) == len(seals) == 2
    assert all(keys[member]["identity_here"] for member in (PROVINCE, REGENCY))
    names = {file.name for file in (world.path(FIRST) / "keys").iterdir()}
    assert {"DAERAH-53.16-identity.pem", "DAERAH-53.16-seal.pem"} <= names


def test_a_second_node_seals_when_the_first_has_listed_it(
    world: World, services: dict[str, str]
) -> None:
    joined = world.join(REGENCY, SECOND)
    assert joined["asked"]
    assert not (world.path(SECOND) / "keys" / "identity.pem").exists()
    world.serve(SECOND)
    # Not listed yet: it may not speak for the member.
    approve = ("member", "approve", REGENCY, f"ID/~{SECOND}", "--home", world.path(FIRST))
    refused("CERTIFICATE_MISMATCH", *approve, "--fingerprint", "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA")
    refused("IDENTITY_ABSENT", *approve[:-1], world.path(SECOND), "--fingerprint", "A")

    (asked,) = world.keys(FIRST)[REGENCY]["requests"]
    assert (asked["node"], asked["fingerprint"]) == (f"ID/~{SECOND}", joined["fingerprint"])
    done(*approve, "--fingerprint", joined["fingerprint"].lower())

    keys = world.keys(FIRST)[REGENCY]
    assert {key["node"] for key in keys["seal_keys"]} == {f"ID/~{FIRST}", f"ID/~{SECOND}"}
    assert not keys["requests"]
    world.publish(SECOND, REGENCY, services["two"])
    # Without a word of an operator: the nodes of a member bring each other its agreements.
    until(lambda: world.agreed(SECOND), what="the agreement at the second node")


def test_calls_go_to_the_other_node_when_one_is_stopped(world: World) -> None:
    before = world.answered_by(REGENCY)
    first, other = (FIRST, "two") if before == "one" else (SECOND, "one")
    world.stop(first)

    assert until(lambda: world.answered_by(REGENCY) == other, what="the other node's answer")

    world.serve(first)
    assert world.answered_by(PROVINCE) == "province"


def test_a_seal_key_is_replaced_under_traffic(world: World) -> None:
    (old,) = world.keys(FIRST)[PROVINCE]["seal_keys"]
    done("member", "rotate-seal", PROVINCE, "--home", world.path(FIRST))
    keys = world.keys(FIRST)[PROVINCE]["seal_keys"]
    (new,) = [key for key in keys if key["key_id"] != old["key_id"]]
    (ending,) = [key for key in keys if key["key_id"] == old["key_id"]]
    # One stale age until it is valid; the old one serves for one more.
    assert ending["valid_until_ms"] == new["valid_from_ms"] + STALE_MS
    answers = set()
    while time.time() * 1000 < ending["valid_until_ms"] + 500:
        answers.add(world.answered_by(PROVINCE))
        time.sleep(0.05)
    # The old key has ended, the new one seals, and no call was lost on the way.
    assert answers == {"province"}


def test_the_nodes_own_key_is_replaced(world: World) -> None:
    done("node", "rotate-key", "--home", world.path(FIRST))
    assert world.answered_by(PROVINCE) == "province"
    # A new link is greeted with the new key.
    world.stop(ASKER)
    world.serve(ASKER)
    assert world.answered_by(PROVINCE) == "province"


def test_partners_follow_a_new_identity_key(world: World) -> None:
    before = world.keys(FIRST)[PROVINCE]["identity_key_id"]
    for _ in range(2):
        done("member", "rotate-identity", PROVINCE, "--home", world.path(FIRST))
    assert world.keys(FIRST)[PROVINCE]["identity_key_id"] != before

    assert until(lambda: world.answered_by(PROVINCE) == "province", what="an answer")
    listed = done("access", "list", "--home", world.path(ASKER), "--json").json["agreements"]
    assert {item["state"] for item in listed} == {"active"}


def until_answered(world: World, member: str, answer: str) -> None:
    until(lambda: world.answered_by(member) == answer, IN_TIME_S, answer)


def test_a_suspended_subsystem_is_refused_and_comes_back(world: World) -> None:
    subsystem = f"{PROVINCE}/pariwisata"
    for state, answer in (("suspended", "SUBSYSTEM_SUSPENDED"), ("active", "province")):
        request = admin_pb2.SetSubsystemStateRequest(subsystem=subsystem, state=state)
        world.admin("SetSubsystemState", request)
        until_answered(world, PROVINCE, answer)


def test_a_revoked_node_is_refused_within_two_seconds(world: World) -> None:
    assert world.answered_by(PROVINCE) == "province"
    began_s = time.monotonic()
    world.admin("RevokeNode", admin_pb2.RevokeNodeRequest(node=f"ID/~{FIRST}"))

    # At the consumer's node; the member has no other.
    until(lambda: world.answered_by(PROVINCE) != "province", IN_TIME_S, "the refusal")
    assert time.monotonic() - began_s < IN_TIME_S
    # The regency's other node goes on.
    assert until(lambda: world.answered_by(REGENCY) == "two", what="the second node's answer")


def test_a_removed_node_is_refused_too(world: World) -> None:
    done("registry", "node", "remove", f"ID/~{SECOND}", "--home", world.registry)
    until(lambda: world.answered_by(REGENCY) not in {"one", "two"}, IN_TIME_S, "the refusal")
