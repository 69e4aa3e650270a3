"""The consumer's side of a call: from the app's request to the provider's sealed answer.

Steps 3 and 6 of a call (architecture.md). The rule it keeps: the app is told nothing before the
answer's parcel, and the question's, are durable in this node's journal. A call that this side
gives up is cancelled at the provider and remembered until the provider's close, which is taken
and journaled like any other.

A call that has provably not started may go to another node of the provider; one whose outcome is
unknown is never sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

import structlog

from node.calls import Cancelled, HalfClose, Headers, InboundCall, Message, Trailers
from node.exchange.metadata import error_trailers, passed_on, with_call_id
from node.exchange.routing import Route, find_route
from node.exchange.watch import CallMetrics
from node.link.link import Link
from node.link.model import Opening, ReceivedEntry
from node.model import Current, NodeIdentity
from security.directory import NodeView
from security.errors import Code, SimpulError
from security.identifiers import ServiceId
from security.kinds import Cancel, CancelReason, Close, Head, Open, Refuse
from security.kinds import HalfClose as HalfCloseKind
from security.kinds import Message as MessageKind
from security.private import Private, make_private

_log = structlog.get_logger(__name__)


# What proves that the provider's service has not heard of a call.
_NOT_BEGUN = frozenset({Code.NOT_STARTED, Code.PEER_UNREACHABLE, Code.NODE_DRAINING})
# Every busy app has these: they are counted, and not worth a line each.
_APPS_OWN_DOING = frozenset({Code.CANCELLED, Code.DEADLINE_EXCEEDED})


class Peers(Protocol):
    """The ways to other nodes."""

    async def shared(self, node: NodeView) -> Link:
        """The link that carries unary calls to `node`, dialled if need be.

        Raises:
            SimpulError: It can't be reached (PEER_UNREACHABLE), or refuses us.
        """
        ...

    async def child(self, node: NodeView, call_id: bytes) -> Link:
        """A link of its own for one streaming call to `node`."""
        ...


class Consuming:
    """Makes the calls of this node's apps. One for each worker."""

    def __init__(
        self,
        identity: NodeIdentity,
        current: Current,
        peers: Peers,
        metrics: CallMetrics,
        *,
        new_call_id: Callable[[], bytes],
        now_ms: Callable[[], int],
    ) -> None:
        self._identity = identity
        self._current = current
        self._peers = peers
        self._metrics = metrics
        self._new_call_id = new_call_id
        self._now_ms = now_ms

    async def run(self, call: InboundCall) -> None:
        """Carry one call from its first event to its last; the app always gets a status."""
        call_id = self._new_call_id()
        with self._metrics.around("consumer") as outcome:
            try:
                route = find_route(
                    call.request, self._identity, self._current.snapshot, self._now_ms()
                )
                status = await self._attempt(call, route, call_id)
            except SimpulError as error:
                say = _log.debug if error.code in _APPS_OWN_DOING else _log.info
                say("call refused", call_id=call_id.hex(), code=error.code, path=call.request.path)
                outcome.failed(error.code)
                await call.send(error_trailers(error, call_id))
            else:
                outcome.ended(status)

    async def _attempt(self, call: InboundCall, route: Route, call_id: bytes) -> int:
        """Try the provider's nodes in order, for as long as the call has provably not started."""
        request = await _unary_request(call) if route.unary else None
        for node in route.nodes[:-1]:
            try:
                return await self._ask(call, route, node, call_id, request)
            except SimpulError as error:
                if error.code not in _NOT_BEGUN:
                    raise
                _log.info("trying another node", call_id=call_id.hex(), peer=str(node.id))
                # Never the same id twice: the first node may still hear of it.
                call_id = self._new_call_id()
        return await self._ask(call, route, route.nodes[-1], call_id, request)

    async def _ask(
        self,
        call: InboundCall,
        route: Route,
        node: NodeView,
        call_id: bytes,
        request: Message | None,
    ) -> int:
        if request is not None:
            link = await self._peers.shared(node)
            return await UnaryAsk(call, route, call_id, link).run(request)
        link = await self._peers.child(node, call_id)
        try:
            return await StreamAsk(call, route, call_id, link).run()
        finally:
            await link.finish()


async def _unary_request(call: InboundCall) -> Message:
    """The one message of a unary request.

    Raises:
        SimpulError: There is none, or more than one (REQUEST_MALFORMED), or the app is gone.
    """
    first = await call.receive()
    if isinstance(first, HalfClose):
        raise SimpulError(
            Code.REQUEST_MALFORMED, "the request ended without a message; a unary call has just one"
        )
    if isinstance(first, Message):
        second = await call.receive()
        if isinstance(second, HalfClose):
            return first
        if isinstance(second, Message):
            raise SimpulError(
                Code.REQUEST_MALFORMED,
                "the request has a second message; a unary call has just one",
            )
    raise app_gone()


