"""The directory as a node goes by it: who is who, looked up in constant time.

A `DirectoryView` is built from the target files of one verified version, and never changes. The
steps of building it:

1. Every path is of one of the three families; the policy is there.
2. The policy is well-formed and this federation's.
3. Each contract is well-formed, and its path names its service and its content; so is each card,
   and each revision's documentation.
4. Each member record is well-formed and this federation's; its path names its member; its class is
   in the policy; subsystems, services and nodes are its own. So is each group's record.
5. Each statement is its member's, and signed by its own identity key.
6. Every service's contract is there, and is a contract of that service.
7. No node is listed by two members.
8. Every revision that a card names is there.

A statement may name a node that isn't listed: a member's word isn't the registry's to mend when it
removes a node. Such a key is simply of no use.

It fetches and stores nothing, and doesn't know whether the files are the registry's (TUF does), nor
which identity keys a partner has pinned (`agreement` does).

Source: docs/spec, "Directory".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NoReturn, Self

from security import directory_records as files
from security.activity import Register
from security.contract_card import Cards, is_card_path, read_cards
from security.directory_records import (
    CONTRACTS_FOLDER,
    MEMBERS_FOLDER,
    POLICY_PATH,
    ContractView,
    Files,
    MemberRecordView,
    MemberState,
    NodeState,
    NodeView,
    PolicyView,
    RegionView,
    RevokedKeyView,
    SlotView,
    SubsystemState,
    SubsystemView,
    refused,
)
from security.errors import Code, SimpulError
from security.group import Groups, is_group_path, read_groups
from security.identifiers import MemberId, NodeId, ServiceId, SubsystemId, service_of
from security.keys import PublicKey
from security.regions import RegionIndex, RegionRules, Speaker
from security.statement import SealKeyView, VerifiedStatement
from simpul.v1 import statement_pb2

__all__ = [
    "ContractView",
    "DirectoryView",
    "MemberState",
    "MemberView",
    "NodeState",
    "NodeView",
    "PolicyView",
    "RegionView",
    "RevokedKeyView",
    "ServiceView",
    "SlotView",
    "SubsystemState",
    "SubsystemView",
]

_FAMILY_PARTS: Final = 3


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service with its contract."""

    id: ServiceId
    contract: ContractView


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member with all that its record says. `revoked` is by key id."""

    id: MemberId
    state: MemberState
    legal_name: str
    regions: tuple[RegionView, ...]
    statement: VerifiedStatement | None
    subsystems: Mapping[SubsystemId, SubsystemView]
    services: Mapping[ServiceId, ServiceView]
    nodes: tuple[NodeView, ...]
    revoked: Mapping[bytes, RevokedKeyView]
    # The statement's, by key id.
    seal_keys: Mapping[bytes, SealKeyView]
    # Not verified here: `succession` and `seal_request` do.
    successions: tuple[statement_pb2.SignedStatement, ...]
    seal_key_requests: tuple[statement_pb2.SignedSealKeyRequest, ...]
    # What it uses data for.
    activities: Register


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A member's file as it was judged, with the SHA-256 of its bytes."""

    sha256: bytes
    record: MemberRecordView


