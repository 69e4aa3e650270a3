"""Two nodes' exchanges in one event loop, with real links over mutual TLS between them.

The regency provides, the ministry consumes. What is not under test stands in for real things:
services are functions, apps are queues, journals are lists that can be held or made to fail.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import grpc
from prometheus_client import CollectorRegistry

from node.calls import (
    CallRequest,
    Cancelled,
    HalfClose,
    Headers,
    Message,
    Metadata,
    OutboundCall,
    OutboundRequest,
    RequestEvent,
    ResponseEvent,
    Trailers,
    UnaryAnswer,
    new_call_id,
)
from node.exchange.allowance import Allowance
from node.exchange.attempts import Attempts
from node.exchange.consents import Consents
from node.exchange.consuming import Consuming
from node.exchange.fields import FieldRules
from node.exchange.keeping import Keeping
from node.exchange.providing import BuiltIn, Providing
from node.exchange.recent import RecentCalls
from node.exchange.refused import RefusedCalls
from node.exchange.watch import CallMetrics
from node.gather.gather import Gather, GatherRooms
from node.gather.watch import GatherMetrics
from node.link.accept import LinkServer, link_server
from node.link.dial import Dialler
from node.link.greet import Greeter
from node.link.local import LocalLinks
from node.link.model import LinkRooms
from node.link.notes import Notes
from node.link.refusals import Refusals
from node.link.sealer import Recorder, Sealer
from node.link.unsettled import Settled, Unsettled
from node.link.watch import LinkMetrics
from node.model import Current, NodeIdentity, Snapshot
from node.policy.allowance import Ledger, Share, Side
from node.policy.apps import AppBook
from node.policy.rules import AgreementBook
from node.standard.table import own_services
from runtime.clock import now_ms as real_now_ms
from runtime.tracing import OFF, Tracing
from security import certificate
from security.agreement import ServiceTerm
from security.directory import DirectoryView
from security.errors import SimpulError
from security.identifiers import MemberId, NodeId, ServiceId, SubsystemId
from security.keys import PrivateKey
from security.limits import Limits
from security.statement import make_statement
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import agreements, directories
from tests.support.consents import FakeRegister
from tests.support.memory_journal import MemoryJournal
from tests.support.own_answers import echo_catalogue, no_gathers
from tests.support.ports import free_port

WAIT_S = 5.0
SERVICE_ID = ServiceId(fixed.TOURISM, fixed.SERVICE)
TARGET = "127.0.0.1:1"
SECOND_NODE = NodeId.parse("ID/~labuan-bajo-2")


Unary = Callable[[OutboundRequest, Message], Awaitable[UnaryAnswer]]
Stream = Callable[["ServiceSide"], Awaitable[None]]


@dataclass(eq=False)
class ServiceSide:
    """A streaming call as a test's service sees it, and as an `OutboundCall` for the node."""

    request: OutboundRequest
    incoming: asyncio.Queue[Message | HalfClose] = field(default_factory=asyncio.Queue)
    outgoing: asyncio.Queue[ResponseEvent] = field(default_factory=lambda: asyncio.Queue(8))
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, event: Message | HalfClose) -> None:
        """From the node."""
        await self.incoming.put(event)

    async def receive(self) -> ResponseEvent:
        """To the node."""
        waiting = asyncio.create_task(self.outgoing.get())
        gone = asyncio.create_task(self.cancelled.wait())
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if waiting.done():
            return waiting.result()
        waiting.cancel()
        return Trailers(1, "cancelled")

    def cancel(self) -> None:
        """From the node."""
        self.cancelled.set()


