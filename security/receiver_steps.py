"""The receiver's twelve checks, each its own function; `receiver` says what each is and why.

They take what came and what is known, change nothing, and raise a `LinkFault` with their number.
Those of steps 8, 9 and 11 that concern calls only hand back a `CallFault` instead.

Source: docs/spec, "What a receiver checks".
"""

from dataclasses import dataclass

from security import entry, merkle
from security.call_state import Side
from security.calls import Call, CallTable, advance, begin
from security.commitment import rounded
from security.directory import DirectoryView
from security.entry import ParsedEntry, SealedEntry, entry_digest, parse_entry
from security.errors import CallFault, Code, LinkFault, SimpulError
from security.kinds import EntryKind, Open
from security.limits import (
    CLOCK_AHEAD_MS,
    MAX_ENTRY_BYTES,
    MAX_HEADER_BYTES,
    MAX_SEAL_BYTES,
    Limits,
)
from security.parcel import HeaderFields, parse_header
from security.private import Private, parse_private
from security.seal import Seal, parse_seal, verify_seal
from security.sender import LinkContext, Sender
from security.strict import parse
from simpul.v1 import parcel_pb2

STEP_SIZE = 1
STEP_PARSE = 2
STEP_ADDRESS = 3
STEP_ORDER = 4
STEP_TIME = 5
STEP_ROOT = 6
STEP_SEAL = 7
STEP_MEMBER = 8
STEP_KEY = 9
STEP_STATE = 10
STEP_PARTY = 11
STEP_COMMITMENT = 12

_NOT_LISTED = frozenset({Code.MEMBER_UNKNOWN, Code.KEY_UNKNOWN})


class UnknownKey(SimpulError):  # noqa: N818 (it is a question, answered by fetching, not an error)
    """The directory at hand doesn't list the seal's key, and the parcel goes by another one."""

    def __init__(self, directory_hash: bytes) -> None:
        super().__init__(
            Code.KEY_UNKNOWN,
            "the parcel goes by a directory that isn't here yet; fetch it",
            directory=directory_hash.hex(),
        )
        self.directory_hash = directory_hash


@dataclass(frozen=True, slots=True)
class ReceiverState:
    """What one direction has brought so far; replaced as a whole with each accepted parcel."""

    # Of the next parcel, and the hash that its header must name.
    number: int
    previous: bytes
    # How many opens the peer lets us send in all, and how many it sent.
    credit: int
    sealed_at_ms: int
    opens: int
    # Nothing after our parcel of this number was or will be started there.
    drain: int | None


@dataclass(frozen=True, slots=True)
class IncomingEntry:
    """An entry off the wire, well-formed."""

    sealed: SealedEntry
    parsed: ParsedEntry
    private: Private | None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A parcel off the wire, well-formed."""

    header: bytes
    fields: HeaderFields
    seal_bytes: bytes
    seal: Seal
    entries: tuple[IncomingEntry, ...]


@dataclass(frozen=True, slots=True)
class Advanced:
    """Calls as a parcel's entries would leave them; and for each entry whence, and if late."""

    calls: dict[bytes, Call]
    sides: tuple[Side, ...]
    late: tuple[bool, ...]


def read(parcel: parcel_pb2.Parcel | bytes, limits: Limits) -> Incoming:
    """Steps 1 and 2: sizes, then strict parsing, of the parcel and then of what is in it."""
    size = len(parcel) if isinstance(parcel, bytes) else parcel.ByteSize()
    if size > limits.max_parcel_bytes:
        raise _too_large("a parcel", size, limits.max_parcel_bytes)
    try:
        message = parcel if not isinstance(parcel, bytes) else _parse_parcel(parcel, limits)
        check_sizes(message, limits)
        incoming = _parse_inside(message, limits)
    except LinkFault:
        raise
    except SimpulError as error:
        raise _fault(STEP_PARSE, error) from None
    check_promised_sizes(incoming, limits)
    return incoming


def check_sizes(message: parcel_pb2.Parcel, limits: Limits) -> None:
    """Step 1: the header, the seal, the entries and what is beside them."""
    if len(message.entries) > limits.max_entries:
        raise _too_large("a parcel's entries", len(message.entries), limits.max_entries, "")
    _check_size("a header", message.header, MAX_HEADER_BYTES)
    _check_size("a seal", message.seal, MAX_SEAL_BYTES)
    for sealed in message.entries:
        _check_size("an entry", sealed.entry, MAX_ENTRY_BYTES)
        _check_size("a payload", sealed.payload, limits.max_message_bytes)
        _check_size("a private block", sealed.private_block, limits.max_metadata_bytes)


def check_promised_sizes(incoming: Incoming, limits: Limits) -> None:
    """Step 1 again, for payloads that follow in chunks: their length is in the commitment."""
    most = rounded(limits.max_message_bytes)
    for item in incoming.entries:
        payload = item.parsed.payload
        if payload is not None and payload.rounded_bytes > most:
            raise _too_large("a payload", payload.rounded_bytes, limits.max_message_bytes)


