"""One call at the provider: what is asked, and the end that it comes to.

Step 6 of a call (docs/explanation/one-call.md). The rule it keeps: the app is told nothing
before the answer's parcel, and the question's, are durable in this node's journal. A call that
this side gives up is cancelled at the provider, whose close is then taken and journaled like any
other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import structlog

from node.calls import (
    Cancelled,
    HalfClose,
    Headers,
    InboundCall,
    Message,
    RequestEvent,
    Trailers,
)
from node.exchange.answers import Answers
from node.exchange.metadata import passed_on, with_answerer, with_call_id, with_span
from node.exchange.routing import Route
from node.link.contents import persons_of
from node.link.link import Link
from node.link.model import Opening, ReceivedEntry
from runtime.grpc_errors import INTERNAL_TEXT
from runtime.tracing import NO_SPAN, Span
from security.errors import Code, SimpulError
from security.identifiers import ServiceId
from security.kinds import Cancel, CancelReason, Close, Head, Open, Refuse
from security.kinds import HalfClose as HalfCloseKind
from security.kinds import Message as MessageKind
from security.private import Private, make_private

_log = structlog.get_logger(__name__)

# Of a stream's first messages, until the provider's node says something of the call.
MAX_KEPT_BYTES: Final = 64 * 1024
# How long an app that takes nothing holds up the end of its call.
SEND_TIMEOUT_S: Final = 1.0


@dataclass(slots=True, eq=False)
class Asked:
    """A call of an app, on its way to a provider."""

    call: InboundCall
    call_id: bytes
    # In the event loop's time; None where the app set none.
    deadline_s: float | None
    # Of a stream: what was taken from the app and is kept, should another node be asked.
    kept: list[Message | HalfClose] = field(default_factory=list)
    kept_bytes: int = 0
    # Of the kept, how many the node that is asked now has got.
    again: int = 0
    # More was taken than is kept: it can't be taken again for another node.
    taken: bool = False
    # Once it is known where it goes.
    route: Route | None = None
    # Of the last attempt: its open, from when the link has it, and for as long as it may leave.
    opening: Opening | None = None
    link: Link | None = None
    # Of the whole call, at the gateway; and of the last attempt.
    gateway_span: Span = NO_SPAN
    span: Span = NO_SPAN
    # Of a part of a gather: its id, and the region asked for.
    gather_id: bytes | None = None
    region: str = ""
    # The last attempt ended by the provider's node's own no, its first word of the call: its
    # service has not heard of it.
    refused: bool = False
    # Told where the open of a call that was given up never left.
    never_left: Callable[[], None] | None = None

    @property
    def left_ms(self) -> int | None:
        """The time that is left; None where the app set no deadline."""
        if self.deadline_s is None:
            return None
        return max(0, int((self.deadline_s - asyncio.get_running_loop().time()) * 1000))

    async def receive(self) -> RequestEvent:
        """The app's next event, or one that a node got which then proved not to have begun."""
        if self.again < len(self.kept):
            self.again += 1
            return self.kept[self.again - 1]
        event = await self.call.receive()
        if isinstance(event, Cancelled) or self.taken:
            return event
        self.kept_bytes += len(event.data) if isinstance(event, Message) else 0
        if self.kept_bytes > MAX_KEPT_BYTES:
            self.begun()
        else:
            self.kept.append(event)
            self.again += 1
        return event

    async def take_request(self) -> None:
        """Take the whole request, of a call that has it ready: it goes with the open then.

        For requests of up to `MAX_KEPT_BYTES`.
        """
        while not isinstance(await self.receive(), HalfClose | Cancelled):
            pass

    def anew(self, call_id: bytes) -> None:
        """Nothing began where it was asked: begin once more, under another id."""
        self.opening = self.link = None
        self.refused = False
        self.call_id = call_id

    def begun(self) -> None:
        """Keep nothing more: the call has begun, or too much would have to be kept."""
        self.taken = True
        self.kept.clear()
        self.again = 0


