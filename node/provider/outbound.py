"""One streaming call to a service: `node.calls.OutboundCall` over a request with a streamed body.

A task of its own carries the answer into an inbox with one place, and the body is taken from an
outbox with one place: whoever is slow, service or exchange, slows the other. The end of the call,
whichever side brings it, empties both, so that nobody waits for a call that is over.

Rule: a call that is given up resets its stream. Its body never ends as if it were complete.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from node.calls import HalfClose, Headers, Message, ResponseEvent, Trailers
from node.gateway.framing import print_message
from node.provider.answer import Emit

_CANCELLED: Final = Trailers(1, "the call was given up")

# Runs the call: takes the body and where the answer's events go, returns the answer's end.
Ask = Callable[[AsyncIterator[bytes], Emit], Awaitable[Trailers]]


class Outbox(AsyncIterator[bytes]):
    """The request's body: one framed message at a time, as the connection takes it."""

    def __init__(self) -> None:
        self._next: bytes | None = None
        self._half_closed = False
        self._closed = False
        self._changed = asyncio.Condition()

    async def put(self, event: Message | HalfClose) -> None:
        """Wait for room, and put the event; a no-op once the call is over or half-closed."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._next is None or self._closed)
            if self._closed or self._half_closed:
                return
            if isinstance(event, Message):
                self._next = print_message(event)
            else:
                self._half_closed = True
            self._changed.notify_all()

    async def close(self) -> None:
        """The call is over: nobody waits here any more."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def __anext__(self) -> bytes:
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._next is not None or self._half_closed or self._closed
            )
            if self._closed:
                raise ConnectionAbortedError("the call is over")
            data, self._next = self._next, None
            if data is None:
                raise StopAsyncIteration
            self._changed.notify_all()
            return data


class StreamedCall:
    """An `OutboundCall`. Begins at once."""

    def __init__(self, ask: Ask) -> None:
        self._outbox = Outbox()
        self._inbox: deque[ResponseEvent] = deque()
        self._changed = asyncio.Condition()
        self._begun = self._cancelled = False
        self._task = asyncio.get_running_loop().create_task(self._run(ask))

    async def send(self, event: Message | HalfClose) -> None:
        """Send one event; waits while the service reads slowly. A no-op once the call ended."""
        await self._outbox.put(event)

    async def receive(self) -> ResponseEvent:
        """Wait for the next event; trailers come last, and again to whoever asks once more."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._inbox)
            event = self._inbox[0]
            if not isinstance(event, Trailers):
                self._inbox.popleft()
                self._changed.notify_all()
            return event

    def cancel(self) -> None:
        """Give the call up: the stream is reset, `receive` ends with CANCELLED (1)."""
        # Once: a second time could hit the task while it tells the end. And not before its first
        # step, for a task that never began tells nothing.
        if self._begun and not self._cancelled:
            self._task.cancel()
        self._cancelled = True

    async def _run(self, ask: Ask) -> None:
        self._begun = True
        trailers = _CANCELLED
        try:
            if not self._cancelled:
                trailers = await ask(self._outbox, self._emit)
        except asyncio.CancelledError:
            # By `cancel` alone: nobody else holds this task.
            self._inbox.clear()
        finally:
            await self._outbox.close()
            async with self._changed:
                self._inbox.append(trailers)
                self._changed.notify_all()

    async def _emit(self, event: Headers | Message) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._inbox)
            self._inbox.append(event)
            self._changed.notify_all()