def check_address(fields: HeaderFields, context: LinkContext) -> None:
    """Step 3: of the agreed version, within the federation, for this node and this link."""
    if fields.version != context.version:
        raise LinkFault(
            Code.PARCEL_VERSION,
            f"a parcel is of version {fields.version}; the greetings agreed on {context.version}",
            step=STEP_ADDRESS,
        )
    if (
        fields.federation != context.federation
        or fields.member.federation != context.federation
        or fields.node != context.my_node
        or fields.link_id != context.link_id
    ):
        raise LinkFault(
            Code.PARCEL_MISADDRESSED,
            f"a parcel for {fields.node} of {fields.federation} came on a link to "
            f"{context.my_node}, or on another link than its own; send it where it belongs",
            step=STEP_ADDRESS,
        )


def check_order(incoming: Incoming, state: ReceiverState, sender: Sender) -> int:
    """Step 4: number, previous, received, credit, drain. Returns the peer's opens in all."""
    fields = incoming.fields
    if fields.number != state.number or fields.previous != state.previous:
        raise _out_of_order(f"number {fields.number} or its previous hash; {state.number} is due")
    last, received = sender.acknowledged, fields.received
    if received is None:
        if last is not None:
            raise _out_of_order("its receipt is gone")
    # A receipt that goes back fails here too: only the last acknowledged and later hashes are kept.
    elif sender.sent_hash(received.number) != received.header_hash:
        raise _out_of_order("its receipt goes back, or names what was never sent")
    if fields.credit < state.credit:
        raise _out_of_order("its credit falls")
    if fields.drain != state.drain and (
        state.drain is not None or received is None or (fields.drain or 0) > received.number
    ):
        raise _out_of_order("its drain changes, or names what it has not received")
    opens = state.opens + sum(item.parsed.kind.kind is EntryKind.OPEN for item in incoming.entries)
    if opens > sender.credit_given:
        raise LinkFault(
            Code.CREDIT_EXCEEDED,
            f"{opens} opens came and {sender.credit_given} were granted; wait for credit",
            step=STEP_ORDER,
        )
    return opens


def check_time(fields: HeaderFields, state: ReceiverState, now_ms: int) -> None:
    """Step 5: not before the last parcel, and at most 60 s ahead. Age is the greeting's."""
    if not state.sealed_at_ms <= fields.sealed_at_ms <= now_ms + CLOCK_AHEAD_MS:
        raise LinkFault(
            Code.PARCEL_TIME,
            "a parcel is sealed before the one before it, or over 60 s ahead; set the clocks",
            step=STEP_TIME,
        )


def check_root(incoming: Incoming) -> None:
    """Step 6: the header counts these entries, and its root is theirs."""
    leaves = [merkle.leaf_hash(item.sealed.entry) for item in incoming.entries]
    fields = incoming.fields
    if fields.entry_count != len(leaves) or fields.entries_root != merkle.root(leaves):
        raise LinkFault(
            Code.PARCEL_ROOT,
            "a parcel's entries aren't those that its header was made over; the parcel was "
            "changed on its way, so look who can",
            step=STEP_ROOT,
        )


def check_seal(
    incoming: Incoming, header_hash: bytes, directory: DirectoryView, *, fetched: bool
) -> None:
    """Step 7: the seal, by the key that the directory lists, be it valid or not.

    A key that isn't listed: `UnknownKey` where fetching may help; else it is left to 8 and 9.
    """
    fields = incoming.fields
    try:
        key = directory.seal_key_bytes(fields.member, fields.seal_key_id)
    except SimpulError as error:
        if error.code not in _NOT_LISTED:
            raise
        if not fetched and fields.directory_hash != directory.hash:
            raise UnknownKey(fields.directory_hash) from None
        return
    try:
        verify_seal(incoming.seal, header_hash, key)
    except SimpulError as error:
        raise _fault(STEP_SEAL, error) from None


def member_fault(
    fields: HeaderFields, context: LinkContext, directory: DirectoryView
) -> CallFault | None:
    """Step 8: the sending member is listed, active, and hosted by the node at the other end."""
    try:
        keys = directory.require_active(fields.member).seal_keys.values()
        directory.require_active_node(context.peer_node)
    except SimpulError as error:
        return CallFault(error.code, error.message, step=STEP_MEMBER, **error.details)
    if any(key.node == context.peer_node for key in keys):
        return None
    return CallFault(
        Code.ENTRY_PARTY,
        f"{fields.member} isn't hosted by {context.peer_node}; list a seal key for that node",
        step=STEP_MEMBER,
    )


def key_fault(
    fields: HeaderFields, context: LinkContext, directory: DirectoryView, now_ms: int
) -> CallFault | None:
    """Step 9: the seal key is the member's, for that node, valid now, and not revoked."""
    try:
        directory.seal_key(fields.member, fields.seal_key_id, context.peer_node, now_ms)
    except SimpulError as error:
        return CallFault(error.code, error.message, step=STEP_KEY, **error.details)
    return None


