"""`simpul access`, against a node that implements the real admin API."""

import pytest

from cli.access_terms import LegalBasis
from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2 as node_pb
from simpul.v1 import agreement_pb2
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import CONSUMER, HASH, SERVICE, FakeNode

ALL_TERMS = (
    "--method", "Get", "--method", "List", "--purpose", "p", "--description", "Text",
    "--legal-basis", "consent", "--days", "9", "--field", "Get/name", "--field", "List/@etag",
    "--request-field", "Get/id", "--rate", "10/s:50", "--per-day", "1000",
    "--hours", "08:00-16:00", "--from", "2027-01-31", "--keep", "both", "--consumer-days", "30",
    "--hidden-from-citizens", "--renews", HASH,
)  # fmt: skip
ALLOW = ("access", "allow", "--consumer", CONSUMER, "--service", SERVICE)


def test_allow_with_what_the_shortest_command_says(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul(*ALLOW).ok()
    assert ran.out == f"{HASH}\n"
    assert "may call Get, List until 2027-01-15" in ran.err
    terms = node.heard.last().terms
    assert (terms.consumer, terms.service_id, list(terms.methods)) == (CONSUMER, SERVICE, [])
    (purpose,) = terms.purposes
    assert (purpose.id, purpose.legal_basis) == ("layanan-publik", "PUBLIC_TASK")
    assert purpose.description == "layanan-publik"
    # What was not said is left to the node.
    assert terms.valid_days == 0
    for part in ("rate", "response_fields", "request_fields"):
        assert not terms.HasField(part)


def test_allow_with_all_terms(simpul: Simpul, node: FakeNode) -> None:
    found = simpul(*ALLOW, *ALL_TERMS, "--json").ok().json()
    assert found["agreement"] == HASH
    assert found["valid_until_ms"] == 1_800_000_000_000
    check_all_terms(node)


def test_request_says_the_same_terms(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul("access", "request", *ALLOW[2:], *ALL_TERMS, "--note", "please").ok()
    check_all_terms(node)
    assert node.heard.last().note == "please"
    assert "has not heard of it yet (PEER_UNREACHABLE: it is down)" in ran.err
    assert "Cocok would do" in ran.err


def test_hints_are_in_the_json_too(simpul: Simpul, node: FakeNode) -> None:
    assert node.agreements
    found = simpul("access", "request", *ALLOW[2:], "--json").ok().json()
    assert found["hints"] == ["Cocok would do"]


def test_all_fields_for_a_reason(simpul: Simpul, node: FakeNode) -> None:
    simpul(*ALLOW, "--all-because", "the census", "--field", "Get/name").ok()
    terms = node.heard.last().terms
    assert list(terms.response_fields.paths) == ["Get/name"]
    assert terms.response_fields.reason == ""
    assert terms.request_fields.reason == "the census"


@pytest.mark.parametrize("wrong", [("--rate", "fast"), ("--rate", "0/s"), ("--from", "tomorrow")])
def test_terms_that_cannot_be_read(simpul: Simpul, node: FakeNode, wrong: tuple[str, str]) -> None:
    ran = simpul(*ALLOW, *wrong)
    assert ran.code == 1
    assert "REQUEST_MALFORMED" in ran.err
    assert "say it like" in ran.err
    assert node.heard.requests == []


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


def check_all_terms(node: FakeNode) -> None:
    terms = node.heard.last().terms
    assert list(terms.methods) == ["Get", "List"]
    (purpose,) = terms.purposes
    assert (purpose.id, purpose.legal_basis, purpose.description) == ("p", "CONSENT", "Text")
    assert list(terms.response_fields.paths) == ["Get/name", "List/@etag"]
    assert list(terms.request_fields.paths) == ["Get/id"]
    rate = terms.rate
    assert (rate.calls_per_second, rate.burst, rate.calls_per_day) == (10, 50, 1000)
    assert (list(terms.hours), terms.valid_days) == (["08:00-16:00"], 9)
    # Midnight in Western Indonesia.
    assert terms.valid_from_ms == 1_801_328_400_000
    assert (terms.payload_keeper, terms.consumer_retention_days) == ("both", 30)
    assert (terms.hidden_from_citizens, terms.replaces) == (True, HASH)


@pytest.mark.parametrize(
    ("command", "decision"),
    [("approve", "accept"), ("decline", "decline"), ("withdraw", "withdraw"), ("revoke", "revoke")],
)
def test_decisions(simpul: Simpul, node: FakeNode, command: str, decision: str) -> None:
    ran = simpul("access", command, HASH[:8]).ok()
    assert ran.out == f"{HASH}\n"
    asked = node.heard.last()
    assert (asked.agreement, asked.decision) == (HASH[:8], decision)


def test_a_reason_is_told(simpul: Simpul, node: FakeNode) -> None:
    simpul("access", "revoke", HASH, "--reason", "over").ok()
    assert node.heard.last().reason == "over"


def test_approve_with_less_makes_a_counter_offer(simpul: Simpul, node: FakeNode) -> None:
    less = ("--narrow", "--method", "Get", "--rate", "1/s", "--purpose", "p", "--note", "enough")
    simpul("access", "approve", HASH, *less).ok()
    asked = node.heard.last()
    assert (asked.decision, asked.reason) == ("counter", "enough")
    assert list(asked.terms.methods) == ["Get"]
    assert asked.terms.rate.burst == 1
    assert [item.id for item in asked.terms.purposes] == ["p"]


@pytest.mark.parametrize("wrong", [("--narrow",), ("--method", "Get")])
def test_approve_by_mistake(simpul: Simpul, node: FakeNode, wrong: tuple[str, ...]) -> None:
    ran = simpul("access", "approve", HASH, *wrong)
    assert ran.code == 1
    assert "--narrow" in ran.err
    assert node.heard.requests == []


def test_show(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul("access", "show", HASH[:8]).ok()
    assert node.heard.last().agreement == HASH[:8]
    for part in ("10 a second, 10 at once", "propose", "not yet", "no limit", "narrower"):
        assert part in ran.out
    found = simpul("access", "show", HASH[:8], "--json").ok().json()
    assert found["changes"][0]["direction"] == "narrower"


def test_the_inbox(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul("access", "inbox").ok()
    assert node.heard.last().waiting
    assert HASH[:12] in ran.out
    assert f"simpul access approve {HASH[:12]}" in ran.err
    assert "AS REGISTERED" not in ran.out
    node.agreements[0].registered.add(term="layanan-wisata", says="Tourist map. Show islands")
    assert "Tourist map. Show islands" in simpul("access", "inbox").ok().out
    node.agreements = []
    assert "Nothing waits" in simpul("access", "inbox").ok().err


def test_settle_ends_with_1_while_somebody_cannot_be_asked(simpul: Simpul, node: FakeNode) -> None:
    assert "nothing is missing" in simpul("access", "settle").ok().err
    node.settle_faults = [node_pb.Untold(code="PEER_UNREACHABLE", message="it is down")]
    ran = simpul("access", "settle")
    assert ran.code == 1
    assert "PEER_UNREACHABLE: it is down" in ran.err


def test_usage(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul("access", "usage", "--days", "7").ok()
    assert "4900 of 5000 (98%)" in " ".join(ran.out.split())
    assert "cdcdcdcdcdcd was not used for 180 days" in ran.err
    assert HASH[:12] not in ran.err
    assert (node.heard.last().agreement, node.heard.last().days) == ("", 7)
    one = simpul("access", "usage", "abab", "--json").ok().json()
    assert [item["refused"] for item in one["usage"]] == [3, 0]
    assert (node.heard.last().agreement, node.heard.last().days) == ("abab", 30)
