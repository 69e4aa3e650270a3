"""Changes that wait for an operator's decision, and what was decided."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Column, UniqueConstraint, update
from sqlmodel import Field, Session, SQLModel, col, select

from registry.store.rows import BIG, BYTES, swap
from security.errors import Code, SimpulError
from security.identifiers import NodeId


class WaitingState(StrEnum):
    """Waiting once, then decided for good."""

    WAITING = "waiting"
    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class WaitingChange:
    """A change as its node sent it; `id` is 0 before it is kept."""

    id: int
    node: NodeId
    number: int
    kind: str
    change: bytes
    signature: bytes
    received_at_ms: int
    state: WaitingState = WaitingState.WAITING
    reason: str = ""
    decided_at_ms: int | None = None
    decided_by: str = ""


class WaitingChangeRow(SQLModel, table=True):
    """A change that is not automatic. It stays after its decision."""

    __tablename__ = "waiting_changes"
    __table_args__ = (UniqueConstraint("node", "number"),)

    id: int | None = Field(default=None, primary_key=True)
    node: str = Field(foreign_key="nodes.id")
    number: int = Field(sa_column=Column(BIG, nullable=False))
    kind: str
    change: bytes = Field(sa_column=Column(BYTES, nullable=False))
    signature: bytes = Field(sa_column=Column(BYTES, nullable=False))
    received_at_ms: int = Field(sa_column=Column(BIG, nullable=False))
    state: str
    reason: str
    decided_at_ms: int | None = Field(sa_column=Column(BIG, nullable=True))
    decided_by: str


def add(session: Session, change: WaitingChange) -> None:
    """Keeps a change until it is decided."""
    session.add(
        WaitingChangeRow(
            node=str(change.node),
            number=change.number,
            kind=change.kind,
            change=change.change,
            signature=change.signature,
            received_at_ms=change.received_at_ms,
            state=change.state,
            reason=change.reason,
            decided_at_ms=change.decided_at_ms,
            decided_by=change.decided_by,
        )
    )
    session.flush()


def get(session: Session, change_id: int) -> WaitingChange:
    """One change; raises SimpulError NOT_FOUND."""
    row = session.get(WaitingChangeRow, change_id)
    if row is None:
        raise SimpulError(
            Code.NOT_FOUND,
            f"no change {change_id} was ever asked for: see simpul registry change list",
        )
    return _change(row)


def find(session: Session, node: NodeId, number: int) -> WaitingChange | None:
    """A node's change by its number, or None."""
    query = select(WaitingChangeRow).where(
        col(WaitingChangeRow.node) == str(node), col(WaitingChangeRow.number) == number
    )
    row = session.exec(query).first()
    return None if row is None else _change(row)


def every(session: Session, *, decided: bool) -> tuple[WaitingChange, ...]:
    """Those that wait, the oldest first; with `decided` the others too."""
    query = select(WaitingChangeRow).order_by(col(WaitingChangeRow.id))
    if not decided:
        query = query.where(col(WaitingChangeRow.state) == WaitingState.WAITING)
    return tuple(_change(row) for row in session.exec(query))


def decide(
    session: Session,
    change: WaitingChange,
    state: WaitingState,
    *,
    reason: str,
    actor: str,
    now_ms: int,
) -> None:
    """Ends a change's waiting: once, whoever else tries at the same moment.

    Raises:
        SimpulError: CONFLICT, when it is decided already; it says how.
    """
    statement = (
        update(WaitingChangeRow)
        .where(
            col(WaitingChangeRow.id) == change.id,
            col(WaitingChangeRow.state) == WaitingState.WAITING,
        )
        .values(state=state, reason=reason, decided_by=actor, decided_at_ms=now_ms)
    )
    refusal = SimpulError(
        Code.CONFLICT,
        f"change {change.id} is {change.state} already"
        + (f" by {change.decided_by}" if change.decided_by else "")
        + ": look at it again (simpul registry change list --all)",
        state=change.state,
    )
    swap(session, statement, refusal)


def _change(row: WaitingChangeRow) -> WaitingChange:
    return WaitingChange(
        id=row.id or 0,
        node=NodeId.parse(row.node),
        number=row.number,
        kind=row.kind,
        change=row.change,
        signature=row.signature,
        received_at_ms=row.received_at_ms,
        state=WaitingState(row.state),
        reason=row.reason,
        decided_at_ms=row.decided_at_ms,
        decided_by=row.decided_by,
    )
