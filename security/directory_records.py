"""The directory's target files, one by one: what each says, strictly parsed.

    policy                                              FederationPolicy
    members/<class>/<code>                              MemberRecord
    contracts/<service>/<SHA-256 of its descriptors>    ContractRevision

Each file is judged by itself and by its path; how they fit together is judged by `directory`,
which numbers the steps: these are its steps 1 to 5.

That the files are the registry's is not judged here: they come out of a verified TUF repository.

Source: docs/spec, "Directory"; protos/simpul/v1/directory.proto.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from types import MappingProxyType
from typing import Final

from security import strict
from security.activity import Register, read_register
from security.contract import MAX_DESCRIPTOR_SET_BYTES, MethodKind, parse_descriptor_set
from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES, sha256
from security.identifiers import (
    MemberId,
    NodeId,
    RegionCode,
    ServiceId,
    SubsystemId,
    check_service_name,
)
from security.keys import KEY_ID_BYTES, Algorithm, PublicKey
from security.limits import Limits
from security.oversight import Oversight, read_oversight
from security.regions import RegionRules, read_region_rules
from security.statement import MAX_TIME_MS, VerifiedStatement, verify_statement
from simpul.v1 import directory_pb2, statement_pb2

FORMAT_VERSION: Final = 1
POLICY_PATH: Final = "policy"
MEMBERS_FOLDER: Final = "members"
CONTRACTS_FOLDER: Final = "contracts"
MAX_POLICY_BYTES: Final = 256 * 1024
MAX_RECORD_BYTES: Final = 1024 * 1024
MAX_CONTRACT_BYTES: Final = MAX_DESCRIPTOR_SET_BYTES + 4096
MAX_NAME_CHARS: Final = 256
MAX_SLOTS: Final = 256

_MAX_ADDRESS_CHARS: Final = 261
_ADDRESS: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([1-9][0-9]{0,4})")
_MAX_PORT: Final = 65535
_MEMBER_CLASS: Final = re.compile(r"[A-Z][A-Z0-9_]{0,31}")


class MemberState(IntEnum):
    """What the registry says of a member; numbers are those of `simpul.v1.MemberState`."""

    ACTIVE = 1
    SUSPENDED = 2
    REMOVED = 3


class NodeState(IntEnum):
    """What the registry says of a node; numbers are those of `simpul.v1.NodeState`."""

    ACTIVE = 1
    REVOKED = 2
    REMOVED = 3


class SubsystemState(IntEnum):
    """What the registry says of a subsystem; as `simpul.v1.SubsystemState`."""

    ACTIVE = 1
    SUSPENDED = 2
    REMOVED = 3


class Files:
    """A version's target files, by path; `digests` are their SHA-256, where they are known."""

    def __init__(
        self, contents: Mapping[str, bytes], digests: Mapping[str, bytes] | None = None
    ) -> None:
        self._contents = contents
        self._digests = digests

    def read(self, path: str) -> bytes:
        """A file's bytes."""
        return self._contents[path]

    def digest(self, path: str) -> bytes:
        """A file's SHA-256, without reading it where that is known."""
        return sha256(self.read(path)) if self._digests is None else self._digests[path]


@dataclass(frozen=True, slots=True)
class PolicyView:
    """What the federation's offline keys decide."""

    federation: str
    stale_after_ms: int
    dead_after_ms: int
    # DER certificates.
    tls_authorities: tuple[bytes, ...]
    member_classes: frozenset[str]
    # What it allows at most.
    limits: Limits
    # Witnesses and time-stamp authorities.
    oversight: Oversight
    # Whether every directory is in the public log.
    logged: bool = False


@dataclass(frozen=True)
class ContractView:
    """A revision of a contract. `hash` is the SHA-256 of its target file."""

    hash: bytes
    service: str
    descriptor_set: bytes
    publisher: MemberId

    @cached_property
    def path(self) -> str:
        """Its target file's."""
        return contract_path(self.service, self.descriptor_set)

    @cached_property
    def methods(self) -> Mapping[str, MethodKind]:
        """The service's methods by name, parsed when first asked for.

        Raises:
            SimpulError: PROTOSET_INVALID or PROTOSET_LACKS_SERVICE.
        """
        return parse_descriptor_set(self.descriptor_set).of(self.service)

    @cached_property
    def region_rules(self) -> RegionRules:
        """What it says of calls by region, parsed when first asked for."""
        return read_region_rules(self.descriptor_set, self.service)


