"""What an app may ask about many regions at once: a merged stream, single answers, a report.

`merged` answers a server-streaming method that an app calls with many regions in `simpul-region`.
`call` and `report` are the service `simpul.v1.Gather`, which the app's own node answers.

Source: docs/spec, "Gather"; docs/adr/0017.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from google.protobuf.message import DecodeError

from node.calls import CallRequest, Headers, InboundCall, Message, Metadata, Trailers
from node.exchange.asks import MAX_KEPT_BYTES, Asked
from node.exchange.attempts import Attempts, one_request
from node.exchange.keeping import Keeping
from node.exchange.metadata import (
    ANSWERED,
    FIRST,
    GATHER_ID,
    MESSAGES,
    MISSING,
    PART_MS,
    PARTIAL,
    PARTS,
    REGION,
    TO,
    Address,
)
from node.exchange.refused import RefusedCalls
from node.exchange.routing import Caller, Route, find_caller, routes_in, split_path
from node.exchange.watch import CallMetrics
from node.gather.part import Part
from node.gather.plan import MAX_MS, MAX_PARTS, Planned, Terms, method_kind, plan, read_terms
from node.gather.report import make_report
from node.gather.run import Counts, GatherRun, Sink, Way, ends_at_s
from node.gather.sinks import Labelled, Merged
from node.gather.watch import GatherMetrics
from node.journal.model import GatheredCall
from node.model import Current, NodeIdentity
from runtime.grpc_errors import message_of, trailers_of
from security.contract import MethodKind
from security.errors import ERRORS, Code, SimpulError
from simpul.v1 import gather_pb2

SERVICE: Final = "simpul.v1.Gather"
# At once in one worker: each may have many calls under way.
MAX_GATHERS: Final = 64
# Named in the message of a gather that lacks parts.
MAX_REASONS: Final = 5
_GATHER_ID_CHARS: Final = 32
# What is said of the whole, and of no part; and answers come as they are, because they are merged.
_OF_THE_WHOLE: Final = frozenset({TO, REGION, PARTIAL, FIRST, PART_MS, "grpc-accept-encoding"})

_Wanted = TypeVar("_Wanted", gather_pb2.GatherCallRequest, gather_pb2.GatherReportRequest)

ReadGather = Callable[[bytes], Awaitable[list[GatheredCall]]]


@dataclass(frozen=True, slots=True)
class GatherRooms:
    """What a gather works with: the worker's rooms."""

    identity: NodeIdentity
    current: Current
    attempts: Attempts
    keeping: Keeping
    refused: RefusedCalls
    calls: CallMetrics
    metrics: GatherMetrics
    # The calls of a gather, from the journal.
    read: ReadGather
    new_call_id: Callable[[], bytes]
    now_ms: Callable[[], int]


@dataclass(frozen=True, slots=True)
class _Gathering:
    """One gather, decided."""

    caller: Caller
    kind: MethodKind
    parts: tuple[Planned, ...]
    terms: Terms
    # What the parts' requests look like, but for their addressee.
    request: CallRequest
    message: Message


