"""Whole parcels, as evidence takes them: those of one call, and others of its link.

`ParcelSource` says what is asked; here is the journal, and `node.evidence.archived` has archives.
Each read of the journal is a short transaction of its own. It judges nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Row, func, select

from node.journal.blobs import Salts, unpack_entries, unpack_salts
from node.journal.checkpoints import CheckpointStore, KeptCheckpoint, KeptTimestamp
from node.journal.model import CallFilter, Direction, LinkEnd
from node.journal.place import Place
from node.journal.reader import JournalReader
from node.journal.readonly import JournalReading
from node.journal.sql_checkpoints import SqlCheckpointStore
from node.journal.tables import CALL_ENTRIES, CALLS, DIRECTIONS, ENDS, LINKS, PARCELS, SALTS
from security import tiles
from security.errors import Code, SimpulError
from security.parcel import HeaderFields, header_hash, parse_header

# More than any call of a link's life has; past it the export is refused.
MAX_PARCELS: Final = 50_000
# A receipt that comes later than so many parcels isn't followed.
MAX_CHAIN: Final = 4096
_PAGE: Final = 500

OTHER: Final = {Direction.SENT: Direction.RECEIVED, Direction.RECEIVED: Direction.SENT}


@dataclass(frozen=True, slots=True)
class LinkPlace:
    """One end of a link."""

    link_id: bytes
    end: LinkEnd


@dataclass(frozen=True, slots=True)
class StoredParcel:
    """A parcel as it was kept. `mine` are the indexes of the call's entries in it.

    `salts` are one pair for each entry, empty where they were erased.
    """

    slot: int
    idx: int
    link: LinkPlace
    direction: Direction
    number: int
    recorded_at_ms: int
    header: bytes
    seal: bytes
    entries: tuple[bytes, ...]
    salts: tuple[Salts, ...]
    mine: frozenset[int]

    @property
    def hash(self) -> bytes:
        """The header's."""
        return header_hash(self.header)

    @property
    def fields(self) -> HeaderFields:
        """What the header says."""
        return parse_header(self.header)

    def acknowledges(self, number: int) -> bool:
        """Whether it says that the other side's parcel of this number, or a later one, is there."""
        received = self.fields.received
        return received is not None and received.number >= number


@dataclass(frozen=True, slots=True)
class Group:
    """Parcels of one direction of a link, by their numbers, so near that one receipt does."""

    parcels: tuple[StoredParcel, ...]

    @property
    def link(self) -> LinkPlace:
        """Whose they are."""
        return self.parcels[0].link

    @property
    def direction(self) -> Direction:
        """Theirs."""
        return self.parcels[0].direction

    @property
    def first(self) -> int:
        """The lowest number."""
        return self.parcels[0].number

    @property
    def last(self) -> int:
        """The highest number."""
        return self.parcels[-1].number


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The first parcel that acknowledges a group; where there is none, the last that came.

    `headers` are those of the group's own direction from its first on, by number, as far as a
    receipt may lead.
    """

    receipt: StoredParcel | None = None
    headers: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Covered:
    """A checkpoint, and the path to its root from a parcel's leaf."""

    note: bytes
    timestamps: tuple[KeptTimestamp, ...]
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Cover:
    """The first checkpoints over a parcel: with a quorum, and with a time stamp."""

    cosigned: Covered | None = None
    stamped: Covered | None = None


class ParcelSource(ABC):
    """Where parcels are looked up. For one thread.

    Raises:
        SimpulError: from every method, where what is kept can't be read.
    """

    @abstractmethod
    def calls(self, wanted: CallFilter) -> list[bytes]:
        """Returns the ids of the calls of one method that match, at most its limit."""

    @abstractmethod
    def links(self, call_id: bytes) -> tuple[LinkPlace, ...]:
        """Returns the ends of links on which a call of this id was, the newest call's first."""

    @abstractmethod
    def of_call(self, call_id: bytes, link: LinkPlace) -> tuple[StoredParcel, ...]:
        """Returns the parcels with entries of the call at this end of the link, in their order.

        Raises:
            SimpulError: OVERLOADED, where they are more than one file holds.
        """

    @abstractmethod
    def acknowledged(self, group: Group) -> Acknowledged:
        """Returns what acknowledges a group, of what is here."""

    @abstractmethod
    def cover(self, parcel: StoredParcel) -> Cover:
        """Returns the first checkpoints over a parcel, of those here."""