@dataclass(frozen=True, slots=True)
class RegionView:
    """A region that a member speaks for, from `valid_from_ms` until before `valid_until_ms`."""

    code: RegionCode
    valid_from_ms: int
    valid_until_ms: int | None
    # Codes that this one took the place of, and those that took its place.
    predecessors: tuple[RegionCode, ...] = ()
    successors: tuple[RegionCode, ...] = ()

    def is_valid(self, now_ms: int) -> bool:
        """Whether the member speaks for the region now."""
        return self.valid_from_ms <= now_ms and (
            self.valid_until_ms is None or now_ms < self.valid_until_ms
        )


@dataclass(frozen=True, slots=True)
class SubsystemView:
    """A subsystem, and what people call it."""

    id: SubsystemId
    name: str
    state: SubsystemState


@dataclass(frozen=True, slots=True)
class SlotView:
    """One of a node's journals, and its checkpoints' origin."""

    number: int
    origin: str


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node. It is revoked, too, if its key is among its owner's revoked ones."""

    id: NodeId
    node_key: PublicKey
    link_address: str
    slots: tuple[SlotView, ...]
    state: NodeState
    owner: MemberId


@dataclass(frozen=True, slots=True)
class RevokedKeyView:
    """A revoked key. `suspected_since_ms` is None where no earlier compromise is suspected."""

    key_id: bytes
    revoked_at_ms: int
    suspected_since_ms: int | None


@dataclass(frozen=True, slots=True)
class MemberRecordView:
    """A member's file by itself: services name contracts by hash."""

    id: MemberId
    number: int
    state: MemberState
    legal_name: str
    regions: tuple[RegionView, ...]
    # None before the member's first node has joined.
    statement: VerifiedStatement | None
    subsystems: tuple[SubsystemView, ...]
    contracts: Mapping[ServiceId, bytes]
    nodes: tuple[NodeView, ...]
    revoked: Mapping[bytes, RevokedKeyView]
    # By form alone: `succession` and `seal_request` verify them.
    successions: tuple[statement_pb2.SignedStatement, ...]
    seal_key_requests: tuple[statement_pb2.SignedSealKeyRequest, ...]
    activities: Register


def parse_policy(data: bytes) -> PolicyView:
    """Read the target file `policy`; raises SimpulError DIRECTORY_UNTRUSTED (step 2)."""
    message = _parse(2, POLICY_PATH, directory_pb2.FederationPolicy, data, MAX_POLICY_BYTES)
    if message.version != FORMAT_VERSION:
        raise refused(2, POLICY_PATH, f"its version is {message.version}")
    if not 0 < message.stale_after_ms < message.dead_after_ms <= MAX_TIME_MS:
        raise refused(2, POLICY_PATH, "its ages aren't in order")
    if len(message.tls_authorities) == 0 or b"" in message.tls_authorities:
        raise refused(2, POLICY_PATH, "it names no TLS authority")
    classes = frozenset(message.member_classes)
    if len(classes) == 0 or len(classes) != len(message.member_classes):
        raise refused(2, POLICY_PATH, "it names no member class, or one twice")
    if any(_MEMBER_CLASS.fullmatch(item) is None for item in classes):
        raise refused(2, POLICY_PATH, "it names a member class that can be none")
    try:
        limits = Limits.from_proto(message.limits)
    except ValueError:
        raise refused(2, POLICY_PATH, "a limit is missing") from None
    return PolicyView(
        federation=message.federation,
        stale_after_ms=message.stale_after_ms,
        dead_after_ms=message.dead_after_ms,
        tls_authorities=tuple(message.tls_authorities),
        member_classes=classes,
        limits=limits,
        oversight=_read_oversight(message),
        logged=message.logged,
    )


def _read_oversight(message: directory_pb2.FederationPolicy) -> Oversight:
    try:
        return read_oversight(message)
    except SimpulError as error:
        raise refused(2, POLICY_PATH, error.message) from None


