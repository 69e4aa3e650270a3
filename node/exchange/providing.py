"""The provider's side of a call: from a sealed open to the service and back.

Step 5 of a call (docs/explanation/one-call.md). Entries reach this module when their parcel is
durable in this node's journal, and what is said here is durable before it leaves. The agreement
is checked again, with this node's own copy (docs/spec, "What a receiver checks", 14), and only
then the service is called, at most once for each call id. A refusal is sealed and journaled like
an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from node.calls import (
    Headers,
    Message,
    Metadata,
    OutboundRequest,
    Services,
    Trailers,
)
from node.consent.model import Question
from node.exchange.answer import GIVEN_UP, Answer, clean
from node.exchange.elsewhere import Elsewhere
from node.exchange.keeping import Keeping
from node.exchange.metadata import (
    AGREEMENT,
    CALL_ID,
    CONSENT,
    FROM,
    GATHER_ID,
    ISSUE,
    ON_BEHALF_OF,
    PURPOSE,
    SUBJECT,
    USER,
    passed_on,
    traceparents,
    with_span,
)
from node.exchange.recent import RecentCalls
from node.exchange.watch import CallMetrics
from node.link.model import CallHandler, CallLink, ReceivedEntry
from node.model import Current
from node.policy.allowance import Side
from node.policy.consents import check_consent
from node.policy.purposes import check_purpose
from node.policy.rules import check_open
from runtime.tracing import Span
from security import kinds
from security.agreement import RateTerm
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, SubsystemId

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks a service of the nodes themselves: the node at the other end, for a member of it."""

    node: NodeId
    member: MemberId


