"""How far each direction of a link goes in the journal, and how far the other side says to have it.

A parcel that was received is acknowledged when a parcel of ours on its link said so, one that was
sent when a parcel of the peer's that is here did: the newest of each direction says how far.

Source: docs/spec, "Reconciliation: sets"; "Links".
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, ScalarSelect, Subquery, select

from node.journal.tables import PARCELS
from security.errors import SimpulError
from security.parcel import HeaderFields, parse_header


@dataclass(frozen=True, slots=True)
class LinkDirection:
    """Of a link and direction: the last parcel acknowledged, and the last recorded; -1 for none."""

    acknowledged: int
    recorded: int


def link_ends(
    connection: Connection, links: Subquery, column: ColumnElement[int]
) -> dict[tuple[int, int], LinkDirection]:
    """Returns how far the links go whose numbers are in a column, by link and direction."""
    query = select(column, *(_newest_header(column, place) for place in (0, 1))).select_from(links)
    found: dict[tuple[int, int], LinkDirection] = {}
    for link, *headers in connection.execute(query):
        fields = [None if header is None else _parsed(bytes(header)) for header in headers]
        for direction, own in enumerate(fields):
            # What goes one way acknowledges what came the other.
            other = fields[1 - direction]
            received = None if other is None else other.received
            found[int(link), direction] = LinkDirection(
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
