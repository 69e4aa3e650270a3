"""`simpul journal reconcile`, against a node that implements the real admin API."""

import pytest

from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2 as node_pb
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import FakeNode
from tests.unit.cli.fakes_journal import HOUR_MS, LOST

PEER = "ID/~labuan-bajo-1"
COMMAND = ("journal", "reconcile", PEER)
UNDER_WAY = node_pb.ParcelDifference(
    finding="missing there", link_id=b"m" * 32, sent=True, number=8, sealed_at_ms=HOUR_MS + 6,
    header_hash_here=b"i" * 32,
)  # fmt: skip


def test_equal_records_are_a_table_of_hours_and_what_it_cost(
    simpul: Simpul, node: FakeNode
) -> None:
    ran = simpul(*COMMAND).ok()
    assert "2023-11-14 23:00:00Z" in ran.out
    assert "FINDING" not in ran.out
    assert "42 parcels up to 2023-11-15 01:00:00Z: no record was lost" in ran.err
    assert "3 questions, 100 bytes asked and 200 answered" in ran.err
    asked = node.heard.last()
    assert (asked.peer, asked.until_ms) == (PEER, 0)


def test_times_are_said_in_any_of_the_forms(simpul: Simpul, node: FakeNode) -> None:
    simpul(*COMMAND, "--since", "2026-11-01", "--until", "2026-11-01T10:30Z").ok()
    asked = node.heard.last()
    assert (asked.from_ms, asked.until_ms) == (1_793_491_200_000, 1_793_529_000_000)


def test_a_lost_record_is_named_and_ends_with_1(simpul: Simpul, node: FakeNode) -> None:
    node.differences = (LOST, UNDER_WAY)
    ran = simpul(*COMMAND)
    assert ran.code == 1
    assert "JOURNALS_DIFFER: 1 parcels" in ran.err
    assert "missing there" in ran.out
    assert (b"h" * 8).hex() in ran.out


def test_json_has_everything_and_an_error_beside_it(simpul: Simpul, node: FakeNode) -> None:
    assert "error" not in simpul(*COMMAND, "--json").ok().json()
    node.differences = (LOST,)
    ran = simpul(*COMMAND, "--json")
    document = ran.json()
    assert ran.code == 1
    assert document["error"]["code"] == "JOURNALS_DIFFER"
    assert (document["serious"], document["questions"]) == (1, 3)
    (found,) = document["hours"][1]["differences"]
    assert (found["finding"], found["number"]) == ("missing there", 7)
    assert found["header_hash_here"] == (b"h" * 32).hex()
    assert found["header_hash_there"] == ""


def test_hours_that_were_archived_are_said_and_are_no_loss(simpul: Simpul, node: FakeNode) -> None:
    node.archived = True
    ran = simpul(*COMMAND).ok()
    assert "archived there" in ran.out
    assert "1 hours aren't compared" in ran.err
    assert "there up to 2023-11-15 00:00:00Z" in ran.err
    assert simpul(*COMMAND, "--json").ok().json()["archived_hours"] == 1


def test_what_was_under_way_is_no_loss(simpul: Simpul, node: FakeNode) -> None:
    node.differences = (UNDER_WAY,)
    assert "missing there" in simpul(*COMMAND).ok().out


def test_more_than_was_looked_for_is_a_loss(simpul: Simpul, node: FakeNode) -> None:
    node.more = True
    ran = simpul(*COMMAND)
    assert ran.code == 1
    assert "more than 0 parcels" in ran.err


def test_the_nodes_no_is_passed_on(simpul: Simpul, node: FakeNode) -> None:
    node.heard.refusals["ReconcileJournal"] = SimpulError(Code.PEER_UNREACHABLE, "nobody there")
    ran = simpul(*COMMAND)
    assert ran.code == 1
    assert "PEER_UNREACHABLE: nobody there" in ran.err


@pytest.mark.parametrize("text", ["yesterday", "7", "7y", "2026-13-01", "-1d", "1d; rm"])
def test_no_time_is_refused(simpul: Simpul, node: FakeNode, text: str) -> None:
    ran = simpul(*COMMAND, f"--since={text}")
    assert ran.code == 1
    assert "REQUEST_MALFORMED" in ran.err
    assert node.heard.requests == []
