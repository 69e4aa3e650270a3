"""The journal's side of archives: what is due, what is in it, and what was archived where.

**Ranges.** A slot's archives follow on each other without a gap. One ends where a cosigned
checkpoint does; in a slot that was never cosigned, anywhere that the newest checkpoint covers.

**Durable when.** `remember` returns after the transaction is on the disk. It's called for an
archive that was written, read back and verified, and for no other.

Reads are short transactions: none holds the journal's writer up. For one thread.

Source: docs/spec, "Archives".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select
from sqlalchemy.exc import DBAPIError

from node.journal.archive.leaves import first_kept
from node.journal.archive.tables import ARCHIVES
from node.journal.blobs import unpack_entries
from node.journal.checkpoints import KeptCheckpoint
from node.journal.model import Direction, LinkEnd
from node.journal.place import Place
from node.journal.readonly import ReadOnly
from node.journal.sql_checkpoints import SqlCheckpointStore
from node.journal.tables import (
    CHECKPOINTS,
    DIRECTIONS,
    ENDS,
    LINKS,
    NAMES,
    PARCELS,
    SLOTS,
)
from node.journal.writable import open_to_write
from security import archive
from security.errors import Code, SimpulError
from security.merkle import Frontier
from security.tiles import consistency_path, frontier_of

# Read in one transaction. A parcel has at most 256 entries.
PAGE_PARCELS: Final = 64
PAGE_CHECKPOINTS: Final = 256

_SENT: Final = DIRECTIONS.index(Direction.SENT)
_DIALLER: Final = ENDS.index(LinkEnd.DIALLER)


@dataclass(frozen=True, slots=True)
class Archived:
    """An archive that the journal remembers: leaves `first` to before `end`."""

    slot: int
    first: int
    end: int
    digest: bytes
    place: str
    name: str
    size_bytes: int
    first_at_ms: int
    last_at_ms: int
    archived_at_ms: int


@dataclass(frozen=True, slots=True)
class SlotState:
    """How far a slot is: its size, what of it was archived, and what dropped."""

    slot: int
    size: int
    archived: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Range:
    """What the next archive of a slot is to hold, and the checkpoint that covers its end."""

    head: archive.Head
    covering: KeptCheckpoint


class ArchiveStore:
    """See the module's text: it is the contract."""

    def __init__(self, place: Place) -> None:
        """Opens the journal at `place` to read; what writes is opened when it's needed.

        Raises:
            SimpulError: as node.journal.readonly.ReadOnly says.
        """
        self.place = place
        self.journal = ReadOnly(place)
        self.checkpoints = SqlCheckpointStore.read(place)

    @classmethod
    def open(cls, place: Place) -> Self:
        """Opens the journal at `place`."""
        return cls(place)

    def close(self) -> None:
        """Closes the journal."""
        self.journal.close()

    def slots(self) -> tuple[SlotState, ...]:
        """Returns how far each slot is."""
        with self.journal.snapshot() as connection:
            rows = connection.execute(
                select(SLOTS.c.number, SLOTS.c.size).order_by(SLOTS.c.number)
            ).all()
            return tuple(
                SlotState(
                    int(row.number),
                    int(row.size),
                    _archived_end(connection, int(row.number)),
                    first_kept(connection, int(row.number)),
                )
                for row in rows
            )

    def archived(self, slot: int | None = None) -> tuple[Archived, ...]:
        """Returns all that was archived, by slot and in order."""
        query = select(ARCHIVES).order_by(ARCHIVES.c.slot, ARCHIVES.c.first)
        if slot is not None:
            query = query.where(ARCHIVES.c.slot == slot)
        with self.journal.snapshot() as connection:
            return tuple(map(_archived, connection.execute(query)))

    def last(self, slot: int) -> Archived | None:
        """Returns the newest archive of a slot."""
        query = (
            select(ARCHIVES)
            .where(ARCHIVES.c.slot == slot)
            .order_by(ARCHIVES.c.first.desc())
            .limit(1)
        )
        with self.journal.snapshot() as connection:
            row = connection.execute(query).first()
            return None if row is None else _archived(row)

    def older_than(self, slot: int, before_ms: int) -> int:
        """Returns how many of a slot's first parcels were recorded before this time.

        By halves, because times aren't indexed: where a clock was put back it may be fewer.
        """
        with self.journal.snapshot() as connection:
            low, high = first_kept(connection, slot), _size(connection, slot)
            while low < high:
                middle = (low + high) // 2
                if _recorded_at(connection, slot, middle) < before_ms:
                    low = middle + 1
                else:
                    high = middle
        return low

    def recorded_at(self, slot: int, idx: int) -> int | None:
        """Returns when a parcel was recorded; None where there is none, or it was dropped."""
        with self.journal.snapshot() as connection:
            found = _recorded_at(connection, slot, idx)
        return None if found == 0 else found

    def next_range(self, slot: int, upto: int, max_parcels: int) -> Range | None:
        """Returns what the slot's next archive is to hold, of its first `upto` parcels.

        None where nothing is due, or no checkpoint covers it yet.
        """
        last = self.last(slot)
        with self.journal.snapshot() as connection:
            first = max(0 if last is None else last.end, first_kept(connection, slot))
            end = _end_of_range(connection, slot, first, upto, max_parcels)
        if end is None:
            return None
        covering = self.checkpoints.first_covering(slot, end - 1) or self.checkpoints.newest(slot)
        if covering is None or covering.size < end:
            return None
        origin = archive_origin(covering)
        with self.checkpoints.tree(slot) as tree:
            before = frontier_of(tree, first)
        previous = last.digest if last is not None and last.end == first else None
        return Range(archive.Head(origin, slot, before, end, previous), covering)

    def contents(self, wanted: Range) -> Iterator[archive.Parcel | archive.Checkpoint]:
        """Yields the range's parcels, and the checkpoints where their sizes are reached.

        Raises:
            SimpulError: JOURNAL_CORRUPT, where they aren't all there.
        """
        head = wanted.head
        sizes = self._kept_sizes(head)
        due = next(sizes, None)
        at = head.first
        while at < head.end:
            with self.journal.snapshot() as connection:
                page = _page(connection, head, at)
            if len(page) == 0:
                raise self._gap(head.slot, at)
            for idx, parcel in page:
                if idx != at:
                    raise self._gap(head.slot, at)
                yield parcel
                at += 1
                if due is not None and due.size == at and at != wanted.covering.size:
                    yield _checkpoint(due, ())
                while due is not None and due.size <= at:
                    due = next(sizes, None)
        with self.checkpoints.tree(head.slot) as tree:
            path = consistency_path(tree, head.end, wanted.covering.size)
        yield _checkpoint(wanted.covering, path)

    def checkpoints_of(self, wanted: Range) -> Iterator[archive.Checkpoint]:
        """Yields the checkpoints that the archive of a range will hold, without their paths."""
        for kept in self._kept_sizes(wanted.head):
            if kept.size != wanted.covering.size:
                yield _checkpoint(kept, ())
        yield _checkpoint(wanted.covering, ())

    def root_at(self, slot: int, size: int) -> Frontier:
        """Returns the journal's tree of a slot at this size."""
        with self.checkpoints.tree(slot) as tree:
            return frontier_of(tree, size)

    def remember(self, item: Archived) -> None:
        """Notes an archive, durably. The same again changes nothing."""
        values = {
            "slot": item.slot,
            "first": item.first,
            "end_idx": item.end,
            "digest": item.digest,
            "place": item.place,
            "name": item.name,
            "size_bytes": item.size_bytes,
            "first_at_ms": item.first_at_ms,
            "last_at_ms": item.last_at_ms,
            "archived_at_ms": item.archived_at_ms,
        }
        engine, told = open_to_write(self.place)
        try:
            with engine.begin() as connection:
                there = connection.execute(
                    select(ARCHIVES.c.digest).where(
                        ARCHIVES.c.slot == item.slot, ARCHIVES.c.first == item.first
                    )
                ).scalar()
                if there is None:
                    connection.execute(insert(ARCHIVES), values)
                elif bytes(there) != item.digest:
                    raise SimpulError(
                        Code.CONFLICT,
                        f"slot {item.slot} has another archive from leaf {item.first} on: another "
                        "program archives this journal; let one do it",
                    )
        except DBAPIError as error:
            raise told(error.orig) from error
        finally:
            engine.dispose()

    def _kept_sizes(self, head: archive.Head) -> Iterator[KeptCheckpoint]:
        """The checkpoints between the range's first leaf and its end, in order, by pages."""
        after = head.first
        while True:
            with self.journal.snapshot() as connection:
                sizes = connection.execute(
                    select(CHECKPOINTS.c.size)
                    .where(
                        CHECKPOINTS.c.slot == head.slot,
                        CHECKPOINTS.c.size > after,
                        CHECKPOINTS.c.size <= head.end,
                    )
                    .order_by(CHECKPOINTS.c.size)
                    .limit(PAGE_CHECKPOINTS)
                ).scalars()
                page = [int(size) for size in sizes]
            if len(page) == 0:
                return
            for size in page:
                kept = self.checkpoints.at(head.slot, size)
                if kept is not None:
                    yield kept
            after = page[-1]

    def _gap(self, slot: int, idx: int) -> SimpulError:
        return SimpulError(
            Code.JOURNAL_CORRUPT,
            f"{self.place}: slot {slot} lacks parcel {idx}: run simpul journal verify, and restore "
            "it from a backup",
            path=str(self.place),
        )