class _Ask:
    """What both kinds of call share: the end that the provider, the app or the clock brings."""

    def __init__(self, asked: Asked, route: Route, link: Link) -> None:
        self._asked = asked
        self._route = route
        self._call = asked.call
        self._call_id = asked.call_id
        self._link = link
        # Done by the provider's close or refusal, by a lost link, the app or the deadline.
        self._end: asyncio.Future[Trailers] = asyncio.get_running_loop().create_future()
        self._abandoned = False
        self._closed = asyncio.Event()
        self._opening: Opening | None = None

    def on_lost(self, error: SimpulError) -> None:
        """The link broke before the provider's close came."""
        self._closed.set()
        if self._opening is None or not self._opening.sealed:
            # No entry says it.
            self._asked.opening = None
            if self._asked.never_left is not None:
                self._asked.never_left()
        self._fail(error)

    def end(self, error: SimpulError) -> None:
        """End the call now: its agreement is no longer in force."""
        self._give_up(CancelReason.LIMIT, error)

    async def closed(self) -> None:
        """Wait for the provider's last word, which follows a cancel too, or the link's end."""
        await self._closed.wait()

    def _open(self, message: Message | None) -> Opening:
        route, address = self._route, self._route.address
        private = Private(
            metadata=with_span(
                passed_on(route.fields.asked_metadata(self._call.request.metadata)),
                self._asked.span,
            ),
            user=address.user or "",
            issue=address.issue or "",
            subject=address.subject or "",
        )
        kind = Open(
            consumer=route.consumer,
            service=ServiceId(route.provider, route.service),
            method=route.method,
            agreement=route.agreement,
            purpose=route.purpose,
            deadline_left_ms=self._asked.left_ms,
            gather_id=self._asked.gather_id,
            unary=message is not None,
            on_behalf_of=route.on_behalf_of,
            consent=route.consent,
        )
        opening = Opening(
            kind,
            self._call_id,
            None if message is None else message.data,
            compressed=message is not None and message.compressed,
            private=make_private(private),
            persons=persons_of(private),
            on_sealed=self._asked.span.child("link.send").ends_with,
        )
        self._link.check_size(opening.payload, opening.private)
        opened = self._link.open(opening, self)  # type: ignore[arg-type]  # each kind has on_entry
        self._asked.opening, self._asked.link = opened, self._link
        return opened

    def _fail(self, error: SimpulError) -> None:
        if not self._end.done():
            self._end.set_exception(error)
            self._end.exception()  # Somebody may have stopped waiting: then it's no loose end.

    def _give_up(self, reason: CancelReason, error: SimpulError) -> None:
        """Tell the provider that its answer is no longer wanted, and wait for it no longer."""
        if self._abandoned or self._end.done():
            return
        self._abandoned = True
        if self._opening is not None and self._link.withdraw(self._opening):
            self._asked.opening = None
            self._closed.set()
        else:
            self._link.say(Cancel(reason), self._call_id)
        self._fail(error)

    @contextlib.contextmanager
    def _deadline(self) -> Iterator[None]:
        """End the call in time: the app's, or the most that the federation allows any call."""
        loop = asyncio.get_running_loop()
        at_s = loop.time() + self._link.max_call_ms / 1000
        if self._asked.deadline_s is not None:
            at_s = min(at_s, self._asked.deadline_s)
        timer = loop.call_at(at_s, self._give_up, CancelReason.DEADLINE, too_late())
        try:
            yield
        finally:
            timer.cancel()

    async def _outcome(self) -> Trailers:
        """Wait for the end, whatever it is; nobody is told of it before the question is durable.

        Raises:
            SimpulError: The provider's node refused, the link broke, the app or the clock gave up.
        """
        try:
            with self._deadline():
                return await self._end
        finally:
            if self._opening is not None and self._opening.sealed:
                await self._link.durable(self._opening)

    def _take_end(self, entry: ReceivedEntry) -> None:
        """The end of the call in the provider's words, or in its node's."""
        kind, block = entry.kind, entry.private
        if isinstance(kind, Close | Refuse):
            self._closed.set()
        if self._end.done():
            return
        if entry.fault is not None:
            self._fail(entry.fault)
        elif isinstance(kind, Refuse):
            self._asked.refused = True
            self._fail(SimpulError(_known(kind.code), block.status_message))
        elif isinstance(kind, Close):
            trailers = with_call_id(block.trailers, self._call_id)
            if self._route.region is not None:
                trailers = with_answerer(trailers, self._route.provider, self._route.region)
            self._end.set_result(Trailers(kind.status, block.status_message, trailers))


class UnaryAsk(_Ask):
    """One message each way, on the shared link."""

    def __init__(self, asked: Asked, route: Route, link: Link) -> None:
        super().__init__(asked, route, link)
        self._headers = Headers()
        self._answer: Message | None = None
        # Headers that came before the answer, on their way to the app.
        self._early: asyncio.Task[None] | None = None

    async def run(self, request: Message) -> int:
        """Ask, wait, answer the app. Returns the gRPC status."""
        self._opening = self._open(request)
        self._call.on_cancel(self._app_gone)
        try:
            trailers = await self._outcome()
        finally:
            if self._early is not None:
                await asyncio.gather(self._early, return_exceptions=True)
        if self._early is None and (self._answer is not None or self._headers.metadata):
            await self._call.send(self._headers)
        if self._answer is not None:
            await self._call.send(self._answer)
        await self._call.send(trailers)
        return trailers.status

    def on_entry(self, entry: ReceivedEntry) -> None:
        """Take a head, or the close with the answer, or the refusal."""
        if self._end.done():
            self._take_end(entry)
            return
        if entry.private.metadata:
            self._headers = Headers(passed_on(entry.private.metadata))
        if isinstance(entry.kind, Head) and entry.fault is None:
            self._early = asyncio.get_running_loop().create_task(self._send_early(self._headers))
            return
        self._answer = entry.message or self._answer
        self._take_end(entry)

    async def _send_early(self, headers: Headers) -> None:
        if self._opening is not None:
            await self._link.durable(self._opening)
        await self._call.send(headers)

    def _app_gone(self) -> None:
        self._give_up(CancelReason.APP, app_gone())


