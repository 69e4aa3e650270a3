"""What the registry knows: frozen values, as the rules and the records see them.

A value says nothing about how it is stored (`store`) or published (`directory.records`). Times are
milliseconds since the epoch, UTC.
"""

from dataclasses import dataclass
from enum import StrEnum

from registry.life import Standing
from security.identifiers import MemberId, NodeId, RegionCode, ServiceId, SubsystemId
from security.keys import PublicKey


class NodeState(StrEnum):
    """A node's standing. Revoked and removed are final: the name is never given to another."""

    ACTIVE = "active"
    # Its keys are no longer to be believed.
    REVOKED = "revoked"
    # Taken out of service in good order.
    REMOVED = "removed"


class ContactKind(StrEnum):
    """What a contact is for."""

    GENERAL = "general"
    TECHNICAL = "technical"
    SECURITY = "security"
    # The data-protection officer.
    DATA_PROTECTION = "data_protection"


@dataclass(frozen=True, slots=True)
class Region:
    """A region code that a member speaks for; `valid_until_ms` is None while it does.

    Codes change: regions split, merge and change their status. `predecessors` are the codes that
    this one took the place of, `successors` those that took its place; other members' too.
    """

    code: RegionCode
    valid_from_ms: int
    valid_until_ms: int | None = None
    predecessors: tuple[RegionCode, ...] = ()
    successors: tuple[RegionCode, ...] = ()


@dataclass(frozen=True, slots=True)
class Contact:
    """A person or a desk of a member. Kept by the registry, and not published."""

    kind: ContactKind
    name: str
    email: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class LifeEvent:
    """A step in the life of a member or a subsystem; `before` is None for the first."""

    at_ms: int
    subject: str
    before: Standing | None
    after: Standing
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class Member:
    """A legal body. `number` rises with each change of what is published of it.

    `statement` is the serialised SignedStatement in force; None until its first node is enrolled.
    """

    id: MemberId
    legal_name: str
    regions: tuple[Region, ...] = ()
    state: Standing = Standing.ACTIVE
    number: int = 1
    statement: bytes | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A node and the member that runs it. `change_number` is that of its last applied change."""

    id: NodeId
    owner: MemberId
    key: PublicKey
    link_address: str
    slots: int
    certificate_expires_at_ms: int
    state: NodeState = NodeState.ACTIVE
    change_number: int = 0


@dataclass(frozen=True, slots=True)
class Subsystem:
    """An information system of a member."""

    id: SubsystemId
    name: str
    state: Standing = Standing.ACTIVE


@dataclass(frozen=True, slots=True)
class Service:
    """A service. `contract` is the SHA-256 of the target file of the revision it implements."""

    id: ServiceId
    contract: bytes


@dataclass(frozen=True, slots=True)
class Contract:
    """A revision of a contract: a serialised FileDescriptorSet, and who published it first."""

    service: str
    descriptor_sha256: bytes
    descriptor_set: bytes
    publisher: MemberId


@dataclass(frozen=True, slots=True)
class Token:
    """An enrolment token as it is kept: the secret itself is not.

    `used_at_ms` and `used_by`, the SHA-256 of the request that used it, are None until then.
    """

    secret_hash: bytes
    member: MemberId
    node: NodeId
    expires_at_ms: int
    used_at_ms: int | None = None
    used_by: bytes | None = None
    # For a node that is listed already, and is to seal for this member too.
    hosts: bool = False


@dataclass(frozen=True, slots=True)
class RevokedKey:
    """A key that is no longer to be believed, from `revoked_at_ms` on."""

    key_id: bytes
    member: MemberId
    revoked_at_ms: int
    suspected_since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Touched:
    """Whose published files a change has made out of date. Contracts go by service and hash."""

    members: frozenset[MemberId] = frozenset()
    contracts: frozenset[tuple[str, bytes]] = frozenset()
    # Contracts' cards with their documentation, by package.
    cards: frozenset[str] = frozenset()
    # Groups of members, by name.
    groups: frozenset[str] = frozenset()
    # Root or policy: what the publisher holds ready is published.
    trust: bool = False

    def __or__(self, other: "Touched") -> "Touched":
        return Touched(
            self.members | other.members,
            self.contracts | other.contracts,
            self.cards | other.cards,
            self.groups | other.groups,
            self.trust or other.trust,
        )

    def __bool__(self) -> bool:
        """Whether there is anything to publish."""
        return bool(self.members or self.contracts or self.cards or self.groups or self.trust)


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything that is published of one member."""

    member: Member
    subsystems: tuple[Subsystem, ...]
    services: tuple[Service, ...]
    nodes: tuple[Node, ...]
    revoked_keys: tuple[RevokedKey, ...]
    # Serialised SignedStatements and SignedSealKeyRequests.
    successions: tuple[bytes, ...] = ()
    seal_key_requests: tuple[bytes, ...] = ()
    # Serialised Activities, by id and version.
    activities: tuple[bytes, ...] = ()
