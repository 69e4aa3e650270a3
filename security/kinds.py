"""The seven kinds of entry, as values.

    kind        from      says
    open        consumer  who asks what of whom, by which agreement and purpose; begins a call
    head        provider  initial metadata, at most once, before the first message
    message     both      the next message of its direction
    half-close  consumer  no further requests, and how many there were
    close       provider  the status; what it answers; how many messages went each way
    cancel      consumer  it no longer wants the answer; how many messages went each way
    refuse      provider  the provider's node's own no: a stable code

They are well-formed once parsed (`entry.parse_entry`). Whether an entry may come now is for
`call_state` and `calls`; whether it is permitted, for agreements.

Source: docs/spec, "Entries: kinds"; simpul/v1/parcel.proto, `Open` to `Refuse`.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar

from security.commitment import NO_MESSAGES, Tally
from security.identifiers import MemberId, ServiceId, SubsystemId


class EntryKind(StrEnum):
    """Each value is the field's name in simpul.v1.Entry."""

    OPEN = "open"
    HEAD = "head"
    MESSAGE = "message"
    HALF_CLOSE = "half_close"
    CLOSE = "close"
    CANCEL = "cancel"
    REFUSE = "refuse"

    # Enum's own goes through Python, and every entry is looked up by its kind several times.
    __hash__ = str.__hash__


class CancelReason(IntEnum):
    """Why a consumer gave up; the numbers are those of simpul.v1.CancelReason."""

    APP = 1
    DEADLINE = 2
    LIMIT = 3


@dataclass(frozen=True, slots=True)
class Open:
    """Begins a call. Without an `agreement` (32 bytes) there is no `purpose`.

    Whether the purpose is one, and the agreement's, is judged with the agreement.

    Where `unary` is set, the entry's payload is the only request message, and the request ends
    with it: that holds for unary and server streaming methods alike.
    """

    kind: ClassVar[EntryKind] = EntryKind.OPEN
    consumer: SubsystemId
    # The provider's subsystem and the service's full name.
    service: ServiceId
    method: str
    agreement: bytes | None = None
    purpose: str | None = None
    # None: the app set no deadline.
    deadline_left_ms: int | None = None
    # 16 bytes, where this call is one of a gather.
    gather_id: bytes | None = None
    unary: bool = False
    # The member in whose name is called, where it isn't the consumer's own: with an agreement only.
    on_behalf_of: MemberId | None = None
    # The reference of a consent, where the purpose rests on one; whether it does is judged with the
    # agreement.
    consent: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """Initial metadata is in the private block."""

    kind: ClassVar[EntryKind] = EntryKind.HEAD


@dataclass(frozen=True, slots=True)
class Message:
    """The message is the entry's payload."""

    kind: ClassVar[EntryKind] = EntryKind.MESSAGE


@dataclass(frozen=True, slots=True)
class HalfClose:
    """Ends the requests of a call that was opened without `unary`."""

    kind: ClassVar[EntryKind] = EntryKind.HALF_CLOSE
    requests: Tally = NO_MESSAGES


@dataclass(frozen=True, slots=True)
class Close:
    """Ends a call. `status` is a gRPC status code, 0 to 16; a unary answer is the payload."""

    kind: ClassVar[EntryKind] = EntryKind.CLOSE
    status: int
    # H("simpul/v1/entry", bytes of the call's open entry).
    open_digest: bytes = b""
    # As received, and as sent with the payload of this entry included.
    requests: Tally = NO_MESSAGES
    responses: Tally = NO_MESSAGES


@dataclass(frozen=True, slots=True)
class Cancel:
    """The consumer gives up; it still takes what comes until the close."""

    kind: ClassVar[EntryKind] = EntryKind.CANCEL
    reason: CancelReason
    # As sent, and as received.
    requests: Tally = NO_MESSAGES
    responses: Tally = NO_MESSAGES


@dataclass(frozen=True, slots=True)
class Refuse:
    """The provider's node's no. `status` is a gRPC status code, 1 to 16."""

    kind: ClassVar[EntryKind] = EntryKind.REFUSE
    # A stable code, `ACCESS_NO_AGREEMENT`; one of another version may be unknown here.
    code: str
    status: int
    open_digest: bytes = b""


Kind = Open | Head | Message | HalfClose | Close | Cancel | Refuse
