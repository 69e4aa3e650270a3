"""`grpc.health.v1.Health`: of the node, and of each remote service that the caller may reach.

The node itself, the empty name, is SERVING while new calls may begin. A service is SERVING while a
link to one of its provider's nodes stands or can be dialled; whether the service behind it
answers is known only by calling it. One that the caller may not call is unknown to it.

Source: grpc/health/v1/health.proto and its documentation.
"""

from __future__ import annotations

import asyncio
from typing import Final

from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from node.calls import HalfClose, Headers, InboundCall, Message, Trailers
from node.exchange.attempts import Peers
from node.model import Current
from node.standard.own import CONTRACTS
from node.standard.reach import Reachable, of_service, reachable
from security.errors import Code, SimpulError

SERVICE: Final = "grpc.health.v1.Health"
WATCH_EVERY_S: Final = 1.0
DIAL_TIMEOUT_S: Final = 2.0
_NOT_FOUND: Final = 5


class Health:
    """Answers one worker's health checks."""

    def __init__(self, current: Current, peers: Peers) -> None:
        self._current = current
        self._peers = peers

    async def check(self, call: InboundCall, now_ms: int) -> None:
        """`Check`: one answer."""
        name = await _asked(call)
        status = await self._status(call, name, now_ms)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            await call.send(Trailers(_NOT_FOUND, f"no service {name[:100]!a} that you may call"))
            return
        await _answer(call, HealthCheckResponse(status=status))
        await call.send(Trailers(0))

    async def watch(self, call: InboundCall, now_ms: int) -> None:
        """`Watch`: an answer now, and another whenever it changes; until the app goes."""
        name = await _asked(call)
        gone = asyncio.Event()
        call.on_cancel(gone.set)
        told = None
        while not gone.is_set():
            status = await self._status(call, name, now_ms)
            if status != told:
                await _answer(call, HealthCheckResponse(status=status), first=told is None)
                told = status
            try:
                await asyncio.wait_for(gone.wait(), WATCH_EVERY_S)
            except TimeoutError:
                now_ms += int(WATCH_EVERY_S * 1000)
        raise SimpulError(Code.CANCELLED, "the app gave the watch up")

    async def _status(
        self, call: InboundCall, name: str, now_ms: int
    ) -> HealthCheckResponse.ServingStatus:
        if not name:
            try:
                self._current.snapshot.directory.check_age(now_ms)
            except SimpulError:
                return HealthCheckResponse.NOT_SERVING
            return HealthCheckResponse.SERVING
        if name in CONTRACTS:
            return HealthCheckResponse.SERVING
        services = reachable(call.request, self._current.snapshot, now_ms)
        try:
            return await self._of(of_service(name, services))
        except SimpulError:
            return HealthCheckResponse.SERVICE_UNKNOWN

    async def _of(self, services: tuple[Reachable, ...]) -> HealthCheckResponse.ServingStatus:
        for node in {node.id: node for service in services for node in service.nodes}.values():
            try:
                async with asyncio.timeout(DIAL_TIMEOUT_S):
                    await self._peers.shared(node)
            except (SimpulError, TimeoutError):
                continue
            return HealthCheckResponse.SERVING
        return HealthCheckResponse.NOT_SERVING


async def _asked(call: InboundCall) -> str:
    event = await call.receive()
    if not isinstance(event, Message) or not isinstance(await call.receive(), HalfClose):
        raise SimpulError(Code.REQUEST_MALFORMED, "a health check is one message; send just one")
    try:
        return HealthCheckRequest.FromString(event.data).service
    except DecodeError:
        raise SimpulError(Code.REQUEST_MALFORMED, "that is no HealthCheckRequest") from None


async def _answer(call: InboundCall, answer: HealthCheckResponse, *, first: bool = True) -> None:
    if first:
        await call.send(Headers())
    await call.send(Message(answer.SerializeToString()))
