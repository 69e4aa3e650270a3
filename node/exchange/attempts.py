"""The tries of one call: at each provider's nodes in order, for as long as it has not begun.

Step 3 of a call (docs/explanation/one-call.md). A call that has provably not started may go to
another node of its provider, and where the contract lets providers of a region stand in for each
other, to another provider; one whose outcome is unknown is never sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from node.calls import HalfClose, InboundCall, Message
from node.exchange.asks import Asked, StreamAsk, UnaryAsk, app_gone, too_late
from node.exchange.keeping import Keeping
from node.exchange.routing import Route
from node.link.link import Link
from node.policy.allowance import Side
from security.directory import NodeView
from security.errors import Code, SimpulError

_log = structlog.get_logger(__name__)

# What proves that the provider's service has not heard of a call.
_NOT_BEGUN: Final = frozenset(
    {
        Code.NOT_STARTED,
        Code.PEER_UNREACHABLE,
        Code.NODE_DRAINING,
        # A node that has just started, and waits for its sibling's word.
        Code.AGREEMENTS_UNSETTLED,
    }
)
# Of its own node, and not of the service or the caller: another node may have no reason for it.
_ONE_NODES_NO: Final = frozenset(
    {
        Code.SERVICE_UNREACHABLE,
        Code.OVERLOADED,
        Code.SUPERVISOR_LOST,
        # The member may have moved, and a node's directory be older.
        Code.SUBSYSTEM_UNKNOWN,
    }
)
_NO_BOUND: Final = contextlib.nullcontext()
# How long the provider gets to close a call that its app, or the clock, has given up.
CLOSE_TIMEOUT_S: Final = 5.0


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


class Attempts:
    """Makes calls whose ways are known. One for each worker."""

    def __init__(self, peers: Peers, keeping: Keeping, new_call_id: Callable[[], bytes]) -> None:
        self._peers = peers
        self._keeping = keeping
        self._new_call_id = new_call_id
        # Links of streaming calls that are over for their app.
        self._ending: set[asyncio.Task[None]] = set()

    async def carry(self, asked: Asked, routes: tuple[Route, ...]) -> int:
        """Try the ways in order, for as long as the call has provably not started.

        Returns:
            The gRPC status that the service ended the call with; the app has it then.

        Raises:
            SimpulError: Why the call ended otherwise; the app has heard nothing of that.
        """
        asked.route = routes[0]
        request = await one_request(asked) if routes[0].unary else None
        for route in routes[:-1]:
            try:
                return await self._at_provider(asked, route, request)
            except SimpulError as error:
                self._go_on(asked, error)
        return await self._at_provider(asked, routes[-1], request)

    async def close(self) -> None:
        """Wait until the links of calls that were given up have ended."""
        while self._ending:
            await asyncio.wait(self._ending)

    async def _at_provider(self, asked: Asked, route: Route, request: Message | None) -> int:
        asked.route = route
        if route.agreement is not None:
            await self._keeping.allowance.take(route.agreement, route.rate, Side.CONSUMER)
        if request is not None:
            request = route.fields.asked(request)
        for node in route.nodes[:-1]:
            try:
                return await self._ask(asked, route, node, request)
            except SimpulError as error:
                self._go_on(asked, error)
        try:
            return await self._ask(asked, route, route.nodes[-1], request)
        except SimpulError as error:
            # The link was broken, and the call never left: it gets a new one, once.
            if error.code is not Code.NOT_STARTED:
                raise
            self._go_on(asked, error)
        return await self._ask(asked, route, route.nodes[-1], request)

    def _go_on(self, asked: Asked, error: SimpulError) -> None:
        """Make the call ready for another try; raises `error` where there may be none."""
        if not _may_go_on(asked, error):
            raise error
        _log.info("trying again or elsewhere", call_id=asked.call_id.hex(), code=error.code)
        # Never the same id twice: the first node may still hear of it.
        asked.anew(self._new_call_id())

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
            async with _until(asked.deadline_s):
                if request is not None:
                    link = await self._peers.shared(node)
                else:
                    link = await self._peers.child(node, asked.call_id)
        except TimeoutError:
            raise too_late() from None
        under_way = self._keeping.under_way
        if request is not None:
            single = UnaryAsk(asked, route, link)
            with under_way.call(route.agreement, route.purpose, single):
                return await single.run(request)
        ask = StreamAsk(asked, route, link)
        try:
            with under_way.call(route.agreement, route.purpose, ask):
                return await ask.run()
        finally:
            # The app need not wait for it.
            ending = asyncio.get_running_loop().create_task(_finish(ask, link))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)


def _may_go_on(asked: Asked, error: SimpulError) -> bool:
    """The service has provably not heard of the call, and another node may answer it."""
    if asked.taken:
        return False
    return error.code in _NOT_BEGUN or (asked.refused and error.code in _ONE_NODES_NO)


async def _finish(ask: StreamAsk, link: Link) -> None:
    """End a streaming call's link, when the provider's close has come and is recorded."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await ask.closed()
    await link.finish()


def _until(deadline_s: float | None) -> contextlib.AbstractAsyncContextManager[object]:
    """A bound on waiting; most calls have no deadline, and then it costs nothing."""
    return _NO_BOUND if deadline_s is None else asyncio.timeout_at(deadline_s)


async def one_request(asked: Asked) -> Message:
    """The only message of a request that has one.

    Raises:
        SimpulError: There is none, or more than one (REQUEST_MALFORMED); the app is gone, or takes
            longer than its own deadline.
    """
    try:
        async with _until(asked.deadline_s):
            return await _one_message(asked.call)
    except TimeoutError:
        raise too_late() from None


async def _one_message(call: InboundCall) -> Message:
    first = await call.receive()
    if isinstance(first, HalfClose):
        raise SimpulError(
            Code.REQUEST_MALFORMED, "the request ended without a message; this call has just one"
        )
    if isinstance(first, Message):
        second = await call.receive()
        if isinstance(second, HalfClose):
            return first
        if isinstance(second, Message):
            raise SimpulError(
                Code.REQUEST_MALFORMED,
                "the request has a second message; this call has just one",
            )
    raise app_gone()
