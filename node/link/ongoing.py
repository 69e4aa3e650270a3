"""The calls under way on one link, and what each of them learns when no more comes.

Of a call that this node asked it knows which parcel holds the open. That decides what may be said
of it when the peer drains or the link breaks: a call whose open never left, or is past a drain, has
provably not started, and may go to another node; of the rest nobody here knows
(docs/spec, "Calls: outcomes").
"""

from __future__ import annotations

import asyncio
from collections import deque

from node.link.model import CallHandler, Opening, not_started, outcome_unknown
from security.errors import SimpulError
from security.identifiers import NodeId


class Ongoing:
    """One link's calls, of both sides."""

    def __init__(self, peer: NodeId) -> None:
        self._peer = peer
        self._handlers: dict[bytes, CallHandler] = {}
        # Of the calls asked here: the number of the parcel that holds the open, once it is made.
        self._asked: dict[bytes, int | None] = {}
        # Opens that wait for the peer's credit.
        self._waiting: deque[Opening] = deque()
        self._waiting_bytes = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    def __bool__(self) -> bool:
        return bool(self._handlers)

    @property
    def waiting(self) -> int:
        """How many opens wait for credit."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """What their messages take."""
        return self._waiting_bytes

    async def quiet(self) -> None:
        """Wait until no call is under way."""
        await self._quiet.wait()

    def ask(self, opening: Opening, handler: CallHandler) -> None:
        """A call begins here; its open waits for credit."""
        self._add(opening.call_id, handler)
        self._asked[opening.call_id] = None
        self._waiting.append(opening)
        self._waiting_bytes += len(opening.payload or b"")

    def next(self) -> Opening:
        """The open that waited longest; credit lets it go."""
        opening = self._waiting.popleft()
        self._waiting_bytes -= len(opening.payload or b"")
        return opening

    def withdraw(self, opening: Opening) -> bool:
        """Take back an open that waits; False where it does no more."""
        if opening.ticket is not None or opening not in self._waiting:
            return False
        self._waiting.remove(opening)
        self._waiting_bytes -= len(opening.payload or b"")
        self.end(opening.call_id)
        return True

    def in_parcel(self, call_id: bytes, number: int) -> None:
        """The open of a call is in our parcel of this number."""
        if call_id in self._asked:
            self._asked[call_id] = number

    def begin(self, call_id: bytes, handler: CallHandler) -> None:
        """A call of the peer begins."""
        self._add(call_id, handler)

    def get(self, call_id: bytes) -> CallHandler | None:
        """Who hears what comes for a call."""
        return self._handlers.get(call_id)

    def end(self, call_id: bytes) -> CallHandler | None:
        """A call is over; returns who heard of it."""
        self._asked.pop(call_id, None)
        found = self._handlers.pop(call_id, None)
        if not self._handlers:
            self._quiet.set()
        return found

    def lose(self, left: int) -> dict[bytes, int]:
        """The link broke, and none of our parcels past the number `left` left: everyone hears.

        Returns the calls of which nobody here knows what came, with the parcel of each open.
        """
        self._end_beyond(left, not_started(self._peer))
        unknown = {call_id: made for call_id, made in self._asked.items() if made is not None}
        handlers = tuple(self._handlers.values())
        self._handlers.clear()
        self._asked.clear()
        self._quiet.set()
        for handler in handlers:
            handler.on_lost(outcome_unknown(self._peer))
        return unknown

    def drain(self, number: int, error: SimpulError) -> list[bytes]:
        """The peer began nothing after our parcel of this number, and begins nothing more.

        Returns the calls whose open is in no parcel yet, and so needn't be.
        """
        return self._end_beyond(number, error)

    def _end_beyond(self, number: int, error: SimpulError) -> list[bytes]:
        """End the calls asked here whose open is in none of our parcels up to this number."""
        beyond = {
            call_id: made for call_id, made in self._asked.items() if made is None or made > number
        }
        self._waiting.clear()
        self._waiting_bytes = 0
        for call_id in beyond:
            handler = self.end(call_id)
            if handler is not None:
                handler.on_lost(error)
        return [call_id for call_id, made in beyond.items() if made is None]

    def _add(self, call_id: bytes, handler: CallHandler) -> None:
        self._handlers[call_id] = handler
        self._quiet.clear()
