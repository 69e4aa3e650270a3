"""The sending half of a link: what waits to be said, from its entry to its frame.

An entry waits in the outbox for the sealer, its parcel at the sealer for the disk, its frame in
line for the connection. All of it is counted: what waits for a peer that reads slowly is bounded
(docs/spec, "Links: sending").
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

from node.journal.model import LinkEnd, ParcelRecord
from node.link.contents import Contents
from node.link.frames import parcel_frame, taken_frame
from node.link.model import LinkRooms
from node.link.outbox import Outbox, Ticket, ticket
from node.link.outgoing import Outgoing
from node.link.receipts import Receipts
from node.link.records import sent_record
from node.link.sealer import Drawn
from node.link.stream import FrameStream
from security.commitment import commit_payload
from security.entry import ENTRY_SALT_BYTES
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from security.kinds import EntryKind, Kind
from security.limits import INLINE_MAX_BYTES
from security.sender import MAX_UNACKNOWLEDGED, PreparedParcel, Sender

# Bytes that wait for the connection before `room` waits too.
MAX_UNSENT_BYTES: Final = 1024 * 1024
# Of messages that wait on a shared link for its peer; one more is refused, with its call.
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024


class Sending:
    """One link's sending half (`sealer.Sealable`). `run` lives as long as the link."""

    def __init__(
        self,
        sender: Sender,
        rooms: LinkRooms,
        end: LinkEnd,
        contents: Contents,
        *,
        made: Callable[[bytes, int], None],
        cut: Callable[[SimpulError | None], None],
    ) -> None:
        """`made` is told which parcel holds the open of a call; `cut` ends the link."""
        self.sender = sender
        self.receipts = Receipts(sender, self.wake)
        # Set when something was sealed here, and when all was written that will be.
        self.begun, self.written_all = asyncio.Event(), asyncio.Event()
        # The number of the last parcel that the connection may have got.
        self.last_written = -1
        self._rooms = rooms
        self._end = end
        self._contents = contents
        self._made = made
        self._cut = cut
        self._outbox = Outbox()
        # What the sealer holds, by the number of the parcel.
        self._sealing: dict[int, int] = {}
        self._outgoing = Outgoing(shared=sender.context.child_call_id is None)
        self._moved = asyncio.Event()
        self._stopped = False

    @property
    def waiting_bytes(self) -> int:
        """What waits here for the peer, at whatever stage."""
        return self._outbox.bytes + sum(self._sealing.values()) + self._outgoing.waiting_bytes

    @property
    def finished(self) -> bool:
        """Nothing more will be said."""
        return self._outgoing.finished

    def check_size(self, payload: bytes | None, private: bytes | None, *, beside: int) -> None:
        """Whether the peer takes a message and a private block of these sizes now.

        Raises:
            SimpulError: MESSAGE_TOO_LARGE or METADATA_TOO_LARGE, with the limit and the hop;
                OVERLOADED, where with the `beside` bytes too much waits for the peer already.
        """
        context = self.sender.context
        limits, peer = context.limits, context.peer_node
        if payload is not None and len(payload) > limits.max_message_bytes:
            raise SimpulError(
                Code.MESSAGE_TOO_LARGE,
                f"a message has {len(payload)} bytes, and {limits.max_message_bytes} may pass "
                f"between this node and {peer}; send less at a time",
            )
        if private is not None and len(private) > limits.max_metadata_bytes:
            raise SimpulError(
                Code.METADATA_TOO_LARGE,
                f"metadata takes {len(private)} bytes, and {limits.max_metadata_bytes} may pass "
                f"between this node and {peer}; send less",
            )
        # Of a child link's call no more waits than `room` lets by.
        waiting_bytes = self.waiting_bytes + beside
        shared = context.child_call_id is None
        if shared and payload and waiting_bytes + len(payload) > MAX_WAITING_BYTES:
            raise SimpulError(
                Code.OVERLOADED,
                f"{waiting_bytes} bytes wait for {peer} to read them; try again when it has",
            )

    def put(
        self,
        kind: Kind,
        call_id: bytes,
        *,
        payload: bytes | None,
        compressed: bool,
        private: bytes | None,
    ) -> Ticket:
        """Say the next thing of a call.

        Raises:
            SimpulError: It may not come now; see `Sender.add`.
        """
        outgoing = self.sender.add(
            kind,
            call_id,
            os.urandom(ENTRY_SALT_BYTES),
            payload=payload,
            compressed=compressed,
            private=private,
            host=self._rooms.member,
        )
        made = ticket(outgoing)
        self._outbox.put(made)
        self.wake()
        return made

    def put_taken(self, taken_bytes: int) -> None:
        """Tell the peer how much of its payloads was taken, ahead of all else."""
        self._outgoing.put_first(taken_frame(taken_bytes))

    def taken(self, taken_bytes: int) -> None:
        """The peer says how much of ours it took; see `Outgoing.taken`."""
        self._outgoing.taken(taken_bytes)

    def wake(self) -> None:
        """Something may be sealed."""
        self._rooms.sealer.wake(self)

    def acknowledged(self) -> None:
        """The peer has more of what was said: the rest may go on."""
        if self._outbox:
            self.wake()

    async def room(self) -> None:
        """Wait until the peer has taken enough of what was said for more to be said."""
        await self._outbox.room()
        while self._outgoing.waiting_bytes >= MAX_UNSENT_BYTES and not self._stopped:
            await self._move()

    async def flush(self, timeout_s: float) -> None:
        """Have all that waits, and a last receipt, sealed, durable and in line for the writer."""
        self.receipts.ask()
        async with asyncio.timeout(timeout_s):
            while not self._stopped and (self._outbox or self.receipts.due or self._sealing):
                await self._move()

    def finish(self) -> None:
        """Nothing more will be said: the stream's own end follows what is in line."""
        self._outgoing.finish()

    def stop(self) -> None:
        """The link is over."""
        self._stopped = True
        self.receipts.stop()
        self._outbox.drop()
        self._moved.set()

    async def run(self, stream: FrameStream) -> None:
        """Write what is in line, to the stream's end.

        Raises:
            SimpulError: The stream is broken (PEER_UNREACHABLE).
        """
        while (frame := await self._outgoing.next()) is not None:
            before = self.last_written
            if frame.parcel is not None:
                self.last_written = frame.parcel
            try:
                await stream.write(frame.data)
            except SimpulError as error:
                if error.code is not Code.NOT_STARTED:
                    raise
                self.last_written = before
                raise SimpulError(Code.PEER_UNREACHABLE, error.message) from error
            self._moved.set()
        self.written_all.set()
        await stream.finish()

    # What the sealer asks.

    def draw(self) -> list[Drawn]:
        """Take what waits and prepare its parcels; a receipt alone where one is due."""
        if self._stopped:
            return []
        # A peer that acknowledges nothing gets no more, but receipts.
        stalled = self.sender.unacknowledged >= MAX_UNACKNOWLEDGED
        waiting = [] if stalled else self._outbox.take()
        if not waiting and self.receipts.due:
            waiting = [(self._rooms.member, [])]
        directory_hash = self._rooms.current.directory.hash if waiting else b""
        drawn = [self._prepare(member, tickets, directory_hash) for member, tickets in waiting]
        if drawn:
            self.begun.set()
            self.receipts.told()
        if self._outbox and not stalled:
            self.wake()
        return drawn

    def record(self, drawn: Drawn, seal: bytes) -> ParcelRecord:
        """The journal's record of a parcel of ours."""
        self._rooms.metrics.sent(len(drawn.parcel.entries))
        return sent_record(self.sender.context.peer_node, self._end, drawn, seal)

    def transmit(self, parcel: PreparedParcel, seal: bytes) -> None:
        """Put a sealed parcel in line for the writer, and its large payloads behind it."""
        number = parcel.fields.number
        self._outgoing.put(parcel_frame(parcel.header, seal, parcel.entries), number)
        for entry in parcel.entries:
            if entry.payload is not None and len(entry.payload) > INLINE_MAX_BYTES:
                commitment = commit_payload(entry.payload_salt, entry.payload)
                self._outgoing.put_payload(commitment.hash, entry.payload)
        self._sealing.pop(number, None)
        self._moved.set()

    def cut(self, error: SimpulError | None = None) -> None:
        """End the link at once."""
        self._cut(error)

    def _prepare(self, member: MemberId, tickets: list[Ticket], directory_hash: bytes) -> Drawn:
        parcel = self.sender.prepare(
            [each.outgoing for each in tickets],
            member=member,
            seal_key_id=self._rooms.sealer.key_id(member),
            directory_hash=directory_hash,
            now_ms=self._rooms.now_ms(),
        )
        number = parcel.fields.number
        self._sealing[number] = sum(each.bytes for each in tickets)
        for each in tickets:
            if each.outgoing.kind is EntryKind.OPEN:
                self._made(each.outgoing.call_id, number)
        return Drawn(parcel, tickets, self._contents.of_sent(_in_it(parcel, tickets)))

    async def _move(self) -> None:
        """Wait until something was sealed or written, or the link is over."""
        self._moved.clear()
        await self._moved.wait()


def _in_it(parcel: PreparedParcel, tickets: list[Ticket]) -> list[Ticket]:
    """The tickets of a parcel's entries: some may have been left out of it."""
    if len(parcel.entries) == len(tickets):
        return tickets
    entries = {id(entry) for entry in parcel.entries}
    return [each for each in tickets if id(each.outgoing.sealed) in entries]