@dataclass(frozen=True, slots=True, eq=False)
class DirectoryView:
    """One version of the directory; make it with `build`. `hash` is its snapshot's SHA-256."""

    federation: str
    version: int
    hash: bytes
    # From the signed timestamp.
    issued_at_ms: int
    policy: PolicyView
    members: Mapping[MemberId, MemberView] = field(repr=False)
    # By the SHA-256 of the target file.
    contracts: Mapping[bytes, ContractView] = field(repr=False)
    # Whose contracts are, and their revisions.
    cards: Cards = field(repr=False)
    nodes: Mapping[NodeId, NodeView] = field(repr=False)
    # Who offers what for which region.
    regions: RegionIndex = field(repr=False)
    # Members that the registry's operators put together.
    groups: Groups = field(repr=False)
    # Members' files by path, so that the next version need parse only what changed.
    records: Mapping[str, KeptRecord] = field(repr=False)

    @classmethod
    def build(
        cls,
        federation: str,
        version: int,
        hash: bytes,  # noqa: A002 - what it is called everywhere
        issued_at_ms: int,
        targets: Mapping[str, bytes],
        previous: Self | None = None,
        digests: Mapping[str, bytes] | None = None,
    ) -> Self:
        """Build from the target files of a verified version, by path.

        With a `previous` view, files that are byte for byte the same aren't judged again; where
        `digests` gives the files' SHA-256 they aren't even read. A country takes seconds, and one
        change a few hundredths of one.

        Raises:
            SimpulError: DIRECTORY_UNTRUSTED, with the step and the path in its details.
        """
        # 1. Paths.
        member_paths, group_paths, contract_paths, card_paths = _sort_paths(targets)
        # 2. Policy.
        policy = files.parse_policy(targets[POLICY_PATH])
        if policy.federation != federation:
            raise refused(2, POLICY_PATH, f"it is of {policy.federation[:20]!a}, not {federation}")
        # 3. Contracts.
        known = {} if previous is None or previous.policy != policy else previous.contracts
        shown = Files(targets, digests)
        parsed = (_contract(federation, at, shown, known) for at in contract_paths)
        contracts = {contract.hash: contract for contract in parsed}
        # 3 and 8. Cards.
        earlier = None if previous is None or previous.policy != policy else previous.cards
        cards = read_cards(federation, shown, card_paths, contracts, earlier)
        # 4. Groups.
        grouped = None if previous is None else previous.groups
        groups = read_groups(federation, shown, group_paths, grouped)
        # 4 and 5. Members, with their statements. 6. Services' contracts.
        before = {} if previous is None or previous.policy != policy else previous.records
        kept = {path: _record(policy, path, shown, before) for path in member_paths}
        members = {
            item.record.id: _member(path, item.record, contracts) for path, item in kept.items()
        }
        return cls(
            federation=federation,
            version=version,
            hash=hash,
            issued_at_ms=issued_at_ms,
            policy=policy,
            members=MappingProxyType(members),
            contracts=MappingProxyType(contracts),
            cards=cards,
            # 7. Nodes.
            nodes=_nodes(members.values()),
            regions=RegionIndex(
                (_speaker(member, cards) for member in members.values()), cards.scopes
            ),
            groups=groups,
            records=MappingProxyType(kept),
        )

    def member(self, member: MemberId) -> MemberView:
        """Return a member, whatever its state; raises SimpulError MEMBER_UNKNOWN."""
        found = self.members.get(member)
        if found is None:
            self._unknown(Code.MEMBER_UNKNOWN, f"member {member}")
        return found

    def require_active(self, member: MemberId) -> MemberView:
        """Return an active member; raises SimpulError MEMBER_UNKNOWN or MEMBER_SUSPENDED."""
        found = self.member(member)
        if found.state is not MemberState.ACTIVE:
            raise SimpulError(
                Code.MEMBER_SUSPENDED,
                f"{member} is {found.state.name.lower()}; ask the registry's operator why",
                member=str(member),
            )
        return found

    def subsystem(self, subsystem: SubsystemId) -> SubsystemView:
        """Return a subsystem; raises SimpulError MEMBER_UNKNOWN or SUBSYSTEM_UNKNOWN."""
        found = self.member(subsystem.member).subsystems.get(subsystem)
        if found is None:
            self._unknown(Code.SUBSYSTEM_UNKNOWN, f"subsystem {subsystem}")
        return found

    def check_subsystem(self, subsystem: SubsystemId) -> None:
        """Check that the registry stops no calls of or to a subsystem.

        One that isn't listed passes: consumers' subsystems needn't be.

        Raises:
            SimpulError: SUBSYSTEM_SUSPENDED.
        """
        member = self.members.get(subsystem.member)
        found = None if member is None else member.subsystems.get(subsystem)
        if found is not None and found.state is not SubsystemState.ACTIVE:
            raise SimpulError(
                Code.SUBSYSTEM_SUSPENDED,
                f"{subsystem} is {found.state.name.lower()}; ask the registry's operator why",
                subsystem=str(subsystem),
            )

    def service(self, subsystem: SubsystemId, service_name: str) -> ServiceView:
        """Return a service of a subsystem.

        Raises:
            SimpulError: MEMBER_UNKNOWN, SUBSYSTEM_UNKNOWN, SERVICE_UNKNOWN, or ID_MALFORMED for
                what can name no service.
        """
        self.subsystem(subsystem)
        service = service_of(subsystem, service_name)
        found = self.members[subsystem.member].services.get(service)
        if found is None:
            raise SimpulError(
                Code.SERVICE_UNKNOWN,
                f"{subsystem} doesn't offer {service_name}; check the name and what it publishes",
                service=str(service),
            )
        return found

    def node(self, node: NodeId) -> NodeView:
        """Return a node, whatever its state; raises SimpulError NODE_UNKNOWN."""
        found = self.nodes.get(node)
        if found is None:
            self._unknown(Code.NODE_UNKNOWN, f"node {node}")
        return found

    def require_active_node(self, node: NodeId) -> NodeView:
        """Return an active node; raises SimpulError NODE_UNKNOWN or NODE_REVOKED."""
        found = self.node(node)
        if found.state is not NodeState.ACTIVE:
            raise SimpulError(
                Code.NODE_REVOKED,
                f"{node} is {found.state.name.lower()}; ask the registry's operator why, and enrol "
                "it anew",
                node=str(node),
            )
        return found

    def nodes_of(self, member: MemberId, now_ms: int) -> tuple[NodeView, ...]:
        """Return the active nodes that may seal for an active member now, by the key's order.

        None, where no node may: an empty tuple.

        Raises:
            SimpulError: MEMBER_UNKNOWN or MEMBER_SUSPENDED.
        """
        found = self.require_active(member)
        if _identity_revoked(found):
            return ()
        usable: dict[NodeId, NodeView] = {}
        for key_id, item in found.seal_keys.items():
            node = self.nodes.get(item.node)
            if node is None or node.state is not NodeState.ACTIVE or key_id in found.revoked:
                continue
            if item.valid_from_ms <= now_ms < item.valid_until_ms:
                usable[node.id] = node
        return tuple(usable.values())

    def members_on(self, node: NodeId, now_ms: int) -> tuple[MemberId, ...]:
        """Return the active members for which a node may seal now, its owner first."""
        found = [
            member.id
            for member in self.members.values()
            if member.state is MemberState.ACTIVE
            and any(item.node == node for item in member.seal_keys.values())
            and any(item.id == node for item in self.nodes_of(member.id, now_ms))
        ]
        owner = self.node(node).owner
        return tuple(sorted(found, key=lambda member: member != owner))

    def seal_key(self, member: MemberId, key_id: bytes, node: NodeId, now_ms: int) -> PublicKey:
        """Return the key that may seal for `member` on `node` now.

        Raises:
            SimpulError: MEMBER_UNKNOWN, MEMBER_SUSPENDED; KEY_UNKNOWN where the member's statement
                doesn't list it; KEY_REVOKED, also where the identity key that signed the statement
                is; KEY_NOT_VALID for another node, or before or after its dates.
        """
        found = self.require_active(member)
        item = self._listed(found, key_id)
        shown = key_id.hex()[:16]
        if key_id in found.revoked or _identity_revoked(found):
            raise SimpulError(
                Code.KEY_REVOKED,
                f"seal key {shown} of {member} is revoked; {member} must list a new one",
            )
        if item.node != node:
            raise SimpulError(
                Code.KEY_NOT_VALID,
                f"seal key {shown} of {member} is for {item.node}, not {node}; use that node's own",
            )
        if not item.valid_from_ms <= now_ms < item.valid_until_ms:
            raise SimpulError(
                Code.KEY_NOT_VALID,
                f"seal key {shown} of {member} isn't valid now; check the clock, or renew the key",
            )
        return item.key

    def seal_key_bytes(self, member: MemberId, key_id: bytes) -> PublicKey:
        """Return a listed key, to check a signature alone: it may be revoked, or not valid.

        Raises:
            SimpulError: MEMBER_UNKNOWN or KEY_UNKNOWN.
        """
        return self._listed(self.member(member), key_id).key

    def identity_key(self, member: MemberId) -> PublicKey:
        """Return the identity key of a member's statement.

        Raises:
            SimpulError: MEMBER_UNKNOWN; KEY_UNKNOWN where it has no statement yet; KEY_REVOKED.
        """
        found = self.member(member)
        if found.statement is None:
            raise SimpulError(
                Code.KEY_UNKNOWN, f"{member} has no statement yet; it must enrol a node first"
            )
        if _identity_revoked(found):
            raise SimpulError(
                Code.KEY_REVOKED,
                f"the identity key of {member} is revoked; {member} must publish a new statement",
            )
        return found.statement.identity_key

    def age_ms(self, now_ms: int) -> int:
        """Return how long ago the directory was issued; negative for a clock behind."""
        return now_ms - self.issued_at_ms

    def is_stale(self, now_ms: int) -> bool:
        """Whether the directory is older than the age at which the policy wants a warning."""
        return self.age_ms(now_ms) > self.policy.stale_after_ms

    def check_age(self, now_ms: int) -> None:
        """Check that calls may still go by this directory; raises SimpulError DIRECTORY_DEAD."""
        if self.age_ms(now_ms) > self.policy.dead_after_ms:
            raise SimpulError(
                Code.DIRECTORY_DEAD,
                f"directory {self.version} was issued {self.age_ms(now_ms) // 1000} s ago, and the "
                f"policy allows {self.policy.dead_after_ms // 1000} s; restore the way to the "
                "registry, or import a newer copy",
            )

    def _listed(self, member: MemberView, key_id: bytes) -> SealKeyView:
        found = member.seal_keys.get(key_id)
        if found is None:
            raise SimpulError(
                Code.KEY_UNKNOWN,
                f"directory {self.version} doesn't list seal key {key_id.hex()[:16]} of "
                f"{member.id}; fetch the newest directory, or have {member.id} list the key",
            )
        return found

    def _unknown(self, code: Code, what: str) -> NoReturn:
        raise SimpulError(
            code, f"directory {self.version} lists no {what}; check the spelling, or ask to join"
        )


