"""A call's parcels, their receipts and what covers them, out of archives.

An archive has no index, so each is read from end to end: those of about the time of the call, and
the few after it that may hold a receipt. What is read must be the archive that the journal
remembers, by its digest; nothing else of it is judged. Memory: the parcels that are wanted, and 32
bytes for each leaf of an archive that holds one.

Paths are made from an archive's own leaves, so that what is shown of a parcel is from one place.
The salts of its entries are in the journal, or gone.

Source: docs/spec, "Archives: reading one call".
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from node.evidence.parcels import (
    MAX_CHAIN,
    OTHER,
    Acknowledged,
    Cover,
    Covered,
    Group,
    LinkPlace,
    ParcelReader,
    ParcelSource,
    StoredParcel,
    require_few,
)
from node.journal.archive.files import unpacked
from node.journal.archive.places import ArchivePlace
from node.journal.archive.reader import candidates
from node.journal.archive.store import Archived
from node.journal.checkpoints import KeptTimestamp
from node.journal.model import CallFilter, Direction, LinkEnd
from security.archive import Checkpoint, End, Head, Parcel, read_archive
from security.archive_check import inclusion_path, leaf_of
from security.checkpoint import parse_checkpoint
from security.entry import parse_entry
from security.errors import Code, SimpulError
from security.kinds import Open
from security.parcel import parse_header

# Told how many archives are read, of how many there are to read so far.
Progress = Callable[[int, int], None]

# No link lives longer than an hour; and some room for a clock that was put right.
LINK_LIFE_MS: Final = 2 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class _Seen:
    """A parcel of an archive, and where in the journal it was."""

    slot: int
    idx: int
    parcel: Parcel

    def stored(self, mine: Iterable[int] = ()) -> StoredParcel:
        """As evidence takes it, with the call's entries in it."""
        parcel = self.parcel
        fields = parse_header(parcel.header)
        return StoredParcel(
            slot=self.slot,
            idx=self.idx,
            link=LinkPlace(fields.link_id, LinkEnd.DIALLER if parcel.dialled else LinkEnd.ACCEPTOR),
            direction=Direction.SENT if parcel.sent else Direction.RECEIVED,
            number=fields.number,
            recorded_at_ms=parcel.recorded_at_ms,
            header=parcel.header,
            seal=parcel.seal,
            entries=parcel.entries,
            salts=((b"", b""),) * len(parcel.entries),
            mine=frozenset(mine),
        )


# Looks at a parcel: whether it's wanted. Parsing each would take most of the time.
Look = Callable[[_Seen], bool]


@dataclass(frozen=True, slots=True)
class _Leaves:
    """What paths are made of: the hashes of an archive's leaves; and its checkpoints by size."""

    head: Head
    hashes: Sequence[bytes]
    checkpoints: tuple[tuple[int, Checkpoint], ...]


