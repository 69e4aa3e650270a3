"""Verification: an honest journal passes; each step has a test that breaks only that step."""

from pathlib import Path

import pytest

from node.journal import verify as verify_module
from node.journal.sqlite_store import SqliteJournalStore
from node.journal.verify import verify
from security.checkpoint import Checkpoint, sign_checkpoint
from security.errors import Code, SimpulError
from security.merkle import Frontier
from security.parcel import HeaderFields, header_hash
from tests.unit.node.journal.archive.support import KEY, Written, origin
from tests.unit.node.journal.builder import (
    PEER_MEMBER,
    Link,
    call_id,
    close_entry,
    half_close_entry,
    message_entry,
    open_entry,
    refuse_entry,
    unary_call,
)
from tests.unit.node.journal.support import read, tamper, write


@pytest.fixture
def honest(path: Path) -> Path:
    """Two slots: unary calls, a stream, a refusal, an unfinished call, an empty parcel."""
    ours, theirs = Link("ours"), Link("theirs")
    write(path, unary_call(ours, 1), unary_call(ours, 2, status=5))
    write(
        path,
        [theirs.received(open_entry(3, "Chat", unary=False), message_entry(3, 1))],
        [theirs.sent(message_entry(3, 0), close_entry(3, index=1))],
        [theirs.received(half_close_entry(3, 2), open_entry(4))],
        [theirs.sent(refuse_entry(4)), theirs.received(open_entry(5)), theirs.sent()],
        slot=1,
    )
    return path


def steps(path: Path) -> list[int]:
    """The numbers of the steps that found something, each once; the report must name them all."""
    report = verify(path)
    assert report.ok == (report.problem_count == 0)
    assert len(report.problems) == report.problem_count
    return sorted({problem.step for problem in report.problems})


def test_an_honest_journal_passes(honest: Path) -> None:
    report = verify(honest)
    assert report.problems == ()
    assert report.ok
    assert (report.parcels, report.entries, report.calls) == (10, 12, 5)
    assert (report.unfinished, report.unfinished_calls) == (1, (call_id(5),))
    frontiers = read(honest, "SELECT frontier FROM slots ORDER BY number")
    stated = [Frontier.from_bytes(value) for (value,) in frontiers if isinstance(value, bytes)]
    assert [(slot.size, slot.root) for slot in report.slots] == [(f.size, f.root()) for f in stated]


def test_an_empty_journal_passes(path: Path) -> None:
    SqliteJournalStore.open(path).close()
    report = verify(path)
    assert (report.ok, report.slots, report.parcels) == (True, (), 0)


def test_progress_is_told(honest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_module, "PAGE_PARCELS", 3)
    monkeypatch.setattr(verify_module, "_PARCEL_PAGE", verify_module._parcel_page())
    monkeypatch.setattr(verify_module, "PAGE_CALLS", 2)
    told: list[tuple[int, int]] = []
    report = verify(honest, progress=lambda done, total: told.append((done, total)))
    assert (report.ok, report.calls) == (True, 5)
    assert told == [(3, 10), (4, 10), (7, 10), (10, 10)]


