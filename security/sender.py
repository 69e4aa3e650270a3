"""The sending side of one direction of a link: what the next header says, and what was said.

It makes entries (indices, tallies and the open's digest are filled in here, so that nobody else
can get them wrong), gathers them into headers, and remembers what the peer will answer for:

- numbers run from 0 without gaps, and each header names the one before it; so what `prepare`
  returned must be sealed and sent, in that order, or the link ended;
- the hashes of headers are kept until acknowledged, for `received` to be checked against;
- `received` names the last parcel of the peer that is durable here, as the journal told;
- credit, ours and the peer's, is a running total of opens and never falls;
- the time never goes back, even if the clock does.

Nothing here seals, sends or waits. Source: docs/spec, "Links: sending".
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Final

from security.call_state import Side
from security.calls import Call, CallTable, advance, begin
from security.commitment import Commitment
from security.entry import (
    EntryDraft,
    SealedEntry,
    commit_to_payload,
    entry_digest,
    make_parsed_entry,
)
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from security.kinds import Cancel, Close, EntryKind, HalfClose, Kind, Open, Refuse
from security.limits import Limits
from security.parcel import (
    VERSION,
    HeaderFields,
    Received,
    entries_root,
    header_hash,
    make_header,
)

# Receipts are due every 256 parcels: a peer that lets so many go by has stopped.
MAX_UNACKNOWLEDGED: Final = 4096


@dataclass(frozen=True, slots=True)
class LinkContext:
    """What both sides of a link agreed on in their greetings.

    A child link serves one call, `child_call_id`; its credits are 1 for the consumer and 0 for the
    other side.
    """

    federation: str
    my_node: NodeId
    peer_node: NodeId
    link_id: bytes
    # The members whose calls are served here; what it holds may change while the link lives.
    hosted: Container[MemberId]
    limits: Limits
    # Opens that the peer may send us at first, and that we may send it.
    credit_given: int
    credit_taken: int
    child_call_id: bytes | None = None
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class OutgoingEntry:
    """An entry that waits to go out. All entries of one parcel are of one member."""

    sealed: SealedEntry
    call_id: bytes
    kind: EntryKind
    # The side of the call that this node is on, and its party there.
    here: Side
    member: MemberId


@dataclass(frozen=True, slots=True)
class PreparedParcel:
    """A parcel to be sealed: its header's bytes and hash, and the entries that are in it."""

    fields: HeaderFields
    header: bytes
    header_hash: bytes
    entries: tuple[SealedEntry, ...]