@dataclass
class FakeServices:
    """What the provider's node finds behind it (`node.calls.Services`)."""

    on_unary: Unary | None = None
    on_stream: Stream | None = None
    # Of the last unary call: tells the node of headers that come before the answer.
    on_headers: Callable[[Metadata], None] = lambda _: None
    seen: list[OutboundRequest] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    sides: list[ServiceSide] = field(default_factory=list)
    # Why it takes no call now.
    closed: SimpulError | None = None

    def check(self, target: str) -> None:
        """Let every call come, unless `closed`."""
        assert target == TARGET
        if self.closed is not None:
            raise self.closed

    async def unary(
        self,
        target: str,
        request: OutboundRequest,
        message: Message,
        on_headers: Callable[[Metadata], None] | None = None,
    ) -> UnaryAnswer:
        """Answer by `on_unary`, or echo."""
        assert target == TARGET
        self.on_headers = on_headers or self.on_headers
        self.seen.append(request)
        if self.on_unary is None:
            return UnaryAnswer((), message, Trailers(0))
        return await self.on_unary(request, message)

    def start(self, target: str, request: OutboundRequest) -> OutboundCall:
        """Run `on_stream` beside the call."""
        assert target == TARGET
        self.seen.append(request)
        side = ServiceSide(request)
        self.sides.append(side)
        if self.on_stream is not None:
            task = asyncio.ensure_future(self.on_stream(side))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        return side


class FakeCall:
    """An app's call (`node.calls.InboundCall`): events in, events out."""

    def __init__(
        self,
        method: str = "Get",
        *events: RequestEvent,
        metadata: Metadata = (),
        deadline_left_ms: int | None = None,
        to: SubsystemId | None = fixed.TOURISM,
        token: str | None = None,
        path: str | None = None,
    ) -> None:
        address = () if to is None else (("simpul-to", str(to).encode()),)
        self.request = CallRequest(
            path or f"/{fixed.SERVICE}/{method}",
            (*address, *metadata),
            deadline_left_ms,
            token=token,
            local=True,
        )
        self.incoming: asyncio.Queue[RequestEvent] = asyncio.Queue()
        for event in events:
            self.incoming.put_nowait(event)
        self.sent: list[ResponseEvent] = []
        self.slow: asyncio.Event | None = None
        self._on_cancel: Callable[[], None] | None = None

    async def receive(self) -> RequestEvent:
        """The next event that the test put."""
        return await self.incoming.get()

    async def send(self, event: ResponseEvent) -> None:
        """Keep what the app is told; wait while the test makes the app slow."""
        if self.slow is not None:
            await self.slow.wait()
        self.sent.append(event)

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Keep who wants to know."""
        self._on_cancel = callback

    def go_away(self) -> None:
        """The app cancels."""
        self.incoming.put_nowait(Cancelled())
        if self._on_cancel is not None:
            self._on_cancel()

    @property
    def trailers(self) -> Trailers:
        """The end of the answer."""
        end = self.sent[-1]
        assert isinstance(end, Trailers)
        return end

    @property
    def messages(self) -> list[bytes]:
        """The messages of the answer."""
        return [event.data for event in self.sent if isinstance(event, Message)]

    @property
    def headers(self) -> Metadata:
        """The initial metadata, if it was sent."""
        found = [event.metadata for event in self.sent if isinstance(event, Headers)]
        return found[0] if found else ()

    def error(self) -> str:
        """The code in `simpul-error`, or nothing."""
        return dict(self.trailers.metadata).get("simpul-error", b"").decode()


def unary(*, data: bytes = b"question", **options: object) -> FakeCall:
    """A whole unary call of `Get`."""
    return FakeCall("Get", Message(data), HalfClose(), **options)  # type: ignore[arg-type]


@dataclass
class Half:
    """One node's exchange."""

    node: NodeId
    identity: NodeIdentity
    current: Current
    journal: MemoryJournal
    services: FakeServices
    consuming: Consuming
    attempts: Attempts
    providing: Providing
    server: LinkServer
    dialler: Dialler
    keeping: Keeping
    sealing: asyncio.Task[None]
    refreshed: list[bytes]
    greeter: Greeter
    credentials: grpc.ChannelCredentials
    registry: CollectorRegistry
    # What greetings told of links that had broken.
    settled: list[Settled]
    # Of the members that it hosts.
    seal_keys: dict[MemberId, PrivateKey]
    register: FakeRegister

    @property
    def address(self) -> str:
        """Where it accepts links."""
        return self.current.snapshot.directory.node(self.node).link_address

    def agree(self, *methods: str, **terms: object) -> None:
        """Have an agreement for these methods, or none; with other terms, if given."""
        directory = self.current.snapshot.directory
        self.current.replace(snapshot(directory, self.node, methods=methods, **terms))

    async def run(self, call: FakeCall) -> FakeCall:
        """Carry an app's call to its end."""
        async with asyncio.timeout(WAIT_S):
            await self.consuming.run(call)
        return call


