"""Finds one call in archives: its parcels, the checkpoints that cover them, and its entries.

An archive has no index. A call id begins with the time at which the call was made (UUIDv7), so the
archives of about that time are read, and as a rule that is one.

What is found is as it was written; `security.archive_check` says whether it holds.

Source: docs/spec, "Archives: reading one call".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from node.journal.archive.files import unpacked
from node.journal.archive.places import ArchivePlace
from node.journal.archive.store import Archived
from node.journal.leaves import parcel_leaf
from node.journal.model import (
    CallDetail,
    CallEntry,
    CallRow,
    Direction,
    Outcome,
    Role,
)
from security.archive import Checkpoint, Head, Parcel, read_archive
from security.checkpoint import parse_checkpoint
from security.entry import ParsedEntry, parse_entry
from security.errors import Code, SimpulError
from security.kinds import Close, Open, Refuse
from security.parcel import header_hash, parse_header

# The clock that made a call's id and this node's may differ, and a call takes an hour at most.
SLACK_MS: Final = 24 * 3600 * 1000

_TIME_BYTES: Final = 6


@dataclass(frozen=True, slots=True)
class FoundParcel:
    """A parcel that holds entries of the call: where in the log it is, and which entries."""

    slot: int
    idx: int
    parcel: Parcel
    entry_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FoundCall:
    """What one archive holds of a call, and all its checkpoints behind the first parcel found."""

    head: Head
    parcels: tuple[FoundParcel, ...]
    checkpoints: tuple[Checkpoint, ...]

    def first_cosigned(self, idx: int) -> Checkpoint | None:
        """Returns the first checkpoint with a quorum that covers a leaf."""
        for item in self.checkpoints:
            size = parse_checkpoint(item.note).checkpoint.size
            if item.quorum_at_ms is not None and size > idx:
                return item
        return None


# An entry, what it says, and the parcel that carried it.
_Entry = tuple[CallEntry, ParsedEntry, FoundParcel]


def made_at_ms(call_id: bytes) -> int:
    """Returns when a call's id was made, by the clock of who made it."""
    return int.from_bytes(call_id[:_TIME_BYTES], "big")


def candidates(archived: Iterable[Archived], call_id: bytes) -> list[Archived]:
    """Returns the archives that may hold a call."""
    at_ms = made_at_ms(call_id)
    return [
        item
        for item in archived
        if item.first_at_ms - SLACK_MS <= at_ms <= item.last_at_ms + SLACK_MS
    ]


def find_call(chunks: Iterable[bytes], call_id: bytes) -> FoundCall | None:
    """Returns what an archive, not compressed, holds of a call; None for nothing.

    Raises:
        SimpulError: ARCHIVE_INVALID, where it can't be read.
    """
    head: Head | None = None
    parcels: list[FoundParcel] = []
    checkpoints: list[Checkpoint] = []
    idx = 0
    for content in read_archive(chunks):
        if isinstance(content, Head):
            head, idx = content, content.first
        elif isinstance(content, Parcel):
            numbers = tuple(
                number
                for number, entry in enumerate(content.entries)
                # Before it's parsed: most entries are of other calls.
                if call_id in entry and parse_entry(entry).call_id == call_id
            )
            if head is not None and len(numbers) > 0:
                parcels.append(FoundParcel(head.slot, idx, content, numbers))
            idx += 1
        elif isinstance(content, Checkpoint) and len(parcels) > 0:
            checkpoints.append(content)
    if head is None or len(parcels) == 0:
        return None
    return FoundCall(head, tuple(parcels), tuple(checkpoints))


def find_in_place(
    place: ArchivePlace, archived: Iterable[Archived], call_id: bytes
) -> list[FoundCall]:
    """Returns what the archives that may hold a call do hold, in their order.

    Raises:
        SimpulError: ARCHIVE_FAILED, NOT_FOUND (an archive is gone), ARCHIVE_INVALID.
    """
    found = (
        find_call(unpacked(place.read(item.name)), call_id)
        for item in candidates(archived, call_id)
    )
    return [item for item in found if item is not None]


def detail_of(found: Sequence[FoundCall], call_id: bytes) -> CallDetail:
    """Returns a call as the journal's index would show it, from what archives hold of it.

    Raises:
        SimpulError: NOT_FOUND, where they don't hold its open.
    """
    entries: list[_Entry] = []
    for item in found:
        for parcel in item.parcels:
            entries += _entries(parcel)
    opened = next((each for each in entries if isinstance(each[1].kind, Open)), None)
    if opened is None or not isinstance(opened[1].kind, Open):
        raise SimpulError(
            Code.NOT_FOUND,
            f"the archives don't hold the open of call {call_id.hex()}: look in those before",
        )
    first, said, parcel = opened[0], opened[1].kind, opened[2]
    fields, end = parse_header(parcel.parcel.header), _end_of(entries)
    row = CallRow(
        key=(first.recorded_at_ms, 0),
        call_id=call_id,
        role=Role.CONSUMER if parcel.parcel.sent else Role.PROVIDER,
        peer=parcel.parcel.peer,
        link_id=fields.link_id,
        consumer=str(said.consumer),
        provider=str(said.service.subsystem),
        service=said.service.service,
        method=said.method,
        agreement=said.agreement,
        purpose=said.purpose,
        opened_at_ms=first.recorded_at_ms,
        request_bytes=_bytes(entries, first.direction),
        response_bytes=_bytes(entries, _other(first.direction)),
        outcome=end.outcome,
        status=end.status,
        code=end.code,
        closed_at_ms=end.at_ms,
    )
    return CallDetail(row, tuple(entry for entry, _, _ in entries))


@dataclass(frozen=True, slots=True)
class _End:
    """How a call ended."""

    outcome: Outcome = Outcome.OPEN
    status: int | None = None
    code: str | None = None
    at_ms: int | None = None


def _end_of(entries: Sequence[_Entry]) -> _End:
    for entry, parsed, _ in entries:
        match parsed.kind:
            case Close() as said:
                return _End(Outcome.CLOSED, said.status, None, entry.recorded_at_ms)
            case Refuse() as said:
                return _End(Outcome.REFUSED, said.status, str(said.code), entry.recorded_at_ms)
            case _:
                continue
    return _End()


def _entries(found: FoundParcel) -> list[_Entry]:
    parcel = found.parcel
    fields = parse_header(parcel.header)
    direction = Direction.SENT if parcel.sent else Direction.RECEIVED
    items = []
    for number in found.entry_numbers:
        parsed = parse_entry(parcel.entries[number])
        entry = CallEntry(
            slot=found.slot,
            idx=found.idx,
            entry_no=number,
            kind=parsed.kind.kind.value,
            direction=direction,
            member=str(fields.member),
            number=fields.number,
            sealed_at_ms=fields.sealed_at_ms,
            recorded_at_ms=parcel.recorded_at_ms,
            header_hash=header_hash(parcel.header),
            leaf_hash=parcel_leaf(parcel.header, parcel.seal),
            rounded_bytes=0 if parsed.payload is None else parsed.payload.rounded_bytes,
            entry=parcel.entries[number],
        )
        items.append((entry, parsed, found))
    return items


def _bytes(entries: Sequence[_Entry], direction: Direction) -> int:
    return sum(entry.rounded_bytes for entry, _, _ in entries if entry.direction is direction)


def _other(direction: Direction) -> Direction:
    return Direction.RECEIVED if direction is Direction.SENT else Direction.SENT