class Sender:
    """One direction of one link, and the link's calls. Made with the link, gone with it."""

    def __init__(self, context: LinkContext) -> None:
        self.context = context
        self.calls = CallTable()
        self._number = 0
        self._previous = context.link_id
        self._sealed_at_ms = 0
        self._received: Received | None = None
        self._acknowledged: Received | None = None
        # Header hashes by number, from the one after `_acknowledged` on.
        self._unacknowledged: dict[int, bytes] = {}
        self._credit_given = context.credit_given
        self._credit_taken = context.credit_taken
        self._opens = 0
        self._drain: int | None = None
        self._closes_heard = 0

    @property
    def number(self) -> int:
        """The number of the next parcel: how many were prepared."""
        return self._number

    @property
    def credit_given(self) -> int:
        """How many opens the peer may have sent us in all."""
        return self._credit_given

    @property
    def opens_left(self) -> int:
        """How many more opens may be made now."""
        return self._credit_taken - self._opens

    @property
    def closes_heard(self) -> int:
        """How many of the peer's calls ended here in parcels that it has acknowledged."""
        return self._closes_heard

    @property
    def acknowledged(self) -> Received | None:
        """Our last parcel that the peer said is durable there."""
        return self._acknowledged

    @property
    def unacknowledged(self) -> int:
        """How many of our parcels the peer has not acknowledged."""
        return len(self._unacknowledged)

    @property
    def received(self) -> Received | None:
        """The peer's last parcel that is durable here."""
        return self._received

    @property
    def draining(self) -> int | None:
        """The peer's last parcel of which anything was started here, once that is to be said."""
        return self._drain

    def add(
        self,
        kind: Kind,
        call_id: bytes,
        salts: bytes,
        *,
        payload: bytes | None = None,
        compressed: bool = False,
        private: bytes | None = None,
        host: MemberId | None = None,
    ) -> OutgoingEntry:
        """Make the next entry of a call, and advance the call by it.

        Tallies and the open's digest in `kind` are filled in. `salts` are 48 fresh random bytes.
        `host` is a member of this node: what is asked of one that it doesn't host, it refuses in
        that member's name.

        Raises:
            SimpulError: ENTRY_STATE if the call is over or the entry may not come now;
                CREDIT_EXCEEDED if it is an open and none is left. Nothing has changed then.
        """
        call = self.calls.get(call_id)
        if isinstance(kind, Open):
            return self._open(
                kind, EntryDraft(kind, call_id, 0, payload, compressed, private), salts
            )
        if call is None or (call.closed and call.here is Side.CONSUMER):
            raise SimpulError(
                Code.ENTRY_STATE,
                f"call {call_id.hex()} is over or never was; begin a new one",
                call_id=call_id.hex(),
            )
        side = call.here
        index = call.request_index if side is Side.CONSUMER else call.response_index
        committed = commit_to_payload(payload, salts)
        completed = _completed(kind, call, committed)
        draft = EntryDraft(completed, call_id, index, payload, compressed, private)
        sealed, entry = make_parsed_entry(draft, salts, committed)
        self.calls.update({call_id: advance(call, entry, side)})
        party = call.party(side)
        if isinstance(kind, Refuse) and host is not None and party not in self.context.hosted:
            party = host
        return OutgoingEntry(sealed, call_id, kind.kind, side, party)

    def _open(self, kind: Open, draft: EntryDraft, salts: bytes) -> OutgoingEntry:
        if self.calls.get(draft.call_id) is not None:
            raise SimpulError(
                Code.ENTRY_STATE, f"call {draft.call_id.hex()} is under way; begin a new one"
            )
        if self.opens_left < 1:
            raise SimpulError(
                Code.CREDIT_EXCEEDED,
                f"{self.context.peer_node} takes no further calls on this link; wait for credit",
            )
        sealed, entry = make_parsed_entry(draft, salts, commit_to_payload(draft.payload, salts))
        call = begin(entry, kind, entry_digest(sealed.entry), Side.CONSUMER)
        self.calls.update({draft.call_id: call})
        self._opens += 1
        return OutgoingEntry(sealed, draft.call_id, EntryKind.OPEN, Side.CONSUMER, call.consumer)

    def prepare(
        self,
        entries: Sequence[OutgoingEntry],
        *,
        member: MemberId,
        seal_key_id: bytes,
        directory_hash: bytes,
        now_ms: int,
    ) -> PreparedParcel:
        """Make the next header, over entries of one member in the order of `add`; none: a receipt.

        Entries of calls whose close was accepted meanwhile are left out: the peer would take them
        for a fault once this header acknowledges the close.

        Raises:
            SimpulError: OVERLOADED if too much is unacknowledged; send receipts only, and wait.
            ValueError: an entry is of another member; a caller of ours is wrong.
        """
        due = [item for item in entries if self._is_due(item)]
        if any(item.member != member for item in due):
            raise ValueError("a parcel holds entries of one member")
        if due and self.unacknowledged >= MAX_UNACKNOWLEDGED:
            raise SimpulError(
                Code.OVERLOADED,
                f"{self.context.peer_node} has acknowledged none of {self.unacknowledged} parcels; "
                "wait, or open another link",
            )
        sealed = tuple(item.sealed for item in due)
        fields = self._fields(sealed, member, seal_key_id, directory_hash, now_ms)
        header = make_header(fields)
        hashed = header_hash(header)
        for item in due:
            if item.kind is EntryKind.CLOSE or item.kind is EntryKind.REFUSE:
                self.calls.closed_in(self._number, item.call_id)
        self._unacknowledged[self._number] = hashed
        self._number += 1
        self._previous = hashed
        self._sealed_at_ms = fields.sealed_at_ms
        return PreparedParcel(fields, header, hashed, sealed)

    def _is_due(self, item: OutgoingEntry) -> bool:
        return item.here is Side.PROVIDER or self.calls.get(item.call_id) is not None

    def _fields(
        self,
        entries: Sequence[SealedEntry],
        member: MemberId,
        seal_key_id: bytes,
        directory_hash: bytes,
        now_ms: int,
    ) -> HeaderFields:
        context = self.context
        return HeaderFields(
            context.federation,
            member,
            seal_key_id,
            context.peer_node,
            context.link_id,
            self._number,
            self._previous,
            self._received,
            self._credit_given,
            max(now_ms, self._sealed_at_ms),
            directory_hash,
            len(entries),
            entries_root(entries),
            self._drain,
            context.version,
        )

    def durable(self, received: Received) -> None:
        """Note that the peer's parcels up to this one are durable here: headers will say so.

        Raises:
            ValueError: it goes back; a caller of ours is wrong.
        """
        if self._received is not None and received.number < self._received.number:
            raise ValueError("a parcel that is durable stays so")
        self._received = received

    def grant(self, credit: int) -> None:
        """Let the peer send this many opens in all; raises ValueError where that is fewer."""
        if credit < self._credit_given:
            raise ValueError("credit is a running total and never falls")
        self._credit_given = credit

    def drain(self) -> None:
        """Say from now on that nothing after the peer's last durable parcel was or will be started.

        The caller has seen to it that this is so. It holds for the rest of the link.

        Raises:
            ValueError: no parcel of the peer is durable here, so there is nothing to drain.
        """
        if self._received is None:
            raise ValueError("a link on which nothing came needs no drain; close it")
        if self._drain is None:
            self._drain = self._received.number

    def sent_hash(self, number: int) -> bytes | None:
        """Our header's hash, if it is the last acknowledged or a later one that was prepared."""
        if self._acknowledged is not None and self._acknowledged.number == number:
            return self._acknowledged.header_hash
        return self._unacknowledged.get(number)

    def heard(self, received: Received | None, credit: int) -> None:
        """Take over what an accepted header says; `receiver` has checked it."""
        self._credit_taken = credit
        if received is None:
            return
        first = 0 if self._acknowledged is None else self._acknowledged.number + 1
        for number in range(first, received.number + 1):
            del self._unacknowledged[number]
        self._acknowledged = received
        self._closes_heard += self.calls.acknowledged(received.number)


def _completed(kind: Kind, call: Call, payload: Commitment | None) -> Kind:
    """The kind with what the call's state says of it; a close's own message counts."""
    responses = call.responses
    match kind:
        case HalfClose():
            return HalfClose(call.requests)
        case Close():
            if payload is not None:
                responses = responses.add(payload.hash)
            return replace(
                kind, open_digest=call.open_digest, requests=call.requests, responses=responses
            )
        case Cancel():
            return replace(kind, requests=call.requests, responses=responses)
        case Refuse():
            return replace(kind, open_digest=call.open_digest)
        case _:
            return kind
