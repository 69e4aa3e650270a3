"""What the journal takes and gives: frozen values, no behaviour.

A `ParcelRecord` is one parcel as it was sent or received. The index of calls is derived from the
entries themselves, so it can be rebuilt and checked; notes add only what no entry says: a
`CallNote` that our own node refused a call before any parcel, a `LinkNote` that a link ended with
its calls, a `SettledNote` what a greeting told of them since.

Times are milliseconds since the epoch, UTC. Ids are their text forms; hashes and call ids are
bytes.

Source: docs/spec, "Journal".
"""

from dataclasses import dataclass, field
from enum import StrEnum

from security.entry import SealedEntry
from security.persons import Persons


class Direction(StrEnum):
    """Which way a parcel went, seen from this node."""

    SENT = "sent"
    RECEIVED = "received"


class LinkEnd(StrEnum):
    """Which end of the link this node is. A link within one node has both in one journal."""

    DIALLER = "dialler"
    ACCEPTOR = "acceptor"


class Role(StrEnum):
    """This node's part in a call."""

    CONSUMER = "consumer"
    PROVIDER = "provider"


class Outcome(StrEnum):
    """How a call stands."""

    OPEN = "open"
    CLOSED = "closed"
    REFUSED = "refused"
    LOST = "lost"


class Settlement(StrEnum):
    """What a greeting told, after its link broke, of a call or of its answer."""

    # Asked here: proven never to have begun there; durable there, and perhaps served.
    NOT_STARTED = "not_started"
    ARRIVED = "arrived"
    # Answered here: the answer is durable there, or never came.
    HEARD = "heard"
    UNHEARD = "unheard"


@dataclass(frozen=True, slots=True)
class ParcelRecord:
    """One parcel to be recorded.

    `peer` is the node at the other end, `member` the member that sent and sealed it. Of the entries
    only the entry bytes and the salts are kept; of those whose numbers are in `kept` also payload
    and private block, encrypted. `persons` are those whom an open names, by the entry's number.
    """

    direction: Direction
    peer: str
    member: str
    link_id: bytes
    end: LinkEnd
    number: int
    sealed_at_ms: int
    header: bytes
    seal: bytes
    header_hash: bytes
    entries: tuple[SealedEntry, ...]
    kept: tuple[int, ...] = ()
    persons: tuple[tuple[int, Persons], ...] = ()


@dataclass(frozen=True, slots=True)
class LatePayload:
    """The payload of an entry to be kept, which came in pieces after its parcel was recorded."""

    link_id: bytes
    end: LinkEnd
    direction: Direction
    number: int
    entry_no: int
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallNote:
    """A call of an app of ours that this node refused before any entry of it was sealed.

    Texts are empty where the call never said them, or said nothing that could be one.
    """

    call_id: bytes
    consumer: str
    provider: str
    service: str
    method: str
    agreement: bytes | None
    purpose: str | None
    status: int
    code: str
    at_ms: int
    # Of a part of a gather: its id, and the region asked for.
    gather_id: bytes | None = None
    region: str = ""
    # The member in whose name was called, where it wasn't the consumer's own.
    on_behalf_of: str = ""


@dataclass(frozen=True, slots=True)
class LinkNote:
    """A link ended: the calls that are open on this end of it are lost."""

    link_id: bytes
    end: LinkEnd
    status: int
    code: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class SettledNote:
    """What became of calls on a link that broke, as both its ends have said by now."""

    link_id: bytes
    end: LinkEnd
    calls: tuple[tuple[bytes, Settlement], ...]


Note = CallNote | LinkNote | SettledNote


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls to list: all that match every field given, the newest first.

    `since_ms` is inclusive, `until_ms` exclusive, both of the call's opening. `below` is the `key`
    of the last row of the page before.
    """

    call_id: bytes | None = None
    role: Role | None = None
    outcome: Outcome | None = None
    peer: str | None = None
    consumer: str | None = None
    provider: str | None = None
    service: str | None = None
    method: str | None = None
    agreement: bytes | None = None
    purpose: str | None = None
    status: int | None = None
    code: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    # Of each person asked for, the tags under each index key that the node has (security.persons).
    persons: tuple[tuple[bytes, ...], ...] = ()
    gather_id: bytes | None = None
    on_behalf_of: str | None = None
    below: tuple[int, int] | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call of the index. Sizes are those of the commitments: rounded up to 256 bytes each."""

    key: tuple[int, int]
    call_id: bytes
    role: Role
    outcome: Outcome
    peer: str | None
    link_id: bytes | None
    consumer: str
    provider: str
    service: str
    method: str
    agreement: bytes | None
    purpose: str | None
    status: int | None
    code: str | None
    opened_at_ms: int
    closed_at_ms: int | None
    request_bytes: int
    response_bytes: int
    # None: its link hasn't broken, or no greeting has told of it.
    settled: Settlement | None = None
    # Of a part of a gather; and of one that was refused here, the region asked for.
    gather_id: bytes | None = None
    region: str | None = None
    # The member in whose name was called, where it wasn't the consumer's own.
    on_behalf_of: str | None = None


@dataclass(frozen=True, slots=True)
class CallEntry:
    """One entry of a call and the parcel that carried it."""

    slot: int
    idx: int
    entry_no: int
    kind: str
    direction: Direction
    member: str
    number: int
    sealed_at_ms: int
    recorded_at_ms: int
    header_hash: bytes
    leaf_hash: bytes
    rounded_bytes: int
    entry: bytes


@dataclass(frozen=True, slots=True)
class CallDetail:
    """One call with all its entries, in the order in which they were recorded."""

    call: CallRow
    entries: tuple[CallEntry, ...]


@dataclass(frozen=True, slots=True)
class GatheredCall:
    """One call of a gather, at its consumer. `messages`: how many answers were recorded."""

    call: CallRow
    messages: int


@dataclass(frozen=True, slots=True)
class Problem:
    """What a check found: the check's number and name, where, and what is wrong."""

    step: int
    name: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.step} {self.name}: {self.where}: {self.message}"


@dataclass(frozen=True, slots=True)
class SlotSummary:
    """One slot's tree, as the parcels themselves make it."""

    number: int
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class JournalReport:
    """The result of a verification.

    `problems` holds the first `MAX_PROBLEMS`; `problem_count` counts all. `unfinished` calls are no
    problem: they are open now, or were when the node was last stopped.
    """

    slots: tuple[SlotSummary, ...]
    parcels: int
    entries: int
    calls: int
    unfinished: int
    problem_count: int
    problems: tuple[Problem, ...]
    unfinished_calls: tuple[bytes, ...]
    # Entries whose salts, payload and private block were erased: no problem, and not provable.
    erased: int = 0
    # Parcels that were dropped: of them only the leaves are left to check.
    dropped: int = 0

    @property
    def ok(self) -> bool:
        """No check found anything."""
        return self.problem_count == 0
