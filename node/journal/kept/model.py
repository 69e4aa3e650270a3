"""Values of what is kept and erased. Times are milliseconds since the epoch, UTC."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why a call is erased: from a list, so that no reason names a person.

    The first four are those of law 27/2022, article 43 (1).
    """

    PURPOSE_ENDED = "purpose-ended"
    CONSENT_WITHDRAWN = "consent-withdrawn"
    SUBJECT_REQUEST = "subject-request"
    UNLAWFUL = "unlawful"
    RETENTION_ENDED = "retention-ended"
    COURT_ORDER = "court-order"
    OTHER = "other"


# What stands for a code where the other side was told, and said that it keeps nothing of the call.
NOTHING_KEPT: Final = "nothing kept"


class Settled(StrEnum):
    """What became of a notice."""

    OPEN = ""
    ERASED = "erased"
    DECLINED = "declined"


class State(StrEnum):
    """Whether a part of an entry is there."""

    KEPT = "kept"
    # Kept, but for its credentials: what is there doesn't prove the commitment.
    KEPT_IN_PART = "kept in part"
    NOT_KEPT = "not kept"
    ERASED = "erased"
    # The ciphertext is there, and the key that would open it isn't.
    KEY_GONE = "key gone"


@dataclass(frozen=True, slots=True)
class KeptPart:
    """A payload or a private block of an entry.

    `salt` proves it, and any bytes that somebody else kept: it's there unless the entry was erased.
    """

    state: State
    data: bytes | None = field(default=None, repr=False)
    salt: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """The content of one entry of a call; None for a part that the entry doesn't have."""

    slot: int
    idx: int
    entry_no: int
    payload: KeptPart | None
    private: KeptPart | None


@dataclass(frozen=True, slots=True)
class ErasureOrder:
    """What is to be erased, by whom and why."""

    call_id: bytes
    by: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased. `again`: it had been before, and nothing more was recorded."""

    call_id: bytes
    entries: int
    at_ms: int
    again: bool
    # The nodes that will be told.
    tells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Erasure:
    """The record of an erasure, and how far the other side has been told."""

    id: int
    call_id: bytes
    at_ms: int
    by: str
    reason: str
    entries: int
    tellings: tuple["Telling", ...]


@dataclass(frozen=True, slots=True)
class Telling:
    """That a node is to be told of an erasure. `sender` and `receiver` are subsystems."""

    id: int
    call_id: bytes
    erased_at_ms: int
    reason: str
    peer: str
    sender: str
    receiver: str
    tries: int
    code: str
    next_at_ms: int
    told_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Notice:
    """What another member told: that it erased a call which this journal has too."""

    call_id: bytes
    member: str
    erased_at_ms: int
    reason: str
    heard_at_ms: int
    settled_at_ms: int | None
    settled: Settled
