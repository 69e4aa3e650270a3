"""What the journal has of the parcels between this node and one other, by the hour of sealed-at.

Over all slots. A parcel that was received is acknowledged when a parcel of ours on its link said
so, one that was sent when a parcel of the peer's that is here did: the newest of each direction
says how far. Acknowledging follows within moments, but for the last words on a link.

Hashes are taken from their column as they stand there: whether a row is what it says is `verify`'s
affair.

Source: docs/spec, "Reconciliation".
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    func,
    literal_column,
    select,
)

from node.journal.archive.tables import ARCHIVES, DROPPED
from node.journal.model import Direction
from node.journal.readonly import JournalReading
from node.journal.tables import DIRECTIONS, LINKS, NAMES, PARCELS
from security.errors import Code, SimpulError
from security.limits import CLOCK_AHEAD_MS
from security.parcel import HeaderFields, parse_header
from security.reconcile import HOUR_MS, Gathering, HashSet, HourDigest, ParcelPlace
from security.statement import MAX_TIME_MS

# Of one hour, at 32 bytes each in memory, twice while they are sorted.
MAX_HOUR_PARCELS: Final = 4_000_000
# Rows fetched from a server at a time.
PAGE_ROWS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Span:
    """Parcels with one peer, sealed within [from_ms, until_ms)."""

    peer: str
    from_ms: int
    until_ms: int

    def hour(self, hour: int) -> "Span":
        """The part of it that is in an hour since the epoch."""
        return Span(
            self.peer,
            max(self.from_ms, hour * HOUR_MS),
            min(self.until_ms, (hour + 1) * HOUR_MS),
        )


@dataclass(frozen=True, slots=True)
class HourSets:
    """The header hashes of one hour."""

    hour: int
    acknowledged: HashSet
    unacknowledged: HashSet

    def of(self, *, acknowledged: bool) -> HashSet:
        """The one or the other."""
        return self.acknowledged if acknowledged else self.unacknowledged

    def digest(self) -> HourDigest:
        """Their digests."""
        return HourDigest(self.hour, self.acknowledged.digest(), self.unacknowledged.digest())

    def __len__(self) -> int:
        return len(self.acknowledged) + len(self.unacknowledged)


class ComparedReader(JournalReading):
    """Reads a journal for comparing it. A context manager; for one thread.

    Raises:
        SimpulError: from every method, as node.journal.readonly.ReadOnly says.
    """

    def counts(self, span: Span) -> dict[int, int]:
        """How many parcels each hour has, in order; an hour without any isn't there."""
        # Written out: a parameter in two places is two things to PostgreSQL.
        hour = PARCELS.c.sealed_at_ms // literal_column(str(HOUR_MS), BigInteger)
        with self._journal.snapshot() as connection:
            rows = connection.execute(
                select(hour, func.count())
                .where(*_within(connection, span))
                .group_by(hour)
                .order_by(hour)
            )
            return {int(number): int(count) for number, count in rows}

    def held_from_ms(self) -> int:
        """The beginning of the first hour of which nothing was dropped; 0 where nothing ever was.

        What was dropped was recorded before what is left of its slot, and sealed at most a minute
        later than that, by its sender's clock.
        """
        with self._journal.snapshot() as connection:
            dropped = _rows(connection, select(DROPPED).where(DROPPED.c.first > 0))
            times = [_dropped_before_ms(connection, row.slot, row.first) for row in dropped]
        if len(times) == 0:
            return 0
        return -(-(max(times) + CLOCK_AHEAD_MS) // HOUR_MS) * HOUR_MS

    def hour(self, span: Span, hour: int) -> HourSets:
        """The hashes of one hour of the span.

        Raises:
            SimpulError: OVERLOADED, where the hour has too many.
        """
        part = span.hour(hour)
        count = self.counts(part).get(hour, 0)
        if count > MAX_HOUR_PARCELS:
            raise SimpulError(
                Code.OVERLOADED,
                f"{count} parcels in one hour are too many to compare; at most {MAX_HOUR_PARCELS}",
            )
        acknowledged, unacknowledged = Gathering(), Gathering()
        with self._journal.snapshot() as connection:
            ends = _ends(connection, part)
            rows = _rows(connection, _parcels(connection, part))
            for link, direction, number, header_hash in rows:
                is_known = number <= ends[link, direction].acknowledged
                (acknowledged if is_known else unacknowledged).add(header_hash)
        return HourSets(hour, acknowledged.done(), unacknowledged.done())

    def describe(self, span: Span, hour: int, wanted: Collection[bytes]) -> tuple[ParcelPlace, ...]:
        """The parcels of one hour that have these hashes, in the order of the hashes."""
        part, hashes = span.hour(hour), frozenset(wanted)
        columns = (PARCELS.c.sealed_at_ms, LINKS.c.link_id)
        found: list[ParcelPlace] = []
        with self._journal.snapshot() as connection:
            ends = _ends(connection, part)
            query = _parcels(connection, part, *columns).join(LINKS, LINKS.c.id == PARCELS.c.link)
            for link, direction, number, header_hash, *beside in _rows(connection, query):
                if header_hash not in hashes:
                    continue
                sealed_at_ms, link_id = beside
                sent = DIRECTIONS[direction] is Direction.SENT
                end = ends[link, direction]
                found.append(
                    ParcelPlace(
                        header_hash, link_id, sent, number, sealed_at_ms,
                        number <= end.acknowledged, max(end.recorded, number),
                    )
                )  # fmt: skip
        return tuple(sorted(found, key=lambda item: item.header_hash))


def _dropped_before_ms(connection: Connection, slot: int, first: int) -> int:
    """A time before which all was recorded that a slot has dropped."""
    left = connection.execute(
        select(PARCELS.c.recorded_at_ms).where(PARCELS.c.slot == slot, PARCELS.c.idx == first)
    ).scalar()
    if left is not None:
        return int(left)
    archived = connection.execute(
        select(func.max(ARCHIVES.c.last_at_ms)).where(
            ARCHIVES.c.slot == slot, ARCHIVES.c.end_idx >= first
        )
    ).scalar()
    # All was dropped, and none of it archived: nobody remembers when the last was.
    return MAX_TIME_MS if archived is None else int(archived)


@dataclass(frozen=True, slots=True)
class _End:
    """Of a link and direction: the last parcel acknowledged, and the last recorded; -1 for none."""

    acknowledged: int
    recorded: int


def _parcels(connection: Connection, span: Span, *more: ColumnElement[Any]) -> Select[Any]:
    columns = (PARCELS.c.link, PARCELS.c.direction, PARCELS.c.number, PARCELS.c.header_hash)
    return select(*columns, *more).where(*_within(connection, span))


def _within(connection: Connection, span: Span) -> tuple[Any, ...]:
    """The conditions of a span; one index has them all."""
    name = connection.execute(select(NAMES.c.id).where(NAMES.c.text == span.peer)).scalar()
    return (
        # A peer whose name was never written has sent nothing; no parcel has this number.
        PARCELS.c.peer == (-1 if name is None else name),
        PARCELS.c.sealed_at_ms >= span.from_ms,
        PARCELS.c.sealed_at_ms < span.until_ms,
    )


def _ends(connection: Connection, span: Span) -> dict[tuple[int, int], _End]:
    """How far each link and direction goes that has parcels in the span."""
    links = select(PARCELS.c.link).where(*_within(connection, span)).distinct().subquery()
    query = select(links.c.link, *(_newest_header(links.c.link, place) for place in (0, 1)))
    found: dict[tuple[int, int], _End] = {}
    for link, *headers in _rows(connection, query):
        fields = [None if header is None else _parsed(header) for header in headers]
        for direction, own in enumerate(fields):
            # What goes one way acknowledges what came the other.
            other = fields[1 - direction]
            received = None if other is None else other.received
            found[link, direction] = _End(
                -1 if received is None else received.number, -1 if own is None else own.number
            )
    return found


def _parsed(header: bytes) -> HeaderFields | None:
    try:
        return parse_header(header)
    except SimpulError:
        # `verify` names it; here it says nothing.
        return None


def _newest_header(link: ColumnElement[int], direction: int) -> ScalarSelect[bytes]:
    newest = PARCELS.alias()
    return (
        select(newest.c.header)
        .where(newest.c.link == link, newest.c.direction == direction)
        .order_by(newest.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )


def _rows(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    """The rows one by one; a server's are fetched by the page, and never all at once."""
    yield from connection.execution_options(yield_per=PAGE_ROWS).execute(query)
