"""`simpul journal erase`, `erasures`, `rotate-key`, and what of contents `show` and `list` tell."""

from pathlib import Path

import pytest

from cli import journal_erase
from node.config import write_config
from node.home import NodeHome
from node.journal.kept.model import ErasureOrder, Notice, Reason, Settled
from node.journal.kept.sql_store import SqlKeptStore
from node.secret_ring import INDEX, WRAP, SecretRing
from runtime.clock import now_ms
from security.errors import Code, SimpulError
from security.persons import Persons
from simpul.node.v1 import admin_pb2
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import FakeNode
from tests.unit.cli.test_journal import CONFIG
from tests.unit.node.journal.builder import NOW_MS, PEER, PEER_MEMBER, Link, call_id
from tests.unit.node.journal.kept.support import KEYS, NIK, keep, kept_call

ONE, TWO, THREE = (call_id(number).hex() for number in (1, 2, 3))
HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def journal(simpul: Simpul, node: FakeNode) -> Path:
    """Two calls that concern a citizen, and one that concerns nobody."""
    (simpul.home / "keys").mkdir()
    (simpul.home / "node.toml").unlink()
    write_config(simpul.home / "node.toml", CONFIG)
    ring = SecretRing(NodeHome.at(simpul.home))
    ring.add(WRAP, KEYS.wrapping[0])
    ring.add(INDEX, KEYS.index[0])
    path = simpul.home / "journal.db"
    link = Link()
    keep(path, kept_call(link, 1), kept_call(link, 2), kept_call(link, 3, Persons()))
    return path


def asked(node: FakeNode) -> list[admin_pb2.EraseCallsRequest]:
    return [each for each in node.heard.requests if isinstance(each, admin_pb2.EraseCallsRequest)]


class TestErase:
    def test_one_call(self, simpul: Simpul, node: FakeNode) -> None:
        ran = simpul("journal", "erase", ONE)
        assert ran.code == 0
        assert f"{ONE} erased, 2 entries; {PEER} is told" in ran.err
        (request,) = asked(node)
        assert [each.hex() for each in request.call_ids] == [ONE]
        assert (request.reason, bool(request.by)) == ("subject-request", True)

    def test_a_person_in_a_dry_run(self, simpul: Simpul, node: FakeNode) -> None:
        ran = simpul("journal", "erase", "--subject", "3171 2345 6789 0123", "--dry-run", "--json")
        assert ran.json() == {"would_erase": [TWO, ONE]}
        assert asked(node) == []

    def test_a_person_is_asked_for_first(self, simpul: Simpul, node: FakeNode) -> None:
        ran = simpul("journal", "erase", "--subject", NIK, stdin="n\n")
        assert ran.code == 0
        assert asked(node) == []
        assert TWO in ran.out
        assert THREE not in ran.out
        ran = simpul("journal", "erase", "--subject", NIK, stdin="y\n")
        assert ran.code == 0
        assert [each.hex() for each in asked(node)[0].call_ids] == [TWO, ONE]

    def test_with_json_it_must_be_said(self, simpul: Simpul, node: FakeNode) -> None:
        assert simpul("journal", "erase", "--subject", NIK, "--json").code == 2
        assert asked(node) == []
        ran = simpul("journal", "erase", "--subject", NIK, "--json", "--yes")
        assert [item["call_id"] for item in ran.json()["calls"]] == [TWO, ONE]
        assert ran.json()["scrubbed"] is True

    def test_many_go_in_batches(
        self, simpul: Simpul, node: FakeNode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal_erase, "BATCH", 1)
        ran = simpul("journal", "erase", "--subject", NIK, "--yes")
        assert ran.code == 0
        assert [len(request.call_ids) for request in asked(node)] == [1, 1]

    def test_what_failed_is_said_beside_what_was_done(self, simpul: Simpul, node: FakeNode) -> None:
        node.erased[call_id(1)] = admin_pb2.ErasedCall(
            call_id=call_id(1), error_code="CONFLICT", error_message="it is under way"
        )
        ran = simpul("journal", "erase", "--subject", NIK, "--yes", "--json")
        assert ran.code == 1
        assert ran.json()["error"]["code"] == "CONFLICT"
        assert [item["error_code"] for item in ran.json()["calls"]] == [None, "CONFLICT"]

    @pytest.mark.parametrize(
        "arguments",
        [(), (ONE, "--subject", NIK), (ONE, "--reason", "because"), ("--subject", " ")],
    )
    def test_wrong_usage(self, simpul: Simpul, node: FakeNode, arguments: tuple[str, ...]) -> None:
        assert simpul("journal", "erase", *arguments).code == 2
        assert asked(node) == []

    def test_nobody_of_that_name(self, simpul: Simpul, node: FakeNode) -> None:
        ran = simpul("journal", "erase", "--user", "budi", "--yes")
        assert ran.code == 0
        assert asked(node) == []


