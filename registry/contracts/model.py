"""What the registry knows of contracts: frozen values, as its rules and its records see them.

A contract is a package. Its revisions are numbered from 1; each is one descriptor set, which is
published once for each service of the package (`registry.model.Contract`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from security.contract_card import Comment, ContractTermsView
from security.identifiers import MemberId, NodeId


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision of a contract, without its descriptor set."""

    package: str
    number: int
    publisher: MemberId
    published_at_ms: int
    # Of the descriptor set, which `store.contracts` keeps.
    descriptor_sha256: bytes
    comments: tuple[Comment, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """A contract. `number` rises with each change of what is published of it."""

    package: str
    number: int
    owner: MemberId
    terms: ContractTermsView


@dataclass(frozen=True, slots=True)
class RevisionFiles:
    """A revision, with the SHA-256 of the target file of each of its services, by name."""

    revision: Revision
    services: tuple[tuple[str, bytes], ...]


class SubmissionState(StrEnum):
    """Where a submission is. `registry.contracts.states` says what follows what."""

    SUBMITTED = "submitted"
    IN_DISCUSSION = "in discussion"
    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class Event:
    """A word or a step in a submission's thread. `state` is that after it."""

    at_ms: int
    author: str
    by_registry: bool
    state: SubmissionState
    text: str = ""


@dataclass(frozen=True, slots=True)
class Likeness:
    """A contract that is much like a submitted one, and what they share."""

    package: str
    revision: int
    owner: MemberId
    # 0 to 1.
    score: float
    # Above the threshold: the publisher must say why it isn't adopted.
    close: bool
    shared: tuple[str, ...] = ()
    users: tuple[MemberId, ...] = ()


@dataclass(frozen=True, slots=True)
class Submission:
    """What a member asked for about a contract; `id` is 0 before it is kept."""

    id: int
    package: str
    member: MemberId
    node: NodeId
    change_number: int
    kind: str
    change: bytes
    signature: bytes
    # That it is, or would be; of other terms, the newest.
    revision: int
    state: SubmissionState
    submitted_at_ms: int
    likenesses: tuple[Likeness, ...] = ()
    advice: tuple[str, ...] = ()
    why_not: str = ""
    # Empty: nobody needs to decide it.
    waits_because: str = ""
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownContract:
    """What of a contract is compared with others: its newest revision."""

    package: str
    revision: int
    owner: MemberId
    descriptor_set: bytes
    comments: tuple[Comment, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedContract:
    """A contract that a new one is compared with. Its content is read only where it's needed."""

    package: str
    revision: int
    owner: MemberId
    # Members that implement it.
    users: tuple[MemberId, ...]
    # Another one where the content is another.
    content: bytes
    read: Callable[[], KnownContract]


class Comparer(Protocol):
    """Finds the contracts that are most like a new one."""

    def closest(self, new: KnownContract, known: Sequence[ListedContract]) -> tuple[Likeness, ...]:
        """Those worth showing, the closest first. Pure: nothing but its arguments counts."""
        ...


class NoComparer:
    """Finds nothing like anything."""

    def closest(self, new: KnownContract, known: Sequence[ListedContract]) -> tuple[Likeness, ...]:
        """None."""
        del new, known
        return ()
