"""What the registry's operator does: members, tokens, nodes. Plain values in, plain values out.

Each function is one transaction, and returns what must be published with what the operator is told.
Who may call is not asked here: `authorization` has decided.
"""

from dataclasses import dataclass

from sqlmodel import Session

from registry import rules
from registry.directory import content
from registry.model import (
    Listing,
    Member,
    MemberState,
    Node,
    Region,
    RevokedKey,
    Token,
    Touched,
)
from registry.registrar import Registrar
from registry.store import listings, members, nodes, services, tokens
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, RegionCode
from security.statement import VerifiedStatement
from security.token import fingerprint, secret_hash


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node, and what people compare by voice; empty where the member dropped its key."""

    node: Node
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is listed."""

    members: int
    nodes: int
    services: int


def add_member(
    registrar: Registrar,
    member: MemberId,
    legal_name: str,
    codes: tuple[RegionCode, ...],
    now_ms: int,
) -> Listing:
    """Lists a new member.

    Raises:
        SimpulError: ID_MALFORMED for another federation or class; ALREADY_EXISTS; CHANGE_INVALID
            for a name that no node would accept.
    """
    with registrar.store.transaction() as session:
        _add_member(session, registrar, member, legal_name, codes, now_ms)
        return listings.get(session, member)


def list_members(registrar: Registrar) -> tuple[Listing, ...]:
    """All members, by id."""
    with registrar.store.transaction() as session:
        return tuple(listings.get(session, member.id) for member in members.every(session))


def set_member_state(registrar: Registrar, member: MemberId, state: MemberState) -> Listing:
    """Suspends, restores or removes a member.

    Raises:
        SimpulError: MEMBER_UNKNOWN; CONFLICT, when it can't become that.
    """
    with registrar.store.transaction() as session:
        found = members.get(session, member)
        rules.check_transition(found, state)
        members.set_state(session, found, state)
        return listings.get(session, member)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token to make. The member is listed first where `legal_name` is given and it is new."""

    member: MemberId
    node: NodeId
    secret: bytes
    expires_at_ms: int
    legal_name: str = ""
    region_codes: tuple[RegionCode, ...] = ()


def create_enrolment(registrar: Registrar, request: TokenRequest, now_ms: int) -> Touched:
    """Keeps a one-time token for a node that is not listed yet.

    Raises:
        SimpulError: MEMBER_UNKNOWN, MEMBER_SUSPENDED; ALREADY_EXISTS, when the node is listed; and
            what `add_member` raises.
    """
    with registrar.store.transaction() as session:
        touched = Touched()
        if request.legal_name and members.find(session, request.member) is None:
            _add_member(
                session,
                registrar,
                request.member,
                request.legal_name,
                request.region_codes,
                now_ms,
            )
            touched = Touched(frozenset({request.member}))
        rules.check_active(members.get(session, request.member))
        if nodes.find(session, request.node) is not None:
            raise SimpulError(
                Code.ALREADY_EXISTS, f"{request.node} is listed already: choose another node name"
            )
        token = Token(
            secret_hash=secret_hash(request.secret),
            member=request.member,
            node=request.node,
            expires_at_ms=request.expires_at_ms,
        )
        tokens.add(session, token, now_ms)
        return touched


def list_nodes(registrar: Registrar) -> tuple[NodeInfo, ...]:
    """All nodes, by id."""
    with registrar.store.transaction() as session:
        statements = {
            member.id: rules.statement_in_force(member) for member in members.every(session)
        }
        return tuple(
            NodeInfo(node, _fingerprint(node, statements[node.owner]))
            for node in nodes.every(session)
        )


def revoke_node(registrar: Registrar, node: NodeId, now_ms: int) -> Touched:
    """Revokes a node and its key, for ever.

    Raises:
        SimpulError: NODE_UNKNOWN; CONFLICT, when it is revoked already.
    """
    with registrar.store.transaction() as session:
        found = nodes.get(session, node)
        nodes.revoke(session, node)
        members.revoke_keys(session, [RevokedKey(found.key.key_id, found.owner, now_ms)])
        members.changed(session, found.owner)
        return Touched(frozenset({found.owner}))


def count(registrar: Registrar) -> Counts:
    """How much is listed."""
    with registrar.store.transaction() as session:
        return Counts(
            len(members.every(session)), len(nodes.every(session)), services.count(session)
        )


def _add_member(
    session: Session,
    registrar: Registrar,
    member: MemberId,
    legal_name: str,
    codes: tuple[RegionCode, ...],
    now_ms: int,
) -> None:
    rules.check_class(member, registrar.federation, registrar.policy.member_classes)
    if len(set(codes)) != len(codes):
        raise SimpulError(Code.CHANGE_INVALID, "a region code is given twice: give each once")
    regions = tuple(Region(code, now_ms) for code in codes)
    members.add(session, Member(member, legal_name, regions), now_ms)
    content.read(session, registrar.policy, Touched(frozenset({member})))


def _fingerprint(node: Node, statement: VerifiedStatement | None) -> str:
    keys = () if statement is None else statement.seal_keys
    seal_key = next((key.key for key in keys if key.node == node.id), None)
    if statement is None or seal_key is None:
        return ""
    return fingerprint(node.owner, node.id, statement.identity_key, node.key, seal_key)
