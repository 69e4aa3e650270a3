"""A national authority beside the built-in one: its nodes and the others exchange calls.

The authority is openssl, with an intermediate. Its tests build on each other, in the order of the
file.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from examples.gen.wisata.v1 import wisata_pb2 as pb
from registry import app
from registry.home import NewRegistry
from tests.scenario.harness import Process, answering, done, refused, simpul, until
from tests.scenario.world import ASKER, CONSUMER, FIRST, REGENCY, STALE_MS, World
from tests.support.openssl import OpensslCa

NAME = "kupang-1.id.simpul.internal"


@pytest.fixture(scope="module")
def ca(place: Path) -> OpensslCa:
    return OpensslCa(place / "national").found()


@pytest.fixture(scope="module")
def world(place: Path) -> Iterator[World]:
    home = place / "external"
    home.mkdir()
    app.init(home / "r", NewRegistry(stale_after_ms=STALE_MS))
    registry = Process(home / "registry.log", "registry", "serve", "--home", home / "r")
    answer = pb.GetResponse(island=pb.Island(name="komodo")).SerializeToString()
    with ExitStack() as stack:
        stack.callback(registry.stop)
        service = stack.enter_context(answering(lambda _request: answer))
        made = World(home, stack)
        made.endpoints = registry.until_file(home / "r" / "run" / "endpoints.json")
        made.join(REGENCY, FIRST)
        made.join(CONSUMER, ASKER)
        made.serve(FIRST)
        made.serve(ASKER)
        made.token = made.app()
        made.publish(FIRST, REGENCY, service)
        made.allow(FIRST, REGENCY)
        yield made


def request(world: World, *more: object) -> bytes:
    return done(
        "node", "certificate", "request", "--home", world.path(FIRST), *more
    ).out.encode()  # fmt: skip


def importing(world: World, pem: bytes) -> tuple[object, ...]:
    file = world.home / "chain.pem"
    file.write_bytes(pem)
    return ("node", "certificate", "import", file, "--home", world.path(FIRST))


def leaf(world: World) -> x509.Certificate:
    return x509.load_pem_x509_certificates(
        (world.path(FIRST) / "tls" / "chain.pem").read_bytes()
    )[0]  # fmt: skip


def test_an_authority_that_the_policy_does_not_list_is_refused(world: World, ca: OpensslCa) -> None:
    before = leaf(world)
    told = refused("CERTIFICATE_REFUSED", *importing(world, ca.issue(request(world), NAME)))
    assert "at step 7" in told.err
    assert leaf(world) == before


def test_the_policy_lists_it_beside_the_built_in_one(world: World, ca: OpensslCa) -> None:
    policy = done("registry", "policy", "show", "--home", world.registry).json
    policy["tls_authorities"].append(base64.b64encode(ca.root_der).decode())
    (world.home / "policy.json").write_text(json.dumps(policy))
    proposal = world.home / "policy-2.json"
    done(
        "registry", "policy", "propose", world.home / "policy.json", "--home", world.registry,
        "--out", proposal,
    )  # fmt: skip
    done("registry", "policy", "publish", proposal, "--home", world.registry)

    assert world.answered_by(REGENCY) == "komodo"


def test_a_running_node_takes_a_certificate_for_its_key(world: World, ca: OpensslCa) -> None:
    pem = ca.issue(request(world, "--organisation", "Kabupaten Kupang"), NAME)

    def imported() -> bool:
        # Once the node has the policy.
        ran = simpul(*importing(world, pem))
        return ran.status == 0 or "at step 7" not in ran.err

    until(imported, what="the policy at the node")
    assert "National Issuing" in leaf(world).issuer.rfc4514_string()

    # Both ways round: new links, with the certificate that was imported, to and from the other.
    world.stop(ASKER)
    world.serve(ASKER)
    assert world.answered_by(REGENCY) == "komodo"


def test_a_new_key_comes_with_its_certificate_while_the_node_is_stopped(
    world: World, ca: OpensslCa
) -> None:
    pem = ca.issue(request(world, "--new-key", "rsa"), NAME)
    refused("HOME_LOCKED", *importing(world, pem))

    world.stop(FIRST)
    done(*importing(world, pem))
    world.serve(FIRST)

    assert isinstance(leaf(world).public_key(), rsa.RSAPublicKey)
    assert world.answered_by(REGENCY) == "komodo"


def test_the_doctor_says_when_the_next_one_is_needed(world: World, ca: OpensslCa) -> None:
    def certificate() -> dict[str, str]:
        ran = simpul("node", "doctor", "--home", world.path(FIRST), "--json")
        return next(item for item in ran.json["findings"] if item["what"] == "certificate")

    assert certificate()["health"] == "well"
    wrong = ca.issue(request(world), NAME, usage="serverAuth")
    assert "at step 5" in refused("CERTIFICATE_REFUSED", *importing(world, wrong)).err
    assert "outside authority" in certificate()["said"]
