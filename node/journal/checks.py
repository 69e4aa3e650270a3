"""What `verify` checks of one parcel and of one call, on values alone.

    1 index     the slot's parcels are numbered 0, 1, 2, … without a gap
    2 header    it parses; its hash and the columns beside it are its own
    3 entries   each parses; their count and RFC 6962 root are the header's; salts fit
    4 leaf      leaf hash = RFC 6962 leaf of H("simpul/v1/journal-leaf", header, seal)
    5 tree      size and root of all leaves are those that the slot states
    6 chain     per link end and direction: numbers without gaps, each naming the hash before it
    7 place     each entry stands in the index under its call, kind and size, and nothing else does
    8 call      each call has one open and, unless unfinished, one end, and says what these say
    9 seal      the seal, where the caller brings a directory to judge it by
    10 node, 11 checkpoint: see `tree_checks`

Pure: each function yields what's wrong as (step, text). A check that can't be made because an
earlier one failed is left out; the earlier one is reported.

Source: docs/spec, "Journal: verification".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from node.journal.blobs import unpack_entries, unpack_salts
from node.journal.leaves import parcel_leaf
from node.journal.model import Direction, Outcome, Role
from security import merkle
from security.commitment import ROUND_BYTES
from security.entry import ParsedEntry, parse_entry
from security.errors import SimpulError
from security.kinds import Close, EntryKind, Open, Refuse
from security.parcel import HeaderFields, header_hash, parse_header


class Step(IntEnum):
    """The checks' numbers; see the module's text."""

    INDEX = 1
    HEADER = 2
    ENTRIES = 3
    LEAF = 4
    TREE = 5
    CHAIN = 6
    PLACE = 7
    CALL = 8
    SEAL = 9
    NODE = 10
    CHECKPOINT = 11


Finding = tuple[Step, str]
# Given a header, its seal and its hash: raises SimpulError where the seal doesn't hold.
SealCheck = Callable[[HeaderFields, bytes, bytes], None]

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class StoredParcel:
    """A parcel as it lies in the database, and the hash of its predecessor on the link."""

    slot: int
    idx: int
    # None, here and below: a number that stands for nothing.
    direction: Direction | None
    link_id: bytes
    peer: str
    # It's found under the peer of its link.
    is_under_peer: bool
    member: str
    number: int
    sealed_at_ms: int
    leaf_hash: bytes
    header_hash: bytes
    entry_count: int
    header: bytes
    seal: bytes
    entries: bytes
    salts: bytes | None
    # Of the parcel before it on this link end and direction, where that stands earlier in the slot.
    previous: bytes | None


@dataclass(frozen=True, slots=True)
class StoredPlace:
    """What the index says of one entry, and of its call."""

    direction: Direction | None
    kind: str | None
    blocks: int
    call_id: bytes | None
    role: Role | None = None
    status: int | None = None
    # consumer, provider, service, method, agreement (hex), purpose, code.
    names: tuple[str, ...] = ()
    gather: bytes | None = None


@dataclass(frozen=True, slots=True)
class StoredCall:
    """What the index says of one call, and how many entries of each kind are under it."""

    outcome: Outcome | None
    has_link: bool
    kinds: Mapping[str, int]


def check_header(parcel: StoredParcel, fields: HeaderFields | SimpulError) -> Iterator[Finding]:
    """Step 2. `fields` is what parsing the header gave."""
    if isinstance(fields, SimpulError):
        yield Step.HEADER, f"the header doesn't parse: {fields.message}"
        return
    if parcel.direction is None:
        yield Step.HEADER, "it was neither sent nor received"
    if not parcel.is_under_peer:
        yield Step.HEADER, "it's listed under another peer than its link's"
    if header_hash(parcel.header) != parcel.header_hash:
        yield Step.HEADER, "the header's hash isn't the one recorded"
    beside = {
        "member": (str(fields.member), parcel.member),
        "link": (fields.link_id, parcel.link_id),
        "number": (fields.number, parcel.number),
        "time": (fields.sealed_at_ms, parcel.sealed_at_ms),
        "entry count": (fields.entry_count, parcel.entry_count),
    }
    if parcel.direction is Direction.SENT:
        beside["receiving node"] = (str(fields.node), parcel.peer)
    for name, (in_header, recorded) in beside.items():
        if in_header != recorded:
            yield Step.HEADER, f"the {name} in the header isn't the one recorded"


def check_entries(
    parcel: StoredParcel,
    fields: HeaderFields | SimpulError,
    entries: Sequence[bytes] | SimpulError,
    parsed: Sequence[ParsedEntry | SimpulError],
) -> Iterator[Finding]:
    """Step 3."""
    if isinstance(entries, SimpulError):
        yield Step.ENTRIES, entries.message
        return
    for number, entry in enumerate(parsed):
        if isinstance(entry, SimpulError):
            yield Step.ENTRIES, f"entry {number} doesn't parse: {entry.message}"
    if not isinstance(fields, SimpulError):
        if len(entries) != fields.entry_count:
            yield (
                Step.ENTRIES,
                f"there are {len(entries)} entries, and the header says {fields.entry_count}",
            )
        elif merkle.root([merkle.leaf_hash(entry) for entry in entries]) != fields.entries_root:
            yield Step.ENTRIES, "the entries' root isn't the header's"
    yield from _check_salts(parcel, parsed)


def _check_salts(
    parcel: StoredParcel, entries: Sequence[ParsedEntry | SimpulError]
) -> Iterator[Finding]:
    if parcel.salts is None:
        # Erased: what stays is provable without them.
        return
    try:
        salts = unpack_salts(parcel.salts)
    except SimpulError as error:
        yield Step.ENTRIES, error.message
        return
    if len(salts) != len(entries):
        yield Step.ENTRIES, f"there are salts of {len(salts)} entries beside {len(entries)} entries"
        return
    for number, (entry, beside) in enumerate(zip(entries, salts, strict=True)):
        # None: it was erased, and what stays is provable without them.
        if beside is not None and not isinstance(entry, SimpulError):
            wanted = (entry.payload is not None, entry.private is not None)
            if tuple(map(bool, beside)) != wanted:
                yield Step.ENTRIES, f"entry {number} commits to other things than it has salts for"


def erased_entries(parcel: StoredParcel, count: int) -> int:
    """How many of a parcel's entries were erased; `count` is how many it has."""
    if parcel.salts is None:
        return count
    salts = _or_error(unpack_salts, parcel.salts)
    return 0 if isinstance(salts, SimpulError) else sum(each is None for each in salts)


