"""What waits to be sealed for one link.

An entry is put here and leaves in the next parcel: at once when nothing is under way, otherwise
together with what has gathered while the signer or the disk was busy. Batching so follows the load
and costs a lone call nothing. A parcel holds entries of one member, at most 256 of them or 256 KiB
(docs/explanation/one-call.md, step 3).

Bounds: opens are limited by the peer's credit and answers by the opens accepted, both outside;
what a streaming call puts here waits for `room` first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from security.call_state import Side
from security.identifiers import MemberId
from security.limits import INLINE_MAX_BYTES
from security.sender import OutgoingEntry

MAX_PARCEL_ENTRIES: Final = 256
MAX_PARCEL_BYTES: Final = 256 * 1024
# A streaming call puts no more messages here above this; about what one parcel takes.
ROOM_BYTES: Final = 256 * 1024


@dataclass(slots=True, eq=False)
class Ticket:
    """One entry on its way. `durable` is set when it is sealed, and done when it is journaled.

    `bytes` is all that will be sent of it, `inline_bytes` what of that is inside the parcel.
    """

    outgoing: OutgoingEntry
    bytes: int
    inline_bytes: int
    durable: asyncio.Future[None] | None = None
    # Told of `durable` when it is set, where somebody wants to know.
    on_sealed: Callable[[asyncio.Future[None]], None] | None = None

    @property
    def holds(self) -> bool:
        """What a provider says is durable before it is sent; a question may travel meanwhile."""
        return self.outgoing.here is Side.PROVIDER


def ticket(outgoing: OutgoingEntry) -> Ticket:
    """A ticket for an entry, with the room that it takes in a parcel."""
    sealed = outgoing.sealed
    payload = len(sealed.payload or b"")
    beside = len(sealed.entry) + len(sealed.private or b"")
    inline = payload if payload <= INLINE_MAX_BYTES else 0
    return Ticket(outgoing, beside + payload, beside + inline)


class Outbox:
    """The waiting entries of one link, by member, in the order in which they were put."""

    def __init__(self) -> None:
        self._waiting: dict[MemberId, deque[Ticket]] = {}
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def bytes(self) -> int:
        """What waits, all that will be sent of it."""
        return self._bytes

    def put(self, ticket: Ticket) -> None:
        """Add an entry; it never waits."""
        self._waiting.setdefault(ticket.outgoing.member, deque()).append(ticket)
        self._bytes += ticket.bytes
        if self._bytes >= ROOM_BYTES:
            self._room.clear()

    async def room(self) -> None:
        """Wait until less than `ROOM_BYTES` wait."""
        await self._room.wait()

    def take(self) -> list[tuple[MemberId, list[Ticket]]]:
        """The entries of the next parcels: one parcel for each member that has any."""
        parcels = []
        for member in tuple(self._waiting):
            queue = self._waiting[member]
            parcels.append((member, list(self._fill(queue))))
            if not queue:
                del self._waiting[member]
        if self._bytes < ROOM_BYTES:
            self._room.set()
        return parcels

    def drop(self) -> None:
        """Empty the outbox of a dead link."""
        self._waiting.clear()
        self._bytes = 0
        self._room.set()

    def _fill(self, queue: deque[Ticket]) -> Iterator[Ticket]:
        taken_bytes = taken = 0
        while queue and taken < MAX_PARCEL_ENTRIES:
            size = queue[0].inline_bytes
            # A single entry of any allowed size always fits.
            if taken and taken_bytes + size > MAX_PARCEL_BYTES:
                return
            taken, taken_bytes = taken + 1, taken_bytes + size
            self._bytes -= queue[0].bytes
            yield queue.popleft()