def archive_origin(kept: KeptCheckpoint) -> str:
    """Returns the log that a checkpoint is of."""
    from security.checkpoint import parse_checkpoint  # noqa: PLC0415

    return parse_checkpoint(kept.note).checkpoint.origin


def _end_of_range(
    connection: Connection, slot: int, first: int, upto: int, max_parcels: int
) -> int | None:
    """Where the next archive ends, of what is from `first` to before `upto`."""
    if upto <= first:
        return None
    size = CHECKPOINTS.c.size
    cosigned = (CHECKPOINTS.c.slot == slot, CHECKPOINTS.c.quorum_at_ms.is_not(None))
    largest = connection.execute(
        select(func.max(size)).where(
            *cosigned, size > first, size <= min(upto, first + max_parcels)
        )
    ).scalar()
    if largest is not None:
        return int(largest)
    # Between two checkpoints there may be more than one archive is meant to hold.
    next_one = connection.execute(
        select(func.min(size)).where(*cosigned, size > first, size <= upto)
    ).scalar()
    if next_one is not None:
        return int(next_one)
    if connection.execute(select(size).where(*cosigned).limit(1)).first() is not None:
        # Its cosignatures are still to come.
        return None
    return min(upto, first + max_parcels)


def _page_query() -> Select[tuple[object, ...]]:
    return (
        select(
            PARCELS.c.idx,
            PARCELS.c.direction,
            PARCELS.c.recorded_at_ms,
            PARCELS.c.header,
            PARCELS.c.seal,
            PARCELS.c.entries,
            LINKS.c.end,
            NAMES.c.text.label("peer"),
        )
        .outerjoin(LINKS, LINKS.c.id == PARCELS.c.link)
        .outerjoin(NAMES, NAMES.c.id == LINKS.c.peer)
        .where(
            PARCELS.c.slot == bindparam("slot"),
            PARCELS.c.idx >= bindparam("first"),
            PARCELS.c.idx < bindparam("end"),
        )
        .order_by(PARCELS.c.idx)
        .limit(PAGE_PARCELS)
    )


