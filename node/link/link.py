"""One link: a chain of sealed parcels each way between two nodes, on one stream.

It wires the pure halves (`security.sender`, `security.receiver`) to the stream, the sealer and the
journal, and hands the entries of accepted parcels to their calls when they are durable. It knows no
services, agreements or apps.

Three tasks: the *reader* verifies and journals; the *delivery* hands on what is durable; the
*writer* sends frames. On a shared link the reader waits for the journal alone, never for the writer
or a call. A child link carries one streaming call, so its delivery waits for that call, and gRPC's
flow control does the rest (docs/spec, "Links: children").
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable
from typing import Final

import structlog

from node.journal.model import Direction, LinkEnd, LinkNote, ParcelRecord
from node.link.contents import Contents
from node.link.delivery import Delivery
from node.link.frames import parcel_frame, parse_frame, taken_frame
from node.link.model import (
    CallHandler,
    LinkRooms,
    Opening,
    ReceivedEntry,
    not_started,
    outcome_unknown,
)
from node.link.outbox import Outbox, Ticket, ticket
from node.link.outgoing import Outgoing
from node.link.receipts import Receipts
from node.link.sealer import Drawn
from node.link.stream import FrameStream
from security.call_state import Side
from security.commitment import commit_payload
from security.entry import ENTRY_SALT_BYTES
from security.errors import ERRORS, Code, LinkFault, SimpulError
from security.identifiers import MemberId, NodeId
from security.kinds import Close, EntryKind, Kind, Open, Refuse
from security.limits import INLINE_MAX_BYTES
from security.parcel import Received
from security.receiver import AcceptedParcel, Receiver, UnknownKey
from security.sender import MAX_UNACKNOWLEDGED, LinkContext, PreparedParcel, Sender
from simpul.v1 import parcel_pb2

_log = structlog.get_logger(__name__)

# Opens that wait here for the peer's credit; more are refused, because the peer is overloaded.
MAX_WAITING_OPENS: Final = 10_000
# Bytes that wait for the connection before `room` waits too.
MAX_UNSENT_BYTES: Final = 1024 * 1024
# How long the peer gets to end its side of a link that this side has finished.
FINISH_TIMEOUT_S: Final = 5.0


class Link:
    """One end of a link. `run` lives as long as the link."""

    def __init__(
        self, context: LinkContext, stream: FrameStream, rooms: LinkRooms, end: LinkEnd
    ) -> None:
        self.context = context
        self._end = end
        self._stream = stream
        self._rooms = rooms
        self._sender = Sender(context)
        self._receiver = Receiver(self._sender)
        self._receipts = Receipts(self._sender, context.credit_given, self._wake)
        self._outbox = Outbox()
        self._contents = Contents(rooms.current, rooms.journal, end, self.cut)
        self._handlers: dict[bytes, CallHandler] = {}
        self._openings: deque[Opening] = deque()
        self._outgoing = Outgoing(shared=self.shared)
        self._sent, self._begun = asyncio.Event(), asyncio.Event()
        self._delivery = Delivery(
            shared=self.shared,
            durable=self._now_durable,
            hand_on=self._hand_on,
            keep=self._contents.keep_late,
        )
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._finishing = self._cut = False
        # Once it ended with calls open: done when it is recorded that they are lost.
        self._lost: asyncio.Future[None] | None = None

    @property
    def peer(self) -> NodeId:
        """The node at the other end."""
        return self.context.peer_node

    @property
    def shared(self) -> bool:
        """It carries the unary calls of many; otherwise it is one streaming call's."""
        return self.context.child_call_id is None

    @property
    def dialled(self) -> bool:
        """This node opened it."""
        return self._end is LinkEnd.DIALLER

    @property
    def alive(self) -> bool:
        """New calls may go out on it."""
        return not (self._over.done() or self._finishing or self._cut)

    @property
    def idle(self) -> bool:
        """No call is under way on it."""
        return not self._handlers

    @property
    def parcels(self) -> tuple[int, int]:
        """How many parcels were sealed here, and how many of the peer's are durable here."""
        received = self._sender.received
        return self._sender.number, 0 if received is None else received.number + 1

    # What the exchange says.

    def open(self, opening: Opening, handler: CallHandler) -> Opening:
        """Begin a call: at once, or when the peer's credit allows.

        Raises:
            SimpulError: The link is gone (NOT_STARTED), the journal is full (JOURNAL_FULL), or too
                many opens wait (OVERLOADED).
        """
        self._rooms.journal.check()
        if not self.alive:
            raise not_started(self.peer)
        if len(self._openings) >= MAX_WAITING_OPENS:
            raise SimpulError(
                Code.OVERLOADED, f"{self.peer} takes no more calls now; try again in a moment"
            )
        self._handlers[opening.call_id] = handler
        self._openings.append(opening)
        self._release()
        return opening

    def withdraw(self, opening: Opening) -> bool:
        """Take back an open that has not been sealed yet; False where it is too late for that."""
        if opening.ticket is not None or opening not in self._openings:
            return False
        self._openings.remove(opening)
        self._handlers.pop(opening.call_id, None)
        return True

    def say(
        self,
        kind: Kind,
        call_id: bytes,
        *,
        payload: bytes | None = None,
        compressed: bool = False,
        private: bytes | None = None,
    ) -> None:
        """Say the next thing of a call; nothing where the call is over by now."""
        if self._over.done() or not self._goes_on(call_id):
            return
        outgoing = self._sender.add(
            kind,
            call_id,
            os.urandom(ENTRY_SALT_BYTES),
            payload=payload,
            compressed=compressed,
            private=private,
        )
        self._outbox.put(ticket(outgoing))
        if isinstance(kind, Close | Refuse):
            self._handlers.pop(call_id, None)
            self._receipts.call_ended()
        self._wake()
        if isinstance(kind, Refuse):
            self._spend(kind)

    def check_size(self, payload: bytes | None, private: bytes | None) -> None:
        """Whether the peer takes a message and a private block of these sizes.

        Raises:
            SimpulError: MESSAGE_TOO_LARGE or METADATA_TOO_LARGE, with the limit and the hop.
        """
        limits = self.context.limits
        if payload is not None and len(payload) > limits.max_message_bytes:
            raise SimpulError(
                Code.MESSAGE_TOO_LARGE,
                f"a message has {len(payload)} bytes, and {limits.max_message_bytes} may pass "
                f"between this node and {self.peer}; send less at a time",
            )
        if private is not None and len(private) > limits.max_metadata_bytes:
            raise SimpulError(
                Code.METADATA_TOO_LARGE,
                f"metadata takes {len(private)} bytes, and {limits.max_metadata_bytes} may pass "
                f"between this node and {self.peer}; send less",
            )

    async def room(self) -> None:
        """Wait until the peer has taken enough of what was said for more to be said."""
        await self._outbox.room()
        while self._outgoing.waiting_bytes >= MAX_UNSENT_BYTES and not self._over.done():
            self._sent.clear()
            await self._sent.wait()

    async def begun(self) -> None:
        """Wait until something was sealed here; on a child link, its call's open."""
        await self._begun.wait()

    async def durable(self, opening: Opening) -> None:
        """Wait until a call's open is durable here.

        Raises:
            SimpulError: The journal failed, or the open never left.
        """
        said = opening.ticket
        if said is None or said.durable is None:
            raise not_started(self.peer)
        if not said.durable.done():
            await asyncio.shield(said.durable)
        said.durable.result()

    async def lost(self) -> None:
        """Where the link ended with calls open, wait until it is recorded that they are lost.

        Raises:
            SimpulError: The journal failed.
        """
        if self._lost is not None:
            await asyncio.shield(self._lost)

    # What the sealer asks (`Sealable`).

    def draw(self) -> list[Drawn]:
        """Take what waits and prepare its parcels; a receipt alone where one is due."""
        if self._over.done():
            return []
        # A peer that acknowledges nothing gets no more, but receipts.
        stalled = self._sender.unacknowledged >= MAX_UNACKNOWLEDGED
        waiting = [] if stalled else self._outbox.take()
        if not waiting and self._receipts.due:
            waiting = [(self._rooms.member, [])]
        directory_hash = self._rooms.current.directory.hash if waiting else b""
        drawn = [self._prepare(member, tickets, directory_hash) for member, tickets in waiting]
        if drawn:
            self._begun.set()
            self._receipts.told()
        if self._outbox and not stalled:
            self._wake()
        return drawn

    def record(self, drawn: Drawn, seal: bytes) -> ParcelRecord:
        """The journal's record of a parcel of ours."""
        parcel = drawn.parcel
        self._rooms.metrics.sent(len(parcel.entries))
        fields = parcel.fields
        return ParcelRecord(
            Direction.SENT, str(self.peer), str(fields.member), fields.link_id, self._end,
            fields.number, fields.sealed_at_ms, parcel.header, seal, parcel.header_hash,
            parcel.entries, *drawn.kept,
        )  # fmt: skip

    def transmit(self, parcel: PreparedParcel, seal: bytes) -> None:
        """Put a sealed parcel in line for the writer, and its large payloads behind it."""
        self._outgoing.put(parcel_frame(parcel.header, seal, parcel.entries))
        for entry in parcel.entries:
            if entry.payload is not None and len(entry.payload) > INLINE_MAX_BYTES:
                commitment = commit_payload(entry.payload_salt, entry.payload)
                self._outgoing.put_payload(commitment.hash, entry.payload)

    # Its life.

    async def run(self) -> None:
        """Carry parcels until the link ends, for whatever reason; then every call on it knows."""
        self._rooms.metrics.up(shared=self.shared)
        tasks = [
            asyncio.create_task(step()) for step in (self._read, self._delivery.run, self._write)
        ]
        error: SimpulError | None = None
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            error = _first_error(tasks)
            if error is None:
                # The peer ended in order; what it said before is still handed on.
                await self._handed_on(tasks[1])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._conclude(error)

    async def finish(self) -> None:
        """End in order: a last receipt, no more frames, then the peer's own end."""
        if self._finishing or self._over.done():
            return
        self._finishing = True
        self._receipts.ask()
        told = asyncio.create_task(self._receipts.told_all())
        await asyncio.wait({told, self._over}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        self._outgoing.finish()
        await asyncio.wait({self._over}, timeout=FINISH_TIMEOUT_S)
        self._stream.close()

    def cut(self, error: SimpulError | None = None) -> None:
        """End at once; the peer is told the error's code, if the stream can."""
        self._cut = True
        self._stream.close(error)

    async def _read(self) -> None:
        while (data := await self._stream.read()) is not None:
            frame = parse_frame(data, self.context.limits)
            match frame.WhichOneof("kind"):
                case "parcel":
                    await self._take(await self._accept(frame.parcel), len(data))
                case "chunk":
                    taken_bytes = self._delivery.chunk(frame.chunk)
                    if taken_bytes is not None:
                        self._outgoing.put_first(taken_frame(taken_bytes))
                case "taken":
                    self._outgoing.taken(frame.taken.bytes)
                case _:
                    raise LinkFault(
                        Code.PARCEL_MALFORMED, "a link is greeted once; send parcels now", step=2
                    )

    async def _take(self, accepted: AcceptedParcel, size: int) -> None:
        if self.shared and any(_streams(entry.parsed.kind) for entry in accepted.entries):
            raise LinkFault(
                Code.ENTRY_STATE,
                "a streaming call was opened on a shared link; give it a child link",
                step=10,
            )
        self._rooms.metrics.received(len(accepted.entries))
        self._release()
        record = self._received(accepted)
        durable = self._rooms.journal.append_nowait([record])
        if accepted.entries:
            self._receipts.owe(size)
        await self._delivery.put(durable, accepted, record.kept)

    async def _accept(self, parcel: parcel_pb2.Parcel) -> AcceptedParcel:
        """The receiver's checks 1 to 12; for a key that nobody listed here yet, look once."""
        current = self._rooms.current
        try:
            return self._receiver.accept(
                parcel, now_ms=self._rooms.now_ms(), directory=current.directory
            )
        except UnknownKey as unknown:
            await self._rooms.refresh(unknown.directory_hash)
            return self._receiver.accept(
                parcel,
                now_ms=self._rooms.now_ms(),
                directory=current.directory,
                fetched=True,
            )

    async def _write(self) -> None:
        while True:
            frame = await self._outgoing.next()
            if frame is None:
                await self._stream.finish()
            else:
                await self._stream.write(frame)
                self._sent.set()

    def _now_durable(self, accepted: AcceptedParcel) -> None:
        self._sender.durable(Received(accepted.fields.number, accepted.header_hash))
        self._receipts.arrived()

    def _hand_on(self, entry: ReceivedEntry) -> Awaitable[None] | None:
        if isinstance(entry.kind, Open):
            handler = self._rooms.opener(self, entry)
            # It may have answered already, and so ended the call.
            if self._goes_on(entry.call_id):
                self._handlers[entry.call_id] = handler
            return None
        if entry.kind.kind in {EntryKind.CLOSE, EntryKind.REFUSE}:
            found = self._handlers.pop(entry.call_id, None)
        else:
            found = self._handlers.get(entry.call_id)
        return None if found is None else found.on_entry(entry)

    def _prepare(self, member: MemberId, tickets: list[Ticket], directory_hash: bytes) -> Drawn:
        parcel = self._sender.prepare(
            [each.outgoing for each in tickets],
            member=member,
            seal_key_id=self._rooms.sealer.key_id(member),
            directory_hash=directory_hash,
            now_ms=self._rooms.now_ms(),
        )
        return Drawn(parcel, tickets, self._contents.of_sent(tickets))

    def _received(self, accepted: AcceptedParcel) -> ParcelRecord:
        fields = accepted.fields
        return ParcelRecord(
            Direction.RECEIVED, str(self.peer), str(fields.member), fields.link_id, self._end,
            fields.number, fields.sealed_at_ms, accepted.header, accepted.seal,
            accepted.header_hash, tuple(entry.sealed for entry in accepted.entries),
            *self._contents.of_received(accepted),
        )  # fmt: skip

    def _release(self) -> None:
        """Let go what the peer's last header allows: opens by credit, entries by receipt."""
        if self._outbox:
            self._wake()
        while self._openings and self._sender.opens_left > 0:
            opening = self._openings.popleft()
            outgoing = self._sender.add(
                opening.kind,
                opening.call_id,
                os.urandom(ENTRY_SALT_BYTES),
                payload=opening.payload,
                compressed=opening.compressed,
                private=opening.private,
            )
            self._contents.begin(opening.kind, opening.call_id, opening.persons)
            opening.ticket = ticket(outgoing)
            self._outbox.put(opening.ticket)
            self._wake()

    def _spend(self, refusal: Refuse) -> None:
        try:
            self._rooms.refusals.spend(self.peer, refusal.code)
        except SimpulError as error:
            if not self._cut:
                _log.warning("peer over its budget of refusals", peer=str(self.peer))
            self.cut(error)

    def _goes_on(self, call_id: bytes) -> bool:
        call = self._sender.calls.get(call_id)
        return call is not None and not call.closed

    def _wake(self) -> None:
        self._rooms.sealer.wake(self)

    async def _handed_on(self, deliverer: asyncio.Task[None]) -> None:
        joined = asyncio.create_task(self._delivery.all_handed_on())
        await asyncio.wait({joined, deliverer}, return_when=asyncio.FIRST_COMPLETED)
        joined.cancel()

    def _conclude(self, error: SimpulError | None) -> None:
        self._over.set_result(None)
        self._rooms.metrics.down(shared=self.shared, error=error)
        self._receipts.stop()
        self._delivery.cancel()
        self._sent.set()
        if error is not None:
            _log.warning(
                "link ended", peer=str(self.peer), link=self.context.link_id.hex(),
                code=error.code, step=getattr(error, "step", None), why=error.message,
            )  # fmt: skip
        self._stream.close(error)
        unsent = {
            each.outgoing.call_id
            for each in self._outbox.drop()
            if each.outgoing.kind is EntryKind.OPEN
        }
        unsent.update(opening.call_id for opening in self._openings)
        self._openings.clear()
        self._note_lost()
        handlers, self._handlers = self._handlers, {}
        for call_id, handler in handlers.items():
            handler.on_lost(
                not_started(self.peer) if call_id in unsent else outcome_unknown(self.peer)
            )

    def _note_lost(self) -> None:
        """What is open now stays without an end: say so where the calls are listed."""
        calls = self._sender.calls
        if not (calls.ids(Side.CONSUMER) or calls.ids(Side.PROVIDER)):
            return
        code = Code.OUTCOME_UNKNOWN
        self._lost = self._rooms.notes.put(
            LinkNote(
                self.context.link_id, self._end, ERRORS[code].grpc_status, code.value,
                self._rooms.now_ms(),
            )
        )  # fmt: skip


def _first_error(tasks: list[asyncio.Task[None]]) -> SimpulError | None:
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, SimpulError):
                return error
            _log.error("link failed", exc_info=error)
            return SimpulError(Code.INTERNAL, "this node failed; its log says why")
    return None


def _streams(kind: Kind) -> bool:
    """An open whose requests go on: what waits for it has no bound on a link of many calls."""
    return isinstance(kind, Open) and not kind.unary
