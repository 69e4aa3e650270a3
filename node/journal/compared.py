"""What the journal has of the parcels between this node and one other, by the hour of sealed-at.

Over all slots, and of parcels that were dropped too: what is compared of them stays. Whether one is
acknowledged, the newest of the other direction of its link says (`link_ends`), or said when it was
dropped. Acknowledging follows within moments, but for the last words on a link.

Hashes are taken from their column as they stand there: whether a row is what it says is `verify`'s
affair.

Source: docs/spec, "Reconciliation".
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    func,
    literal_column,
    select,
)

from node.journal.archive.gone import GoneParcel, count_gone, gone_parcels, last_gone
from node.journal.archive.tables import DROPPED
from node.journal.link_ends import LinkDirection, link_ends
from node.journal.model import Direction
from node.journal.readonly import JournalReading
from node.journal.tables import DIRECTIONS, LINKS, NAMES, PARCELS
from security.errors import Code, SimpulError
from security.limits import CLOCK_AHEAD_MS
from security.reconcile import HOUR_MS, Gathering, HashSet, HourDigest, ParcelPlace

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
            counts = _count_gone(connection, span)
            rows = connection.execute(
                select(hour, func.count()).where(*_within(connection, span)).group_by(hour)
            )
            for number, count in rows:
                counts[int(number)] = counts.get(int(number), 0) + int(count)
        return {number: counts[number] for number in sorted(counts) if counts[number] > 0}

    def held_from_ms(self) -> int:
        """From which hour on what is compared of every parcel is here; 0: it always was.

        What an older version dropped without keeping that was recorded before a time, and sealed at
        most a minute later than that, by its sender's clock.
        """
        with self._journal.snapshot() as connection:
            before_ms = connection.execute(select(func.max(DROPPED.c.unhashed_before_ms))).scalar()
        if not before_ms:
            return 0
        return -(-(int(before_ms) + CLOCK_AHEAD_MS) // HOUR_MS) * HOUR_MS

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
            for item in _gone(connection, part, hour):
                (acknowledged if item.acknowledged else unacknowledged).add(item.header_hash)
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
            found += _describe_gone(
                connection,
                [item for item in _gone(connection, part, hour) if item.header_hash in hashes],
            )
        return tuple(sorted(found, key=lambda item: item.header_hash))


def _parcels(connection: Connection, span: Span, *more: ColumnElement[Any]) -> Select[Any]:
    columns = (PARCELS.c.link, PARCELS.c.direction, PARCELS.c.number, PARCELS.c.header_hash)
    return select(*columns, *more).where(*_within(connection, span))


def _within(connection: Connection, span: Span) -> tuple[Any, ...]:
    """The conditions of a span; one index has them all."""
    return (
        PARCELS.c.peer == _name(connection, span.peer),
        PARCELS.c.sealed_at_ms >= span.from_ms,
        PARCELS.c.sealed_at_ms < span.until_ms,
    )


def _describe_gone(connection: Connection, gone: Sequence[GoneParcel]) -> Iterator[ParcelPlace]:
    wanted = {item.link for item in gone}
    links = select(LINKS.c.id, LINKS.c.link_id).where(LINKS.c.id.in_(wanted)).subquery()
    ids = {int(row.id): bytes(row.link_id) for row in connection.execute(select(links))}
    left, last = link_ends(connection, links, links.c.id), last_gone(connection, wanted)
    for item in gone:
        key = (item.link, item.direction)
        newest = max(left[key].recorded, last.get(key, item.number), item.number)
        sent = DIRECTIONS[item.direction] is Direction.SENT
        yield ParcelPlace(
            item.header_hash, ids[item.link], sent, item.number, item.sealed_at_ms,
            item.acknowledged, newest,
        )  # fmt: skip


def _name(connection: Connection, peer: str) -> int:
    """A peer's number; one whose name was never written has sent nothing, and no parcel has it."""
    name = connection.execute(select(NAMES.c.id).where(NAMES.c.text == peer)).scalar()
    return -1 if name is None else int(name)


def _ends(connection: Connection, span: Span) -> dict[tuple[int, int], LinkDirection]:
    """How far each link and direction goes that has parcels in the span."""
    links = select(PARCELS.c.link).where(*_within(connection, span)).distinct().subquery()
    return link_ends(connection, links, links.c.link)


def _gone(connection: Connection, span: Span, hour: int) -> Iterator[GoneParcel]:
    """The dropped parcels of one hour that are in the span."""
    for item in gone_parcels(connection, _name(connection, span.peer), hour):
        if span.from_ms <= item.sealed_at_ms < span.until_ms:
            yield item


def _count_gone(connection: Connection, span: Span) -> dict[int, int]:
    """How many parcels were dropped of each hour, in order; one without any isn't there."""
    hours = range(span.from_ms // HOUR_MS, -(-span.until_ms // HOUR_MS))
    counts = count_gone(connection, _name(connection, span.peer), hours)
    # Of an hour that isn't all in the span they're counted one by one.
    for hour in {hours.start, hours.stop - 1} & counts.keys():
        part = span.hour(hour)
        if part.until_ms - part.from_ms < HOUR_MS:
            counts[hour] = sum(1 for _ in _gone(connection, part, hour))
    return counts


def _rows(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    """The rows one by one; a server's are fetched by the page, and never all at once."""
    yield from connection.execution_options(yield_per=PAGE_ROWS).execute(query)