class TestEachStepAlone:
    def test_1_a_gap_in_the_index(self, honest: Path) -> None:
        where = "SET idx = 4 WHERE slot = 0 AND idx = 3"
        tamper(honest, *((f"UPDATE {t} {where}", ()) for t in ("parcels", "salts", "call_entries")))
        assert steps(honest) == [1]

    @pytest.mark.parametrize(
        "change",
        [
            "header_hash = x'00'",
            "sealed_at_ms = sealed_at_ms + 1",
            "member = (SELECT id FROM names WHERE text = 'tourism')",
            "member = 0",
            "entry_count = 7",
        ],
    )
    def test_2_what_stands_beside_the_header(self, honest: Path, change: str) -> None:
        # The last parcel of its link: nothing after it names its hash.
        tamper(honest, (f"UPDATE parcels SET {change} WHERE slot = 1 AND idx = 5", ()))  # noqa: S608
        assert steps(honest) == [2]

    def test_2_a_header_that_does_not_parse(self, path: Path) -> None:
        # Bad from the start, so that leaf and tree are right.
        record = Link().sent(open_entry(1), version=9)
        write(path, [record])
        assert steps(path) == [2]

    def test_2_a_parcel_to_another_node_than_the_peer(self, path: Path) -> None:
        link = Link()
        sent = link.sent(open_entry(1))
        write(path, [sent])
        tamper(path, ("UPDATE names SET text = 'ID/~another-1' WHERE text = ?", (link.peer,)))
        assert steps(path) == [2]

    def test_3_a_changed_entry(self, honest: Path) -> None:
        # Within the entry's salt: it still parses and says the same.
        entry = open_entry(1).entry
        at = entry.index(b"\x1a\x10") + 2
        changed = entry[:at] + bytes((entry[at] ^ 1,)) + entry[at + 1 :]
        blob = len(entry).to_bytes(4, "big") + changed
        tamper(honest, ("UPDATE parcels SET entries = ? WHERE slot = 0 AND idx = 0", (blob,)))
        assert steps(honest) == [3]

    def test_3_salts_that_do_not_fit(self, honest: Path) -> None:
        tamper(honest, ("UPDATE salts SET salts = ? WHERE slot = 0 AND idx = 0", (b"\0\0",)))
        assert steps(honest) == [3]

    def test_4_a_changed_leaf(self, honest: Path) -> None:
        tamper(
            honest, ("UPDATE parcels SET leaf_hash = ? WHERE slot = 0 AND idx = 2", (bytes(32),))
        )
        assert steps(honest) == [4]

    @pytest.mark.parametrize(
        ("change", "value"),
        [
            ("size = size + ?", 1),
            ("frontier = ?", (4).to_bytes(8, "big") + bytes(32)),
            ("frontier = ?", b"junk"),
            ("number = ?", 7),
        ],
    )
    def test_5_a_changed_slot(self, honest: Path, change: str, value: object) -> None:
        tamper(honest, (f"UPDATE slots SET {change} WHERE number = 0", (value,)))  # noqa: S608
        assert steps(honest) == [5]

    def test_6_a_gap_in_a_links_numbers(self, path: Path) -> None:
        link = Link()
        write(path, [link.sent(open_entry(1)), link.sent(open_entry(2), number=2)])
        assert steps(path) == [6]

    def test_6_a_broken_chain(self, path: Path) -> None:
        link = Link()
        write(path, [link.sent(open_entry(1)), link.sent(open_entry(2), previous=bytes(32))])
        assert steps(path) == [6]

    def test_6_a_first_parcel_that_does_not_name_its_link(self, path: Path) -> None:
        write(path, [Link().sent(open_entry(1), previous=bytes(32))])
        assert steps(path) == [6]

    def test_6_numbers_in_another_order(self, path: Path) -> None:
        link = Link()
        first, second = link.sent(open_entry(1)), link.sent(open_entry(2))
        write(path, [second, first])
        assert steps(path) == [6]

    @pytest.mark.parametrize(
        "change",
        [
            "DELETE FROM call_entries WHERE slot = 1 AND idx = 0 AND entry_no = 1",
            "UPDATE call_entries SET kind = 1 WHERE slot = 1 AND idx = 0 AND entry_no = 1",
            "UPDATE call_entries SET kind = 99 WHERE slot = 1 AND idx = 0 AND entry_no = 1",
            "UPDATE call_entries SET blocks = 9 WHERE slot = 0 AND idx = 0",
            "UPDATE call_entries SET direction = 1 - direction WHERE slot = 0 AND idx = 0",
            "UPDATE call_entries SET call = 1 WHERE slot = 1 AND idx = 0 AND entry_no = 1",
            "INSERT INTO call_entries VALUES (0, 0, 1, 1, 0, 2, 1)",
            "INSERT INTO call_entries VALUES (0, 9, 0, 1, 0, 2, 1)",
            "UPDATE calls SET call_id = x'00' WHERE id = 1",
        ],
    )
    def test_7_the_index_and_the_entries_differ(self, honest: Path, change: str) -> None:
        tamper(honest, (change, ()))
        assert steps(honest) == [7]

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE calls SET outcome = 0 WHERE id = 1",
            "UPDATE calls SET outcome = 2 WHERE id = 1",
            "UPDATE calls SET outcome = 3 WHERE id = 1",
            "UPDATE calls SET outcome = 1 WHERE id = 5",
            "UPDATE calls SET outcome = 77 WHERE id = 5",
            "UPDATE calls SET status = 16 WHERE id = 1",
            "UPDATE calls SET code = 1 WHERE id = 4",
            "UPDATE calls SET terms = 99 WHERE id = 1",
            "UPDATE terms SET consumer = provider",
            "UPDATE terms SET agreement = 0",
            "UPDATE terms SET role = role + 2",
            "UPDATE terms SET peer = consumer",
            "UPDATE calls SET role = 1 - role WHERE id = 1",
            "DELETE FROM calls WHERE id = 5",
            # A call that no entry speaks of.
            "INSERT INTO calls VALUES (99, x'00', 1, 0, 0, 1, NULL, 0, 1, NULL, NULL, NULL, 0)",
        ],
    )
    def test_8_a_call_says_other_things_than_its_entries(self, honest: Path, change: str) -> None:
        tamper(honest, (change, ()))
        assert steps(honest) == [8]

    def test_9_a_seal_that_does_not_hold(self, honest: Path) -> None:
        def judge(fields: HeaderFields, seal: bytes, hashed: bytes) -> None:
            assert len(seal) > 0
            assert len(hashed) == 32
            if str(fields.member) == PEER_MEMBER:
                raise SimpulError(Code.PARCEL_SEAL, "the seal doesn't hold")

        report = verify(honest, verify_seal=judge)
        # Two answers in slot 0, three parcels in slot 1.
        assert [problem.step for problem in report.problems] == [9] * 5
        assert report.problems[0].name == "seal"