def _sort_paths(targets: Iterable[str]) -> tuple[list[str], list[str], list[str], list[str]]:
    members: list[str] = []
    groups: list[str] = []
    contracts: list[str] = []
    cards: list[str] = []
    has_policy = False
    for path in sorted(targets):
        parts = path.split("/")
        if path == POLICY_PATH:
            has_policy = True
        elif len(parts) == _FAMILY_PARTS and parts[0] == MEMBERS_FOLDER:
            (groups if is_group_path(path) else members).append(path)
        elif len(parts) == _FAMILY_PARTS and parts[0] == CONTRACTS_FOLDER:
            (cards if is_card_path(path) else contracts).append(path)
        else:
            raise refused(1, path, "no file may have this path")
    if not has_policy:
        raise refused(1, POLICY_PATH, "it is missing")
    return members, groups, contracts, cards


def _contract(
    federation: str, path: str, shown: Files, known: Mapping[bytes, ContractView]
) -> ContractView:
    found = known.get(shown.digest(path))
    # The path isn't part of the content, so it is judged each time.
    if found is None or path != found.path:
        return files.parse_contract(federation, path, shown.read(path))
    return found


def _record(
    policy: PolicyView, path: str, shown: Files, before: Mapping[str, KeptRecord]
) -> KeptRecord:
    found, hashed = before.get(path), shown.digest(path)
    if found is not None and found.sha256 == hashed:
        return found
    return KeptRecord(hashed, files.parse_member(policy, path, shown.read(path)))