class StreamAsk(_Ask):
    """Any number of messages either way, on a link of its own.

    The link's deliveries wait for the app (`on_entry`), and the app's messages wait for the link
    (`room`): gRPC's flow control reaches from end to end.
    """

    def __init__(self, asked: Asked, route: Route, link: Link) -> None:
        super().__init__(asked, route, link)
        self._answers = Answers(asked.call)

    async def run(self) -> int:
        """Ask, carry messages both ways, end. Returns the gRPC status."""
        self._opening = self._open(None)
        self._carry_kept(self._opening)
        requests = asyncio.create_task(self._carry_requests())
        answers = asyncio.create_task(self._carry_answers())
        try:
            trailers = await self._outcome()
        finally:
            requests.cancel()
            self._answers.end()
            # The end comes after what is being sent; an app that takes nothing has had its time.
            _, late = await asyncio.wait({answers}, timeout=SEND_TIMEOUT_S)
            for task in late:
                task.cancel()
            await asyncio.wait({requests, answers})
        await self._call.send(trailers)
        return trailers.status

    async def on_entry(self, entry: ReceivedEntry) -> None:
        """Take the next entry of the provider; waits while the app reads slowly."""
        if not isinstance(entry.kind, Refuse):
            self._asked.begun()
        if self._opening is not None:
            await self._link.durable(self._opening)
        if entry.fault is not None:
            self._give_up(CancelReason.LIMIT, entry.fault)
        else:
            if isinstance(entry.kind, Head):
                await self._answers.put(Headers(passed_on(entry.private.metadata)))
            if entry.message is not None:
                await self._answers.put(entry.message)
            if isinstance(entry.kind, Close):
                await self._answers.sent()
        self._take_end(entry)

    def _fail(self, error: SimpulError) -> None:
        super()._fail(error)
        self._answers.end()

    async def _carry_answers(self) -> None:
        try:
            await self._answers.run()
        except Exception:  # noqa: BLE001 - logged; the app gets a fixed text
            _log.exception("an answer could not be sent", call_id=self._call_id.hex())
            self._give_up(CancelReason.LIMIT, SimpulError(Code.INTERNAL, INTERNAL_TEXT))

    async def _carry_requests(self) -> None:
        # Not before the open is sealed: what is taken from the app then has somewhere to go.
        await self._link.begun()
        try:
            while not isinstance(event := await self._asked.receive(), Cancelled):
                await self._link.room()
                self._carry(event)
        except SimpulError as error:
            # The app's message is too large, or no message at all.
            self._give_up(CancelReason.LIMIT, error)
        else:
            self._give_up(CancelReason.APP, app_gone())

    def _carry_kept(self, opening: Opening) -> None:
        """What is there of the request goes with the open, in one parcel."""
        asked = self._asked
        asked.again = 0
        if opening.ticket is None:
            # The open waits for credit, and the request behind it.
            return
        try:
            while asked.again < len(asked.kept):
                asked.again += 1
                self._carry(asked.kept[asked.again - 1])
        except SimpulError as error:
            self._give_up(CancelReason.LIMIT, error)

    def _carry(self, event: Message | HalfClose) -> None:
        if isinstance(event, HalfClose):
            self._link.say(HalfCloseKind(), self._call_id)
            return
        message = self._route.fields.asked(event)
        self._link.check_size(message.data, None)
        self._link.say(
            MessageKind(), self._call_id, payload=message.data, compressed=message.compressed
        )


def too_late() -> SimpulError:
    """The app's deadline passed, or the longest time that a call may take."""
    return SimpulError(Code.DEADLINE_EXCEEDED, "the deadline passed before the answer came")


def app_gone() -> SimpulError:
    """Nobody hears this one; it ends the call here."""
    return SimpulError(Code.CANCELLED, "the app gave the call up")


def _known(code: str) -> Code:
    """A refusal's code; one that this version doesn't know is a plain refusal."""
    try:
        return Code(code)
    except ValueError:
        return Code.INTERNAL