class Gather:
    """One for each worker."""

    def __init__(self, rooms: GatherRooms) -> None:
        self._rooms = rooms
        self._open = 0
        self._turn = 0

    async def merged(self, asked: Asked) -> int:
        """Answer an app's call with all regions' messages in one stream. Returns the gRPC status.

        Raises:
            SimpulError: Nothing was begun, and the app has heard nothing.
        """
        request, now_ms = asked.call.request, self._rooms.now_ms()
        directory = self._rooms.current.snapshot.directory
        caller = self._caller(request, now_ms)
        if caller.address.to is not None or caller.address.region is None:
            raise SimpulError(
                Code.METADATA_MALFORMED,
                f"{PARTIAL}, {FIRST} and {PART_MS} are for gathers: name regions by {REGION}, "
                f"without {TO}",
            )
        terms = read_terms(caller.address)
        parts = plan(caller.address.region.split(","), caller.service, directory, now_ms)
        kind = method_kind(parts, caller.service, caller.method, directory)
        if not kind.server_streaming:
            raise SimpulError(
                Code.GATHER_METHOD,
                f"{caller.method} answers with one message, so several can't be merged: call "
                f"{SERVICE}/Call, or name one region",
            )
        message = await one_request(asked)
        gathering = _Gathering(caller, kind, parts, terms, request, message)
        return await self._run(asked.call, gathering, Merged(asked.call))

    async def call(self, call: InboundCall, now_ms: int) -> None:
        """`Call`: what each region says, with its name beside it."""
        loop_s = asyncio.get_running_loop().time()
        deadline_s = ends_at_s(call.request.deadline_left_ms, loop_s)
        wanted = _parse(
            gather_pb2.GatherCallRequest, await one_request(Asked(call, b"", deadline_s))
        )
        directory = self._rooms.current.snapshot.directory
        caller = self._caller(call.request, now_ms)
        _check_address(caller.address)
        service, method = split_path("/" + wanted.method.removeprefix("/"))
        caller = replace(caller, service=service, method=method)
        terms = _terms(wanted)
        parts = plan(wanted.regions, service, directory, now_ms)
        kind = method_kind(parts, service, method, directory)
        request = replace(call.request, path=f"/{service}/{method}")
        gathering = _Gathering(caller, kind, parts, terms, request, Message(wanted.request))
        await self._run(call, gathering, Labelled(call, single=not kind.server_streaming))

    async def report(self, call: InboundCall, now_ms: int) -> None:
        """`Report`: what came of a gather, from this node's journal."""
        wanted = _parse(gather_pb2.GatherReportRequest, await one_request(Asked(call, b"", None)))
        consumers = self._consumers(call.request, now_ms)
        found = await self._rooms.read(_gather_id(wanted.gather_id))
        own = [each for each in found if each.call.consumer in consumers]
        if not own:
            raise SimpulError(
                Code.GATHER_UNKNOWN,
                f"no gather {wanted.gather_id} of {' or '.join(sorted(consumers))}; its record may "
                "have been archived",
            )
        directory = self._rooms.current.snapshot.directory
        report = make_report(wanted.gather_id, own, directory.regions, now_ms)
        await call.send(Headers())
        await call.send(Message(report.SerializeToString()))
        await call.send(Trailers(0))

    def _caller(self, request: CallRequest, now_ms: int) -> Caller:
        rooms = self._rooms
        return find_caller(request, rooms.identity, rooms.current.snapshot, now_ms)

    def _consumers(self, request: CallRequest, now_ms: int) -> frozenset[str]:
        """In whose names the app may ask."""
        snapshot = self._rooms.current.snapshot
        app = snapshot.apps.authenticate(
            token=request.token,
            certificate_sha256=request.certificate_sha256,
            local=request.local,
            now_ms=now_ms,
        )
        return frozenset(map(str, app.subsystems))

    async def _run(self, call: InboundCall, gathering: _Gathering, sink: Sink) -> int:
        rooms, gather_id = self._rooms, self._rooms.new_call_id()
        way = Way(
            lambda planned, deliver, began_s: Part(
                planned, _part_request(gathering.request, planned), gathering.message, deliver,
                began_s,
            ),
            lambda asked, part: self._carry(gathering, asked, part),
            rooms.refused,
            rooms.new_call_id,
            rooms.metrics.part,
        )  # fmt: skip
        deadline_s = ends_at_s(call.request.deadline_left_ms, asyncio.get_running_loop().time())
        with self._place():
            await call.send(Headers(((GATHER_ID, gather_id.hex().encode()),)))
            run = GatherRun(
                call, gather_id, gathering.parts, gathering.terms, way, sink, deadline_s
            )
            counts = await run.run()
        trailers = _ending(gather_id, counts, gathering.terms, enough=run.enough)
        rooms.metrics.ended(1 if run.app_gone else trailers.status)
        await call.send(trailers)
        return trailers.status

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._open >= MAX_GATHERS:
            raise SimpulError(
                Code.OVERLOADED, f"{MAX_GATHERS} gathers are under way; try again in a moment"
            )
        self._open += 1
        self._rooms.metrics.open.set(self._open)
        try:
            yield
        finally:
            self._open -= 1
            self._rooms.metrics.open.set(self._open)

    async def _carry(self, gathering: _Gathering, asked: Asked, part: Part) -> int:
        """Make one part's call, as an app's."""
        rooms = self._rooms
        with rooms.calls.around("consumer") as outcome:
            try:
                routes = self._routes(gathering, part.planned)
                if not routes[0].unary and len(gathering.message.data) <= MAX_KEPT_BYTES:
                    await asked.take_request()
                status = await rooms.attempts.carry(asked, routes)
            except SimpulError as error:
                outcome.failed(error.code)
                raise
            outcome.ended(status)
            return status

    def _routes(self, gathering: _Gathering, planned: Planned) -> tuple[Route, ...]:
        rooms, caller = self._rooms, gathering.caller
        if planned.served is None:
            raise SimpulError(Code.REGION_UNSERVED, f"nobody answers for {planned.region}")
        self._turn += 1
        routes = routes_in(
            caller, planned.served, rooms.current.snapshot, rooms.keeping.fields, rooms.now_ms(),
            self._turn,
        )  # fmt: skip
        if routes[0].kind != gathering.kind:
            raise SimpulError(
                Code.METHOD_UNKNOWN,
                f"{caller.method} of {routes[0].provider} is of another kind, by its revision of "
                "the contract",
            )
        return routes


