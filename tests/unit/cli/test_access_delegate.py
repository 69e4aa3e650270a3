"""`simpul access delegate` and its like, against a node that implements the real admin API."""

from pathlib import Path

import pytest

from security.delegation import delegation_hash, make_delegation
from security.errors import Code
from security.hashing import DELEGATION_SIGNATURE
from simpul.node.v1 import admin_pb2
from simpul.v1.agreement_pb2 import SignedDelegation
from tests.support.agreements import CONSUMER_IDENTITY
from tests.support.delegations import BOUNDS, DELEGATOR, DELEGATOR_KEY
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import CONSUMER, SERVICE, FakeNode
from tests.unit.cli.fakes_delegations import DELEGATION_HASH

GIVE = (
    "access", "delegate", "--to", "ID/DAERAH/61", "--service", SERVICE, "--purpose", "p",
)  # fmt: skip


def test_delegate_says_the_bounds(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul(*GIVE, "--method", "Get", "--days", "9", "--from", "2027-01-31").ok()
    assert ran.out == f"{DELEGATION_HASH}\n"
    assert "ID/DAERAH/61 may act for ID/DAERAH/61.01 until 2027-01-15" in ran.err
    assert "has not heard of it yet (PEER_UNREACHABLE: it is down)" in ran.err
    assert "--on-behalf-of ID/DAERAH/61.01" in ran.err
    said = node.heard.last()
    assert said == admin_pb2.DelegateAccessRequest(
        delegate="ID/DAERAH/61",
        services=[admin_pb2.DelegatedAccess(service_id=SERVICE, methods=["Get"])],
        purposes=["p"],
        valid_from_ms=1_801_328_400_000,
        valid_days=9,
    )


def test_delegate_as_json(simpul: Simpul, node: FakeNode) -> None:
    found = simpul(*GIVE, "--member", "ID/DAERAH/61.02", "--json").ok().json()
    assert (found["delegation"], found["delegator"]) == (DELEGATION_HASH, "ID/DAERAH/61.02")
    assert found["untold"] == {"code": "PEER_UNREACHABLE", "message": "it is down"}
    assert node.delegations


def test_methods_are_of_one_service(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul(*GIVE, "--service", f"{SERVICE}2", "--method", "Get")
    assert ran.code == 1
    assert Code.REQUEST_MALFORMED in ran.err
    assert node.delegations == []


def test_undelegate(simpul: Simpul, node: FakeNode) -> None:
    simpul(*GIVE).ok()
    ran = simpul("access", "undelegate", "7c7c7c", "--reason", "the contract is over").ok()
    assert ran.out == f"{DELEGATION_HASH}\n"
    assert "ID/DAERAH/61 may no longer act for ID/DAERAH/61.01" in ran.err
    said = node.heard.last()
    assert (said.delegation, said.reason) == ("7c7c7c", "the contract is over")
    found = simpul("access", "undelegate", "7c7c7c", "--json").ok().json()
    assert (found["state"], found["untold"]) == ("revoked", None)


def test_delegations(simpul: Simpul, node: FakeNode) -> None:
    assert "No delegations" in simpul("access", "delegations").ok().err
    simpul(*GIVE, "--method", "Get").ok()
    node.delegations[0].agreements.append("ab" * 32)
    ran = simpul("access", "delegations").ok()
    for part in ("7c7c7c7c7c7c", "delegator", f"{SERVICE} (Get)", "abababababab"):
        assert part in ran.out
    (found,) = simpul("access", "delegations", "--json").ok().json()["delegations"]
    assert found["delegate"] == "ID/DAERAH/61"


def test_a_request_in_another_s_name(simpul: Simpul, node: FakeNode) -> None:
    asked = ("access", "request", "--consumer", CONSUMER, "--service", SERVICE)
    simpul(*asked, "--on-behalf-of", "ID/DAERAH/61.01").ok()
    assert node.heard.last().terms.on_behalf_of == "ID/DAERAH/61.01"
    node.agreements[0].on_behalf_of = "ID/DAERAH/61.01"
    assert f"{CONSUMER} for ID/DAERAH/61.01" in simpul("access", "list").ok().out


def test_usage_by_member_acted_for(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul("access", "usage", "--on-behalf-of", "ID/DAERAH/61.01").ok()
    assert node.heard.last().on_behalf_of == "ID/DAERAH/61.01"
    assert "ID/DAERAH/61.01" in ran.out


DATA = make_delegation(BOUNDS)
UNSIGNED = SignedDelegation(delegation=DATA).SerializeToString()


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "drafted.dlg"
    file.write_bytes(UNSIGNED)
    return file


def test_drafted_for_signing(simpul: Simpul, node: FakeNode, tmp_path: Path) -> None:
    node.delegation_document, out = UNSIGNED, tmp_path / "out.dlg"
    ran = simpul(*GIVE, "--for-signing", str(out)).ok()
    assert out.read_bytes() == UNSIGNED
    assert "simpul access sign-delegation" in ran.err
    assert node.heard.last().terms.delegate == "ID/DAERAH/61"
    # Nothing is given yet, and what is there is not written over.
    assert node.delegations == []
    assert "ALREADY_EXISTS" in simpul(*GIVE, "--for-signing", str(out)).err


def test_signed_without_a_node(simpul: Simpul, document: Path, tmp_path: Path) -> None:
    key, out = tmp_path / "identity.pem", tmp_path / "signed.dlg"
    key.write_bytes(DELEGATOR_KEY.to_pem())
    said = ("access", "sign-delegation", str(document), "--key", str(key), "-o", str(out))
    assert simpul(*said, stdin="n\n").code == 1
    assert not out.exists()
    ran = simpul(*said, stdin="y\n").ok()
    for part in (delegation_hash(DATA).hex(), str(DELEGATOR), "Get, List", "layanan-wisata"):
        assert part in ran.out
    signed = SignedDelegation.FromString(out.read_bytes())
    assert signed.delegation == DATA
    DELEGATOR_KEY.public.verify(DELEGATION_SIGNATURE, DATA, signed.signature)


def test_another_key_signs_nothing(simpul: Simpul, document: Path, tmp_path: Path) -> None:
    key, out = tmp_path / "identity.pem", tmp_path / "signed.dlg"
    key.write_bytes(CONSUMER_IDENTITY.to_pem())
    said = ("access", "sign-delegation", str(document), "--key", str(key), "-o", str(out), "--yes")
    assert Code.KEY_UNKNOWN in simpul(*said).err
    document.write_bytes(b"\xff")
    assert Code.DELEGATION_INVALID in simpul(*said).err
    assert not out.exists()


def test_imported(simpul: Simpul, node: FakeNode, document: Path) -> None:
    ran = simpul("access", "import-delegation", str(document)).ok()
    assert ran.out == f"{DELEGATION_HASH}\n"
    assert node.heard.last().document == UNSIGNED