def parse_contract(federation: str, path: str, data: bytes) -> ContractView:
    """Read a contract's target file; raises SimpulError DIRECTORY_UNTRUSTED (step 3)."""
    message = _parse(3, path, directory_pb2.ContractRevision, data, MAX_CONTRACT_BYTES)
    if message.version != FORMAT_VERSION or message.federation != federation:
        raise refused(3, path, "its version or federation is another")
    try:
        check_service_name(message.service)
        publisher = MemberId.parse(message.publisher)
    except SimpulError as error:
        raise refused(3, path, error.message) from None
    if path != contract_path(message.service, message.descriptor_set):
        raise refused(3, path, "its content is another contract's")
    return ContractView(sha256(data), message.service, message.descriptor_set, publisher)


def parse_member(policy: PolicyView, path: str, data: bytes) -> MemberRecordView:
    """Read a member's target file, its statement verified.

    Raises:
        SimpulError: DIRECTORY_UNTRUSTED (steps 4 and 5).
    """
    message = _parse(4, path, directory_pb2.MemberRecord, data, MAX_RECORD_BYTES)
    if message.version != FORMAT_VERSION or message.federation != policy.federation:
        raise refused(4, path, "its version or federation is another")
    try:
        member = MemberId.parse(message.member)
        return _read_member(policy, path, member, message)
    except SimpulError as error:
        if error.code is Code.DIRECTORY_UNTRUSTED:
            raise
        raise refused(4, path, error.message) from None


def contract_path(service: str, descriptor_set: bytes) -> str:
    """Return the path of a contract's target file."""
    return f"{CONTRACTS_FOLDER}/{service}/{sha256(descriptor_set).hex()}"


def member_path(member: MemberId) -> str:
    """Return the path of a member's target file."""
    return f"{MEMBERS_FOLDER}/{member.member_class}/{member.code}"


def refused(step: int, path: str, what: str) -> SimpulError:
    """Return the error of a directory that isn't consistent."""
    return SimpulError(
        Code.DIRECTORY_UNTRUSTED,
        f"the directory is refused at step {step}: {path[:200]!a}: {what}; tell the registry's "
        "operator",
        step=str(step),
        path=path[:200],
    )


def _parse(
    step: int, path: str, cls: type[strict.MessageT], data: bytes, max_bytes: int
) -> strict.MessageT:
    try:
        return strict.parse(cls, data, max_bytes)
    except SimpulError as error:
        raise refused(step, path, error.message) from None


def _read_member(
    policy: PolicyView, path: str, member: MemberId, message: directory_pb2.MemberRecord
) -> MemberRecordView:
    if member.federation != policy.federation or path != member_path(member):
        raise refused(4, path, f"it is the file of {member}")
    if member.member_class not in policy.member_classes:
        raise refused(4, path, f"the policy has no class {member.member_class}")
    if message.number == 0 or not 0 < len(message.legal_name) <= MAX_NAME_CHARS:
        raise refused(4, path, "its number or legal name is missing")
    revoked = _read_revoked(path, message)
    subsystems = _read_subsystems(path, member, message)
    return MemberRecordView(
        id=member,
        number=message.number,
        state=_read_member_state(path, message.state),
        legal_name=message.legal_name,
        regions=tuple(_read_region(path, item) for item in message.regions),
        statement=_read_statement(path, member, message),
        subsystems=subsystems,
        contracts=_read_services(path, subsystems, message),
        nodes=tuple(_read_node(path, member, item, revoked) for item in message.nodes),
        revoked=revoked,
        successions=tuple(message.successions),
        seal_key_requests=tuple(message.seal_key_requests),
        activities=read_register(message.activities),
    )


def _read_member_state(path: str, value: int) -> MemberState:
    try:
        return MemberState(value)
    except ValueError:
        raise refused(4, path, "its state is none") from None


def _read_statement(
    path: str, member: MemberId, message: directory_pb2.MemberRecord
) -> VerifiedStatement | None:
    if not message.HasField("statement"):
        return None
    try:
        return verify_statement(
            message.statement,
            federation=member.federation,
            member=member,
            previous=None,
            pinned_identity_key_id=None,
        )
    except SimpulError as error:
        raise refused(5, path, error.message) from None


