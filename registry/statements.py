"""Puts a member's statement in force, and keeps what leads from one to the next.

Rules: the statement that introduces a new identity key is kept for ever, because partners follow it
from the key that they pinned; a node's request is forgotten when a statement lists its key.
"""

from sqlmodel import Session

from registry import rules
from registry.model import Member, Node
from registry.requests import KeyListing
from registry.rules import step
from registry.store import members, statements
from registry.store.statements import SealKeyRequestRow
from security.identifiers import NodeId
from security.keys import PublicKey
from security.seal_request import SealKeyRequestView
from security.statement import VerifiedStatement
from simpul.v1 import statement_pb2


def judge_listing(
    listing: KeyListing, member: Member, node: NodeId, node_key: PublicKey, now_ms: int
) -> VerifiedStatement | SealKeyRequestView:
    """How a node's seal key comes into a statement: verified, and for this node (12 and 13).

    Raises:
        SimpulError: STATEMENT_INVALID or KEY_UNKNOWN.
    """
    if isinstance(listing, statement_pb2.SignedStatement):
        with step(12):
            statement = rules.verify_next_statement(listing, member)
        with step(13):
            rules.check_lists_node(statement, node, now_ms)
        return statement
    with step(12):
        return rules.verify_seal_key_request(listing, member, node, node_key)


def put_listing(
    session: Session,
    member: Member,
    listing: KeyListing,
    judged: VerifiedStatement | SealKeyRequestView,
) -> None:
    """Stores what `judge_listing` has judged. The node is listed by now."""
    if isinstance(judged, VerifiedStatement):
        put_statement(session, member, listing.SerializeToString(), judged)
        return
    row = SealKeyRequestRow(
        key_id=judged.key.key_id,
        member=str(member.id),
        node=str(judged.node),
        request=listing.SerializeToString(),
        made_at_ms=judged.made_at_ms,
    )
    statements.put_request(session, row)
    members.changed(session, member.id)


def put_statement(
    session: Session, member: Member, signed: bytes, verified: VerifiedStatement
) -> None:
    """Puts the member's next statement in force; raises SimpulError CONFLICT as the store does."""
    previous = rules.statement_in_force(member)
    if previous is not None and previous.identity_key != verified.identity_key:
        statements.add_succession(session, member.id, verified.number, signed)
    for key in verified.seal_keys:
        statements.drop_request(session, key.key.key_id)
    members.set_statement(session, member, signed)


def is_listed(member: Member, node: Node) -> bool:
    """Whether the member's statement in force lists the node."""
    statement = rules.statement_in_force(member)
    return statement is not None and any(key.node == node.id for key in statement.seal_keys)
