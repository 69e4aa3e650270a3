"""What a receiver checks of a parcel, in order, before anything of it is acted on.

     1  sizes, before parsing                                                         link
     2  strict parse of header, seal, entries and private blocks                      link
     3  version, federation, receiving node, link id                                  link
     4  number, previous, received, credit, drain                                     link
     5  sealed-at: not before the last parcel's, at most 60 s ahead                    link
     6  entry count and root equal the entries                                        link
     7  seal, by the key that the directory lists for member and key id               link
     8  sending member: listed, active, hosted by the node at the other end, which is
        active itself                                                                 call
     9  seal key: for that node, valid, not revoked                                   call
    10  each entry is allowed in its call's state, on this link                       link
    11  parties: an open is of the sending member, and later entries of the party on
        that side of the open, but for a refusal, which any member of the node may seal link
        an open's provider is served here                                             call
    12  commitments match payload, private block and lengths                          link

(13, durable, and 14, agreement, purpose, rate and deadline, are the node's.)

A *link fault* closes the link: no honest node sends it. It is raised, and then nothing has changed.
A *call fault* refuses the calls concerned: it is handed back beside the entries, whose calls have
advanced, and which must be journaled like all others but acted on by refusing, closing or
cancelling. Faults of 8 and 9 concern every entry of the parcel.

Where the design leaves a choice, this is what holds:

- Credit is checked in 4: with this parcel's opens the peer has sent at most what we have granted on
  this link, in the greeting or since. Its own `credit` to us never falls.
- `received` never goes back or away, and names one of our parcels by its true hash.
- `drain` names one of our parcels that `received` covers, and stays the same once said.
- A member's key that the directory doesn't list at all leaves the seal unverifiable. If the
  parcel goes by another directory than ours, `UnknownKey` is raised (nothing has changed) for the
  caller to fetch it, once, and to accept again with `fetched=True`. Then, or if the parcel goes by
  our own directory, it is a call fault of step 9 (of 8 where the member itself isn't listed): the
  link goes on, because a member that the registry removed must not cut off the others on its node.
  The seal is then not checked. That is safe: the parcel came over a link whose greeting the peer's
  node key signed, so nobody but that node can have sent it; and nothing of it is acted on.
- An open for a member not hosted here is a call fault, not a link fault: an honest peer with an
  older directory sends it after the member has moved. Nobody here can seal in that member's name,
  so a member that is hosted here seals the refusal.
- An entry of an unknown call is a link fault, but for what the consumer sent before it heard of our
  close: `calls` has the rule. Such entries are marked late.
- An open without an agreement, outside package `simpul.v1`, is malformed (2).
- An open in another member's name (a delegation) is a link fault until agreements name delegators.

Source: docs/spec, "What a receiver checks".
"""

from dataclasses import dataclass

from security import receiver_steps as steps
from security.call_state import Side
from security.directory import DirectoryView
from security.entry import ParsedEntry, SealedEntry
from security.errors import CallFault
from security.parcel import HeaderFields, header_hash
from security.private import Private
from security.receiver_steps import ReceiverState, UnknownKey
from security.sender import LinkContext, Sender
from simpul.v1 import parcel_pb2

__all__ = [
    "AcceptedEntry",
    "AcceptedParcel",
    "LinkContext",
    "Receiver",
    "ReceiverState",
    "UnknownKey",
]


@dataclass(frozen=True, slots=True)
class AcceptedEntry:
    """An entry that may be acted on once it is durable, unless it is late or has a fault."""

    parsed: ParsedEntry
    sealed: SealedEntry
    private: Private | None
    # The side of the call that it came from; this node is on the other.
    side: Side
    # It was sent before the consumer heard of our close: journal it, and do nothing else.
    late: bool
    fault: CallFault | None

    @property
    def awaits_payload(self) -> bool:
        """Whether the payload follows in chunks; `commitment.check_payload` judges it then."""
        return self.parsed.payload is not None and self.sealed.payload is None


@dataclass(frozen=True, slots=True)
class AcceptedParcel:
    """A parcel that passed, as it is journaled: the bytes that came, and what they say."""

    header: bytes
    header_hash: bytes
    seal: bytes
    fields: HeaderFields
    entries: tuple[AcceptedEntry, ...]
    # Of step 8 or 9, if any: it is every entry's fault too.
    fault: CallFault | None


class Receiver:
    """The receiving side of one direction of a link. Made with the link, gone with it."""

    def __init__(self, sender: Sender) -> None:
        self._context = sender.context
        self._sender = sender
        self._state = ReceiverState(
            number=0,
            previous=sender.context.link_id,
            credit=sender.context.credit_taken,
            sealed_at_ms=0,
            opens=0,
            drain=None,
        )

    @property
    def state(self) -> ReceiverState:
        """What was accepted so far: the next number, the chain, opens, the peer's credit."""
        return self._state

    def accept(
        self,
        parcel: parcel_pb2.Parcel | bytes,
        *,
        now_ms: int,
        directory: DirectoryView,
        fetched: bool = False,
    ) -> AcceptedParcel:
        """Check a parcel in all twelve steps, and take it over: calls advance, credit is noted.

        A parcel given as a message was read strictly by whoever read the frame around it.
        `fetched`: the directory that the parcel goes by was fetched, or is known or can't be had,
        so a key that is not listed is a call fault and no longer `UnknownKey`.

        Raises:
            LinkFault: by `step`; close the link.
            UnknownKey: fetch the directory of this hash, once, and accept again.
            In both cases nothing has changed.
        """
        context, sender, state = self._context, self._sender, self._state
        incoming = steps.read(parcel, context.limits)  # 1, 2
        fields = incoming.fields
        steps.check_address(fields, context)  # 3
        opens = steps.check_order(incoming, state, sender)  # 4
        steps.check_time(fields, state, now_ms)  # 5
        steps.check_root(incoming)  # 6
        hashed = header_hash(incoming.header)
        steps.check_seal(incoming, hashed, directory, fetched=fetched)  # 7
        fault = steps.member_fault(fields, context, directory)  # 8
        if fault is None:
            fault = steps.key_fault(fields, context, directory, now_ms)  # 9
        advanced = steps.check_states(incoming, context, sender.calls)  # 10
        party_faults = steps.check_parties(incoming, advanced, context)  # 11
        steps.check_commitments(incoming)  # 12

        sender.heard(fields.received, fields.credit)
        sender.calls.update(advanced.calls)
        self._state = ReceiverState(
            fields.number + 1, hashed, fields.credit, fields.sealed_at_ms, opens, fields.drain
        )
        return AcceptedParcel(
            incoming.header,
            hashed,
            incoming.seal_bytes,
            fields,
            tuple(
                AcceptedEntry(item.parsed, item.sealed, item.private, side, late, fault or party)
                for item, side, late, party in zip(
                    incoming.entries, advanced.sides, advanced.late, party_faults, strict=True
                )
            ),
            fault,
        )
