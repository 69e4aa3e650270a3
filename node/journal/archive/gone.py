"""What stays of dropped parcels for two nodes to compare: hash, place on the link, time.

    one parcel = u64 number | u32 (1 bit acknowledged, 31 bits ms within the hour) | header hash

44 bytes each, and those of one row together: of one peer and hour, and of one link's direction. A
header hash says nothing of what was asked or of whom, so nothing here has to be erased.

Source: docs/spec, "Archives: what stays in the journal"; "Reconciliation: sets".
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select

from node.journal.archive.tables import DROPPED_PARCELS, LINK_TAILS
from node.journal.link_ends import link_ends
from node.journal.tables import LINKS
from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES
from security.reconcile import HOUR_MS

_PARCEL: Final = Struct(f">QI{HASH_BYTES}s")
_ACKNOWLEDGED: Final = 1 << 31
# Rows fetched from a server at a time.
_PAGE_ROWS: Final = 1000

PARCEL_BYTES: Final = _PARCEL.size


@dataclass(frozen=True, slots=True)
class GoneParcel:
    """A dropped parcel. `link` and `direction` are the journal's numbers."""

    link: int
    direction: int
    number: int
    sealed_at_ms: int
    acknowledged: bool
    header_hash: bytes


def keep_gone(connection: Connection, slot: int, rows: Sequence[Row[Any]]) -> None:
    """Keeps what is compared of parcels that go now, given as rows of `parcels` by their index.

    Whatever acknowledges one of them was recorded later, in the same slot, so it's still there.
    """
    wanted = {int(row.link) for row in rows}
    links = select(LINKS.c.id).where(LINKS.c.id.in_(wanted)).subquery()
    ends = link_ends(connection, links, links.c.id)
    packed: dict[tuple[int, int, int, int], tuple[int, bytearray]] = {}
    for row in rows:
        hour, at_ms = divmod(int(row.sealed_at_ms), HOUR_MS)
        end = ends.get((int(row.link), int(row.direction)))
        if end is not None and row.number <= end.acknowledged:
            at_ms |= _ACKNOWLEDGED
        key = (int(row.peer), hour, int(row.link), int(row.direction))
        _, data = packed.setdefault(key, (int(row.idx), bytearray()))
        data += _PARCEL.pack(row.number, at_ms, bytes(row.header_hash))
    connection.execute(
        insert(DROPPED_PARCELS),
        [
            {
                "peer": peer, "hour": hour, "slot": slot, "idx": idx,
                "link": link, "direction": direction, "parcels": bytes(data),
            }
            for (peer, hour, link, direction), (idx, data) in packed.items()
        ],
    )  # fmt: skip


def count_gone(connection: Connection, peer: int, hours: range) -> dict[int, int]:
    """Returns how many parcels with a peer were dropped, by the hour, of those that have any."""
    rows = connection.execute(
        select(DROPPED_PARCELS.c.hour, func.sum(func.length(DROPPED_PARCELS.c.parcels)))
        .where(
            DROPPED_PARCELS.c.peer == peer,
            DROPPED_PARCELS.c.hour >= hours.start,
            DROPPED_PARCELS.c.hour < hours.stop,
        )
        .group_by(DROPPED_PARCELS.c.hour)
    )
    return {int(hour): int(size) // PARCEL_BYTES for hour, size in rows}


def gone_parcels(connection: Connection, peer: int, hour: int) -> Iterator[GoneParcel]:
    """Yields the dropped parcels with a peer that were sealed within an hour.

    Raises:
        SimpulError: JOURNAL_CORRUPT, where a row isn't of whole parcels.
    """
    table = DROPPED_PARCELS
    query = select(table.c.link, table.c.direction, table.c.parcels).where(
        table.c.peer == peer, table.c.hour == hour
    )
    for link, direction, data in connection.execution_options(yield_per=_PAGE_ROWS).execute(query):
        if len(data) % PARCEL_BYTES > 0:
            raise SimpulError(
                Code.JOURNAL_CORRUPT, "what is left of dropped parcels is cut: restore the journal"
            )
        for number, at_ms, header_hash in _PARCEL.iter_unpack(data):
            yield GoneParcel(
                int(link), int(direction), number,
                hour * HOUR_MS + (at_ms & ~_ACKNOWLEDGED), bool(at_ms & _ACKNOWLEDGED), header_hash,
            )  # fmt: skip


def last_gone(connection: Connection, links: Iterable[int]) -> dict[tuple[int, int], int]:
    """Returns the number of the last parcel that was dropped of links, by link and direction."""
    rows = connection.execute(
        select(LINK_TAILS.c.link, LINK_TAILS.c.direction, LINK_TAILS.c.number).where(
            LINK_TAILS.c.link.in_(set(links))
        )
    )
    return {(int(link), int(direction)): int(number) for link, direction, number in rows}