def check_states(incoming: Incoming, context: LinkContext, table: CallTable) -> Advanced:
    """Step 10: each entry is allowed in its call's state, after those before it."""
    received = incoming.fields.received
    acknowledged = -1 if received is None else received.number
    calls: dict[bytes, Call] = {}
    sides: list[Side] = []
    late: list[bool] = []
    for item in incoming.entries:
        call_id = item.parsed.call_id
        call = calls.get(call_id)
        if call is None:
            call = table.get(call_id, acknowledged=acknowledged)
        try:
            advanced = _advance(item, call, context)
        except SimpulError as error:
            raise _fault(STEP_STATE, error) from None
        calls[call_id] = advanced
        sides.append(advanced.here.other)
        late.append(call is not None and call.closed)
    return Advanced(calls, tuple(sides), tuple(late))


def check_parties(
    incoming: Incoming, advanced: Advanced, context: LinkContext
) -> list[CallFault | None]:
    """Step 11: the sending member is the call's party on that side; its provider is served here.

    Not of a refusal: where the provider is no member of the node that was asked, another of its
    members says so. Whether it is one of that node's, step 8 has judged.
    """
    member = incoming.fields.member
    faults: list[CallFault | None] = []
    for item, side in zip(incoming.entries, advanced.sides, strict=True):
        call = advanced.calls[item.parsed.call_id]
        if call.party(side) != member and item.parsed.kind.kind is not EntryKind.REFUSE:
            raise LinkFault(
                Code.ENTRY_PARTY,
                f"{member} sealed a {item.parsed.kind.kind} of a call of {call.party(side)}; "
                "each member seals its own entries",
                step=STEP_PARTY,
                call_id=item.parsed.call_id.hex(),
            )
        unserved = item.parsed.kind.kind is EntryKind.OPEN and call.provider not in context.hosted
        faults.append(_not_served(call, context) if unserved else None)
    return faults


def check_commitments(incoming: Incoming) -> None:
    """Step 12: payloads and private blocks are what their entries commit to."""
    for item in incoming.entries:
        try:
            entry.check_commitments(item.parsed, item.sealed)
        except SimpulError as error:
            raise _fault(STEP_COMMITMENT, error) from None


def _parse_parcel(data: bytes, limits: Limits) -> parcel_pb2.Parcel:
    return parse(parcel_pb2.Parcel, data, limits.max_parcel_bytes, code=Code.PARCEL_MALFORMED)


def _parse_inside(message: parcel_pb2.Parcel, limits: Limits) -> Incoming:
    return Incoming(
        message.header,
        parse_header(message.header),
        message.seal,
        parse_seal(message.seal),
        tuple(_parse_entry(entry.from_proto(sealed), limits) for sealed in message.entries),
    )


def _parse_entry(sealed: SealedEntry, limits: Limits) -> IncomingEntry:
    parsed = parse_entry(sealed.entry)
    private = (
        None if sealed.private is None else parse_private(sealed.private, parsed.kind.kind, limits)
    )
    return IncomingEntry(sealed, parsed, private)


def _advance(item: IncomingEntry, call: Call | None, context: LinkContext) -> Call:
    parsed = item.parsed
    if context.child_call_id is not None and parsed.call_id != context.child_call_id:
        raise _unexpected(parsed, "is of another call than this child link's")
    if isinstance(parsed.kind, Open):
        if call is not None:
            raise _unexpected(parsed, "opens a call that is there")
        return begin(parsed, parsed.kind, entry_digest(item.sealed.entry), Side.PROVIDER)
    if call is None:
        raise _unexpected(parsed, "is of a call that never was, or is over")
    return advance(call, parsed, call.here.other)


def _unexpected(parsed: ParsedEntry, what: str) -> SimpulError:
    return SimpulError(
        Code.ENTRY_STATE,
        f"a {parsed.kind.kind} {what}; report it to the sender's operator: its node breaks the "
        "protocol",
        call_id=parsed.call_id.hex(),
    )


def _not_served(call: Call, context: LinkContext) -> CallFault:
    return CallFault(
        Code.SUBSYSTEM_UNKNOWN,
        f"{call.provider} isn't served by {context.my_node}; look it up in a newer directory",
        step=STEP_PARTY,
    )


def _check_size(what: str, data: bytes, most: int) -> None:
    if len(data) > most:
        raise _too_large(what, len(data), most)


def _too_large(what: str, size: int, most: int, unit: str = " bytes") -> LinkFault:
    return LinkFault(
        Code.PARCEL_TOO_LARGE,
        f"{what}: {size}{unit}, and {most} may be; keep to the limits of the greeting",
        step=STEP_SIZE,
    )


def _out_of_order(what: str) -> LinkFault:
    return LinkFault(
        Code.PARCEL_ORDER,
        f"a parcel isn't the next of this link: {what}; open another link",
        step=STEP_ORDER,
    )


def _fault(step: int, error: SimpulError) -> LinkFault:
    return LinkFault(error.code, error.message, step=step, **error.details)