class TestShow:
    def test_contents_in_json(self, simpul: Simpul) -> None:
        (call,) = simpul("journal", "show", ONE, "--payloads", "--json").json()["calls"]
        asked_for, told = call["contents"]
        assert asked_for["payload"] == {
            "state": "kept", "bytes": b"question 1".hex(), "message": None,
        }  # fmt: skip
        assert asked_for["private"]["content"] == {"metadata": [["x-trace", "7"]], "subject": NIK}
        assert told["private"]["content"]["status_message"] == "fine"

    def test_contents_for_people(self, simpul: Simpul) -> None:
        ran = simpul("journal", "show", ONE, "--payloads")
        assert b"question 1".hex() in ran.out
        assert NIK in ran.out

    def test_not_without_being_asked(self, simpul: Simpul) -> None:
        ran = simpul("journal", "show", ONE, "--json")
        assert "contents" not in ran.json()["calls"][0]
        assert NIK not in ran.out

    def test_what_was_erased_says_so(self, simpul: Simpul, journal: Path) -> None:
        order = ErasureOrder(call_id(1), "siti", Reason.UNLAWFUL)
        SqlKeptStore.open(journal).erase(order, now_ms=NOW_MS)
        (call,) = simpul("journal", "show", ONE, "--payloads", "--json").json()["calls"]
        assert {item["payload"]["state"] for item in call["contents"]} == {"erased"}
        report = simpul("journal", "verify", "--json").json()
        assert report["erased_entries"] == 2


class TestList:
    def test_by_a_person(self, simpul: Simpul) -> None:
        ran = simpul("journal", "list", "--subject", "3171.2345.6789.0123", "--json")
        assert [call["call_id"] for call in ran.json()["calls"]] == [TWO, ONE]
        assert simpul("journal", "list", "--issue", NIK, "--json").json()["calls"] == []

    def test_without_an_index_key(self, simpul: Simpul) -> None:
        (simpul.home / "keys" / "index.key").unlink()
        ran = simpul("journal", "list", "--subject", NIK)
        assert (ran.code, "KEY_UNKNOWN" in ran.err) == (1, True)


class TestErasures:
    @pytest.fixture
    def store(self, journal: Path) -> SqlKeptStore:
        store = SqlKeptStore.open(journal)
        store.erase(ErasureOrder(call_id(1), "siti", Reason.COURT_ORDER), now_ms=NOW_MS)
        (telling,) = store.due(NOW_MS, limit=1)
        store.postpone(telling.id, "PEER_UNREACHABLE", NOW_MS + 5)
        return store

    def heard(self, store: SqlKeptStore, number: int, hours_ago: int) -> None:
        at_ms = now_ms() - hours_ago * HOUR_MS - 60_000
        notice = Notice(
            call_id(number), PEER_MEMBER, NOW_MS, "subject-request", at_ms, None, Settled.OPEN
        )
        store.hear(notice)

    def test_what_was_erased_and_how_far_it_was_told(
        self, simpul: Simpul, store: SqlKeptStore
    ) -> None:
        (item,) = simpul("journal", "erasures", "--json").json()["erasures"]
        assert (item["call_id"], item["by"], item["reason"]) == (ONE, "siti", "court-order")
        (told,) = item["told"]
        assert (told["node"], told["told_at_ms"], told["code"]) == (PEER, None, "PEER_UNREACHABLE")
        assert f"{PEER} not yet (PEER_UNREACHABLE)" in simpul("journal", "erasures").out

    def test_open_notices_have_an_age_and_a_limit(
        self, simpul: Simpul, store: SqlKeptStore
    ) -> None:
        self.heard(store, 2, hours_ago=25)
        self.heard(store, 3, hours_ago=80)
        ran = simpul("journal", "erasures", "--open")
        assert "open for 1 d 1 h: 1 d 22 h left" in ran.out
        assert "OVERDUE by 8 h" in ran.out
        assert "siti" not in ran.out
        notices = simpul("journal", "erasures", "--open", "--json").json()["notices"]
        assert [(item["state"], item["overdue"]) for item in notices] == [
            ("open", True),
            ("open", False),
        ]

    def test_declining(self, simpul: Simpul, node: FakeNode) -> None:
        assert simpul("journal", "erasures", "--decline", TWO).code == 0
        assert node.heard.last().call_id == call_id(2)
        node.open_notices = 0
        ran = simpul("journal", "erasures", "--decline", TWO)
        assert (ran.code, "NOT_FOUND" in ran.err) == (1, True)


def test_rotating_the_key_goes_on_until_nothing_is_left(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul("journal", "rotate-key", "--json")
    assert ran.json() == {"key_id": "ab" * 8, "rewrapped": 1500, "destroyed": 1}
    assert [request.new_key for request in node.heard.requests] == [True, False, False]


def test_a_node_that_does_not_run_erases_nothing(simpul: Simpul, node: FakeNode) -> None:
    node.heard.refusals["EraseCalls"] = SimpulError(Code.JOURNAL_FULL, "no room")
    ran = simpul("journal", "erase", ONE)
    assert (ran.code, "JOURNAL_FULL" in ran.err) == (1, True)
