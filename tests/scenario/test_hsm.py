"""Nodes whose keys lie in a token (SoftHSM2): they join, exchange calls, and survive its absence.

One small federation of its own. Its tests build on each other, in the order of the file.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from examples.gen.wisata.v1 import wisata_pb2 as pb
from registry import app
from registry.home import NewRegistry
from tests.scenario.harness import Process, answering, done, refused, simpul, until
from tests.scenario.world import ASKER, CONSUMER, FIRST, REGENCY, STALE_MS, World
from tests.support.hsm import PIN, Hsm, make_hsm

SEAL = "pkcs11:token=simpul;object=regency-seal"
IDENTITY = "pkcs11:token=simpul;object=regency-identity"


def _named(_request: bytes, name: str = "komodo") -> bytes:
    return pb.GetResponse(island=pb.Island(name=name)).SerializeToString()


@pytest.fixture(scope="module")
def hsm(place: Path) -> Hsm:
    return make_hsm(place / "hsm-tokens")


@pytest.fixture(scope="module")
def world(place: Path, hsm: Hsm) -> Iterator[World]:
    """A regency whose seal and identity keys lie in a token, and a ministry with files."""
    home = place / "hsm"
    home.mkdir()
    app.init(home / "r", NewRegistry(stale_after_ms=STALE_MS))
    registry = Process(home / "registry.log", "registry", "serve", "--home", home / "r")
    with ExitStack() as stack:
        stack.callback(registry.stop)
        service = stack.enter_context(answering(partial(_named)))
        made = World(home, stack)
        made.endpoints = registry.until_file(home / "r" / "run" / "endpoints.json")
        made.join(
            REGENCY, FIRST, "--seal-key", SEAL, "--identity-key", IDENTITY,
            "--hsm-module", hsm.library, env=hsm.env,
        )  # fmt: skip
        made.join(CONSUMER, ASKER)
        made.serve(FIRST, **hsm.env)
        made.serve(ASKER, **hsm.env)
        made.token = made.app()
        made.publish(FIRST, REGENCY, service)
        made.allow(FIRST, REGENCY)
        yield made


def test_what_lies_in_the_home_is_no_key(world: World) -> None:
    keys = world.path(FIRST) / "keys"

    assert not (keys / "seal.pem").exists()
    assert not (keys / "identity.pem").exists()
    assert SEAL in (keys / "seal.uri").read_text()
    assert PIN not in (world.path(FIRST) / "node.toml").read_text()


def test_a_node_whose_keys_are_in_a_token_exchanges_calls(world: World) -> None:
    assert [world.answered_by(REGENCY) for _ in range(3)] == ["komodo"] * 3
    done("journal", "verify", "--home", world.path(FIRST))


def test_the_doctor_tries_the_token(world: World, hsm: Hsm) -> None:
    told = simpul("node", "doctor", "--home", world.path(FIRST), "--json", **hsm.env).json
    found = [item for item in told["findings"] if item["what"] == f"token of {REGENCY}"]
    assert [item["health"] for item in found] == ["well", "well"], told

    blind = simpul("node", "doctor", "--home", world.path(FIRST), "--json",
                   **{**hsm.env, "SIMPUL_HSM_PIN": "0000"}).json  # fmt: skip
    codes = {item["code"] for item in blind["findings"] if item["what"].startswith("token of")}
    assert codes == {"HSM_PIN"}, blind


def test_a_seal_key_moves_into_a_token_under_traffic(world: World, hsm: Hsm) -> None:
    rotate = ("member", "rotate-seal", CONSUMER, "--home", world.path(ASKER), "--json")
    key = f"pkcs11:token=simpul;object=ministry-seal?module-path={hsm.library}"

    rotated = done(*rotate, "--key", key, "--key-algorithm", "p256").json

    def used() -> bool:
        assert world.answered_by(REGENCY) == "komodo"
        shown = done("journal", "list", "--home", world.path(ASKER), "--json")
        return shown.status == 0 and rotated["key_id"] in _sealed_by(world)

    until(used, what="the new seal key in use")
    refused("ALREADY_EXISTS", *rotate, "--key", key)


def _sealed_by(world: World) -> set[str]:
    """The ids of the keys that the directory lists for the ministry and that are valid now."""
    listed = world.keys(ASKER)[CONSUMER]["seal_keys"]
    return {item["key_id"] for item in listed}


def test_an_identity_key_moves_to_another_key_of_the_token(world: World) -> None:
    rotated = done(
        "member", "rotate-identity", REGENCY, "--home", world.path(FIRST), "--json",
        "--key", f"{IDENTITY}-2",
    ).json  # fmt: skip

    assert world.keys(FIRST)[REGENCY]["identity_key_id"] == rotated["key_id"]
    assert world.answered_by(REGENCY) == "komodo"


def test_a_token_that_is_pulled_out_stops_its_member_only_until_it_is_back(
    world: World, hsm: Hsm
) -> None:
    hsm.remove()
    try:
        until(lambda: world.answered_by(REGENCY) == "HSM_UNAVAILABLE", what="a refusal")
        assert world.nodes[FIRST][1].status is None
    finally:
        hsm.put_back()

    until(lambda: world.answered_by(REGENCY) == "komodo", what="answers again")
    for log in world.home.glob("*.log"):
        assert PIN not in log.read_text().split(), log


def test_what_is_missing_is_said_at_once(world: World, hsm: Hsm) -> None:
    token = world.enrol("ID/DAERAH/53.17", "ende-1")
    init = (
        "node", "init", "--home", world.path("ende-1"), "--registry", world.endpoints["grpc"],
        "--root", world.registry / "root.json", "--token", token,
    )  # fmt: skip
    refused("CONFIG_INVALID", *init, "--seal-key", SEAL)
    refused("CONFIG_INVALID", *init, "--seal-key", f"{SEAL}?pin-value={PIN}")
    refused("HSM_PIN", *init, "--seal-key", SEAL, "--hsm-module", hsm.library,
            SOFTHSM2_CONF=str(hsm.conf))  # fmt: skip
    refused("HSM_UNAVAILABLE", *init, "--seal-key", "pkcs11:token=other;object=x",
            "--hsm-module", hsm.library, **hsm.env)  # fmt: skip
