"""What a link takes and hands on, and what all links of a worker share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from node.calls import Message
from node.link.notes import Notes
from node.link.outbox import Ticket
from node.link.refusals import Refusals
from node.link.sealer import Recorder, Sealer
from node.link.unsettled import Unsettled
from node.link.watch import LinkMetrics
from node.model import Current
from runtime.tracing import OFF
from security.errors import CallFault, Code, SimpulError
from security.identifiers import MemberId, NodeId
from security.kinds import Kind, Open
from security.persons import Persons
from security.private import NOTHING_PRIVATE, Private
from security.receiver import AcceptedEntry


@dataclass(frozen=True, slots=True)
class ReceivedEntry:
    """An entry that is verified and durable here, on its way to its call."""

    accepted: AcceptedEntry
    # Who sealed it.
    member: MemberId
    # When its parcel came, by `LinkRooms.now_ns`.
    arrived_ns: int = 0

    @property
    def call_id(self) -> bytes:
        """The call's id, 16 bytes."""
        return self.accepted.parsed.call_id

    @property
    def kind(self) -> Kind:
        """What it says."""
        return self.accepted.parsed.kind

    @property
    def private(self) -> Private:
        """Its private block."""
        return self.accepted.private or NOTHING_PRIVATE

    @property
    def fault(self) -> CallFault | None:
        """Why it must be refused, if so (the receiver's checks 8, 9 and 11)."""
        return self.accepted.fault

    @property
    def message(self) -> Message | None:
        """The gRPC message that it carries."""
        payload = self.accepted.sealed.payload
        return None if payload is None else Message(payload, self.accepted.parsed.compressed)


class CallHandler(Protocol):
    """One call's end on this side of a link."""

    def on_entry(self, entry: ReceivedEntry) -> Awaitable[None] | None:
        """Take the call's next entry. On a shared link it must not wait for an app or a service."""
        ...

    def on_lost(self, error: SimpulError) -> None:
        """The link ended before the call did; nothing more comes."""
        ...


class CallLink(Protocol):
    """A link, as the provider's end of a call on it sees it."""

    @property
    def peer(self) -> NodeId:
        """The node at the other end."""
        ...

    @property
    def local(self) -> bool:
        """Both ends are this node's."""
        ...

    @property
    def shared(self) -> bool:
        """It carries the unary calls of many; otherwise it is one streaming call's."""
        ...

    @property
    def max_call_ms(self) -> int:
        """The longest that any call may take here."""
        ...

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
        ...

    def check_size(self, payload: bytes | None, private: bytes | None) -> None:
        """Whether the peer takes a message and a private block of these sizes now.

        Raises:
            SimpulError: MESSAGE_TOO_LARGE, METADATA_TOO_LARGE, or OVERLOADED, with the hop.
        """
        ...

    async def room(self) -> None:
        """Wait until the peer has taken enough of what was said for more to be said."""
        ...


# Takes an open that is durable here, and returns the handler of the entries that follow.
Opener = Callable[[CallLink, ReceivedEntry], CallHandler]


@dataclass(frozen=True, slots=True)
class LinkRooms:
    """What all links of a worker share."""

    current: Current
    sealer: Sealer
    journal: Recorder
    opener: Opener
    metrics: LinkMetrics
    refusals: Refusals
    unsettled: Unsettled
    # Asks for the directory with this hash; at most 2 s.
    refresh: Callable[[bytes], Awaitable[None]]
    # The member in whose name receipts go out.
    member: MemberId
    now_ms: Callable[[], int]
    # What no parcel says.
    notes: Notes
    # For spans: when a parcel came. 0 where nothing is traced.
    now_ns: Callable[[], int] = OFF.now_ns


@dataclass(slots=True, eq=False)
class Opening:
    """An open that was asked for; `ticket` is set when the peer's credit let it go."""

    kind: Open
    call_id: bytes
    payload: bytes | None = None
    compressed: bool = False
    private: bytes | None = None
    # Whom the private block names: the journal finds the call by them.
    persons: Persons | None = None
    ticket: Ticket | None = None
    # Told when it is sealed, with the future of its being durable.
    on_sealed: Callable[[asyncio.Future[None]], None] | None = None

    @property
    def sealed(self) -> bool:
        """It is part of a parcel, sent or about to be."""
        return self.ticket is not None and self.ticket.durable is not None


def draining(node: NodeId) -> SimpulError:
    """A node is about to stop, and began nothing of this."""
    return SimpulError(Code.NODE_DRAINING, f"{node} is about to stop; try again in a moment")


def not_started(peer: NodeId) -> SimpulError:
    """The call's open never left: another node may be tried."""
    return SimpulError(
        Code.NOT_STARTED, f"the link to {peer} ended before the call began; call again"
    )


def outcome_unknown(peer: NodeId) -> SimpulError:
    """The link ended while the call was under way."""
    return SimpulError(
        Code.OUTCOME_UNKNOWN,
        f"the link to {peer} ended while the call was under way, and whether the service did it is "
        "not known; ask before you call again",
    )