def check_leaf(parcel: StoredParcel, leaf: bytes) -> Iterator[Finding]:
    """Step 4. `leaf` is the hash made anew of the header and the seal."""
    if leaf != parcel.leaf_hash:
        yield Step.LEAF, "the leaf isn't that of this header and seal"


def check_chain(parcel: StoredParcel, fields: HeaderFields | SimpulError) -> Iterator[Finding]:
    """Step 6."""
    if isinstance(fields, SimpulError):
        return
    if fields.number == 0:
        if fields.previous != fields.link_id:
            yield Step.CHAIN, "the first parcel of a link doesn't name the link as previous"
    elif parcel.previous is None:
        yield Step.CHAIN, f"parcel {fields.number} has no parcel {fields.number - 1} before it"
    elif parcel.previous != fields.previous:
        yield Step.CHAIN, f"parcel {fields.number} names another header than the one before it"


def check_places(
    parcel: StoredParcel,
    parsed: Sequence[ParsedEntry | SimpulError],
    places: Mapping[int, StoredPlace],
) -> Iterator[Finding]:
    """Steps 7 and 8, as far as one parcel's entries show them."""
    for number, entry in enumerate(parsed):
        place = places.get(number)
        if place is None:
            yield Step.PLACE, f"entry {number} isn't in the index of calls"
            continue
        if isinstance(entry, SimpulError):
            continue
        blocks = 0 if entry.payload is None else entry.payload.rounded_bytes // ROUND_BYTES
        said = (parcel.direction, entry.kind.kind.value, blocks)
        if said != (place.direction, place.kind, place.blocks):
            yield Step.PLACE, f"entry {number} stands in the index as something else"
        if place.call_id is None:
            yield Step.CALL, f"entry {number} is of call {entry.call_id.hex()}, which has no open"
        elif place.call_id != entry.call_id:
            yield Step.PLACE, f"entry {number} stands in the index under another call"
        else:
            yield from _check_call_says(number, entry, parcel.direction, place)
    for number in sorted(places):
        if number >= len(parsed):
            yield Step.PLACE, f"the index names entry {number}, and there is none"