# A service of the nodes themselves: takes the request and who asks, returns the answer's bytes.
BuiltIn = Callable[[bytes, Asker], Awaitable[bytes]]
# Answers a call that may begin, and returns its gRPC status.
Work = Callable[[], Awaitable[int]]

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
        answer = Answer(link, entry, entry.kind)
        handler: CallHandler = answer
        if entry.fault is not None:
            answer.refuse(entry.fault)
            return handler
        try:
            work = self._begin(answer)
        except SimpulError as error:
            self._turn_away(answer, error)
            return handler
        # Counted here, and not in the task: a whole parcel's opens come before any task begins.
        request_bytes = 0 if answer.request is None else len(answer.request.data)
        self._request_bytes += request_bytes
        task = asyncio.get_running_loop().create_task(self._serve(answer, work))
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

    def _begin(self, answer: Answer) -> Work:
        """What is to be done for a call, where all of step 14 lets it begin that needs no waiting.

        Room is judged behind the agreement: how busy a node is concerns nobody who may not call
        it. And ahead of all that counts: an id or an allowance that is spent on a call that can't
        be begun would be missing for one that can.
        """
        # A call that this node's own gateway still lets through was under way when the drain began.
        if self._draining and not answer.link.local:
            raise SimpulError(
                Code.NODE_DRAINING, "the provider's node is about to stop; try again in a moment"
            )
        work = self._permitted(answer)
        if len(self._tasks) >= self._max_open or self._request_bytes > MAX_REQUEST_BYTES:
            raise SimpulError(Code.OVERLOADED, "the provider's node is full; try again in a moment")
        self._recent.take(answer.member, answer.call_id, self._now_ms())
        return work

    def _permitted(self, answer: Answer) -> Work:
        """Who answers the call, if it may be made at all."""
        opened = answer.opened
        built_in = self._built_in.get((opened.service.service, opened.method))
        if opened.agreement is None:
            if built_in is None:
                raise SimpulError(
                    Code.METHOD_UNKNOWN, "without an agreement only the nodes' own services answer"
                )
            return partial(self._answer_built_in, answer, built_in)
        snapshot = self._current.snapshot
        snapshot.check_settled(opened.service.subsystem.member)
        terms = check_open(
            snapshot.agreements, opened=opened, sender=answer.member, now_ms=self._now_ms()
        )
        for subsystem in (opened.consumer, opened.service.subsystem):
            snapshot.directory.check_subsystem(subsystem)
        check_purpose(snapshot.directory, terms, opened.purpose)
        check_consent(terms, opened.purpose, opened.consent)
        target = snapshot.targets.get(opened.service)
        if target is None:
            raise SimpulError(
                Code.SERVICE_UNKNOWN,
                f"{opened.service} is not served by this node; ask its operators to publish it",
            )
        contract = snapshot.directory.service(*_parts(opened)).contract
        answer.fields = self._keeping.fields.of(
            opened.agreement, terms, (opened.service.service, opened.method),
            contract.descriptor_set,
        )  # fmt: skip
        return partial(self._provide, answer, target, opened.agreement, terms.rate)

    def _turn_away(self, answer: Answer, error: SimpulError) -> None:
        """Refuse a call that is not begun."""
        with self._metrics.around("provider", self._span(answer)) as outcome:
            _say_refused(answer, error)
            outcome.failed(error.code)
            answer.refuse(error)

    async def _serve(self, answer: Answer, work: Work) -> None:
        span = answer.span = self._span(answer)
        with self._metrics.around("provider", span) as outcome:
            try:
                if self._elsewhere is not None:
                    await self._elsewhere.check(answer.member, answer.call_id)
                status = await work()
            except SimpulError as error:
                _say_refused(answer, error)
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

    def _span(self, answer: Answer) -> Span:
        opened = answer.opened
        span = self._metrics.tracing.begin(
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
        return span

    async def _provide(
        self, answer: Answer, target: str, agreement: bytes, rate: RateTerm | None
    ) -> int:
        """Have the service answer what an agreement permits, and a consent where it must."""
        keeping = self._keeping
        with keeping.under_way.call(agreement, answer.opened.purpose, answer):
            self._services.check(target)
            question = _question(answer)
            if question is None:
                await keeping.allowance.take(agreement, rate, Side.PROVIDER)
                return await self._have_answered(answer, target)
            async with keeping.consents.call(question, answer, self._now_ms):
                await keeping.allowance.take(agreement, rate, Side.PROVIDER)
                return await self._have_answered(answer, target)

    async def _have_answered(self, answer: Answer, target: str) -> int:
        with answer.span.child("service") as span:
            # The longest that any call may take, whatever the consumer's node says or forgets.
            # A deadline of the app's own is the service's to keep, and the leg's to it.
            try:
                async with asyncio.timeout(answer.link.max_call_ms / 1000) as bound:
                    status = await self._call_service(answer, target, span)
            except TimeoutError:
                if not bound.expired():
                    raise
                raise _too_late(answer.link.max_call_ms) from None
            span.end(status=status)
            return status

    async def _call_service(self, answer: Answer, target: str, span: Span) -> int:
        request = _request(answer, span)
        if answer.opened.unary and answer.link.shared:
            return await self._answer_unary(answer, target, request)
        if answer.cancelled:
            # Before the service heard of it: it need not.
            answer.close(GIVEN_UP)
            return GIVEN_UP.status
        return await answer.carry(self._services.start(target, request))

    async def _answer_unary(self, answer: Answer, target: str, request: OutboundRequest) -> int:
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
        answer.close(clean(got.trailers), headers=Headers(got.headers), message=got.message)
        return got.trailers.status

    async def _answer_built_in(self, answer: Answer, built_in: BuiltIn) -> int:
        if answer.request is None:
            raise SimpulError(Code.REQUEST_MALFORMED, "the nodes' own services are unary")
        asker = Asker(answer.link.peer, answer.member)
        data = await built_in(answer.request.data, asker)
        answer.close(Trailers(0), headers=Headers(), message=Message(data))
        return 0


def _request(answer: Answer, span: Span) -> OutboundRequest:
    """What the service gets to see: the app's metadata, and the nodes' own word on the call."""
    opened, private = answer.opened, answer.private
    own = [
        (FROM, str(opened.consumer)),
        (CALL_ID, answer.call_id.hex()),
        (AGREEMENT, "" if opened.agreement is None else opened.agreement.hex()),
        (PURPOSE, opened.purpose or ""),
        (ON_BEHALF_OF, "" if opened.on_behalf_of is None else str(opened.on_behalf_of)),
        (CONSENT, opened.consent or ""),
        # A consent is one citizen's: the service looks whether it answers of nobody else.
        (SUBJECT, private.subject if opened.consent is not None else ""),
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


def _too_late(max_ms: int) -> SimpulError:
    return SimpulError(
        Code.DEADLINE_EXCEEDED, f"the call took over {max_ms} ms, the most that any may take"
    )


def _question(answer: Answer) -> Question | None:
    """What is asked of a call's consent, where its purpose rests on one."""
    opened = answer.opened
    if opened.consent is None or opened.purpose is None:
        return None
    return Question(
        opened.consent, opened.consumer, opened.service, opened.method, opened.purpose,
        answer.private.subject,
    )  # fmt: skip


def _say_refused(answer: Answer, error: SimpulError) -> None:
    _log.info(
        "call refused", call_id=answer.call_id.hex(), code=error.code,
        consumer=str(answer.opened.consumer), peer=str(answer.link.peer),
    )  # fmt: skip


def _parts(opened: kinds.Open) -> tuple[SubsystemId, str]:
    return opened.service.subsystem, opened.service.service
