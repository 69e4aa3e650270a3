"""Nodes: who runs them, their keys, and how far their changes have come."""

from typing import Any

from sqlalchemy import Column, update
from sqlmodel import Field, Session, SQLModel, col, select

from registry.model import Node, NodeState
from registry.store.rows import BIG, BYTES, swap
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from security.keys import Algorithm, PublicKey


class NodeRow(SQLModel, table=True):
    """A node. Its key is Ed25519: 32 bytes."""

    __tablename__ = "nodes"

    id: str = Field(primary_key=True)
    owner: str = Field(foreign_key="members.id", index=True)
    key: bytes = Field(sa_column=Column(BYTES, nullable=False, unique=True))
    link_address: str
    slots: int
    state: str
    certificate_expires_at_ms: int = Field(sa_column=Column(BIG, nullable=False))
    change_number: int = Field(sa_column=Column(BIG, nullable=False))
    enrolled_at_ms: int = Field(sa_column=Column(BIG, nullable=False))


def add(session: Session, node: Node, now_ms: int) -> None:
    """Lists a new node. A name or key that is taken is CONFLICT when the transaction ends."""
    session.add(
        NodeRow(
            id=str(node.id),
            owner=str(node.owner),
            key=node.key.key,
            link_address=node.link_address,
            slots=node.slots,
            state=node.state,
            certificate_expires_at_ms=node.certificate_expires_at_ms,
            change_number=node.change_number,
            enrolled_at_ms=now_ms,
        )
    )
    session.flush()


def find(session: Session, node: NodeId) -> Node | None:
    """The node, or None."""
    row = session.get(NodeRow, str(node))
    return None if row is None else _node(row)


def get(session: Session, node: NodeId) -> Node:
    """The node.

    Raises:
        SimpulError: NODE_UNKNOWN.
    """
    found = find(session, node)
    if found is None:
        raise SimpulError(
            Code.NODE_UNKNOWN,
            f"{node} is not listed: enrol it first (simpul registry enrol)",
            node=str(node),
        )
    return found


def find_by_key(session: Session, key: PublicKey) -> Node | None:
    """The node that has this key, whatever its state; or None."""
    row = session.exec(select(NodeRow).where(col(NodeRow.key) == key.key)).first()
    return None if row is None else _node(row)


def of_owner(session: Session, owner: MemberId) -> tuple[Node, ...]:
    """The nodes that a member runs, by id."""
    query = select(NodeRow).where(col(NodeRow.owner) == str(owner)).order_by(col(NodeRow.id))
    return tuple(_node(row) for row in session.exec(query))


def every(session: Session) -> tuple[Node, ...]:
    """All nodes, by id."""
    return tuple(_node(row) for row in session.exec(select(NodeRow).order_by(col(NodeRow.id))))


def take_number(session: Session, node: NodeId, number: int) -> None:
    """Marks the change of this number as applied: it is higher than any before, or refused.

    Raises:
        SimpulError: CHANGE_REPLAYED, when this number, or a higher one, was applied already.
    """
    statement = (
        update(NodeRow)
        .where(col(NodeRow.id) == str(node), col(NodeRow.change_number) < number)
        .values(change_number=number)
    )
    refusal = SimpulError(
        Code.CHANGE_REPLAYED,
        f"change {number} of {node} comes after a higher one: make it anew with a higher number",
        node=str(node),
    )
    swap(session, statement, refusal)


def set_link_address(session: Session, node: NodeId, link_address: str) -> None:
    """Replaces the address where the node takes links."""
    _set(session, node, link_address=link_address)


def set_certificate_expiry(session: Session, node: NodeId, expires_at_ms: int) -> None:
    """Notes the end of the certificate that was issued last."""
    _set(session, node, certificate_expires_at_ms=expires_at_ms)


def revoke(session: Session, node: NodeId) -> None:
    """Revokes a node, also one that was removed.

    Raises:
        SimpulError: CONFLICT, when it is revoked already.
    """
    refusal = SimpulError(Code.CONFLICT, f"{node} is revoked already: look at simpul registry node")
    _end(session, node, NodeState.REVOKED, (NodeState.ACTIVE, NodeState.REMOVED), refusal)


def remove(session: Session, node: NodeId) -> None:
    """Takes an active node out of service.

    Raises:
        SimpulError: CONFLICT, when it is out of service already.
    """
    refusal = SimpulError(
        Code.CONFLICT, f"{node} is out of service already: look at simpul registry node list"
    )
    _end(session, node, NodeState.REMOVED, (NodeState.ACTIVE,), refusal)


def set_key(session: Session, node: Node, key: PublicKey) -> None:
    """Replaces the node key that was read.

    Raises:
        SimpulError: CONFLICT, when it is another one by now.
    """
    statement = (
        update(NodeRow)
        .where(col(NodeRow.id) == str(node.id), col(NodeRow.key) == node.key.key)
        .values(key=key.key)
    )
    swap(session, statement, SimpulError(Code.CONFLICT, f"{node.id} has another key by now"))


def _end(
    session: Session,
    node: NodeId,
    state: NodeState,
    before: tuple[NodeState, ...],
    otherwise: SimpulError,
) -> None:
    statement = (
        update(NodeRow)
        .where(col(NodeRow.id) == str(node), col(NodeRow.state).in_(before))
        .values(state=state)
    )
    swap(session, statement, otherwise)


def _set(session: Session, node: NodeId, **values: Any) -> None:  # noqa: ANN401  (columns)
    statement = update(NodeRow).where(col(NodeRow.id) == str(node)).values(**values)
    swap(session, statement, SimpulError(Code.NODE_UNKNOWN, f"{node} is not listed"))


def _node(row: NodeRow) -> Node:
    return Node(
        id=NodeId.parse(row.id),
        owner=MemberId.parse(row.owner),
        key=PublicKey(Algorithm.ED25519, row.key),
        link_address=row.link_address,
        slots=row.slots,
        state=NodeState(row.state),
        certificate_expires_at_ms=row.certificate_expires_at_ms,
        change_number=row.change_number,
    )
