"""The provider's side of a call: from a sealed open to the service and back.

Step 5 of a call (docs/explanation/one-call.md). Entries reach this module when their parcel is
durable in this node's journal, and what is said here is durable before it leaves. The agreement
is checked again, with this node's own copy (docs/spec, "What a receiver checks", 14), and only
then the service is called, at most once for each call id. A refusal is sealed and journaled like
an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from node.calls import (
    HalfClose,
    Headers,
    Message,
    Metadata,
    OutboundCall,
    OutboundRequest,
    Services,
    Trailers,
)
from node.exchange.elsewhere import Elsewhere
from node.exchange.fields import ALL
from node.exchange.keeping import Keeping
from node.exchange.metadata import (
    AGREEMENT,
    CALL_ID,
    FROM,
    GATHER_ID,
    ISSUE,
    PURPOSE,
    USER,
    error_trailers,
    passed_on,
    traceparents,
    with_span,
)
from node.exchange.recent import RecentCalls
from node.exchange.watch import CallMetrics
from node.link.model import CallHandler, CallLink, ReceivedEntry
from node.model import Current, Snapshot
from node.policy.allowance import Side
from node.policy.rules import check_open
from runtime.tracing import NO_SPAN, Span
from security import kinds
from security.agreement import AgreementTerms
from security.errors import ERRORS, Code, SimpulError
from security.identifiers import MemberId, NodeId, SubsystemId
from security.private import Private, make_private

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks a service of the nodes themselves: the node at the other end, for a member of it."""

    node: NodeId
    member: MemberId


# A service of the nodes themselves: takes the request and who asks, returns the answer's bytes.
BuiltIn = Callable[[bytes, Asker], Awaitable[bytes]]

_GIVEN_UP = Trailers(1, "the consumer gave the call up")
# Of requests that services have not answered yet; past it, calls are refused.
MAX_REQUEST_BYTES = 256 * 1024 * 1024