class ArchivedParcels(ParcelSource):
    """The archives that a journal remembers, read from these places. See the module's text.

    Raises:
        SimpulError: from every method: NOT_FOUND, where an archive is in none of the places;
            ARCHIVE_FAILED; ARCHIVE_INVALID, where it isn't the one that the journal remembers.
    """

    def __init__(
        self,
        archived: Iterable[Archived],
        places: Sequence[ArchivePlace],
        progress: Progress | None = None,
    ) -> None:
        self._archived = tuple(archived)
        self._places = places
        self._progress = progress
        self._done = self._total = 0
        self._found: dict[bytes, list[StoredParcel]] = {}
        self._leaves: dict[tuple[int, int], _Leaves] = {}
        self._salted = lambda parcel: parcel

    def take_salts(self, journal: ParcelReader) -> None:
        """Have the parcels that are found bear the salts that the journal still has."""
        self._salted = journal.with_salts

    def calls(self, wanted: CallFilter) -> list[bytes]:
        """See the contract. Service, method, consumer and times are looked at, and nothing else."""
        found: dict[bytes, list[StoredParcel]] = {}
        name = (wanted.service or "").encode()

        def look(seen: _Seen) -> bool:
            mine: dict[bytes, set[int]] = {}
            for index, entry in enumerate(seen.parcel.entries):
                if name not in entry and not any(known in entry for known in found):
                    continue
                parsed = parse_entry(entry)
                if parsed.call_id in found or _opens(parsed.kind, wanted):
                    mine.setdefault(parsed.call_id, set()).add(index)
            for call_id, indexes in mine.items():
                found.setdefault(call_id, []).append(seen.stored(indexes))
            return bool(mine)

        self._read_all(_between(self._archived, wanted.since_ms, wanted.until_ms), look)
        self._found |= found
        return list(found)[: wanted.limit]

    def links(self, call_id: bytes) -> tuple[LinkPlace, ...]:
        """See the contract."""
        return tuple(dict.fromkeys(item.link for item in reversed(self._of(call_id))))

    def of_call(self, call_id: bytes, link: LinkPlace) -> tuple[StoredParcel, ...]:
        """See the contract."""
        found = [item for item in self._of(call_id) if item.link == link]
        require_few(len(found))
        return tuple(map(self._salted, found))

    def acknowledged(self, group: Group) -> Acknowledged:
        """See the contract."""
        start, last_ms = group.parcels[0], group.parcels[-1].recorded_at_ms
        scan = _Scan(group)
        for item in self._archived:
            if (
                item.slot == start.slot
                and item.end > start.idx
                and item.first_at_ms <= last_ms + LINK_LIFE_MS
            ):
                self._read_all([item], scan.look)
                if scan.is_done:
                    break
        return Acknowledged(scan.receipt, scan.headers)

    def cover(self, parcel: StoredParcel) -> Cover:
        """See the contract."""
        leaves = next(
            (
                item
                for (slot, _), item in self._leaves.items()
                if slot == parcel.slot and item.head.first <= parcel.idx < item.head.end
            ),
            None,
        )
        if leaves is None:
            return Cover()
        covering = [
            (size, item)
            for size, item in leaves.checkpoints
            if parcel.idx < size <= leaves.head.end
        ]
        return Cover(
            _covered(
                leaves, parcel, [item for item in covering if item[1].quorum_at_ms is not None]
            ),
            _covered(leaves, parcel, [item for item in covering if item[1].timestamps]),
        )

    def _of(self, call_id: bytes) -> list[StoredParcel]:
        """The parcels with entries of a call, in their order; its archives are read once."""
        if call_id not in self._found:
            found: list[StoredParcel] = []

            def look(seen: _Seen) -> bool:
                indexes = {
                    index
                    for index, entry in enumerate(seen.parcel.entries)
                    # Before it's parsed: most entries are of other calls.
                    if call_id in entry and parse_entry(entry).call_id == call_id
                }
                if indexes:
                    found.append(seen.stored(indexes))
                return bool(indexes)

            self._read_all(candidates(self._archived, call_id), look)
            self._found[call_id] = found
        return self._found[call_id]

    def _read_all(self, archived: Sequence[Archived], look: Look) -> None:
        self._total += len(archived)
        for item in archived:
            self._tell()
            self._read(item, look)
            self._done += 1
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _read(self, item: Archived, look: Look) -> None:
        """One archive, from end to end; its leaves are kept where a parcel is wanted."""
        head: Head | None = None
        hashes: list[bytes] = []
        checkpoints: list[tuple[int, Checkpoint]] = []
        wanted = False
        for content in read_archive(unpacked(self._bytes_of(item))):
            match content:
                case Head():
                    head = content
                case Parcel():
                    wanted |= look(_Seen(item.slot, item.first + len(hashes), content))
                    hashes.append(leaf_of(content))
                case Checkpoint():
                    checkpoints.append((parse_checkpoint(content.note).checkpoint.size, content))
                case End() if content.stated != content.made or content.made != item.digest:
                    raise SimpulError(
                        Code.ARCHIVE_INVALID,
                        f"{item.name} isn't the archive that the journal remembers: give the place "
                        "that has it as it was made",
                        name=item.name,
                    )
        if wanted and head is not None:
            self._leaves[item.slot, item.first] = _Leaves(head, hashes, tuple(checkpoints))

    def _bytes_of(self, item: Archived) -> Iterable[bytes]:
        for place in self._places:
            pieces = iter(place.read(item.name))
            try:
                first = next(pieces, b"")
            except SimpulError as error:
                if error.code is not Code.NOT_FOUND:
                    raise
                continue
            yield first
            yield from pieces
            return
        raise SimpulError(
            Code.NOT_FOUND,
            f"{', '.join(map(str, self._places))} has no {item.name}: it was put in {item.place}; "
            "give the place where it is now",
            name=item.name,
        )


@dataclass(slots=True)
class _Scan:
    """Looks for what acknowledges a group, along its link."""

    group: Group
    receipt: StoredParcel | None = None
    headers: dict[int, bytes] = field(default_factory=dict)
    is_done: bool = False

    def look(self, seen: _Seen) -> bool:
        """Whether this is a receipt. Only the first that acknowledges all, or the last, is kept."""
        group = self.group
        if group.link.link_id not in seen.parcel.header:
            return False
        parcel = seen.stored()
        if parcel.link != group.link:
            return False
        if parcel.direction is group.direction:
            if group.first <= parcel.number <= group.last + MAX_CHAIN:
                self.headers[parcel.number] = parcel.header
            return False
        if self.is_done or parcel.direction is not OTHER[group.direction]:
            return False
        self.receipt = parcel
        self.is_done = parcel.acknowledges(group.last)
        return True


def _between(
    archived: Iterable[Archived], since_ms: int | None, until_ms: int | None
) -> list[Archived]:
    return [
        item
        for item in archived
        if (since_ms is None or item.last_at_ms >= since_ms)
        and (until_ms is None or item.first_at_ms < until_ms)
    ]


def _opens(kind: object, wanted: CallFilter) -> bool:
    return (
        isinstance(kind, Open)
        and kind.service.service == wanted.service
        and kind.method == wanted.method
        and wanted.consumer in {None, str(kind.consumer)}
    )


def _covered(
    leaves: _Leaves, parcel: StoredParcel, covering: Sequence[tuple[int, Checkpoint]]
) -> Covered | None:
    """By the first of these, which are in the order of their sizes."""
    if len(covering) == 0:
        return None
    size, checkpoint = covering[0]
    head = replace(leaves.head, end=size)
    return Covered(
        checkpoint.note,
        tuple(
            KeptTimestamp(item.authority, item.response, item.stamped_at_ms)
            for item in checkpoint.timestamps
        ),
        inclusion_path(head, leaves.hashes[: head.count], parcel.idx),
    )
