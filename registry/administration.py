"""What the registry's operator does with tokens and nodes. Plain values in, plain values out.

Each function is one transaction, and returns what must be published with what the operator is told.
Who may call is not asked here: `authorization` has decided.
"""

from dataclasses import dataclass

from sqlmodel import Session

from registry import rules
from registry.directory import content
from registry.membership import Act, NewMember, add_within
from registry.model import Node, RevokedKey, Token, Touched
from registry.registrar import Registrar
from registry.store import members, nodes, services, statements, tokens
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


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token to make. The member is listed first where `legal_name` is given and it is new.

    With `hosts` the node is listed already, and is to seal for this member too.
    """

    member: MemberId
    node: NodeId
    secret: bytes
    expires_at_ms: int
    legal_name: str = ""
    region_codes: tuple[RegionCode, ...] = ()
    hosts: bool = False
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Granted:
    """A token that is kept. `has_statement`: the node asks for its key to be listed."""

    touched: Touched
    has_statement: bool


def create_enrolment(registrar: Registrar, request: TokenRequest, now_ms: int) -> Granted:
    """Keeps a one-time token for a node that is to join, or to host a further member.

    Raises:
        SimpulError: MEMBER_UNKNOWN, MEMBER_SUSPENDED; ALREADY_EXISTS, when the node is listed;
            NODE_UNKNOWN or NODE_REVOKED, when it is to host and isn't; and what `membership.add`
            raises.
    """
    with registrar.store.transaction() as session:
        touched = Touched()
        if request.legal_name and members.find(session, request.member) is None:
            new = NewMember(request.member, request.legal_name, request.region_codes)
            add_within(session, registrar, new, Act(request.actor, now_ms))
            touched = Touched(frozenset({request.member}))
        member = members.get(session, request.member)
        rules.check_active(member)
        if request.hosts:
            rules.check_node_active(nodes.get(session, request.node))
        elif nodes.find(session, request.node) is not None:
            raise SimpulError(
                Code.ALREADY_EXISTS,
                f"{request.node} is listed already: choose another node name, or say that it is to "
                "host the member too (--host)",
            )
        token = Token(
            secret_hash=secret_hash(request.secret),
            member=request.member,
            node=request.node,
            expires_at_ms=request.expires_at_ms,
            hosts=request.hosts,
        )
        tokens.add(session, token, now_ms)
        return Granted(touched, member.statement is not None)


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
        return _out_of_service(session, found)


def revoke_key(
    registrar: Registrar, key_id: bytes, suspected_since_ms: int | None, now_ms: int
) -> MemberId:
    """Revokes one key that is listed for a member, for ever; returns whose it is.

    Raises:
        SimpulError: KEY_UNKNOWN, when no member lists it; CONFLICT, when it is revoked already;
            CHANGE_INVALID for a time that is to come.
    """
    if suspected_since_ms is not None and not 0 < suspected_since_ms <= now_ms:
        raise SimpulError(Code.CHANGE_INVALID, "a key is suspected since a time that has been")
    with registrar.store.transaction() as session:
        member = _lister(session, key_id)
        if any(key.key_id == key_id for key in members.revoked_keys(session, member)):
            raise SimpulError(Code.CONFLICT, f"key {key_id.hex()[:16]} is revoked already")
        members.revoke_keys(session, [RevokedKey(key_id, member, now_ms, suspected_since_ms)])
        members.changed(session, member)
        content.read(session, registrar.policy, Touched(frozenset({member})))
        return member


def _lister(session: Session, key_id: bytes) -> MemberId:
    """The member for which a key is listed: in its statement, or of a node that it runs."""
    for node in nodes.every(session):
        if node.key.key_id == key_id:
            return node.owner
    for member in members.every(session):
        statement = rules.statement_in_force(member)
        if statement is None:
            continue
        listed = {statement.identity_key.key_id, *(k.key.key_id for k in statement.seal_keys)}
        if key_id in listed:
            return member.id
    raise SimpulError(
        Code.KEY_UNKNOWN, f"no member lists key {key_id.hex()[:16]}: give the whole id, in hex"
    )


def remove_node(registrar: Registrar, node: NodeId) -> Touched:
    """Takes a node out of service, for ever. Its keys stay good for what they signed.

    Raises:
        SimpulError: NODE_UNKNOWN; CONFLICT, when it is out of service already.
    """
    with registrar.store.transaction() as session:
        found = nodes.get(session, node)
        nodes.remove(session, node)
        return _out_of_service(session, found)


def _out_of_service(session: Session, node: Node) -> Touched:
    """What must be published of a node that is gone: also of whose statements it asked to be in."""
    asked = statements.members_asked(session, node.id)
    statements.drop_requests(session, node=node.id)
    touched = frozenset({node.owner, *asked})
    for member in touched:
        members.changed(session, member)
    return Touched(touched)


def count(registrar: Registrar) -> Counts:
    """How much is listed."""
    with registrar.store.transaction() as session:
        return Counts(
            len(members.every(session)), len(nodes.every(session)), services.count(session)
        )


def _fingerprint(node: Node, statement: VerifiedStatement | None) -> str:
    keys = () if statement is None else statement.seal_keys
    seal_key = next((key.key for key in keys if key.node == node.id), None)
    if statement is None or seal_key is None:
        return ""
    return fingerprint(node.owner, node.id, statement.identity_key, node.key, seal_key)