def check_call(call: StoredCall) -> Iterator[Finding]:
    """Step 8: as many opens and ends as the outcome says."""
    opens = call.kinds.get(EntryKind.OPEN, 0)
    closes = call.kinds.get(EntryKind.CLOSE, 0)
    refuses = call.kinds.get(EntryKind.REFUSE, 0)
    if sum(call.kinds.values()) == 0 and (
        call.outcome is Outcome.LOST or (call.outcome is Outcome.REFUSED and not call.has_link)
    ):
        # Ended here before any parcel: a note, and no entry.
        return
    if call.outcome is None:
        yield Step.CALL, "it has no outcome that there is"
        return
    if opens != 1:
        yield Step.CALL, f"it has {opens} opens"
    wanted = {
        Outcome.OPEN: (0, 0),
        Outcome.CLOSED: (1, 0),
        Outcome.REFUSED: (0, 1),
        Outcome.LOST: (0, 0),
    }[call.outcome]
    if (closes, refuses) != wanted:
        yield (
            Step.CALL,
            f"it's said to be {call.outcome}, and has {closes} closes and {refuses} refusals",
        )


def check_seal(
    parcel: StoredParcel, fields: HeaderFields | SimpulError, verify_seal: SealCheck | None
) -> Iterator[Finding]:
    """Step 9, where it can be made."""
    if verify_seal is None or isinstance(fields, SimpulError):
        return
    try:
        verify_seal(fields, parcel.seal, header_hash(parcel.header))
    except SimpulError as error:
        yield Step.SEAL, error.message


def check_parcel(
    parcel: StoredParcel, places: Mapping[int, StoredPlace], verify_seal: SealCheck | None
) -> tuple[bytes, int, list[Finding]]:
    """Makes the checks of one parcel: 2, 3, 4, 6, 7, 8 (of its entries) and 9.

    Returns:
        The leaf's hash made anew, the number of entries, and what was found.
    """
    fields = _or_error(parse_header, parcel.header)
    entries = _or_error(unpack_entries, parcel.entries)
    parsed = (
        ()
        if isinstance(entries, SimpulError)
        else tuple(_or_error(parse_entry, entry) for entry in entries)
    )
    leaf = parcel_leaf(parcel.header, parcel.seal)
    found = [
        *check_header(parcel, fields),
        *check_entries(parcel, fields, entries, parsed),
        *check_leaf(parcel, leaf),
        *check_chain(parcel, fields),
        *check_places(parcel, parsed, places),
        *check_seal(parcel, fields, verify_seal),
    ]
    return leaf, len(parsed), found


def _check_call_says(
    number: int, entry: ParsedEntry, direction: Direction | None, place: StoredPlace
) -> Iterator[Finding]:
    """Step 8: the call's row says what its open, its close and its refusal say."""
    *opened, code = place.names
    match entry.kind:
        case Open() as said:
            role = Role.CONSUMER if direction is Direction.SENT else Role.PROVIDER
            agreement = "" if said.agreement is None else said.agreement.hex()
            parties = (str(said.consumer), str(said.service.subsystem), said.service.service)
            on_behalf_of = "" if said.on_behalf_of is None else str(said.on_behalf_of)
            terms = (said.method, agreement, said.purpose or "", on_behalf_of)
            here = (*opened, place.role, place.gather)
            if here != (*parties, *terms, role, said.gather_id):
                yield Step.CALL, f"the index says other things than the open, entry {number}"
        case Close(status=status) if status != place.status:
            yield Step.CALL, f"the index says another status than the close, entry {number}"
        case Refuse() as said if (said.status, said.code) != (place.status, code):
            yield Step.CALL, f"the index says another refusal than entry {number}"
        case _:
            return


def _or_error(parse: Callable[[bytes], Parsed], data: bytes) -> Parsed | SimpulError:
    try:
        return parse(data)
    except SimpulError as error:
        return error