class _Ask:
    """What both kinds of call share: the end that the provider, the app or the clock brings."""

    def __init__(self, call: InboundCall, route: Route, call_id: bytes, link: Link) -> None:
        self._call = call
        self._route = route
        self._call_id = call_id
        self._link = link
        # Done by the provider's close or refusal, by a lost link, the app or the deadline.
        self._end: asyncio.Future[Trailers] = asyncio.get_running_loop().create_future()
        self._abandoned = False
        self._opening: Opening | None = None

    def on_lost(self, error: SimpulError) -> None:
        """The link broke before the provider's close came."""
        self._fail(error)

    def _open(self, message: Message | None) -> Opening:
        route, address = self._route, self._route.address
        private = Private(
            metadata=passed_on(self._call.request.metadata),
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
            deadline_left_ms=self._call.request.deadline_left_ms,
            unary=message is not None,
        )
        opening = Opening(
            kind,
            self._call_id,
            None if message is None else message.data,
            compressed=message is not None and message.compressed,
            private=make_private(private),
        )
        self._link.check_size(opening.payload, opening.private)
        return self._link.open(opening, self)  # type: ignore[arg-type]  # each kind has on_entry

    def _fail(self, error: SimpulError) -> None:
        if not self._end.done():
            self._end.set_exception(error)
            self._end.exception()  # Somebody may have stopped waiting: then it's no loose end.

    def _give_up(self, reason: CancelReason, error: SimpulError) -> None:
        """Tell the provider that its answer is no longer wanted, and wait for it no longer."""
        if self._abandoned or self._end.done():
            return
        self._abandoned = True
        if self._opening is None or not self._link.withdraw(self._opening):
            self._link.say(Cancel(reason), self._call_id)
        self._fail(error)

    @contextlib.contextmanager
    def _deadline(self) -> Iterator[None]:
        left_ms = self._call.request.deadline_left_ms
        if left_ms is None:
            yield
            return
        late = SimpulError(
            Code.DEADLINE_EXCEEDED, "the app's deadline passed before the answer came"
        )
        loop = asyncio.get_running_loop()
        timer = loop.call_later(left_ms / 1000, self._give_up, CancelReason.DEADLINE, late)
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
        if self._end.done():
            return
        if entry.fault is not None:
            self._fail(entry.fault)
        elif isinstance(kind, Refuse):
            self._fail(SimpulError(_known(kind.code), block.status_message))
        elif isinstance(kind, Close):
            trailers = with_call_id(block.trailers, self._call_id)
            self._end.set_result(Trailers(kind.status, block.status_message, trailers))


class UnaryAsk(_Ask):
    """One message each way, on the shared link."""

    def __init__(self, call: InboundCall, route: Route, call_id: bytes, link: Link) -> None:
        super().__init__(call, route, call_id, link)
        self._headers = Headers()
        self._answer: Message | None = None

    async def run(self, request: Message) -> int:
        """Ask, wait, answer the app. Returns the gRPC status."""
        self._opening = self._open(request)
        self._call.on_cancel(self._app_gone)
        trailers = await self._outcome()
        if self._answer is not None:
            await self._call.send(self._headers)
            await self._call.send(self._answer)
        await self._call.send(trailers)
        return trailers.status

    def on_entry(self, entry: ReceivedEntry) -> None:
        """Take a head, or the close with the answer, or the refusal."""
        if entry.private.metadata:
            self._headers = Headers(passed_on(entry.private.metadata))
        self._answer = entry.message or self._answer
        self._take_end(entry)

    def _app_gone(self) -> None:
        self._give_up(CancelReason.APP, app_gone())


class StreamAsk(_Ask):
    """Any number of messages either way, on a link of its own.

    The link's deliveries wait for the app (`on_entry`), and the app's messages wait for the link
    (`room`): gRPC's flow control reaches from end to end.
    """

    async def run(self) -> int:
        """Ask, carry messages both ways, end. Returns the gRPC status."""
        self._opening = self._open(None)
        requests = asyncio.create_task(self._carry_requests())
        try:
            trailers = await self._outcome()
            await self._call.send(trailers)
        finally:
            requests.cancel()
            await asyncio.wait({requests})
        return trailers.status

    async def on_entry(self, entry: ReceivedEntry) -> None:
        """Take the next entry of the provider; waits while the app reads slowly."""
        if self._opening is not None:
            await self._link.durable(self._opening)
        if entry.fault is not None:
            self._give_up(CancelReason.LIMIT, entry.fault)
        elif not self._abandoned:
            if isinstance(entry.kind, Head):
                await self._call.send(Headers(passed_on(entry.private.metadata)))
            if entry.message is not None:
                await self._call.send(entry.message)
        self._take_end(entry)

    async def _carry_requests(self) -> None:
        try:
            while not isinstance(event := await self._call.receive(), Cancelled):
                await self._link.room()
                self._carry(event)
        except SimpulError as error:
            # The app's message is too large, or no message at all.
            self._give_up(CancelReason.LIMIT, error)
        else:
            self._give_up(CancelReason.APP, app_gone())

    def _carry(self, event: Message | HalfClose) -> None:
        if isinstance(event, HalfClose):
            self._link.say(HalfCloseKind(), self._call_id)
            return
        self._link.check_size(event.data, None)
        self._link.say(
            MessageKind(), self._call_id, payload=event.data, compressed=event.compressed
        )


def app_gone() -> SimpulError:
    """Nobody hears this one; it ends the call here."""
    return SimpulError(Code.CANCELLED, "the app gave the call up")


def _known(code: str) -> Code:
    """A refusal's code; one that this version doesn't know is a plain refusal."""
    try:
        return Code(code)
    except ValueError:
        return Code.INTERNAL