def all_of_call(
    sources: Sequence[ParcelSource], call_id: bytes, link: LinkPlace
) -> tuple[StoredParcel, ...]:
    """Returns the parcels of a call at one end of a link, wherever they are, in their order."""
    found = {
        (parcel.slot, parcel.idx): parcel
        for source in sources
        for parcel in source.of_call(call_id, link)
    }
    return tuple(parcel for _, parcel in sorted(found.items()))


class ParcelReader(JournalReading, ParcelSource):
    """The journal's parcels. A context manager; for one thread.

    Raises:
        SimpulError: from every method, as node.journal.readonly.ReadOnly says.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._place = place
        self._checkpoints = SqlCheckpointStore.read(place)

    def calls(self, wanted: CallFilter) -> list[bytes]:
        """See the contract."""
        with JournalReader(self._place) as journal:
            return [call.call_id for call in journal.list_calls(wanted)]

    def links(self, call_id: bytes) -> tuple[LinkPlace, ...]:
        """See the contract."""
        query = (
            select(LINKS)
            .join(CALLS, LINKS.c.id == CALLS.c.link)
            .where(CALLS.c.call_id == call_id)
            .order_by(CALLS.c.opened_at_ms.desc(), CALLS.c.id.desc())
        )
        with self._journal.snapshot() as connection:
            return tuple(
                LinkPlace(bytes(row.link_id), ENDS[row.end]) for row in connection.execute(query)
            )

    def of_call(self, call_id: bytes, link: LinkPlace) -> tuple[StoredParcel, ...]:
        """See the contract."""
        found: dict[tuple[int, int], set[int]] = {}
        query = (
            select(CALL_ENTRIES.c.slot, CALL_ENTRIES.c.idx, CALL_ENTRIES.c.entry_no)
            .join(CALLS, CALLS.c.id == CALL_ENTRIES.c.call)
            .where(CALLS.c.call_id == call_id, CALLS.c.link == self._number(link))
            .order_by(CALL_ENTRIES.c.slot, CALL_ENTRIES.c.idx, CALL_ENTRIES.c.entry_no)
        )
        with self._journal.snapshot() as connection:
            for row in connection.execute(query):
                found.setdefault((int(row.slot), int(row.idx)), set()).add(int(row.entry_no))
        require_few(len(found))
        parcels = (
            self._at(slot, idx, link, frozenset(mine)) for (slot, idx), mine in found.items()
        )
        return tuple(parcel for parcel in parcels if parcel is not None)

    def acknowledged(self, group: Group) -> Acknowledged:
        """See the contract."""
        receipt = self._first_over(group.link, OTHER[group.direction], group.last)
        received = None if receipt is None else receipt.fields.received
        upto = group.last + MAX_CHAIN
        if received is not None:
            upto = min(upto, received.number)
        return Acknowledged(receipt, self._headers(group.link, group.direction, group.first, upto))

    def cover(self, parcel: StoredParcel) -> Cover:
        """See the contract."""
        store = self._checkpoints
        return Cover(
            _covered(store, parcel, store.first_covering(parcel.slot, parcel.idx)),
            _covered(store, parcel, store.first_stamped(parcel.slot, parcel.idx)),
        )

    def with_salts(self, parcel: StoredParcel) -> StoredParcel:
        """Returns a parcel with the salts that the journal still has of it."""
        with self._journal.snapshot() as connection:
            salts = connection.execute(
                select(SALTS.c.salts).where(SALTS.c.slot == parcel.slot, SALTS.c.idx == parcel.idx)
            ).scalar()
        return replace(parcel, salts=_unpacked(salts, len(parcel.entries)))

    def _first_over(
        self, link: LinkPlace, direction: Direction, number: int
    ) -> StoredParcel | None:
        """By halves: what is acknowledged never falls along a link."""
        last = self._last_number(link, direction)
        if last is None:
            return None
        low, high = 0, last
        while low < high:
            middle = (low + high) // 2
            parcel = self._numbered(link, direction, middle)
            if parcel is not None and parcel.acknowledges(number):
                high = middle
            else:
                low = middle + 1
        return self._numbered(link, direction, low)

    def _numbered(self, link: LinkPlace, direction: Direction, number: int) -> StoredParcel | None:
        """One parcel of a link, without looking for any call's entries."""
        where = (
            PARCELS.c.link == self._number(link),
            PARCELS.c.direction == DIRECTIONS.index(direction),
            PARCELS.c.number == number,
        )
        with self._journal.snapshot() as connection:
            row = connection.execute(select(PARCELS.c.slot, PARCELS.c.idx).where(*where)).first()
        return None if row is None else self._at(int(row.slot), int(row.idx), link, frozenset())

    def _last_number(self, link: LinkPlace, direction: Direction) -> int | None:
        """The highest number of a link's direction; None where there is no parcel."""
        query = select(func.max(PARCELS.c.number)).where(
            PARCELS.c.link == self._number(link),
            PARCELS.c.direction == DIRECTIONS.index(direction),
        )
        with self._journal.snapshot() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else int(found)

    def _headers(
        self, link: LinkPlace, direction: Direction, first: int, last: int
    ) -> dict[int, bytes]:
        """The headers from number `first` to `last`, by number; what isn't there is left out."""
        found: dict[int, bytes] = {}
        number = self._number(link)
        for start in range(first, last + 1, _PAGE):
            query = select(PARCELS.c.number, PARCELS.c.header).where(
                PARCELS.c.link == number,
                PARCELS.c.direction == DIRECTIONS.index(direction),
                PARCELS.c.number >= start,
                PARCELS.c.number <= min(last, start + _PAGE - 1),
            )
            with self._journal.snapshot() as connection:
                for row in connection.execute(query):
                    found[int(row.number)] = bytes(row.header)
        return found

    def _number(self, link: LinkPlace) -> int | None:
        """How the journal numbers this end; None, which nothing equals, where it has it not."""
        query = select(LINKS.c.id).where(
            LINKS.c.link_id == link.link_id, LINKS.c.end == ENDS.index(link.end)
        )
        with self._journal.snapshot() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else int(found)

    def _at(
        self, slot: int, idx: int, link: LinkPlace, mine: frozenset[int]
    ) -> StoredParcel | None:
        """None where retention has dropped it meanwhile."""
        with self._journal.snapshot() as connection:
            row = connection.execute(
                select(PARCELS).where(PARCELS.c.slot == slot, PARCELS.c.idx == idx)
            ).first()
            salts = connection.execute(
                select(SALTS.c.salts).where(SALTS.c.slot == slot, SALTS.c.idx == idx)
            ).scalar()
        return None if row is None else _stored(row, link, salts, mine)