def test_the_callback_gets_the_headers_own_hash(path: Path) -> None:
    record = Link().sent(open_entry(1))
    write(path, [record])
    seen: list[tuple[bytes, bytes]] = []
    verify(path, verify_seal=lambda _fields, seal, hashed: seen.append((seal, hashed)))
    assert seen == [(record.seal, header_hash(record.header))]


def test_a_removed_parcel_is_noticed_wherever_it_was(honest: Path) -> None:
    tamper(honest, ("DELETE FROM parcels WHERE slot = 0 AND idx = 1", ()))
    assert steps(honest) == [1, 5, 6, 7]


def test_a_cut_tail_is_noticed(honest: Path) -> None:
    tamper(honest, ("DELETE FROM parcels WHERE slot = 1 AND idx = 5", ()))
    assert steps(honest) == [5]


def test_a_changed_seal_is_noticed(honest: Path) -> None:
    tamper(honest, ("UPDATE parcels SET seal = x'00' WHERE slot = 1 AND idx = 5", ()))
    assert steps(honest) == [4, 5]


def test_erased_salts_are_no_problem(honest: Path) -> None:
    tamper(honest, ("DELETE FROM salts WHERE slot = 0 AND idx = 0", ()))
    assert steps(honest) == []


def test_problems_are_all_counted_and_some_kept(
    honest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_module, "MAX_PROBLEMS", 3)
    tamper(honest, ("UPDATE parcels SET leaf_hash = x'00'", ()))
    report = verify(honest)
    assert (report.problem_count, len(report.problems)) == (10, 3)
    assert str(report.problems[0]) == (
        "4 leaf: slot 0, parcel 0: the leaf isn't that of this header and seal"
    )


def test_what_is_no_journal_is_said(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(SimpulError) as caught:
        verify(path)
    assert caught.value.code is Code.JOURNAL_CORRUPT


@pytest.fixture
def long(path: Path) -> Path:
    """A slot of 600 parcels, with checkpoints of 200 and 600."""
    journal, link = Written(path), Link()
    for calls in (range(100), range(100, 300)):
        journal.add(*(unary_call(link, call) for call in calls))
    assert steps(path) == []
    return path


def named(path: Path) -> list[tuple[int, str]]:
    return [(problem.step, problem.where) for problem in verify(path).problems]


def test_step_10_a_node_of_the_tree_is_another(long: Path) -> None:
    tamper(long, ("UPDATE tree_nodes SET hash = ? WHERE idx = 1", (b"x" * 32,)))
    assert named(long) == [(10, "slot 0, node 1 of level 1")]


def test_step_10_a_node_of_the_tree_is_missing(long: Path) -> None:
    tamper(long, ("DELETE FROM tree_nodes WHERE idx = 0", ()))
    assert named(long) == [(10, "slot 0, node 0 of level 1")]


def test_step_10_a_node_that_the_tree_does_not_have(long: Path) -> None:
    tamper(
        long,
        ("INSERT INTO tree_nodes VALUES (0, 1, 2, X'00')", ()),
        ("INSERT INTO tree_nodes VALUES (0, 2, 0, X'00')", ()),
        ("INSERT INTO tree_nodes VALUES (0, 0, 5, X'00')", ()),
    )
    assert named(long) == [
        (10, "slot 0, node 5 of level 0"),
        (10, "slot 0, node 2 of level 1"),
        (10, "slot 0, node 0 of level 2"),
    ]


def test_step_11_a_checkpoint_of_another_root(long: Path) -> None:
    other = Frontier(200, (b"x" * 32,) * 3)
    note = sign_checkpoint(Checkpoint(origin(), 200, other.root()), KEY).note.to_bytes()
    tamper(long, ("UPDATE checkpoints SET note = ? WHERE size = 200", (note,)))
    assert named(long) == [(11, "slot 0, checkpoint of size 200")]


@pytest.mark.parametrize("size", [0, 100, 601])
def test_step_11_a_checkpoint_under_another_size(long: Path, size: int) -> None:
    tamper(long, ("UPDATE checkpoints SET size = ? WHERE size = 200", (size,)))
    assert named(long) == [(11, f"slot 0, checkpoint of size {size}")]


def test_step_11_a_checkpoint_that_is_no_note(long: Path) -> None:
    tamper(long, ("UPDATE checkpoints SET note = X'00' WHERE size = 600", ()))
    assert named(long) == [(11, "slot 0, checkpoint of size 600")]