@dataclass
class Pair:
    """The two of them; `second` is another node of the provider, where a test asked for it."""

    provider: Half
    consumer: Half
    another: Half | None = None

    @property
    def second(self) -> Half:
        """The provider's other node."""
        assert self.another is not None
        return self.another


ALL_METHODS = ("Get", "List", "Import", "Watch")


def snapshot(
    view: DirectoryView, node: NodeId, *, methods: tuple[str, ...] = ALL_METHODS, **changed: object
) -> Snapshot:
    """What one of the two nodes goes by; no methods: without an agreement."""
    services = (ServiceTerm(fixed.SERVICE, methods),)
    terms = replace(agreements.TERMS, services=services, **changed)  # type: ignore[arg-type]
    book = AgreementBook([agreements.signed(terms).agreement] if methods else [])
    targets = {SERVICE_ID: TARGET} if node in {fixed.REGENCY_NODE, SECOND_NODE} else {}
    loopback = fixed.SUPER_APP if node == fixed.MINISTRY_NODE else None
    return Snapshot(view, book, AppBook((), loopback), targets)


def listed(regency_port: int, ministry_port: int, second_port: int | None = None) -> DirectoryView:
    """The small federation's directory, with these link ports; the regency may have two nodes."""
    regency, ministry = directories.regency_record(), directories.ministry_record()
    if second_port is not None:
        _add_second(regency, second_port)
    regency.nodes[0].link_address = f"127.0.0.1:{regency_port}"
    ministry.nodes[0].link_address = f"127.0.0.1:{ministry_port}"
    return directories.directory(regency, ministry)


def _add_second(regency: directory_pb2.MemberRecord, port: int) -> None:
    other = directories.member_record(fixed.REGENCY, SECOND_NODE).nodes[0]
    other.link_address = f"127.0.0.1:{port}"
    regency.nodes.append(other)
    identity = fixed.key(f"{fixed.REGENCY} identity")
    view = directories.statement_view(
        fixed.REGENCY, fixed.REGENCY_NODE, identity, fixed.key(f"{fixed.REGENCY} seal")
    )
    seal = replace(view.seal_keys[0], key=_seal_key(SECOND_NODE).public, node=SECOND_NODE)
    both = replace(view, seal_keys=(*view.seal_keys, seal))
    regency.statement.CopyFrom(make_statement(both, identity))


def _seal_key(node: NodeId, member: MemberId = fixed.REGENCY) -> PrivateKey:
    return fixed.key(f"{member} seal" if node != SECOND_NODE else f"{member} second seal")


@asynccontextmanager
async def pair(
    *,
    built_in: dict[tuple[str, str], BuiltIn] | None = None,
    limits: Limits | None = None,
    journals: Mapping[NodeId, Recorder] | None = None,
    second: bool = False,
    tracing: Mapping[NodeId, Tracing] | None = None,
    hosts: Iterable[MemberId] = (),
) -> AsyncIterator[Pair]:
    """A provider and a consumer, up; down again at the end. `limits` are both nodes'.

    `second`: the provider has two nodes, each with services of its own.
    `hosts`: members that the provider's node serves besides its own.
    `journals` are used where given, instead of lists.
    """
    authority = certificate.make_authority("Test", real_now_ms(), 1)
    ports = [free_port() for _ in range(3 if second else 2)]
    view = listed(*ports)
    halves = []
    parties = (
        (fixed.REGENCY_NODE, fixed.REGENCY),
        (fixed.MINISTRY_NODE, fixed.MINISTRY),
        (SECOND_NODE, fixed.REGENCY),
    )
    for (node, member), port in zip(parties, ports, strict=False):
        halves.append(
            await _half(
                node,
                member,
                port,
                view,
                authority,
                built_in or {},
                limits or Limits(),
                (journals or {}).get(node),
                (tracing or {}).get(node, OFF),
                frozenset(hosts if node == fixed.REGENCY_NODE else ()),
            )
        )
    made = Pair(*(half for half, _ in halves))
    try:
        yield made
    finally:
        for half, _ in halves:
            await half.dialler.close()
        for half, server in halves:
            await server.stop(0)
            half.sealing.cancel()
            await asyncio.gather(half.sealing, return_exceptions=True)


