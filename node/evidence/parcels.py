"""Reads whole parcels out of the journal: those of one call, and others of a link by number.

Each read is a short transaction of its own. It judges nothing.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, func, select

from node.journal.blobs import Salts, unpack_entries, unpack_salts
from node.journal.model import Direction, LinkEnd
from node.journal.readonly import JournalReading
from node.journal.tables import CALL_ENTRIES, CALLS, DIRECTIONS, ENDS, LINKS, PARCELS, SALTS
from security.errors import Code, SimpulError
from security.parcel import HeaderFields, header_hash, parse_header

# More than any call of a link's life has; past it the export is refused.
MAX_PARCELS: Final = 50_000
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class LinkPlace:
    """One end of a link, as the journal numbers it."""

    number: int
    link_id: bytes
    end: LinkEnd


@dataclass(frozen=True, slots=True)
class StoredParcel:
    """A parcel as it stands in the journal. `mine` are the indexes of the call's entries in it."""

    slot: int
    idx: int
    link: int
    direction: Direction
    number: int
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


class ParcelReader(JournalReading):
    """A context manager; for one thread.

    Raises:
        SimpulError: from every method, as node.journal.readonly.ReadOnly says.
    """

    def links(self, call_id: bytes) -> tuple[LinkPlace, ...]:
        """The ends of links on which a call of this id was, the newest call's first."""
        query = (
            select(LINKS, CALLS.c.id.label("call"))
            .join(LINKS, LINKS.c.id == CALLS.c.link)
            .where(CALLS.c.call_id == call_id)
            .order_by(CALLS.c.opened_at_ms.desc(), CALLS.c.id.desc())
        )
        with self._journal.snapshot() as connection:
            return tuple(
                LinkPlace(int(row.id), bytes(row.link_id), ENDS[row.end])
                for row in connection.execute(query)
            )

    def of_call(self, call_id: bytes, link: LinkPlace) -> tuple[StoredParcel, ...]:
        """The parcels with entries of the call at this end of the link, in the journal's order.

        Raises:
            SimpulError: OVERLOADED, where they are more than one file holds.
        """
        found: dict[tuple[int, int], set[int]] = {}
        query = (
            select(CALL_ENTRIES.c.slot, CALL_ENTRIES.c.idx, CALL_ENTRIES.c.entry_no)
            .join(CALLS, CALLS.c.id == CALL_ENTRIES.c.call)
            .where(CALLS.c.call_id == call_id, CALLS.c.link == link.number)
            .order_by(CALL_ENTRIES.c.slot, CALL_ENTRIES.c.idx, CALL_ENTRIES.c.entry_no)
        )
        with self._journal.snapshot() as connection:
            for row in connection.execute(query):
                found.setdefault((int(row.slot), int(row.idx)), set()).add(int(row.entry_no))
        if len(found) > MAX_PARCELS:
            raise SimpulError(
                Code.OVERLOADED, f"the call has over {MAX_PARCELS} parcels: too many for one file"
            )
        parcels = (self._at(slot, idx, frozenset(mine)) for (slot, idx), mine in found.items())
        return tuple(parcel for parcel in parcels if parcel is not None)

    def numbered(self, link: LinkPlace, direction: Direction, number: int) -> StoredParcel | None:
        """One parcel of a link, without looking for any call's entries."""
        where = (
            PARCELS.c.link == link.number,
            PARCELS.c.direction == DIRECTIONS.index(direction),
            PARCELS.c.number == number,
        )
        with self._journal.snapshot() as connection:
            row = connection.execute(select(PARCELS.c.slot, PARCELS.c.idx).where(*where)).first()
        return None if row is None else self._at(int(row.slot), int(row.idx), frozenset())

    def last_number(self, link: LinkPlace, direction: Direction) -> int | None:
        """The highest number of a link's direction; None where there is no parcel."""
        query = select(func.max(PARCELS.c.number)).where(
            PARCELS.c.link == link.number, PARCELS.c.direction == DIRECTIONS.index(direction)
        )
        with self._journal.snapshot() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else int(found)

    def headers(
        self, link: LinkPlace, direction: Direction, first: int, last: int
    ) -> dict[int, bytes]:
        """The headers from number `first` to `last`, by number; what isn't there is left out."""
        found: dict[int, bytes] = {}
        for start in range(first, last + 1, _PAGE):
            query = select(PARCELS.c.number, PARCELS.c.header).where(
                PARCELS.c.link == link.number,
                PARCELS.c.direction == DIRECTIONS.index(direction),
                PARCELS.c.number >= start,
                PARCELS.c.number <= min(last, start + _PAGE - 1),
            )
            with self._journal.snapshot() as connection:
                for row in connection.execute(query):
                    found[int(row.number)] = bytes(row.header)
        return found

    def _at(self, slot: int, idx: int, mine: frozenset[int]) -> StoredParcel | None:
        """None where retention has dropped it meanwhile."""
        with self._journal.snapshot() as connection:
            row = connection.execute(
                select(PARCELS).where(PARCELS.c.slot == slot, PARCELS.c.idx == idx)
            ).first()
            salts = connection.execute(
                select(SALTS.c.salts).where(SALTS.c.slot == slot, SALTS.c.idx == idx)
            ).scalar()
        return None if row is None else _stored(row, salts, mine)


def _stored(row: Row[Any], salts: bytes | None, mine: frozenset[int]) -> StoredParcel:
    entries = unpack_entries(bytes(row.entries))
    # Erased salts: none is shown.
    none = (b"", b"")
    unpacked = () if salts is None else unpack_salts(bytes(salts))
    return StoredParcel(
        slot=int(row.slot),
        idx=int(row.idx),
        link=int(row.link),
        direction=DIRECTIONS[row.direction],
        number=int(row.number),
        header=bytes(row.header),
        seal=bytes(row.seal),
        entries=entries,
        salts=tuple(each or none for each in unpacked) or (none,) * len(entries),
        mine=mine,
    )
