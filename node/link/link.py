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
import contextlib
from collections.abc import Awaitable, Coroutine
from typing import Any, Final

import structlog

from node.journal.model import LinkEnd, LinkNote
from node.link.contents import Contents
from node.link.delivery import Delivery
from node.link.frames import parse_frame
from node.link.model import (
    CallHandler,
    LinkRooms,
    Opening,
    ReceivedEntry,
    draining,
    not_started,
)
from node.link.ongoing import Ongoing
from node.link.records import received_record
from node.link.sending import Sending
from node.link.stream import FrameStream
from node.link.unsettled import Broken
from security.call_state import Side
from security.errors import ERRORS, Code, LinkFault, SimpulError
from security.identifiers import NodeId
from security.kinds import Close, EntryKind, Kind, Open, Refuse
from security.parcel import Received
from security.receiver import AcceptedParcel, Receiver, UnknownKey
from security.sender import LinkContext, Sender
from simpul.v1 import parcel_pb2

_log = structlog.get_logger(__name__)

# Opens that wait here for the peer's credit; more are refused, because the peer is overloaded.
MAX_WAITING_OPENS: Final = 10_000
# How long each step of an end in order may take.
FINISH_TIMEOUT_S: Final = 5.0
# An acceptor ends a link with these only while it has taken no parcel on it.
_TOOK_NOTHING: Final = frozenset({Code.NODE_DRAINING, Code.LINK_UNKNOWN})


