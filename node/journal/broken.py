"""What the journal tells of links that broke: for greetings that name one which nobody remembers.

A worker remembers the links that broke under it; those of a worker that was killed, or of another
one, are read from the parcels and calls that were recorded. `node.link.unsettled` judges by it.

Source: docs/spec, "Links: settling".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, func, select

from node.journal.model import Direction, LinkEnd, Outcome, Role
from node.journal.readonly import JournalReading
from node.journal.tables import (
    CALL_ENTRIES,
    CALLS,
    DIRECTIONS,
    ENDS,
    HAS_FAILED,
    IS_OPEN,
    KINDS,
    LINKS,
    NAMES,
    OUTCOMES,
    PARCELS,
    ROLES,
)
from security.parcel import Received, parse_header

# More than may be under way on one link without a receipt.
MAX_PARCELS: Final = 4096
MAX_CALLS: Final = 4096

_SENT: Final = DIRECTIONS.index(Direction.SENT)
_RECEIVED: Final = DIRECTIONS.index(Direction.RECEIVED)
_OPEN: Final = KINDS.index("open")
_ENDS: Final = (KINDS.index("close"), KINDS.index("refuse"))
_LOST: Final = OUTCOMES.index(Outcome.LOST)
_ASKING: Final = ROLES.index(Role.CONSUMER)
_ANSWERING: Final = ROLES.index(Role.PROVIDER)
_OF_PARCEL: Final = and_(CALL_ENTRIES.c.slot == PARCELS.c.slot, CALL_ENTRIES.c.idx == PARCELS.c.idx)


@dataclass(frozen=True, slots=True)
class RecordedLink:
    """One end of a link, as far as parcels of it were recorded; without calls that are settled."""

    peer: str
    link_id: bytes
    end: LinkEnd
    # How many parcels were sent, and the last of the peer's.
    sealed: int
    received: Received | None
    # The header's hash of each sent parcel, from the last on that the peer gave a receipt for.
    sent: Mapping[int, bytes]
    # Calls that have no answer, and the number of the parcel that holds the open.
    asked: Mapping[bytes, int]
    # Calls whose answer has no receipt, and the number of the parcel that holds it.
    answered: Mapping[bytes, int]
    # The last of the sent parcels that the peer gave a receipt for; -1: none.
    heard: int = -1


class BrokenLinks(JournalReading):
    """Reads ends of links. A context manager; for one thread."""

    def find(self, peer: str, link_id: bytes) -> list[RecordedLink]:
        """This node's end of a link with this peer, if any parcel of it is here."""
        with self._journal.snapshot() as connection:
            rows = connection.execute(
                select(LINKS.c.id, LINKS.c.end)
                .join(NAMES, NAMES.c.id == LINKS.c.peer)
                .where(LINKS.c.link_id == link_id, NAMES.c.text == peer)
            ).all()
            found = [_read(connection, peer, link_id, ENDS[row.end], int(row.id)) for row in rows]
        return [each for each in found if each is not None]

    def with_lost_calls(self, *, since_ms: int, limit: int) -> list[tuple[str, bytes]]:
        """Peer and id of the links, the newest first, with a call that is lost and not settled."""
        newest = func.max(CALLS.c.opened_at_ms)
        lost = (
            select(LINKS.c.link_id, NAMES.c.text)
            .select_from(CALLS)
            .join(LINKS, LINKS.c.id == CALLS.c.link)
            .join(NAMES, NAMES.c.id == LINKS.c.peer)
            .where(
                HAS_FAILED,
                CALLS.c.outcome == _LOST,
                CALLS.c.opened_at_ms >= since_ms,
                CALLS.c.role == _ASKING,
                CALLS.c.settled.is_(None),
            )
            .group_by(LINKS.c.link_id, NAMES.c.text)
            .order_by(newest.desc())
            .limit(limit)
        )
        with self._journal.snapshot() as connection:
            return [(row.text, bytes(row.link_id)) for row in connection.execute(lost)]


def _read(
    connection: Connection, peer: str, link_id: bytes, end: LinkEnd, link: int
) -> RecordedLink | None:
    of_link = PARCELS.c.link == link
    last = connection.execute(
        select(PARCELS.c.number, PARCELS.c.header_hash, PARCELS.c.header)
        .where(of_link, PARCELS.c.direction == _RECEIVED)
        .order_by(PARCELS.c.number.desc())
        .limit(1)
    ).first()
    received, heard = None, -1
    if last is not None:
        received = Received(int(last.number), bytes(last.header_hash))
        receipt = parse_header(bytes(last.header)).received
        heard = -1 if receipt is None else receipt.number
    rows = connection.execute(
        select(PARCELS.c.number, PARCELS.c.header_hash)
        .where(of_link, PARCELS.c.direction == _SENT, PARCELS.c.number >= heard)
        .order_by(PARCELS.c.number.desc())
        .limit(MAX_PARCELS)
    )
    sent = {int(row.number): bytes(row.header_hash) for row in rows}
    if len(sent) == 0 and received is None:
        # Nothing but what was dropped.
        return None
    sealed = max(sent, default=heard) + 1
    asked = _asked(connection, link)
    answered = _answered(connection, link, heard)
    return RecordedLink(peer, link_id, end, sealed, received, sent, asked, answered, heard)


def _asked(connection: Connection, link: int) -> dict[bytes, int]:
    began = connection.execute(
        select(func.min(PARCELS.c.recorded_at_ms)).where(
            PARCELS.c.link == link,
            PARCELS.c.direction.in_((_SENT, _RECEIVED)),
            PARCELS.c.number == 0,
        )
    ).scalar()
    # By the index of calls that failed, and in the time of this link only.
    lost = and_(HAS_FAILED, CALLS.c.outcome == _LOST, CALLS.c.opened_at_ms >= int(began or 0))
    # One whose worker was killed is still open until its slot is taken again.
    return _calls(connection, link, _ASKING, lost, CALL_ENTRIES.c.kind == _OPEN) | _calls(
        connection, link, _ASKING, IS_OPEN, CALL_ENTRIES.c.kind == _OPEN
    )


def _answered(connection: Connection, link: int, heard: int) -> dict[bytes, int]:
    rows = connection.execute(
        select(CALLS.c.call_id, PARCELS.c.number)
        .select_from(PARCELS)
        .join(CALL_ENTRIES, _OF_PARCEL)
        .join(CALLS, CALLS.c.id == CALL_ENTRIES.c.call)
        .where(
            PARCELS.c.link == link,
            PARCELS.c.direction == _SENT,
            PARCELS.c.number > heard,
            CALL_ENTRIES.c.kind.in_(_ENDS),
            CALLS.c.role == _ANSWERING,
            CALLS.c.settled.is_(None),
        )
        .limit(MAX_CALLS)
    )
    return {bytes(row.call_id): int(row.number) for row in rows}


def _calls(
    connection: Connection,
    link: int,
    role: int,
    which: ColumnElement[bool],
    kind: ColumnElement[bool],
) -> dict[bytes, int]:
    rows = connection.execute(
        select(CALLS.c.call_id, PARCELS.c.number)
        .select_from(CALLS)
        .join(CALL_ENTRIES, CALL_ENTRIES.c.call == CALLS.c.id)
        .join(PARCELS, _OF_PARCEL)
        .where(which, CALLS.c.link == link, CALLS.c.role == role, CALLS.c.settled.is_(None), kind)
        .limit(MAX_CALLS)
    )
    return {bytes(row.call_id): int(row.number) for row in rows}