_PAGE: Final = _page_query()


def _page(
    connection: Connection, head: archive.Head, first: int
) -> list[tuple[int, archive.Parcel]]:
    rows = connection.execute(_PAGE, {"slot": head.slot, "first": first, "end": head.end})
    return [
        (
            int(row.idx),
            archive.Parcel(
                sent=row.direction == _SENT,
                dialled=row.end == _DIALLER,
                peer=row.peer or "",
                recorded_at_ms=int(row.recorded_at_ms),
                header=bytes(row.header),
                seal=bytes(row.seal),
                entries=unpack_entries(bytes(row.entries)),
            ),
        )
        for row in rows
    ]


def _checkpoint(kept: KeptCheckpoint, path: tuple[bytes, ...]) -> archive.Checkpoint:
    return archive.Checkpoint(
        kept.note,
        kept.signed_at_ms,
        kept.quorum_at_ms,
        tuple(
            archive.Stamp(item.authority, item.response, item.stamped_at_ms)
            for item in kept.timestamps
        ),
        path,
    )


def _archived_end(connection: Connection, slot: int) -> int:
    found = connection.execute(
        select(func.max(ARCHIVES.c.end_idx)).where(ARCHIVES.c.slot == slot)
    ).scalar()
    return 0 if found is None else int(found)


def _size(connection: Connection, slot: int) -> int:
    found = connection.execute(select(SLOTS.c.size).where(SLOTS.c.number == slot)).scalar()
    return 0 if found is None else int(found)


def _recorded_at(connection: Connection, slot: int, idx: int) -> int:
    found = connection.execute(
        select(PARCELS.c.recorded_at_ms).where(PARCELS.c.slot == slot, PARCELS.c.idx == idx)
    ).scalar()
    return 0 if found is None else int(found)


def _archived(row: Row[Any]) -> Archived:
    return Archived(
        int(row.slot),
        int(row.first),
        int(row.end_idx),
        bytes(row.digest),
        str(row.place),
        str(row.name),
        int(row.size_bytes),
        int(row.first_at_ms),
        int(row.last_at_ms),
        int(row.archived_at_ms),
    )