def _member(
    path: str, record: MemberRecordView, contracts: Mapping[bytes, ContractView]
) -> MemberView:
    services = {}
    for service, contract_hash in record.contracts.items():
        contract = contracts.get(contract_hash)
        if contract is None or contract.service != service.service:
            raise refused(6, path, f"the contract of {service} is missing, or another service's")
        services[service] = ServiceView(service, contract)
    seal_keys = () if record.statement is None else record.statement.seal_keys
    return MemberView(
        id=record.id,
        state=record.state,
        legal_name=record.legal_name,
        regions=record.regions,
        statement=record.statement,
        subsystems=MappingProxyType({item.id: item for item in record.subsystems}),
        services=MappingProxyType(services),
        nodes=record.nodes,
        revoked=record.revoked,
        seal_keys=MappingProxyType({item.key.key_id: item for item in seal_keys}),
        successions=record.successions,
        seal_key_requests=record.seal_key_requests,
        activities=record.activities,
    )


def _nodes(members: Iterable[MemberView]) -> Mapping[NodeId, NodeView]:
    nodes: dict[NodeId, NodeView] = {}
    for member in members:
        for node in member.nodes:
            if node.id in nodes:
                raise refused(7, files.member_path(member.id), f"{node.id} is listed twice")
            nodes[node.id] = node
    return MappingProxyType(nodes)


@dataclass(frozen=True, slots=True)
class _Ruled:
    """A contract whose card says what holds for calls by region."""

    region_rules: RegionRules


def _speaker(member: MemberView, cards: Cards) -> Speaker:
    services = []
    for service in member.services.values():
        name, rules = service.id.service, cards.rules(service.id.service)
        ruled = service.contract if rules is None else _Ruled(rules)
        services.append((name, service.id.subsystem, ruled))
    active = member.state is MemberState.ACTIVE
    return Speaker(member.id, active, member.regions, tuple(services))


def _identity_revoked(member: MemberView) -> bool:
    return member.statement is not None and member.statement.identity_key.key_id in member.revoked
