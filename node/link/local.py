"""Links within one node, between members that it hosts: both ends in this process.

They carry the same parcels, with both seals, and leave both records; only the stream is a pair of
queues, and there is nobody to greet. The link's id is a hash over two fresh nonces, in the place of
the two greetings.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Final

from node.journal.model import LinkEnd
from node.link.greet import CREDIT, Greeter, child_context
from node.link.link import Link
from node.link.model import LinkRooms
from security.errors import SimpulError
from security.greeting import NONCE_BYTES, child_link_id, link_id
from security.sender import LinkContext

# Frames that one end may be ahead of the other.
_AHEAD: Final = 8


class LocalStream:
    """One end of a pair of queues (`stream.FrameStream`)."""

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        self._peer: LocalStream = self
        self._closed = asyncio.Event()

    @classmethod
    def pair(cls) -> tuple[LocalStream, LocalStream]:
        """Two ends of one stream."""
        one, other = cls(), cls()
        one._peer, other._peer = other, one
        return one, other

    async def read(self) -> bytes | None:
        """As `FrameStream.read`."""
        getting = asyncio.create_task(self._incoming.get())
        closing = asyncio.create_task(self._closed.wait())
        try:
            await asyncio.wait({getting, closing}, return_when=asyncio.FIRST_COMPLETED)
            return getting.result() if getting.done() else None
        finally:
            getting.cancel()
            closing.cancel()

    async def write(self, frame: bytes) -> None:
        """As `FrameStream.write`."""
        await self._peer.deliver(frame)

    async def deliver(self, frame: bytes | None) -> None:
        """Take a frame of the other end."""
        await self._incoming.put(frame)

    async def finish(self) -> None:
        """As `FrameStream.finish`."""
        await self._peer.deliver(None)

    def close(self, error: SimpulError | None = None) -> None:
        """As `FrameStream.close`; both ends end."""
        del error
        for end in (self, self._peer):
            end.mark_closed()

    def mark_closed(self) -> None:
        """Nothing more is read here."""
        self._closed.set()


class LocalLinks:
    """The links of one worker with itself."""

    def __init__(self, greeter: Greeter, rooms: LinkRooms) -> None:
        self._greeter = greeter
        self._rooms = rooms
        self._shared: Link | None = None
        self._running: dict[asyncio.Task[None], Link] = {}

    @property
    def links(self) -> tuple[Link, ...]:
        """The links that are up, both ends of each."""
        return tuple(self._running.values())

    def shared(self) -> Link:
        """The link for unary calls."""
        if self._shared is None or not self._shared.alive:
            self._shared = self._begin(self._context())
        return self._shared

    def child(self, call_id: bytes) -> Link:
        """A link of its own for one streaming call."""
        parent = self._context()
        link = child_link_id(parent.link_id, call_id)
        return self._begin(child_context(parent, link, call_id, dialled=True))

    async def close(self) -> None:
        """End every link in order."""
        await asyncio.gather(*(link.finish() for link in self.links if link.dialled))

    def _begin(self, dialling: LinkContext) -> Link:
        # What one end gives, the other takes.
        accepting = replace(
            dialling, credit_given=dialling.credit_taken, credit_taken=dialling.credit_given
        )
        ours, theirs = LocalStream.pair()
        self._start(Link(accepting, theirs, self._rooms, LinkEnd.ACCEPTOR))
        return self._start(Link(dialling, ours, self._rooms, LinkEnd.DIALLER))

    def _start(self, link: Link) -> Link:
        task = asyncio.create_task(link.run())
        self._running[task] = link
        task.add_done_callback(self._running.pop)
        return link

    def _context(self) -> LinkContext:
        identity = self._greeter.identity
        return LinkContext(
            federation=identity.federation,
            my_node=identity.node,
            peer_node=identity.node,
            link_id=link_id(os.urandom(NONCE_BYTES), os.urandom(NONCE_BYTES)),
            hosted=identity.members,
            limits=self._greeter.limits,
            credit_given=0,
            credit_taken=CREDIT,
        )
