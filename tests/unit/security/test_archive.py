"""Archives: an honest one holds; each step has a test that breaks it, and names it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.journal.model import Direction, ParcelRecord
from security import merkle
from security.archive import (
    MAGIC,
    ArchivePrinter,
    Checkpoint,
    Frame,
    Head,
    Parcel,
    Stamp,
    parse_head,
    read_archive,
)
from security.archive_check import (
    ArchiveError,
    ArchiveReport,
    Expected,
    Step,
    Trust,
    check_archive,
    inclusion_path,
    leaf_of,
)
from security.checkpoint import Checkpoint as TreeHead
from security.checkpoint import sign_checkpoint
from security.cosignature import cosign, witness_key
from security.errors import Code, SimpulError
from security.merkle import Frontier
from tests.conformance import fixed
from tests.unit.node.journal.builder import NOW_MS, PEER, Link, unary_call

KEY = fixed.key("a node")
WITNESS = fixed.key("a witness")
ORIGIN = "jakarta-1.example/journal/0"
TRUST = Trust(keys=(KEY.public,), witnesses=(witness_key("w", WITNESS),), quorum=1)


def parcel_of(record: ParcelRecord, at_ms: int = NOW_MS) -> Parcel:
    return Parcel(
        record.direction is Direction.SENT,
        True,
        PEER,
        at_ms,
        record.header,
        record.seal,
        tuple(sealed.entry for sealed in record.entries),
    )


def checkpoint(tree: Frontier, *, origin: str = ORIGIN, witness: str = "w") -> Checkpoint:
    note = sign_checkpoint(TreeHead(origin, tree.size, tree.root()), KEY).note
    note = note.with_signatures([cosign(note.text, witness, WITNESS, NOW_MS // 1000)])
    return Checkpoint(note.to_bytes(), NOW_MS, NOW_MS, (Stamp("TSA", b"response", NOW_MS),))


@dataclass
class Draft:
    """An archive to be spoilt: its parts, in the order in which they are printed."""

    head: Head
    parts: list[Parcel | Checkpoint] = field(default_factory=list)
    digest: bytes | None = None

    def to_bytes(self) -> bytes:
        printer = ArchivePrinter()
        data = printer.head(self.head)
        for part in self.parts:
            data += printer.parcel(part) if isinstance(part, Parcel) else printer.checkpoint(part)
        end = printer.end()
        return data + (end if self.digest is None else end[:5] + self.digest)


LINK = Link()
RECORDS = [record for call in range(6) for record in unary_call(LINK, call)]
PARCELS = [parcel_of(record, NOW_MS + number) for number, record in enumerate(RECORDS)]
LEAVES = [leaf_of(parcel) for parcel in PARCELS]


def tree_of(size: int) -> Frontier:
    tree = Frontier()
    for leaf in LEAVES[:size]:
        tree = tree.append(leaf)
    return tree


def draft(first: int = 4, end: int = 10, *, previous: bytes | None = b"p" * 32) -> Draft:
    """Leaves 4 to 9, with checkpoints at 7 and 10."""
    parts: list[Parcel | Checkpoint] = []
    for number in range(first, end):
        parts.append(PARCELS[number])
        if number + 1 in {7, end}:
            parts.append(checkpoint(tree_of(number + 1)))
    return Draft(Head(ORIGIN, 0, tree_of(first), end, previous if first else None), parts)


def judge(
    archive: Draft | bytes, trust: Trust | None = TRUST, expected: Expected | None = None
) -> ArchiveReport:
    data = archive if isinstance(archive, bytes) else archive.to_bytes()
    return check_archive([data], trust, expected)


def failing(
    archive: Draft | bytes, trust: Trust | None = TRUST, expected: Expected | None = None
) -> Step:
    with pytest.raises(ArchiveError) as caught:
        judge(archive, trust, expected)
    assert caught.value.code is Code.ARCHIVE_INVALID
    assert f"step {caught.value.step.value} {caught.value.step.name.lower()}" in str(caught.value)
    return caught.value.step


def test_an_honest_archive_holds() -> None:
    expected = Expected(ORIGIN, tree_of(4), b"p" * 32)
    report = judge(draft(), TRUST, expected)
    assert (report.parcels, report.entries, report.checkpoints) == (6, 6, 2)
    assert (report.first_at_ms, report.last_at_ms) == (NOW_MS + 4, NOW_MS + 9)
    assert report.tree == tree_of(10)
    # The end of the second that the witness named.
    assert report.quorum_at_ms == NOW_MS // 1000 * 1000 + 999
    assert report.signatures_judged
    assert report.cosignatures_judged
    assert not report.seals_judged
    assert report.next == Expected(ORIGIN, tree_of(10), report.digest)


def test_a_logs_first_archive_has_none_before_it() -> None:
    report = judge(draft(0, 7))
    assert report.head.previous is None
    assert report.head.first == 0


def test_a_larger_checkpoint_covers_it_by_a_proof() -> None:
    archive = draft(0, 5)
    path = merkle.consistency_path(LEAVES, 5)
    archive.parts[-1] = replace(checkpoint(tree_of(12)), path=path)
    assert judge(archive).covered_by == 12
    archive.parts[-1] = replace(checkpoint(tree_of(12)), path=path[:-1])
    assert failing(archive) is Step.CHECKPOINT


@given(st.lists(st.integers(1, 400), max_size=12))
def test_pieces_of_any_size_are_read_alike(cuts: list[int]) -> None:
    data = draft().to_bytes()
    pieces = []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    assert check_archive([*pieces, data], TRUST) == judge(draft())


def test_what_is_read_prints_to_the_same_bytes() -> None:
    data = draft().to_bytes()
    head, *parts, end = read_archive([data])
    assert isinstance(head, Head)
    again = Draft(head, [part for part in parts if isinstance(part, Parcel | Checkpoint)])
    assert again.to_bytes() == data
    assert len(parts) == len(again.parts)
    assert end.stated == end.made  # type: ignore[union-attr]


@given(st.data())
def test_one_flipped_bit_anywhere_fails(data: st.DataObject) -> None:
    whole = bytearray(draft().to_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    failing(bytes(whole), None)


@given(st.data())
def test_a_cut_archive_fails(data: st.DataObject) -> None:
    whole = draft().to_bytes()
    assert failing(whole[: data.draw(st.integers(0, len(whole) - 1))]) is Step.FORMAT


@given(st.binary(max_size=200))
def test_noise_is_no_archive(noise: bytes) -> None:
    assert failing(MAGIC + noise) is Step.FORMAT


def test_bytes_behind_its_end_are_refused() -> None:
    assert failing(draft().to_bytes() + b"x") is Step.FORMAT


def test_a_frame_that_states_too_much_is_refused_before_it_is_read() -> None:
    def endless() -> Iterator[bytes]:
        yield MAGIC + bytes((Frame.HEAD,)) + b"\xff\xff\xff\xff"
        raise AssertionError("it read on")

    with pytest.raises(ArchiveError) as caught:
        check_archive(endless())
    assert caught.value.step is Step.FORMAT


def test_an_unknown_frame_or_a_second_head_is_refused() -> None:
    data = draft().to_bytes()
    assert failing(MAGIC + b"\x09" + data[len(MAGIC) + 1 :]) is Step.FORMAT
    printer = ArchivePrinter()
    first = printer.head(draft().head)
    assert failing(first + first[len(MAGIC) :]) is Step.FORMAT


@pytest.mark.parametrize(
    "spoil",
    [
        lambda head: setattr(head, "version", 2),
        lambda head: setattr(head, "origin", ""),
        lambda head: head.ClearField("slot"),
        lambda head: setattr(head, "frontier", b"short"),
        lambda head: setattr(head, "end", 4),
        lambda head: setattr(head, "previous", b"short"),
    ],
)
def test_a_head_that_can_be_none_is_refused(spoil: Callable[[object], object]) -> None:
    from simpul.v1 import archive_pb2  # noqa: PLC0415

    message = archive_pb2.ArchiveHead.FromString(
        ArchivePrinter().head(draft().head)[len(MAGIC) + 5 :]
    )
    assert parse_head(message.SerializeToString(deterministic=True)).end == 10
    spoil(message)
    with pytest.raises(SimpulError) as caught:
        parse_head(message.SerializeToString(deterministic=True))
    assert caught.value.code is Code.ARCHIVE_INVALID


@pytest.mark.parametrize(
    "expected",
    [
        Expected("other.example/journal/0", tree_of(4), b"p" * 32),
        Expected(ORIGIN, tree_of(5), b"p" * 32),
        Expected(ORIGIN, Frontier(4, (b"x" * 32,)), b"p" * 32),
        Expected(ORIGIN, tree_of(4), b"q" * 32),
        Expected(ORIGIN, tree_of(4), None),
    ],
)
def test_step_2_what_the_one_before_it_leads_to(expected: Expected) -> None:
    assert failing(draft(), TRUST, expected) is Step.HEAD


@pytest.mark.parametrize(
    "change",
    [
        {"header": b"\x08\x01"},
        {"entries": ()},
        {"entries": (*PARCELS[5].entries, *PARCELS[5].entries)},
        {"entries": PARCELS[7].entries},
        {"entries": (b"noise",)},
    ],
)
def test_step_3_a_parcel_that_is_not_whole(change: dict[str, object]) -> None:
    archive = draft()
    archive.parts[1] = replace(PARCELS[5], **change)  # type: ignore[arg-type]
    assert failing(archive) is Step.PARCEL


def swapped(parts: list[Parcel | Checkpoint]) -> list[Parcel | Checkpoint]:
    return [parts[2], parts[1], parts[0], *parts[3:]]


def test_step_4_a_link_that_is_out_of_order_or_has_a_gap() -> None:
    archive = draft()
    archive.parts = swapped(archive.parts)
    assert failing(archive) is Step.CHAIN
    archive = draft()
    del archive.parts[4]
    assert failing(archive) is Step.CHAIN


def test_step_4_a_parcel_of_another_history() -> None:
    other = Link()
    records = [record for call in range(10, 16) for record in unary_call(other, call)]
    archive = draft()
    archive.parts[2] = parcel_of(records[6])
    assert failing(archive) is Step.CHAIN
    first = Link("new").sent(previous=b"x" * 32)
    archive.parts[2] = parcel_of(first)
    assert failing(archive) is Step.CHAIN


def test_step_4_a_number_that_was_skipped_though_the_hash_is_right() -> None:
    link = Link()
    parcels = [parcel_of(link.sent()), parcel_of(link.sent(number=5))]
    archive = Draft(Head(ORIGIN, 0, Frontier(), 2, None), [*parcels])
    assert failing(archive) is Step.CHAIN


@pytest.mark.parametrize("end", [9, 11])
def test_step_5_another_number_of_leaves(end: int) -> None:
    archive = draft()
    archive.head = replace(archive.head, end=end)
    # With one too few the last checkpoint stands before the leaves that it covers.
    assert failing(archive) in {Step.TREE, Step.CHECKPOINT}


def test_step_5_a_changed_seal_gives_another_tree() -> None:
    archive = draft()
    archive.parts[0] = replace(PARCELS[4], seal=PARCELS[5].seal)
    assert failing(archive) is Step.CHECKPOINT


def test_step_6_a_checkpoint_that_is_not_of_this_tree() -> None:
    archive = draft()
    for other in (
        checkpoint(tree_of(6)),
        checkpoint(tree_of(10), origin="other.example/journal/0"),
        checkpoint(Frontier(10, (*tree_of(10).subtrees[:1], b"x" * 32))),
        replace(checkpoint(tree_of(10)), note=b"no note"),
        replace(checkpoint(tree_of(10)), path=(b"x" * 32,)),
    ):
        archive.parts[-1] = other
        assert failing(archive) is Step.CHECKPOINT


def test_step_6_none_covers_the_end() -> None:
    archive = draft()
    del archive.parts[-1]
    assert failing(archive) is Step.CHECKPOINT


def test_step_7_signed_by_another_key() -> None:
    other = replace(TRUST, keys=(fixed.key("another").public,))
    assert failing(draft(), other) is Step.SIGNATURE


def test_step_8_too_few_cosigned_it() -> None:
    assert failing(draft(), replace(TRUST, quorum=2)) is Step.COSIGNATURE
    archive = draft()
    archive.parts[-1] = checkpoint(tree_of(10), witness="another")
    assert failing(archive) is Step.COSIGNATURE


def test_step_9_a_seal_that_does_not_hold() -> None:
    def refuse(*_: object) -> None:
        raise SimpulError(Code.SIGNATURE_INVALID, "not by this key")

    assert failing(draft(), replace(TRUST, verify_seal=refuse)) is Step.SEAL
    assert judge(draft(), replace(TRUST, verify_seal=lambda *_: None)).seals_judged


def test_step_10_another_digest_than_it_states() -> None:
    archive = draft()
    archive.digest = b"d" * 32
    assert failing(archive) is Step.DIGEST


@pytest.mark.parametrize(("first", "end"), [(0, 12), (4, 10), (5, 12), (7, 9), (8, 12), (3, 11)])
def test_a_leafs_path_is_made_from_one_archive(first: int, end: int) -> None:
    head = Head(ORIGIN, 0, tree_of(first), end, None)
    leaves: Sequence[bytes] = LEAVES[first:end]
    for index in range(first, end):
        path = inclusion_path(head, leaves, index)
        merkle.verify_inclusion(LEAVES[index], index, end, path, tree_of(end).root())
    with pytest.raises(SimpulError):
        inclusion_path(head, leaves, end)
