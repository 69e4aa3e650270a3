"""`simpul member` and the node's own commands, against a node that implements the real API."""

import pytest

from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import FakeNode
from tests.unit.cli.fakes_life import MEMBER, SECOND


@pytest.mark.usefixtures("node")
def test_keys_are_shown_with_what_to_do_next(simpul: Simpul) -> None:
    ran = simpul("member", "show").ok()
    assert "AAAA-BBBB" in ran.out
    assert "CCCC-DDDD" in ran.out
    assert f"simpul member approve {MEMBER} {SECOND} --fingerprint FINGERPRINT" in ran.err
    assert simpul("member", "show", "--json").ok().json()["members"][0]["statement"] == 3


def test_a_node_is_approved_and_dropped(simpul: Simpul, node: FakeNode) -> None:
    simpul("member", "approve", MEMBER, SECOND, "--fingerprint", "CCCC-DDDD").ok()
    asked = node.heard.last()
    assert (asked.member, asked.node, asked.fingerprint) == (MEMBER, SECOND, "CCCC-DDDD")
    simpul("member", "drop", MEMBER, SECOND).ok()
    assert (node.heard.last().member, node.heard.last().node) == (MEMBER, SECOND)


def test_a_node_is_not_approved_without_a_fingerprint(simpul: Simpul, node: FakeNode) -> None:
    assert simpul("member", "approve", MEMBER, SECOND).code == 2
    assert node.heard.requests == []


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (("member", "rotate-seal", MEMBER), admin_pb2.KEY_KIND_SEAL),
        (("member", "rotate-identity", MEMBER), admin_pb2.KEY_KIND_IDENTITY),
        (("node", "rotate-key"), admin_pb2.KEY_KIND_NODE),
    ],
)
def test_keys_are_replaced(
    simpul: Simpul, node: FakeNode, command: tuple[str, ...], kind: int
) -> None:
    simpul(*command).ok()
    assert node.heard.last().kind == kind
    assert simpul(*command, "--json").ok().json()["key_id"] == "6e" * 32


def test_the_address_is_told(simpul: Simpul, node: FakeNode) -> None:
    simpul("node", "address", "node.example:8442").ok()
    assert node.heard.last().address == "node.example:8442"


def test_a_change_is_withdrawn(simpul: Simpul, node: FakeNode) -> None:
    simpul("node", "withdraw", "5").ok()
    assert node.heard.last().number == 5


def test_what_waits_is_said(simpul: Simpul, node: FakeNode) -> None:
    node.heard.refusals["SetLinkAddress"] = SimpulError(Code.APPROVAL_PENDING, "change 5 waits")
    ran = simpul("node", "address", "node.example:8442")
    assert ran.code == 1
    assert "APPROVAL_PENDING" in ran.err


def test_a_token_for_another_member_hosts_nobody(simpul: Simpul) -> None:
    ran = simpul("node", "host", MEMBER, "--token", "x")
    assert (ran.code, "TOKEN_MALFORMED" in ran.err) == (1, True)