class Providing:
    """Answers the calls that come over links. One for each worker."""

    def __init__(  # noqa: PLR0913 - the worker's rooms, each once
        self,
        current: Current,
        services: Services,
        built_in: Mapping[tuple[str, str], BuiltIn],
        metrics: CallMetrics,
        keeping: Keeping,
        *,
        recent: RecentCalls,
        elsewhere: Elsewhere | None,
        max_open: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._current = current
        self._services = services
        self._built_in = built_in
        self._metrics = metrics
        self._keeping = keeping
        self._recent = recent
        # Where other workers write the same journal.
        self._elsewhere = elsewhere
        self._max_open = max_open
        self._now_ms = now_ms
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._request_bytes = 0

    @property
    def open_calls(self) -> int:
        """How many calls are being answered."""
        return len(self._tasks)

    def on_open(self, link: CallLink, entry: ReceivedEntry) -> CallHandler:
        """Begin to answer a call whose open is durable. Never waits."""
        if not isinstance(entry.kind, kinds.Open):
            raise TypeError("an open was promised")
        answer = _Answer(link, entry, entry.kind)
        handler: CallHandler = answer
        if entry.fault is not None:
            answer.refuse(entry.fault)
            return handler
        refusal = self._refusal(link) or self._repeated(answer)
        if refusal is not None:
            answer.refuse(refusal)
            return handler
        # Counted here, and not in the task: a whole parcel's opens come before any task begins.
        request_bytes = 0 if answer.request is None else len(answer.request.data)
        self._request_bytes += request_bytes
        task = asyncio.get_running_loop().create_task(self._serve(answer))
        self._tasks.add(task)
        # Nor is it the task's to give back: one that is cancelled early never begins.
        task.add_done_callback(lambda done: self._ended(done, request_bytes))
        answer.task = task
        return handler

    def _ended(self, task: asyncio.Task[None], request_bytes: int) -> None:
        self._tasks.discard(task)
        self._request_bytes -= request_bytes

    def stop_beginning(self) -> None:
        """Begin no more calls of peers: from now on they are refused."""
        self._draining = True

    async def drain(self) -> None:
        """Begin no more calls, and wait until every one that was begun has ended."""
        self.stop_beginning()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _refusal(self, link: CallLink) -> SimpulError | None:
        """Why no call is begun now, if so.

        A call that this node's own gateway still lets through was under way when the drain began.
        """
        if self._draining and not link.local:
            return SimpulError(
                Code.NODE_DRAINING, "the provider's node is about to stop; try again in a moment"
            )
        if len(self._tasks) >= self._max_open or self._request_bytes > MAX_REQUEST_BYTES:
            return SimpulError(
                Code.OVERLOADED, "the provider's node is full; try again in a moment"
            )
        return None

    def _repeated(self, answer: _Answer) -> SimpulError | None:
        """Why the call can't be handed to its service, if it may have been before."""
        try:
            self._recent.take(answer.member, answer.call_id, self._now_ms())
        except SimpulError as error:
            return error
        return None

    async def _serve(self, answer: _Answer) -> None:
        opened = answer.opened
        span = answer.span = self._metrics.tracing.begin(
            "exchange.provide",
            traceparents(answer.private.metadata),
            began_ns=answer.arrived_ns,
            rpc_system="grpc",
            rpc_service=opened.service.service,
            rpc_method=opened.method,
            simpul_peer=answer.link.peer,
            simpul_consumer=opened.consumer,
            simpul_call_id=answer.call_id,
        )
        span.child("link.receive", began_ns=answer.arrived_ns).end()
        with self._metrics.around("provider", span) as outcome:
            try:
                status = await self._dispatch(answer)
            except SimpulError as error:
                _log.info(
                    "call refused", call_id=answer.call_id.hex(), code=error.code,
                    consumer=str(opened.consumer), peer=str(answer.link.peer),
                )  # fmt: skip
                outcome.failed(error.code)
                answer.refuse(error)
            except Exception:  # noqa: BLE001 - logged; the consumer gets a fixed text
                _log.exception("call failed here", call_id=answer.call_id.hex())
                outcome.failed(Code.INTERNAL)
                answer.refuse(
                    SimpulError(Code.INTERNAL, "the provider's node failed; its log says why")
                )
            else:
                outcome.ended(status)

    async def _dispatch(self, answer: _Answer) -> int:
        opened = answer.opened
        if self._elsewhere is not None:
            await self._elsewhere.check(answer.member, answer.call_id)
        built_in = self._built_in.get((opened.service.service, opened.method))
        if opened.agreement is None:
            if built_in is None:
                raise SimpulError(
                    Code.METHOD_UNKNOWN, "without an agreement only the nodes' own services answer"
                )
            return await self._answer_built_in(answer, built_in)
        snapshot = self._current.snapshot
        snapshot.check_settled(opened.service.subsystem.member)
        terms = check_open(
            snapshot.agreements, opened=opened, sender=answer.member, now_ms=self._now_ms()
        )
        with self._keeping.under_way.call(opened.agreement, answer):
            return await self._provide(answer, snapshot, opened.agreement, terms)

    async def _provide(
        self, answer: _Answer, snapshot: Snapshot, agreement: bytes, terms: AgreementTerms
    ) -> int:
        """Have the service answer what an agreement permits."""
        opened = answer.opened
        for subsystem in (opened.consumer, opened.service.subsystem):
            snapshot.directory.check_subsystem(subsystem)
        target = snapshot.targets.get(opened.service)
        if target is None:
            raise SimpulError(
                Code.SERVICE_UNKNOWN,
                f"{opened.service} is not served by this node; ask its operators to publish it",
            )
        contract = snapshot.directory.service(*_parts(opened)).contract
        answer.fields = self._keeping.fields.of(
            agreement, terms, (opened.service.service, opened.method), contract.descriptor_set
        )
        await self._keeping.allowance.take(agreement, terms.rate, Side.PROVIDER)
        with answer.span.child("service") as span:
            async with _in_time(answer.link.max_call_ms):
                status = await self._call_service(answer, target, span)
            span.end(status=status)
            return status

    async def _call_service(self, answer: _Answer, target: str, span: Span) -> int:
        request = _request(answer, span)
        if answer.opened.unary and answer.link.shared:
            return await self._answer_unary(answer, target, request)
        if answer.cancelled:
            # Before the service heard of it: it need not.
            answer.close(_GIVEN_UP)
            return _GIVEN_UP.status
        return await answer.carry(self._services.start(target, request))

    async def _answer_unary(self, answer: _Answer, target: str, request: OutboundRequest) -> int:
        message = answer.request
        if message is None:
            raise SimpulError(Code.REQUEST_MALFORMED, "a unary call without a message")
        asked = answer.fields.asked(message)
        answer.called = True
        try:
            whole = await self._services.unary(target, request, asked, answer.head)
        except SimpulError:
            # It was not sent: the service has not heard of the call.
            answer.called = False
            raise
        got = answer.fields.answered_whole(whole)
        if got.trailers.error is not None:
            raise got.trailers.error
        answer.close(_clean(got.trailers), headers=Headers(got.headers), message=got.message)
        return got.trailers.status

    async def _answer_built_in(self, answer: _Answer, built_in: BuiltIn) -> int:
        if answer.request is None:
            raise SimpulError(Code.REQUEST_MALFORMED, "the nodes' own services are unary")
        asker = Asker(answer.link.peer, answer.member)
        data = await built_in(answer.request.data, asker)
        answer.close(Trailers(0), headers=Headers(), message=Message(data))
        return 0


class _Answer:
    """One call on the provider's side; the link delivers its later entries here."""

    def __init__(self, link: CallLink, entry: ReceivedEntry, opened: kinds.Open) -> None:
        self.link = link
        self.opened = opened
        self.call_id = entry.call_id
        self.arrived_ns = entry.arrived_ns
        self.span = NO_SPAN
        self.member = entry.member
        self.private = entry.private
        self.request = entry.message
        self.fields = ALL
        self.task: asyncio.Task[None] | None = None
        # The service may have heard of the call.
        self.called = False
        # Something of the service's has gone out.
        self._spoken = False
        self._headed = False
        self._ended = False
        self._service: OutboundCall | None = None
        self._begun = asyncio.Event()
        # The consumer gave it up, or its link is gone.
        self.cancelled = False

    async def on_entry(self, entry: ReceivedEntry) -> None:
        """Take the consumer's next entry; on a child link it waits while the service is slow."""
        if isinstance(entry.kind, kinds.Cancel):
            self._give_up()
            return
        if entry.fault is not None:
            self._give_up()
            self.refuse(entry.fault)
            return
        await self._begun.wait()
        if self._service is not None:
            message = entry.message
            event = HalfClose() if message is None else self.fields.asked(message)
            await self._service.send(event)

    def on_lost(self, error: SimpulError) -> None:
        """The link broke: nobody hears the answer any more."""
        del error
        self._ended = True
        self._give_up()

    async def carry(self, service: OutboundCall) -> int:
        """Carry a streaming call's messages from the service to the link, to the end."""
        self._service = service
        self.called = True
        self._begun.set()
        if self.cancelled:
            service.cancel()
        try:
            if self.request is not None:
                await service.send(self.fields.asked(self.request))
            if self.opened.unary:
                await service.send(HalfClose())
            return await self._carry_answer(service)
        except BaseException:
            # Whatever ends the call here ends the service's work too.
            service.cancel()
            raise

    def head(self, metadata: Metadata) -> None:
        """Say the service's headers, ahead of its answer."""
        if self._ended:
            return
        metadata = self.fields.answered_metadata(metadata)
        # Headers past the limit end the call with the answer, which has them too.
        with contextlib.suppress(SimpulError):
            self._say(kinds.Head(), private=Private(metadata=passed_on(metadata)))
            self._headed = True

    def close(
        self, trailers: Trailers, *, headers: Headers | None = None, message: Message | None = None
    ) -> None:
        """End the call with what the service said; `headers` and `message` are a unary answer's."""
        if not self._ended:
            private = Private(
                metadata=() if headers is None or self._headed else passed_on(headers.metadata),
                trailers=trailers.metadata,
                status_message=trailers.message,
            )
            self._say(kinds.Close(trailers.status), message, private)
        self._finish()

    def refuse(self, error: SimpulError) -> None:
        """End the call with this node's own no.

        A refusal is the first word or none, and says that the service has not heard of the call:
        after that, the call closes with the error's status.
        """
        status = ERRORS[error.code].grpc_status
        if (self._spoken or self.called) and not self._ended:
            self.close(error_trailers(error, self.call_id))
            return
        if not self._ended:
            private = Private(status_message=error.message)
            self._say(kinds.Refuse(error.code.value, status), private=private)
        self._finish()

    async def _carry_answer(self, service: OutboundCall) -> int:
        while True:
            event = self.fields.answered(await service.receive())
            if isinstance(event, Trailers):
                if event.error is not None:
                    self.called = event.sent
                    raise event.error
                self.close(_clean(event))
                return event.status
            await self.link.room()
            if isinstance(event, Headers):
                private = Private(metadata=passed_on(event.metadata))
                self._say(kinds.Head(), private=private)
            else:
                self._say(kinds.Message(), event)

    def end(self, error: SimpulError) -> None:
        """End the call now: its agreement is no longer in force."""
        if self._ended:
            return
        self.refuse(error)
        self.cancelled = True
        if self._service is not None:
            self._service.cancel()
        elif self.task is not None:
            self.task.cancel()

    def _finish(self) -> None:
        self._ended = True
        self._begun.set()

    def _give_up(self) -> None:
        """Stop the service's work. Its end, CANCELLED, then closes the call in the usual way."""
        self.cancelled = True
        if self._service is not None:
            self._service.cancel()
        elif self.task is not None and self.opened.unary:
            self.task.cancel()
            self.close(_GIVEN_UP)

    def _say(
        self, kind: kinds.Kind, message: Message | None = None, private: Private | None = None
    ) -> None:
        payload = None if message is None else message.data
        block = None if private is None else make_private(private)
        self.link.check_size(payload, block)
        self._spoken = True
        self.link.say(
            kind,
            self.call_id,
            payload=payload,
            compressed=message is not None and message.compressed,
            private=block,
        )


@contextlib.asynccontextmanager
async def _in_time(max_ms: int) -> AsyncIterator[None]:
    """The longest that any call may take, whatever the consumer's node says or forgets.

    A deadline of the app's own is the service's to keep, and the leg's to it.
    """
    try:
        async with asyncio.timeout(max_ms / 1000) as bound:
            yield
    except TimeoutError:
        if not bound.expired():
            raise
        raise SimpulError(
            Code.DEADLINE_EXCEEDED, f"the call took over {max_ms} ms, the most that any may take"
        ) from None


def _request(answer: _Answer, span: Span) -> OutboundRequest:
    """What the service gets to see: the app's metadata, and the nodes' own word on the call."""
    opened, private = answer.opened, answer.private
    own = [
        (FROM, str(opened.consumer)),
        (CALL_ID, answer.call_id.hex()),
        (AGREEMENT, "" if opened.agreement is None else opened.agreement.hex()),
        (PURPOSE, opened.purpose or ""),
        (GATHER_ID, "" if opened.gather_id is None else opened.gather_id.hex()),
        (USER, private.user),
        (ISSUE, private.issue),
    ]
    metadata: Metadata = (
        *with_span(passed_on(answer.fields.asked_metadata(private.metadata)), span),
        *((key, value.encode("ascii", "replace")) for key, value in own if value),
    )
    return OutboundRequest(
        f"/{opened.service.service}/{opened.method}", metadata, opened.deadline_left_ms
    )


def _parts(opened: kinds.Open) -> tuple[SubsystemId, str]:
    return opened.service.subsystem, opened.service.service


def _clean(trailers: Trailers) -> Trailers:
    return Trailers(trailers.status, trailers.message, passed_on(trailers.metadata))