class Link:
    """One end of a link. `run` lives as long as the link."""

    def __init__(
        self, context: LinkContext, stream: FrameStream, rooms: LinkRooms, end: LinkEnd
    ) -> None:
        self.context = context
        self._end = end
        self._stream = stream
        self._rooms = rooms
        self._calls = Ongoing(context.peer_node)
        self._sender = Sender(context)
        self._receiver = Receiver(self._sender)
        self._contents = Contents(rooms.current, rooms.journal, end, self.cut)
        self._sending = Sending(
            self._sender, rooms, end, self._contents, made=self._calls.in_parcel, cut=self.cut
        )
        self._delivery = Delivery(
            shared=self.shared,
            durable=self._now_durable,
            hand_on=self._hand_on,
            keep=self._contents.keep_late,
            now_ns=rooms.now_ns,
        )
        self._leaving = asyncio.Event()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._finishing = self._cut = self._broken = self._draining = self._in_order = False
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
    def max_call_ms(self) -> int:
        """The longest that any call may take: the stricter of both nodes' limits."""
        return self.context.limits.max_call_ms

    @property
    def dialled(self) -> bool:
        """This node opened it."""
        return self._end is LinkEnd.DIALLER

    @property
    def local(self) -> bool:
        """Both ends are this node's."""
        return self.context.peer_node == self.context.my_node

    @property
    def alive(self) -> bool:
        """New calls may go out on it."""
        return not self._leaving.is_set()

    @property
    def idle(self) -> bool:
        """No call is under way on it."""
        return not self._calls

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
        if self._calls.waiting >= MAX_WAITING_OPENS:
            raise SimpulError(
                Code.OVERLOADED, f"{self.peer} takes no more calls now; try again in a moment"
            )
        self._calls.ask(opening, handler)
        self._release()
        if self._calls.waiting:
            self._sending.receipts.hurry()
        return opening

    def withdraw(self, opening: Opening) -> bool:
        """Take back an open that has not been sealed yet; False where it is too late for that."""
        return self._calls.withdraw(opening)

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
        self._sending.put(kind, call_id, payload=payload, compressed=compressed, private=private)
        if isinstance(kind, Close | Refuse):
            self._calls.end(call_id)
        if isinstance(kind, Refuse) and not self.local:
            self._rooms.refusals.spend(self.peer, kind.code)

    def check_size(self, payload: bytes | None, private: bytes | None) -> None:
        """Whether the peer takes a message and a private block of these sizes now.

        Raises:
            SimpulError: MESSAGE_TOO_LARGE or METADATA_TOO_LARGE, with the limit and the hop;
                OVERLOADED, where too much waits for the peer already.
        """
        self._sending.check_size(payload, private, beside=self._calls.waiting_bytes)

    async def room(self) -> None:
        """Wait until the peer has taken enough of what was said for more to be said."""
        await self._sending.room()

    async def begun(self) -> None:
        """Wait until something was sealed here; on a child link, its call's open."""
        await self._sending.begun.wait()

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
            self._leaving.set()
            error = _first_error(tasks)
            if error is None and not self._cut:
                # The peer ended in order; what it said before is still handed on.
                await self._wind_up(tasks[1:])
                error = _first_error(tasks)
            elif not self._cut and self.dialled:
                # It broke; an answer that came before is still one.
                self._broken = True
                self._stream.close(error)
                handed_on = self._delivery.all_handed_on()
                await self._unless_over(handed_on, tasks[1:2], FINISH_TIMEOUT_S)
        finally:
            for task in tasks:
                task.cancel()
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                # Also where a peer that goes has this cancelled a second time.
                self._conclude(error)

    def retire(self) -> None:
        """Take no new calls: another link took this one's place."""
        self._leaving.set()

    async def left(self) -> None:
        """Wait until it takes no new calls: it was retired, its peer drains, or it ended."""
        await self._leaving.wait()

    async def over(self) -> None:
        """Wait until it has ended."""
        await asyncio.shield(self._over)

    async def quiet(self) -> None:
        """Wait until no call is under way on it."""
        await self._calls.quiet()

    def drain(self) -> None:
        """Tell the peer that nothing which comes from now on is begun. The opener sees to that.

        Only the dialler opens calls; what it had sent when it hears is begun elsewhere.
        """
        if self.dialled or self._draining or not self.alive:
            return
        self._draining = True
        if self._receiver.state.number == 0:
            # No parcel came, which a header could name; and that is all there is to say.
            self.cut(draining(self.context.my_node))
        elif self._sender.received is not None:
            self._say_drain()

    async def finish(self) -> None:
        """End in order: a last receipt, no more frames, then the peer's own end."""
        if not self._finishing and not self._over.done():
            self._finishing = True
            self._leaving.set()
            await self._flush()
            if self.dialled or not self._draining:
                self._sending.finish()
        await asyncio.wait({self._over}, timeout=FINISH_TIMEOUT_S)
        if not self._over.done():
            # The peer doesn't end its side, though it was asked to.
            self._sending.finish()
            self._stream.close()

    def cut(self, error: SimpulError | None = None) -> None:
        """End at once; the peer is told the error's code, if the stream can."""
        if not self._cut and error is not None:
            self._rooms.metrics.refused(error)
        self._cut = True
        self._leaving.set()
        self._stream.close(error)

    async def _wind_up(self, others: list[asyncio.Task[None]]) -> None:
        """The peer ended its side: hand on what it said, answer it, and end this side too."""
        await self._unless_over(self._delivery.all_handed_on(), others)
        if not self._sending.finished:
            if not self.dialled:
                await self._unless_over(self._calls.quiet(), others, FINISH_TIMEOUT_S)
            await self._flush()
            self._sending.finish()
            await self._unless_over(self._sending.written_all.wait(), others, FINISH_TIMEOUT_S)
        self._in_order = True

    async def _unless_over(
        self,
        waiting: Coroutine[Any, Any, object],
        others: list[asyncio.Task[None]],
        timeout_s: float | None = None,
    ) -> None:
        """Wait, unless one of the link's other tasks ends meanwhile."""
        task = asyncio.ensure_future(waiting)
        try:
            await asyncio.wait(
                {task, *others}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            # Also where this link is itself given up, meanwhile: nothing waits on.
            task.cancel()

    async def _flush(self) -> None:
        with contextlib.suppress(TimeoutError):
            await self._sending.flush(FINISH_TIMEOUT_S)

    async def _read(self) -> None:
        while (data := await self._stream.read()) is not None and not self._cut:
            frame = parse_frame(data, self.context.limits)
            match frame.WhichOneof("kind"):
                case "parcel":
                    await self._take(await self._accept(frame.parcel), len(data))
                case "chunk":
                    taken_bytes = self._delivery.chunk(frame.chunk)
                    if taken_bytes is not None:
                        self._sending.put_taken(taken_bytes)
                case "taken":
                    self._sending.taken(frame.taken.bytes)
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
        self._sending.receipts.heard(self._receiver.state.opens)
        self._release()
        record = received_record(
            self.peer, self._end, accepted, self._contents.of_received(accepted)
        )
        durable = self._rooms.journal.append_nowait([record])
        await self._delivery.put(durable, accepted, size, record.kept)

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
        await self._sending.run(self._stream)
        # The peer may go on.
        await asyncio.shield(self._over)

    def _now_durable(self, accepted: AcceptedParcel, size_bytes: int) -> None:
        fields = accepted.fields
        self._sender.durable(Received(fields.number, accepted.header_hash))
        if accepted.entries:
            ends = sum(
                entry.parsed.kind.kind in {EntryKind.CLOSE, EntryKind.REFUSE}
                for entry in accepted.entries
            )
            self._sending.receipts.owe(size_bytes, ends)
            if self._calls.waiting:
                self._sending.receipts.hurry()
        if self._draining and self._sender.draining is None:
            self._say_drain()
        if fields.drain is not None:
            self._heard_drain(fields.drain)

    def _say_drain(self) -> None:
        self._sender.drain()
        self._sending.receipts.ask()

    def _heard_drain(self, number: int) -> None:
        """The peer begins nothing more: what it did not begin may go elsewhere, at once."""
        self._leaving.set()
        for call_id in self._calls.drain(number, draining(self.peer)):
            self._sender.calls.forget(call_id)

    def _hand_on(self, entry: ReceivedEntry) -> Awaitable[None] | None:
        if isinstance(entry.kind, Open):
            if self._broken:
                return None
            handler = self._rooms.opener(self, entry)
            # It may have answered already, and so ended the call.
            if self._goes_on(entry.call_id):
                self._calls.begin(entry.call_id, handler)
            return None
        if entry.kind.kind in {EntryKind.CLOSE, EntryKind.REFUSE}:
            found = self._calls.end(entry.call_id)
        else:
            found = self._calls.get(entry.call_id)
        return None if found is None else found.on_entry(entry)

    def _release(self) -> None:
        """Let go what the peer's last header allows: opens by credit, entries by receipt."""
        self._sending.acknowledged()
        while self._calls.waiting and self._sender.opens_left > 0:
            opening = self._calls.next()
            self._contents.begin(opening.kind, opening.call_id, opening.persons)
            opening.ticket = self._sending.put(
                opening.kind,
                opening.call_id,
                payload=opening.payload,
                compressed=opening.compressed,
                private=opening.private,
            )
            opening.ticket.on_sealed = opening.on_sealed

    def _goes_on(self, call_id: bytes) -> bool:
        call = self._sender.calls.get(call_id)
        return call is not None and not call.closed

    def _conclude(self, error: SimpulError | None) -> None:
        self._over.set_result(None)
        self._leaving.set()
        self._rooms.metrics.down(shared=self.shared, error=error)
        self._sending.stop()
        self._delivery.cancel()
        if error is not None:
            self._rooms.refusals.complain(self.peer, error, link=self.context.link_id.hex())
        if isinstance(error, LinkFault):
            self._rooms.refusals.spend(self.peer, error.code)
        self._stream.close(error)
        untaken = error is not None and error.code in _TOOK_NOTHING and self.dialled
        nothing = untaken and self._receiver.state.number == 0
        self._note_lost()
        unknown = self._calls.lose(-1 if nothing else self._sending.last_written)
        in_order = self._in_order or (self._sending.written_all.is_set() and not self.dialled)
        if not self.local and (not in_order or error is not None or unknown):
            self._rooms.unsettled.add(Broken.of(self._sender, self._end, unknown))

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