def _read_region(path: str, message: directory_pb2.Region) -> RegionView:
    until = message.valid_until_ms if message.HasField("valid_until_ms") else None
    ends = MAX_TIME_MS if until is None else until
    if not 0 < message.valid_from_ms < ends <= MAX_TIME_MS:
        raise refused(4, path, "a region's dates aren't in order")
    return RegionView(
        code=RegionCode.parse(message.code),
        valid_from_ms=message.valid_from_ms,
        valid_until_ms=until,
        predecessors=tuple(map(RegionCode.parse, message.predecessors)),
        successors=tuple(map(RegionCode.parse, message.successors)),
    )


def _read_subsystems(
    path: str, member: MemberId, message: directory_pb2.MemberRecord
) -> tuple[SubsystemView, ...]:
    views = tuple(
        SubsystemView(
            SubsystemId.parse(item.id), item.name, _read_subsystem_state(path, item.state)
        )
        for item in message.subsystems
    )
    if len({view.id for view in views}) != len(views):
        raise refused(4, path, "it has a subsystem twice")
    for view in views:
        if view.id.member != member or len(view.name) > MAX_NAME_CHARS:
            raise refused(4, path, f"{view.id} isn't its own, or has too long a name")
    return views


def _read_subsystem_state(path: str, value: int) -> SubsystemState:
    try:
        return SubsystemState(value)
    except ValueError:
        raise refused(4, path, "a subsystem's state is none") from None


def _read_services(
    path: str, subsystems: tuple[SubsystemView, ...], message: directory_pb2.MemberRecord
) -> Mapping[ServiceId, bytes]:
    own = {view.id for view in subsystems}
    contracts = {ServiceId.parse(item.id): item.contract for item in message.services}
    if len(contracts) != len(message.services):
        raise refused(4, path, "it has a service twice")
    for service, contract in contracts.items():
        if service.subsystem not in own or len(contract) != HASH_BYTES:
            raise refused(4, path, f"{service} has no subsystem or no contract")
    return MappingProxyType(contracts)


def _read_revoked(path: str, message: directory_pb2.MemberRecord) -> Mapping[bytes, RevokedKeyView]:
    revoked = {}
    for item in message.revoked_keys:
        since = item.suspected_since_ms if item.HasField("suspected_since_ms") else None
        starts = item.revoked_at_ms if since is None else since
        if len(item.key_id) != KEY_ID_BYTES or item.key_id in revoked:
            raise refused(4, path, "it revokes a key twice, or what is no key id")
        if not 0 < starts <= item.revoked_at_ms <= MAX_TIME_MS:
            raise refused(4, path, "a revocation's dates aren't in order")
        revoked[item.key_id] = RevokedKeyView(item.key_id, item.revoked_at_ms, since)
    return MappingProxyType(revoked)


def _read_node(
    path: str,
    owner: MemberId,
    message: directory_pb2.Node,
    revoked: Mapping[bytes, RevokedKeyView],
) -> NodeView:
    node = NodeId.parse(message.id)
    key = PublicKey.from_proto(message.node_key)
    if node.federation != owner.federation or key.algorithm is not Algorithm.ED25519:
        raise refused(4, path, f"{node} is of another federation, or its key isn't Ed25519")
    check_link_address(message.link_address)
    slots = tuple(SlotView(item.number, item.origin) for item in message.slots)
    if any(not item.HasField("number") or item.origin == "" for item in message.slots):
        raise refused(4, path, f"a slot of {node} has no number or no origin")
    if not 0 < len(slots) <= MAX_SLOTS or [item.number for item in slots] != list(
        range(len(slots))
    ):
        raise refused(4, path, f"the slots of {node} aren't numbered from 0")
    try:
        state = NodeState(message.state)
    except ValueError:
        raise refused(4, path, f"the state of {node} is none") from None
    return NodeView(
        id=node,
        node_key=key,
        link_address=message.link_address,
        slots=slots,
        state=NodeState.REVOKED if key.key_id in revoked else state,
        owner=owner,
    )


def check_link_address(text: str) -> None:
    """Check `host:port` (`[::1]:port` for IPv6); raises SimpulError CHANGE_INVALID."""
    found = _ADDRESS.fullmatch(text) if len(text) <= _MAX_ADDRESS_CHARS else None
    if found is None or int(found.group(1)) > _MAX_PORT:
        raise SimpulError(
            Code.CHANGE_INVALID,
            f"{text[:_MAX_ADDRESS_CHARS]!a} is no link address; give one like node.example:7101",
        )