def require_few(parcels: int) -> None:
    """Refuses a call of more parcels than one file holds; raises OVERLOADED."""
    if parcels > MAX_PARCELS:
        raise SimpulError(
            Code.OVERLOADED, f"the call has over {MAX_PARCELS} parcels: too many for one file"
        )


def _covered(
    store: CheckpointStore, parcel: StoredParcel, kept: KeptCheckpoint | None
) -> Covered | None:
    if kept is None:
        return None
    with store.tree(parcel.slot) as tree:
        path = tiles.inclusion_path(tree, parcel.idx, kept.size)
    return Covered(kept.note, kept.timestamps, path)


def _stored(
    row: Row[Any], link: LinkPlace, salts: bytes | None, mine: frozenset[int]
) -> StoredParcel:
    entries = unpack_entries(bytes(row.entries))
    return StoredParcel(
        slot=int(row.slot),
        idx=int(row.idx),
        link=link,
        direction=DIRECTIONS[row.direction],
        number=int(row.number),
        recorded_at_ms=int(row.recorded_at_ms),
        header=bytes(row.header),
        seal=bytes(row.seal),
        entries=entries,
        salts=_unpacked(salts, len(entries)),
        mine=mine,
    )


def _unpacked(salts: bytes | None, count: int) -> tuple[Salts, ...]:
    """Erased salts: none is shown."""
    none = (b"", b"")
    unpacked = () if salts is None else unpack_salts(bytes(salts))
    return tuple(each or none for each in unpacked) or (none,) * count
