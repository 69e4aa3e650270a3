"""The consumer's side: from an app's request to the nodes that may answer it.

Steps 1 to 3 of a call (docs/explanation/one-call.md). Which nodes are tried is in `attempts`, how
one call is asked and answered in `asks`, what becomes of those that are refused here in `refused`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from node.calls import CallRequest, InboundCall
from node.exchange.asks import Asked
from node.exchange.attempts import Attempts
from node.exchange.keeping import Keeping
from node.exchange.metadata import Address, error_trailers, read_address, traceparents
from node.exchange.refused import RefusedCalls
from node.exchange.routing import Route, find_routes
from node.exchange.watch import CallMetrics
from node.model import Current, NodeIdentity
from security.errors import Code, SimpulError

_log = structlog.get_logger(__name__)

# Of a path, in a span.
MAX_SHOWN_CHARS: Final = 512
# Every busy app has these: they are counted, and not worth a line each.
_APPS_OWN_DOING = frozenset({Code.CANCELLED, Code.DEADLINE_EXCEEDED})


# Answers a call that the node takes itself: health, reflection. By path, with the time.
OwnAnswer = Callable[[InboundCall, int], Awaitable[None]]
# Answers a call to many regions, and returns its gRPC status.
GatherCall = Callable[[Asked], Awaitable[int]]


class Consuming:
    """Makes the calls of this node's apps. One for each worker."""

    def __init__(  # noqa: PLR0913 - the worker's rooms, each once
        self,
        identity: NodeIdentity,
        current: Current,
        attempts: Attempts,
        metrics: CallMetrics,
        keeping: Keeping,
        *,
        own: Mapping[str, OwnAnswer],
        gather: GatherCall,
        refused: RefusedCalls,
        new_call_id: Callable[[], bytes],
        now_ms: Callable[[], int],
    ) -> None:
        self._identity = identity
        self._current = current
        self._attempts = attempts
        self._metrics = metrics
        self._keeping = keeping
        self._own = own
        self._gather = gather
        self._refused = refused
        self._new_call_id = new_call_id
        self._now_ms = now_ms
        # Of calls by region, so that providers are asked in turn.
        self._turn = 0

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
                address = read_address(call.request.metadata)
                if address.is_gather:
                    status = await self._gather(asked)
                else:
                    routes = self._find_routes(call.request, address)
                    status = await self._attempts.carry(asked, routes)
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
        await self._attempts.close()

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

    def _find_routes(self, request: CallRequest, address: Address) -> tuple[Route, ...]:
        snapshot, rules = self._current.snapshot, self._keeping.fields
        self._turn += 1
        return find_routes(
            request, self._identity, snapshot, rules, self._now_ms(), self._turn, address=address
        )


def _deadline_s(request: CallRequest) -> float | None:
    if request.deadline_left_ms is None:
        return None
    return asyncio.get_running_loop().time() + request.deadline_left_ms / 1000
