"""One app's call over ASGI: `node.calls.InboundCall` on one side, the HTTP/2 stack on the other.

Requests are read only when somebody asks, so HTTP/2's flow control reaches the app. Of an answer,
the headers and the first message are kept back for the rest of the loop's turn: a unary answer is
complete by then and leaves in one piece, and whatever else there is leaves at once, early headers
included.

Rules: an answer has headers once, then messages, then trailers; an answer of trailers alone
leaves as HTTP headers ("Trailers-Only"); nothing is sent after trailers or to an app that is
gone.

Source: ASGI 3.0, HTTP connection scope with trailers; gRPC over HTTP/2, "Responses";
docs/adr/0001, "What the adapter has to obey", 2 and 3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from enum import Enum, auto
from typing import Any, Final

import structlog

from node.calls import (
    CallRequest,
    Cancelled,
    HalfClose,
    Headers,
    Message,
    RequestEvent,
    ResponseEvent,
    Trailers,
)
from node.gateway.framing import (
    CONTENT_TYPE,
    MessageParser,
    print_message,
    print_metadata,
    print_status_message,
)
from node.gateway.poller import Poller
from node.gateway.turn import EndOfTurn
from security.errors import SimpulError
from security.private import Metadata

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
HeaderPairs = list[tuple[bytes, bytes]]

_log = structlog.get_logger(__name__)

HOP: Final = "from the app"
_HTTP_OK: Final = 200
_CONTENT: Final = (b"content-type", CONTENT_TYPE)
_HALF_CLOSE: Final = HalfClose()
_STATUS_OK: Final = (b"grpc-status", b"0")


class _Answer(Enum):
    """How much of the answer has left."""

    NOTHING = auto()
    # Headers, and perhaps a message, are kept back until the loop's next turn.
    KEPT = auto()
    BEGUN = auto()
    ENDED = auto()


class AsgiCall:
    """An `InboundCall`. Made by the application for each request that it takes."""

    __slots__ = (
        "_answer",
        "_body_ended",
        "_events",
        "_failure",
        "_flush",
        "_gone",
        "_headers",
        "_message",
        "_on_cancel",
        "_parser",
        "_poller",
        "_reading",
        "_receive",
        "_request",
        "_send",
        "_turn",
        "_until_gone",
        "_watched",
    )  # fmt: skip

    def __init__(
        self,
        request: CallRequest,
        receive: Receive,
        send: Send,
        poller: Poller,
        turn: EndOfTurn,
        max_message_bytes: int,
    ) -> None:
        self._request = request
        self._receive = receive
        self._send = send
        self._poller = poller
        self._turn = turn
        self._parser = MessageParser(max_message_bytes, HOP)
        # What was read and not asked for yet, the next one last.
        self._events: list[RequestEvent] = []
        self._body_ended = False
        # The stack's event that somebody began to wait for: it is never cancelled.
        self._reading: asyncio.Future[Event] | None = None
        self._failure: SimpulError | None = None
        self._gone = False
        self._watched = False
        self._on_cancel: Callable[[], None] | None = None
        self._until_gone: asyncio.Future[None] | None = None
        self._answer = _Answer.NOTHING
        self._headers: Metadata = ()
        self._message: Message | None = None
        self._flush: asyncio.Task[None] | None = None

    @property
    def request(self) -> CallRequest:
        """What the gateway knew when the request's headers had arrived."""
        return self._request

    @property
    def over(self) -> bool:
        """The call was answered, or its app is known to be gone."""
        return self._gone or self._answer is _Answer.ENDED

    # Requests.

    async def receive(self) -> RequestEvent:
        """Wait for the next event. After HalfClose only Cancelled can follow.

        Raises:
            SimpulError: The app breaks gRPC's framing (REQUEST_MALFORMED) or sends too large a
                message (MESSAGE_TOO_LARGE); every later call raises it again.
        """
        while not self._events:
            if self._failure is not None:
                raise self._failure
            if self._gone:
                return Cancelled()
            if self._body_ended:
                await self._wait_until_gone()
            else:
                self._take(await self._next())
        return self._events.pop()

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Ask for `callback`, once, when the app is gone while nobody waits in `receive`.

        It is told only of apps that have half-closed: of others `receive` tells.
        """
        if self._gone:
            asyncio.get_running_loop().call_soon(callback)
            return
        self._on_cancel = callback
        if self._body_ended:
            self._watch()

    async def look(self) -> None:
        """Ask whether the app is gone; after its half-close this never waits. Never raises."""
        try:
            if (await self._receive())["type"] == "http.disconnect":
                self._leave()
        except Exception:  # noqa: BLE001 - one call's fault must not blind the poller to all others
            _log.exception("call could not be looked at", path=self._request.path)
            self._gone = True

    async def _next(self) -> Event:
        """The stack's next event. Who gives this wait up does not give up the stack's own future.

        pyvoy completes it all the same, and a future that was cancelled takes no result.
        """
        reading = self._reading
        if reading is None:
            reading = self._reading = asyncio.ensure_future(self._receive())
        event = reading.result() if reading.done() else await asyncio.shield(reading)
        self._reading = None
        return event

    def _take(self, event: Event) -> None:
        if event["type"] == "http.disconnect":
            self._leave()
            return
        events: list[RequestEvent] = []
        try:
            body = event.get("body")
            if body:
                events.extend(self._parser.feed(body))
            if not event.get("more_body", False):
                self._parser.end()
                self._body_ended = True
                events.append(_HALF_CLOSE)
                if self._on_cancel is not None:
                    self._watch()
        except SimpulError as error:
            self._failure = error
        events.reverse()
        self._events = events

    async def _wait_until_gone(self) -> None:
        self._watch()
        self._until_gone = asyncio.get_running_loop().create_future()
        try:
            await self._until_gone
        finally:
            self._until_gone = None

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            self._poller.watch(self)

    def _leave(self) -> None:
        if self._gone:
            return
        self._gone = True
        if self._until_gone is not None:
            if not self._until_gone.done():
                self._until_gone.set_result(None)
        elif self._on_cancel is not None and self._body_ended and self._answer is not _Answer.ENDED:
            callback, self._on_cancel = self._on_cancel, None
            callback()

    # Answers.

    async def send(self, event: ResponseEvent) -> None:
        """Send one event; waits while the app reads slowly. A no-op once the app is gone.

        Raises:
            RuntimeError, TypeError: Something follows trailers, or headers come late: our fault.
        """
        if self._answer is _Answer.ENDED:
            raise RuntimeError("an answer was already ended")
        if isinstance(event, Trailers):
            # Nobody needs to be told any more; and whoever asked most likely holds this call, a
            # circle that would keep its messages until the garbage collector's next look.
            self._on_cancel = None
        if self._flush is not None:
            await self._flush
        if self._gone:
            if isinstance(event, Trailers):
                self._answer = _Answer.ENDED
            return
        try:
            if isinstance(event, Trailers):
                await self._end(event)
            elif self._answer is _Answer.BEGUN:
                await self._continue(event)
            else:
                await self._begin(event)
        except OSError:
            # ASGI's way to say that nobody is there.
            self._leave()

    async def _begin(self, event: Headers | Message) -> None:
        if isinstance(event, Headers):
            if self._answer is not _Answer.NOTHING:
                raise RuntimeError("headers come once, and first")
            self._headers = event.metadata
        elif self._message is None:
            self._message = event
        else:
            await self._release(event)
            return
        if self._answer is _Answer.NOTHING:
            self._answer = _Answer.KEPT
            self._turn.tell(self._release_soon)

    def _release_soon(self) -> None:
        """The loop's turn is over, and the answer is not complete: what there is leaves now."""
        if self._answer is _Answer.KEPT and self._flush is None and not self._gone:
            self._flush = asyncio.get_running_loop().create_task(self._release_kept())

    async def _release_kept(self) -> None:
        try:
            await self._release(None)
        except OSError:
            self._leave()
        finally:
            self._flush = None

    async def _release(self, following: Message | None) -> None:
        body = b"".join(
            print_message(message) for message in (self._message, following) if message is not None
        )
        self._answer, self._message = _Answer.BEGUN, None
        await self._start(print_metadata(self._headers), trailers=True)
        # Headers leave with the first body, even with an empty one.
        await self._body(body, more=True)

    async def _continue(self, event: Headers | Message) -> None:
        if not isinstance(event, Message):
            raise TypeError("headers come once, and first")
        await self._body(print_message(event), more=True)

    async def _end(self, trailers: Trailers) -> None:
        before, self._answer = self._answer, _Answer.ENDED
        last = _trailers(trailers)
        if before is _Answer.NOTHING:
            await self._start(last, trailers=False)
            await self._body(b"", more=False)
            return
        if before is _Answer.KEPT:
            await self._start(print_metadata(self._headers), trailers=True)
        message, self._message = self._message, None
        await self._body(b"" if message is None else print_message(message), more=False)
        await self._send({"type": "http.response.trailers", "headers": last})

    async def _start(self, headers: HeaderPairs, *, trailers: bool) -> None:
        await self._send(
            {
                "type": "http.response.start",
                "status": _HTTP_OK,
                "headers": [_CONTENT, *headers],
                "trailers": trailers,
            }
        )

    async def _body(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def _trailers(trailers: Trailers) -> HeaderPairs:
    status = _STATUS_OK if trailers.status == 0 else (b"grpc-status", str(trailers.status).encode())
    if not trailers.message:
        return [status, *print_metadata(trailers.metadata)]
    message = (b"grpc-message", print_status_message(trailers.message))
    return [status, message, *print_metadata(trailers.metadata)]
