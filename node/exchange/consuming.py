"""The consumer's side: from an app's request to the nodes that may answer it.

Steps 1 to 3 of a call (docs/explanation/one-call.md). A call that has provably not started may go
to another node of the provider; one whose outcome is unknown is never sent again. How one call is
asked and answered is in `asks`, what becomes of those that are refused here in `refused`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import structlog

from node.calls import CallRequest, HalfClose, InboundCall, Message
from node.exchange.asks import Asked, StreamAsk, UnaryAsk, app_gone, too_late
from node.exchange.keeping import Keeping
from node.exchange.metadata import error_trailers, traceparents
from node.exchange.refused import RefusedCalls
from node.exchange.routing import Route, find_route
from node.exchange.watch import CallMetrics
from node.link.link import Link
from node.model import Current, NodeIdentity
from node.policy.allowance import Side
from security.directory import NodeView
from security.errors import Code, SimpulError

_log = structlog.get_logger(__name__)

# What proves that the provider's service has not heard of a call.
_NOT_BEGUN = frozenset(
    {
        Code.NOT_STARTED,
        Code.PEER_UNREACHABLE,
        Code.NODE_DRAINING,
        # A node that has just started, and waits for its sibling's word.
        Code.AGREEMENTS_UNSETTLED,
    }
)
# Of a path, in a span.
MAX_SHOWN_CHARS: Final = 512
# How long the provider gets to close a call that its app, or the clock, has given up.
CLOSE_TIMEOUT_S: Final = 5.0
# Every busy app has these: they are counted, and not worth a line each.
_APPS_OWN_DOING = frozenset({Code.CANCELLED, Code.DEADLINE_EXCEEDED})


# Answers a call that the node takes itself: health, reflection. By path, with the time.
OwnAnswer = Callable[[InboundCall, int], Awaitable[None]]


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

    def __init__(  # noqa: PLR0913 - the worker's rooms, each once
        self,
        identity: NodeIdentity,
        current: Current,
        peers: Peers,
        metrics: CallMetrics,
        keeping: Keeping,
        *,
        own: Mapping[str, OwnAnswer],
        refused: RefusedCalls,
        new_call_id: Callable[[], bytes],
        now_ms: Callable[[], int],
    ) -> None:
        self._identity = identity
        self._current = current
        self._peers = peers
        self._metrics = metrics
        self._keeping = keeping
        self._own = own
        self._refused = refused
        self._new_call_id = new_call_id
        self._now_ms = now_ms
        # Links of streaming calls that are over for their app.
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, call: InboundCall) -> None:
        """Carry one call from its first event to its last; the app always gets a status."""
        asked = Asked(call, self._new_call_id(), _deadline_s(call.request))
        asked.gateway_span = self._metrics.tracing.begin(
            "gateway",
            traceparents(call.request.metadata),
            rpc_system="grpc",
            rpc_method=call.request.path[1:MAX_SHOWN_CHARS],
        )
        with self._metrics.around("consumer", asked.gateway_span) as outcome:
            own = self._own.get(call.request.path)
            try:
                if own is not None:
                    await own(call, self._now_ms())
                    outcome.ended(0)
                    return
                asked.route = self._find_route(call.request)
                status = await self._attempt(asked, asked.route)
            except SimpulError as error:
                outcome.failed(error.code)
                # What the node answers itself is no call of the federation's.
                await self._end(asked, error, recorded=own is None)
            else:
                outcome.ended(status)

    async def turn_away(self, call: InboundCall, error: SimpulError) -> None:
        """End a call that the gateway can't take, for the reason that it gives."""
        asked = Asked(call, self._new_call_id(), None)
        with self._metrics.around("consumer") as outcome:
            outcome.failed(error.code)
            await self._end(asked, error, recorded=True)

    async def close(self) -> None:
        """Wait until the links of calls that were given up have ended."""
        while self._ending:
            await asyncio.wait(self._ending)

    async def _end(self, asked: Asked, error: SimpulError, *, recorded: bool) -> None:
        """Tell the app why its call ended, once that is recorded."""
        if recorded:
            recorded = await self._refused.settle(asked, error)
        # Nor may callers who prove nothing fill the log.
        quiet = error.code in _APPS_OWN_DOING or not recorded
        say = _log.debug if quiet else _log.info
        call_id, path = asked.call_id, asked.call.request.path
        say("call refused", call_id=call_id.hex(), code=error.code, path=path)
        await asked.call.send(error_trailers(error, call_id))

    def _find_route(self, request: CallRequest) -> Route:
        snapshot, rules = self._current.snapshot, self._keeping.fields
        return find_route(request, self._identity, snapshot, rules, self._now_ms())

    async def _attempt(self, asked: Asked, route: Route) -> int:
        """Try the provider's nodes in order, for as long as the call has provably not started."""
        if route.agreement is not None:
            await self._keeping.allowance.take(route.agreement, route.rate, Side.CONSUMER)
        request = None
        if route.unary:
            request = route.fields.asked(await _unary_request(asked))
        for node in route.nodes[:-1]:
            try:
                return await self._ask(asked, route, node, request)
            except SimpulError as error:
                if error.code not in _NOT_BEGUN or asked.taken:
                    raise
                _log.info("trying another node", call_id=asked.call_id.hex(), peer=str(node.id))
                asked.opening = asked.link = None
                # Never the same id twice: the first node may still hear of it.
                asked.call_id = self._new_call_id()
        try:
            return await self._ask(asked, route, route.nodes[-1], request)
        except SimpulError as error:
            # The link was broken, and the call never left: it gets a new one, once.
            if error.code is not Code.NOT_STARTED or asked.taken:
                raise
            asked.opening = asked.link = None
            asked.call_id = self._new_call_id()
        return await self._ask(asked, route, route.nodes[-1], request)

    async def _ask(
        self, asked: Asked, route: Route, node: NodeView, request: Message | None
    ) -> int:
        """Try one node."""
        asked.span = asked.gateway_span.child(
            "exchange.ask",
            simpul_peer=node.id,
            simpul_provider=route.provider,
            simpul_call_id=asked.call_id,
        )
        with asked.span as span:
            status = await self._ask_node(asked, route, node, request)
            span.end(status=status)
            return status

    async def _ask_node(
        self, asked: Asked, route: Route, node: NodeView, request: Message | None
    ) -> int:
        try:
            async with asyncio.timeout_at(asked.deadline_s):
                if request is not None:
                    link = await self._peers.shared(node)
                else:
                    link = await self._peers.child(node, asked.call_id)
        except TimeoutError:
            raise too_late() from None
        under_way = self._keeping.under_way
        if request is not None:
            single = UnaryAsk(asked, route, link)
            with under_way.call(route.agreement, single):
                return await single.run(request)
        ask = StreamAsk(asked, route, link)
        try:
            with under_way.call(route.agreement, ask):
                return await ask.run()
        finally:
            # The app need not wait for it.
            ending = asyncio.get_running_loop().create_task(_finish(ask, link))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)


async def _finish(ask: StreamAsk, link: Link) -> None:
    """End a streaming call's link, when the provider's close has come and is recorded."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await ask.closed()
    await link.finish()


def _deadline_s(request: CallRequest) -> float | None:
    if request.deadline_left_ms is None:
        return None
    return asyncio.get_running_loop().time() + request.deadline_left_ms / 1000


async def _unary_request(asked: Asked) -> Message:
    """The one message of a unary request.

    Raises:
        SimpulError: There is none, or more than one (REQUEST_MALFORMED); the app is gone, or takes
            longer than its own deadline.
    """
    try:
        async with asyncio.timeout_at(asked.deadline_s):
            return await _one_message(asked.call)
    except TimeoutError:
        raise too_late() from None


async def _one_message(call: InboundCall) -> Message:
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
