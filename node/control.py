"""A worker's side of its supervisor: snapshots and orders come in, answers and questions go out.

A worker that has lost its supervisor for a second refuses new opens: it can't know what was revoked
meanwhile (docs/explanation/one-call.md). It goes on with the calls it has, and attaches again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Protocol, TypeVar

import structlog
from grpc import aio

from node.consent.model import Question
from node.consent.wire import question_message
from node.exchange.providing import Asker
from node.model import Current
from node.policy.allowance import Side
from runtime.grpc_errors import from_rpc_error
from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2, control_pb2, control_pb2_grpc

T = TypeVar("T")

_log = structlog.get_logger(__name__)

LOST_AFTER_S = 1.0
RETRY_S = 0.1
# Signing reaches the disk and every worker; comparing records reads an hour of the journal.
ANSWER_TIMEOUT_S = 30.0
# docs/spec, "What a receiver checks", 9: fetch once, at most 2 s.
REFRESH_TIMEOUT_S = 2.0
# A count is written to the disk before its calls begin.
LEASE_TIMEOUT_S = 5.0
# The supervisor's own limit, consent.timeout_ms, is shorter.
CONSENT_TIMEOUT_S = 12.0


class Orders(Protocol):
    """What a worker does when its supervisor says so. Each may raise SimpulError."""

    async def take_snapshot(self, snapshot: control_pb2.Snapshot) -> None:
        """Go by this snapshot from now on."""
        ...

    async def ask(self, question: control_pb2.Question) -> bytes:
        """Ask another node's own service; returns its answer."""
        ...

    async def judge_consents(self, consents: control_pb2.Consents) -> None:
        """End the calls of consents that were withdrawn, or that nobody affirms anew."""
        ...

    def links(self) -> list[admin_pb2.LinkStatus]:
        """The links that are up."""
        ...

    async def drain(self, grace_s: float) -> None:
        """End the calls in flight, take no new ones, then stop."""
        ...


class ControlClient:
    """Keeps a worker attached to its supervisor."""

    def __init__(self, channel: aio.Channel, worker: int, orders: Orders, current: Current) -> None:
        self._stub = control_pb2_grpc.ControlStub(channel)
        self._worker = worker
        self._orders = orders
        self._current = current
        self._running: set[asyncio.Task[None]] = set()
        # Orders run side by side; a stream takes one write at a time.
        self._writing = asyncio.Lock()
        self._lost: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Attach, serve orders, attach again; until cancelled."""
        while True:
            with contextlib.suppress(aio.AioRpcError):
                await self._attach()
            if self._lost is None:
                _log.warning("supervisor lost", refusing_after_s=LOST_AFTER_S)
                loop = asyncio.get_running_loop()
                self._lost = loop.call_later(LOST_AFTER_S, self._current.suspend)
            await asyncio.sleep(RETRY_S)

    async def answer(self, service: str, method: str, data: bytes, asker: Asker) -> bytes:
        """Ask the supervisor what a peer asks of one of the nodes' own services.

        Raises:
            SimpulError: It refused, or is lost.
        """
        request = control_pb2.AnswerPeerRequest(
            service=service, method=method, data=data,
            node=str(asker.node), member=str(asker.member),
        )  # fmt: skip
        return (await _asked(self._stub.AnswerPeer(request, timeout=ANSWER_TIMEOUT_S))).data

    async def ask_catalogue(
        self, method: str, data: bytes, consumers: Sequence[str]
    ) -> AsyncIterator[bytes]:
        """Ask the supervisor what an app asks of the catalogue; yields the answer's messages.

        Raises:
            SimpulError: It refused, or is lost.
        """
        request = control_pb2.AskCatalogueRequest(method=method, data=data, consumers=consumers)
        call = self._stub.AskCatalogue(request)
        try:
            while isinstance(found := await _asked(call.read()), control_pb2.AskCatalogueResponse):
                yield found.data
        finally:
            call.cancel()

    async def refresh_directory(self, version: int, digest: bytes) -> None:
        """Ask the supervisor to fetch the directory now; a new one arrives as a snapshot.

        Raises:
            SimpulError: It could not within 2 s, or is lost.
        """
        request = control_pb2.RefreshDirectoryRequest(version=version, hash=digest)
        await _asked(self._stub.RefreshDirectory(request, timeout=REFRESH_TIMEOUT_S))

    async def lease(self, agreement: bytes, side: Side, wanted: int) -> int:
        """Ask for calls under an agreement that limits how often; returns how many may be begun.

        Raises:
            SimpulError: None may (ACCESS_RATE, ACCESS_QUOTA), or the supervisor is lost.
        """
        request = control_pb2.LeaseRequest(
            agreement=agreement, side=control_pb2.Side.ValueType(side), wanted=wanted
        )
        return (await _asked(self._stub.Lease(request, timeout=LEASE_TIMEOUT_S))).granted

    async def verify_consent(self, question: Question) -> int:
        """Ask until when a consent holds.

        Raises:
            SimpulError: It doesn't, or nobody says so in time; the supervisor is lost.
        """
        request = control_pb2.VerifyConsentRequest(call=question_message(question))
        call = self._stub.VerifyConsent(request, timeout=CONSENT_TIMEOUT_S)
        return (await _asked(call)).valid_until_ms

    async def _attach(self) -> None:
        call = self._stub.Attach()
        hello = control_pb2.Hello(worker=self._worker, pid=os.getpid())
        await call.write(control_pb2.AttachRequest(hello=hello))
        try:
            while isinstance(order := await call.read(), control_pb2.AttachResponse):
                task = asyncio.create_task(self._obey(call, order))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        finally:
            call.cancel()

    async def _obey(
        self,
        call: aio.StreamStreamCall[control_pb2.AttachRequest, control_pb2.AttachResponse],
        order: control_pb2.AttachResponse,
    ) -> None:
        done = control_pb2.Done(number=order.number)
        try:
            match order.WhichOneof("kind"):
                case "snapshot":
                    await self._orders.take_snapshot(order.snapshot)
                    self._found()
                case "question":
                    done.answer = await self._orders.ask(order.question)
                case "consents":
                    await self._orders.judge_consents(order.consents)
                case "drain":
                    await self._orders.drain(order.drain.grace_ms / 1000)
                case "report":
                    done.links.extend(self._orders.links())
                case other:
                    raise SimpulError(Code.INTERNAL, f"a worker knows no order {other}")
        except SimpulError as error:
            done.error_code, done.error_message = error.code, error.message
        except Exception:  # noqa: BLE001 - logged, and told to the supervisor
            _log.exception("order failed", kind=order.WhichOneof("kind"))
            done.error_code, done.error_message = Code.INTERNAL, "the worker failed; see its log"
        async with self._writing:
            await call.write(control_pb2.AttachRequest(done=done))

    def _found(self) -> None:
        if self._lost is not None:
            self._lost.cancel()
            self._lost = None


async def _asked(call: Awaitable[T]) -> T:
    try:
        return await call
    except aio.AioRpcError as error:
        raise from_rpc_error(
            error, what="this node's supervisor", unreachable=Code.SUPERVISOR_LOST
        ) from error
