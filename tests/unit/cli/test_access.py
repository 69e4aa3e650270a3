"""`simpul access`, against a node that implements the real admin API."""

import pytest

from cli.access import LegalBasis
from security.errors import Code, SimpulError
from simpul.v1 import agreement_pb2
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import CONSUMER, HASH, SERVICE, FakeNode

ALLOW = ("access", "allow", "--consumer", CONSUMER, "--service", SERVICE)


def test_allow_with_what_the_shortest_command_says(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul(*ALLOW).ok()
    assert ran.out == f"{HASH}\n"
    assert "may call Get, List until 2027-01-15" in ran.err
    asked = node.heard.last()
    assert (asked.consumer, asked.service_id, list(asked.methods)) == (CONSUMER, SERVICE, [])
    assert (asked.purpose, asked.legal_basis, asked.valid_days) == (
        "layanan-publik",
        "PUBLIC_TASK",
        365,
    )
    assert asked.purpose_description == "layanan-publik"


def test_allow_with_all_terms(simpul: Simpul, node: FakeNode) -> None:
    terms = ("--method", "Get", "--method", "List", "--purpose", "p", "--description", "Text")
    more = ("--legal-basis", "consent", "--days", "9", "--json")
    found = simpul(*ALLOW, *terms, *more).ok().json()
    assert found["agreement"] == HASH
    assert found["valid_until_ms"] == 1_800_000_000_000
    asked = node.heard.last()
    assert list(asked.methods) == ["Get", "List"]
    assert (asked.purpose, asked.purpose_description) == ("p", "Text")
    assert (asked.legal_basis, asked.valid_days) == ("CONSENT", 9)


@pytest.mark.parametrize(
    ("given", "asked"),
    [((), "NONE"), (("--keep", "both"), "BOTH"), (("--keep", "Provider"), "PROVIDER")],
)
def test_who_keeps_contents(
    simpul: Simpul, node: FakeNode, given: tuple[str, ...], asked: str
) -> None:
    simpul(*ALLOW, *given).ok()
    assert node.heard.last().keep == asked


@pytest.mark.parametrize(
    "wrong", [("--legal-basis", "whim"), ("--days", "0"), ("--keep", "everybody")]
)
def test_wrong_terms_are_wrong_usage(
    simpul: Simpul, node: FakeNode, wrong: tuple[str, str]
) -> None:
    assert simpul(*ALLOW, *wrong).code == 2
    assert node.heard.requests == []


def test_a_refusal(simpul: Simpul, node: FakeNode) -> None:
    node.heard.refusals["AllowAccess"] = SimpulError(Code.PEER_UNREACHABLE, "no answer")
    ran = simpul(*ALLOW)
    assert ran.code == 1
    assert ran.err.startswith("simpul: PEER_UNREACHABLE: no answer\n")


@pytest.mark.usefixtures("node")
def test_list(simpul: Simpul) -> None:
    row = simpul("access", "list").ok().out.splitlines()[1]
    assert row.split()[:5] == [HASH, "consumer", "active", CONSUMER, SERVICE]
    (found,) = simpul("access", "list", "--json").ok().json()["agreements"]
    assert found["agreement"] == HASH
    assert found["methods"] == ["Get", "List"]


def test_the_legal_bases_are_those_of_the_format() -> None:
    prefix = "LEGAL_BASIS_"
    values = agreement_pb2.LegalBasis.DESCRIPTOR.values
    known = {value.name.removeprefix(prefix) for value in values}
    assert {basis.value for basis in LegalBasis} == known - {"UNSPECIFIED"}
