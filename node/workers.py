"""The supervisor's side of its workers: what it pushes to them and asks of them.

Each worker attaches over the Unix socket in the home folder and stays attached. The supervisor
pushes whole snapshots and orders, each with a number that the worker answers; so an operator's
command is done when every worker has it. A worker that attaches late gets the newest snapshot
first.

It starts no processes (`processes`) and decides nothing (`operations`).
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field

import structlog
from grpc import aio

from node.consent.model import Question
from node.consent.wire import read_question
from node.exchange.providing import Asker
from node.policy.allowance import Side
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from simpul.node.v1 import admin_pb2, control_pb2, control_pb2_grpc

_log = structlog.get_logger(__name__)

# A worker answers in milliseconds; one that takes longer hangs, and its supervisor says so.
ACKNOWLEDGE_TIMEOUT_S = 5.0
# Its first snapshot is read whole, from a disk that may be busy: nothing of it is in memory yet.
FIRST_TIMEOUT_S = 60.0
# How long somebody who asks another node waits for a worker that serves.
ASK_TIMEOUT_S = 15.0

# What a peer asks of the nodes' own services: service, method, the request, and who asks.
AnswerPeer = Callable[[str, str, bytes, Asker], Awaitable[bytes]]
# What an app asks of the catalogue: method, the request, the subsystems that it may act for.
AskCatalogue = Callable[[str, bytes, Collection[str]], Awaitable[list[bytes]]]
Refresh = Callable[[int, bytes], Awaitable[tuple[int, bytes]]]
# Of an agreement, as one of its sides, so many calls: how many of them may be begun.
Lease = Callable[[bytes, Side, int], Awaitable[int]]
# Of a call by a consent: until when the consent holds.
Verify = Callable[[Question], Awaitable[int]]


@dataclass(slots=True, eq=False)
class _Attached:
    """One worker, for as long as its stream lives."""

    worker: int
    pid: int
    outgoing: asyncio.Queue[control_pb2.AttachResponse] = field(default_factory=asyncio.Queue)
    waiting: dict[int, asyncio.Future[control_pb2.Done]] = field(default_factory=dict)
    next_number: int = 1
    ready: bool = False

    async def order(self, order: control_pb2.AttachResponse, timeout_s: float) -> control_pb2.Done:
        """Send an order and wait for its answer.

        Raises:
            SimpulError: The worker said no, went away, or was silent (SUPERVISOR_LOST).
        """
        number, self.next_number = self.next_number, self.next_number + 1
        order.number = number
        future: asyncio.Future[control_pb2.Done] = asyncio.get_running_loop().create_future()
        self.waiting[number] = future
        self.outgoing.put_nowait(order)
        try:
            done = await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            raise SimpulError(
                Code.INTERNAL, f"worker {self.worker} did not answer within {timeout_s:g} s"
            ) from None
        finally:
            self.waiting.pop(number, None)
        if done.error_code:
            raise SimpulError(_code(done.error_code), done.error_message)
        return done

    def lost(self) -> None:
        """Everybody who waits for this worker learns that it is gone."""
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(
                    SimpulError(Code.SUPERVISOR_LOST, f"worker {self.worker} stopped; try again")
                )


class Workers(control_pb2_grpc.ControlServicer):
    """All attached workers."""

    def __init__(
        self,
        *,
        answer: AnswerPeer,
        refresh: Refresh,
        lease: Lease,
        catalogue: AskCatalogue,
        verify: Verify,
    ) -> None:
        self._answer = answer
        self._catalogue = catalogue
        self._refresh = refresh
        self._lease = lease
        self._verify = verify
        self._attached: dict[int, _Attached] = {}
        self._snapshot: control_pb2.Snapshot | None = None
        self._pushing = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._unusable: SimpulError | None = None

    @property
    def ready(self) -> int:
        """How many workers have a snapshot and serve."""
        return sum(worker.ready for worker in self._attached.values())

    async def wait_ready(self, count: int) -> None:
        """Wait until `count` workers serve.

        Raises:
            SimpulError: Why a worker can't begin to serve (PORT_IN_USE and the like).
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self.ready >= count or self._unusable is not None)
            if self.ready < count and self._unusable is not None:
                raise self._unusable

    async def push(self, snapshot: control_pb2.Snapshot) -> None:
        """Put a snapshot in force: done when every attached worker goes by it.

        Raises:
            SimpulError: A worker did not take it.
        """
        async with self._pushing:
            self._snapshot = snapshot
            await asyncio.gather(*(self._give(worker) for worker in tuple(self._attached.values())))

    async def ask(self, question: control_pb2.Question) -> bytes:
        """Have a worker ask another node's own service; returns the answer.

        Raises:
            SimpulError: No worker serves, the node can't be reached, or it refused.
        """
        worker = await self._ready_one()
        timeout_s = question.timeout_ms / 1000 + ACKNOWLEDGE_TIMEOUT_S
        order = control_pb2.AttachResponse(question=question)
        return (await worker.order(order, timeout_s)).answer

    async def end_consents(self, references: frozenset[str]) -> None:
        """Have every worker end the calls of these consents.

        Raises:
            SimpulError: A worker did not say that it has.
        """
        await self._judge_consents(control_pb2.Consents(withdrawn=sorted(references)))

    async def confirm_consents(self) -> None:
        """Have every worker ask for each consent in use anew.

        Raises:
            SimpulError: A worker did not say that it has.
        """
        await self._judge_consents(control_pb2.Consents(confirm=True))

    async def _judge_consents(self, consents: control_pb2.Consents) -> None:
        await asyncio.gather(
            *(
                worker.order(control_pb2.AttachResponse(consents=consents), ACKNOWLEDGE_TIMEOUT_S)
                for worker in tuple(self._attached.values())
            )
        )

    async def links(self) -> list[admin_pb2.LinkStatus]:
        """The links of all workers; one that does not answer is left out."""
        order = control_pb2.AttachResponse(report=control_pb2.Report())
        answers = await asyncio.gather(
            *(
                worker.order(copy.copy(order), ACKNOWLEDGE_TIMEOUT_S)
                for worker in tuple(self._attached.values())
            ),
            return_exceptions=True,
        )
        return [
            link
            for answer in answers
            if isinstance(answer, control_pb2.Done)
            for link in answer.links
        ]

    async def _ready_one(self) -> _Attached:
        try:
            await asyncio.wait_for(self.wait_ready(1), ASK_TIMEOUT_S)
        except TimeoutError:
            raise SimpulError(
                Code.NOT_RUNNING, "no worker of this node serves; its log says why"
            ) from None
        for worker in self._attached.values():
            if worker.ready:
                return worker
        raise SimpulError(Code.NOT_RUNNING, "the worker of this node just ended; try again")

    async def drain(self, grace_s: float) -> None:
        """Ask every worker to end its calls and stop; waits for them at most `grace_s`."""
        order = control_pb2.Drain(grace_ms=int(grace_s * 1000))
        await asyncio.gather(
            *(
                worker.order(control_pb2.AttachResponse(drain=order), grace_s + 1)
                for worker in tuple(self._attached.values())
            ),
            return_exceptions=True,
        )

    async def Attach(  # type: ignore[override]  # noqa: N802 - gRPC's name; reads by hand
        self,
        request_iterator: AsyncIterator[control_pb2.AttachRequest],
        context: aio.ServicerContext[control_pb2.AttachRequest, control_pb2.AttachResponse],
    ) -> None:
        """Serve one worker for as long as it lives."""
        del request_iterator  # Read and write by hand: both directions are always open.
        first: object = await context.read()
        if not isinstance(first, control_pb2.AttachRequest) or first.WhichOneof("kind") != "hello":
            raise SimpulError(Code.REQUEST_MALFORMED, "a worker says hello first")
        attached = _Attached(first.hello.worker, first.hello.pid)
        self._attached[attached.worker] = attached
        writer = asyncio.create_task(_write(attached, context))
        giver = asyncio.create_task(self._welcome(attached))
        try:
            while True:
                request: object = await context.read()
                if not isinstance(request, control_pb2.AttachRequest):
                    return
                if request.WhichOneof("kind") == "done":
                    future = attached.waiting.get(request.done.number)
                    if future is not None and not future.done():
                        future.set_result(request.done)
        finally:
            if self._attached.get(attached.worker) is attached:
                del self._attached[attached.worker]
            attached.lost()
            for task in (writer, giver):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, SimpulError):
                    await task
            _log.info("worker detached", worker=attached.worker, pid=attached.pid)

    async def AnswerPeer(  # noqa: N802 - gRPC's name
        self,
        request: control_pb2.AnswerPeerRequest,
        context: aio.ServicerContext[control_pb2.AnswerPeerRequest, control_pb2.AnswerPeerResponse],
    ) -> control_pb2.AnswerPeerResponse:
        """A peer asks one of the nodes' own services."""
        del context
        asker = Asker(NodeId.parse(request.node), MemberId.parse(request.member))
        data = await self._answer(request.service, request.method, request.data, asker)
        return control_pb2.AnswerPeerResponse(data=data)

    async def AskCatalogue(  # noqa: N802 - gRPC's name
        self,
        request: control_pb2.AskCatalogueRequest,
        context: aio.ServicerContext[
            control_pb2.AskCatalogueRequest, control_pb2.AskCatalogueResponse
        ],
    ) -> AsyncIterator[control_pb2.AskCatalogueResponse]:
        """An app asks the catalogue."""
        del context
        found = await self._catalogue(request.method, request.data, request.consumers)
        for data in found:
            yield control_pb2.AskCatalogueResponse(data=data)

    async def RefreshDirectory(  # noqa: N802 - gRPC's name
        self,
        request: control_pb2.RefreshDirectoryRequest,
        context: aio.ServicerContext[
            control_pb2.RefreshDirectoryRequest, control_pb2.RefreshDirectoryResponse
        ],
    ) -> control_pb2.RefreshDirectoryResponse:
        """A peer goes by a directory that this node does not have."""
        del context
        version, digest = await self._refresh(request.version, request.hash)
        return control_pb2.RefreshDirectoryResponse(version=version, hash=digest)

    async def Lease(  # noqa: N802 - gRPC's name
        self,
        request: control_pb2.LeaseRequest,
        context: aio.ServicerContext[control_pb2.LeaseRequest, control_pb2.LeaseResponse],
    ) -> control_pb2.LeaseResponse:
        """A worker is about to use an agreement that limits how often."""
        del context
        granted = await self._lease(request.agreement, Side(request.side), request.wanted)
        return control_pb2.LeaseResponse(granted=granted)

    async def VerifyConsent(  # noqa: N802 - gRPC's name
        self,
        request: control_pb2.VerifyConsentRequest,
        context: aio.ServicerContext[
            control_pb2.VerifyConsentRequest, control_pb2.VerifyConsentResponse
        ],
    ) -> control_pb2.VerifyConsentResponse:
        """A worker is about to make a call that rests on a consent, or has one under way."""
        del context
        until_ms = await self._verify(read_question(request.call))
        return control_pb2.VerifyConsentResponse(valid_until_ms=until_ms)

    async def _welcome(self, attached: _Attached) -> None:
        """Give a new worker what to go by. One that can't begin ends, and says why first."""
        unusable = None
        try:
            async with self._pushing:
                await self._give(attached)
            # One that attaches again may have missed a withdrawal.
            confirm = control_pb2.Consents(confirm=True)
            await attached.order(
                control_pb2.AttachResponse(consents=confirm), ACKNOWLEDGE_TIMEOUT_S
            )
        except SimpulError as error:
            if error.code is Code.SUPERVISOR_LOST:
                return
            _log.error(
                "worker can't begin",
                worker=attached.worker, pid=attached.pid, code=error.code, why=error.message,
            )  # fmt: skip
            unusable = error
        async with self._changed:
            self._unusable = unusable
            self._changed.notify_all()

    async def _give(self, attached: _Attached) -> None:
        if self._snapshot is None:
            return
        timeout_s = ACKNOWLEDGE_TIMEOUT_S if attached.ready else FIRST_TIMEOUT_S
        await attached.order(control_pb2.AttachResponse(snapshot=self._snapshot), timeout_s)
        attached.ready = True
        async with self._changed:
            self._changed.notify_all()


async def _write(
    attached: _Attached,
    context: aio.ServicerContext[control_pb2.AttachRequest, control_pb2.AttachResponse],
) -> None:
    while True:
        await context.write(await attached.outgoing.get())


def _code(text: str) -> Code:
    try:
        return Code(text)
    except ValueError:
        return Code.INTERNAL
