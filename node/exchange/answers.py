"""The events of a streamed answer on their way to the app: one at a time, and none after its end.

A task of its own sends, so that an app that reads slowly holds up the link's delivery (that is
backpressure) and not the end of the call: the deadline, a cancel or a broken link releases whoever
waits here, and the end is sent after what was being sent, never in between.
"""

from __future__ import annotations

import asyncio

from node.calls import Headers, InboundCall, Message


class Answers:
    """Of one call: one event waits while another is being sent."""

    def __init__(self, call: InboundCall) -> None:
        self._call = call
        self._next: Headers | Message | None = None
        self._over = False
        self._some, self._room = asyncio.Event(), asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def put(self, event: Headers | Message) -> None:
        """Wait for room, and put the event in line; dropped where the call is over."""
        while self._next is not None and not self._over:
            self._room.clear()
            await self._room.wait()
        if not self._over:
            self._next = event
            self._idle.clear()
            self._some.set()

    async def sent(self) -> None:
        """Wait until everything was sent, or the call is over."""
        await self._idle.wait()

    def end(self) -> None:
        """The call is over: nothing more is sent, and nobody waits."""
        self._over, self._next = True, None
        self._some.set()
        self._room.set()
        self._idle.set()

    async def run(self) -> None:
        """Send what is put, until the end."""
        while not self._over:
            event, self._next = self._next, None
            if event is None:
                self._idle.set()
                self._some.clear()
                await self._some.wait()
            else:
                self._room.set()
                await self._call.send(event)