async def _half(
    node: NodeId,
    member: MemberId,
    port: int,
    view: DirectoryView,
    authority: tuple[bytes, bytes],
    built_in: dict[tuple[str, str], BuiltIn],
    limits: Limits,
    recorder: Recorder | None,
    tracing: Tracing,
    hosts: frozenset[MemberId],
) -> tuple[Half, grpc.aio.Server]:
    key, chain = _tls(node, authority)
    roots = certificate.to_pem(authority[1])
    identity = NodeIdentity(node, frozenset({member}) | hosts)
    current = Current(snapshot(view, node))
    memory, services = MemoryJournal(), FakeServices()
    journal = memory if recorder is None else recorder
    registry = CollectorRegistry()
    metrics = CallMetrics(registry, tracing)
    refreshed: list[bytes] = []

    async def refresh(digest: bytes) -> None:
        refreshed.append(digest)

    seal_keys = {member: _seal_key(node, member)}
    sealer = Sealer(seal_keys, journal)
    ledger = Ledger()

    async def lease(agreement: bytes, side: Side, wanted: int) -> int:
        rate = current.snapshot.agreements.by_hash[agreement].rate
        assert rate is not None
        return ledger.take(agreement + bytes((side,)), rate, Share(), wanted, fixed.NOW_MS)

    register = FakeRegister()
    keeping = Keeping(
        Allowance(lease), FieldRules(limits.max_message_bytes), Consents(register.verify)
    )
    providing = Providing(
        current, services, built_in, metrics, keeping,
        recent=RecentCalls(max_call_ms=limits.max_call_ms), elsewhere=None,
        max_open=1000, now_ms=lambda: fixed.NOW_MS,
    )  # fmt: skip
    settled: list[Settled] = []
    unsettled = Unsettled(settled.append)
    greeter = Greeter(
        identity, fixed.key(f"{node} node"), current, limits, 0, 1, lambda: fixed.NOW_MS, refresh,
        unsettled,
    )  # fmt: skip
    clock_s = asyncio.get_running_loop().time
    notes = Notes(journal)
    rooms = LinkRooms(
        current, sealer, journal, providing.on_open, LinkMetrics(registry),
        Refusals(clock_s), unsettled, refresh, member, lambda: fixed.NOW_MS, notes,
        tracing.now_ns,
    )  # fmt: skip
    links = LinkServer(greeter, rooms)
    server = link_server(links, greeter.own_limits)
    credentials = grpc.ssl_server_credentials([(key, chain)], roots, require_client_auth=True)
    server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    local = LocalLinks(greeter, rooms)
    dialling = grpc.ssl_channel_credentials(roots, key, chain)
    dialler = Dialler(greeter, rooms, local, lambda: dialling)

    def fresh_call_id() -> bytes:
        return new_call_id(fixed.NOW_MS, os.urandom(10))

    attempts = Attempts(dialler, keeping, fresh_call_id)
    refused = RefusedCalls(
        current, journal, notes, metrics, clock_s=clock_s, now_ms=lambda: fixed.NOW_MS
    )
    gathers = Gather(
        GatherRooms(
            identity, current, attempts, keeping, refused, metrics, GatherMetrics(registry),
            no_gathers, fresh_call_id, lambda: fixed.NOW_MS,
        )
    )  # fmt: skip
    consuming = Consuming(
        identity, current, attempts, metrics, keeping,
        own=own_services(current, dialler, gathers, echo_catalogue),
        gather=gathers.merged,
        refused=refused,
        new_call_id=fresh_call_id,
        now_ms=lambda: fixed.NOW_MS,
    )  # fmt: skip
    sealing = asyncio.create_task(sealer.run())
    half = Half(
        node, identity, current, memory, services, consuming, attempts, providing, links, dialler,
        keeping, sealing, refreshed, greeter, dialling, registry, settled, seal_keys,
        register,
    )  # fmt: skip
    return half, server


def _tls(node: NodeId, authority: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    key = certificate.make_key()
    request = certificate.make_request(key, node)
    issued = certificate.issue(*authority, request, node, real_now_ms(), 30, 2)
    return key, certificate.to_pem(issued)