def _part_request(request: CallRequest, planned: Planned) -> CallRequest:
    """What a part says of itself: its own addressee, and else what the app said."""
    key, value = (REGION, planned.region)
    if planned.provider is not None:
        key, value = (TO, str(planned.provider))
    kept = tuple(item for item in request.metadata if item[0] not in _OF_THE_WHOLE)
    return replace(request, metadata=((key, value.encode()), *kept))


def _ending(gather_id: bytes, counts: Counts, terms: Terms, *, enough: bool) -> Trailers:
    """The end: counts, and the id by which the report tells more. Never a line for each part."""
    said: Metadata = tuple(
        (key, str(value).encode())
        for key, value in (
            (GATHER_ID, gather_id.hex()),
            (PARTS, counts.parts),
            (ANSWERED, counts.answered),
            (MISSING, counts.missing),
            (MESSAGES, counts.messages),
        )
    )
    if enough or (terms.partial_ok and counts.answered > 0):
        return Trailers(0, metadata=said)
    error = SimpulError(
        Code.GATHER_INCOMPLETE,
        f"{counts.missing} of {counts.parts} parts are missing ({_reasons(counts)}); ask "
        f"{SERVICE}/Report for {gather_id.hex()}, or send {PARTIAL}: ok if some are enough",
    )
    details = tuple(
        (key, value if isinstance(value, bytes) else value.encode())
        for key, value in trailers_of(error)
    )
    return Trailers(ERRORS[error.code].grpc_status, message_of(error), (*details, *said))


def _reasons(counts: Counts) -> str:
    named = [f"{why} {number}" for why, number in counts.why.most_common(MAX_REASONS)]
    if len(counts.why) > MAX_REASONS:
        named.append("and others")
    return ", ".join(named) or "given up"


def _terms(wanted: gather_pb2.GatherCallRequest) -> Terms:
    if wanted.first > MAX_PARTS or wanted.part_timeout_ms > MAX_MS:
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"first is at most {MAX_PARTS}, and part_timeout_ms at most {MAX_MS}",
        )
    return Terms(wanted.first or None, wanted.part_timeout_ms or None, wanted.partial_ok)


def _check_address(address: Address) -> None:
    """Regions and terms stand in the message, and nowhere else."""
    if address.to is not None or address.region is not None or address.is_gather:
        raise SimpulError(
            Code.METADATA_MALFORMED,
            f"of a {SERVICE}/Call regions and terms stand in the request; leave {TO}, {REGION}, "
            f"{PARTIAL}, {FIRST} and {PART_MS} out",
        )


def _parse(cls: type[_Wanted], message: Message) -> _Wanted:
    try:
        return cls.FromString(message.data)
    except DecodeError:
        raise SimpulError(Code.REQUEST_MALFORMED, f"that is no {cls.__name__}") from None


def _gather_id(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(text) != _GATHER_ID_CHARS or len(found) * 2 != _GATHER_ID_CHARS:
        raise SimpulError(
            Code.ID_MALFORMED,
            f"{text[:40]!a} is no gather id: it has {_GATHER_ID_CHARS} hex digits",
        )
    return found
