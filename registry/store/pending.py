"""Dangerous acts that one person asked for, until another one decides."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Column, update
from sqlmodel import Field, Session, SQLModel, col, select

from registry.store.rows import BIG, BYTES, swap
from security.errors import Code, SimpulError


class PendingState(StrEnum):
    """Pending once, then decided for good."""

    PENDING = "pending"
    APPROVED = "approved"
    DECLINED = "declined"
    # Approved, and then refused by the rules.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PendingAct:
    """A request as it was sent; `id` is 0 before it is kept."""

    id: int
    method: str
    subject: str
    request: bytes
    proposed_by: str
    proposed_at_ms: int
    state: PendingState = PendingState.PENDING
    decided_by: str = ""
    decided_at_ms: int | None = None
    reason: str = ""


class PendingActRow(SQLModel, table=True):
    """An act. It stays after its decision."""

    __tablename__ = "pending_acts"

    id: int | None = Field(default=None, primary_key=True)
    method: str
    subject: str
    request: bytes = Field(sa_column=Column(BYTES, nullable=False))
    proposed_by: str
    proposed_at_ms: int = Field(sa_column=Column(BIG, nullable=False))
    state: str
    decided_by: str
    decided_at_ms: int | None = Field(sa_column=Column(BIG, nullable=True))
    reason: str


def add(session: Session, act: PendingAct) -> int:
    """Keeps an act; returns its number."""
    row = PendingActRow(
        method=act.method,
        subject=act.subject,
        request=act.request,
        proposed_by=act.proposed_by,
        proposed_at_ms=act.proposed_at_ms,
        state=act.state,
        decided_by=act.decided_by,
        decided_at_ms=act.decided_at_ms,
        reason=act.reason,
    )
    session.add(row)
    session.flush()
    return row.id or 0


def get(session: Session, act_id: int) -> PendingAct:
    """One act; raises SimpulError NOT_FOUND."""
    row = session.get(PendingActRow, act_id)
    if row is None:
        raise SimpulError(
            Code.NOT_FOUND,
            f"no act {act_id} was ever proposed: see simpul registry pending list",
        )
    return _act(row)


def every(session: Session, *, decided: bool) -> tuple[PendingAct, ...]:
    """Those that are pending, the oldest first; with `decided` the others too."""
    query = select(PendingActRow).order_by(col(PendingActRow.id))
    if not decided:
        query = query.where(col(PendingActRow.state) == PendingState.PENDING)
    return tuple(_act(row) for row in session.exec(query))


def decide(
    session: Session, act: PendingAct, state: PendingState, *, actor: str, now_ms: int, reason: str
) -> None:
    """Decides an act: once, whoever else tries at the same moment; raises SimpulError CONFLICT."""
    statement = (
        update(PendingActRow)
        .where(
            col(PendingActRow.id) == act.id,
            col(PendingActRow.state) == PendingState.PENDING,
        )
        .values(state=state, decided_by=actor, decided_at_ms=now_ms, reason=reason)
    )
    refusal = SimpulError(
        Code.CONFLICT,
        f"act {act.id} is {act.state} by {act.decided_by}: look again (simpul registry pending "
        "list --all)",
    )
    swap(session, statement, refusal)


def fail(session: Session, act_id: int, reason: str) -> None:
    """Says that an approved act was refused by the rules."""
    statement = (
        update(PendingActRow)
        .where(col(PendingActRow.id) == act_id, col(PendingActRow.state) == PendingState.APPROVED)
        .values(state=PendingState.FAILED, reason=reason)
    )
    swap(session, statement, SimpulError(Code.CONFLICT, f"act {act_id} isn't approved: look again"))


def _act(row: PendingActRow) -> PendingAct:
    return PendingAct(
        id=row.id or 0,
        method=row.method,
        subject=row.subject,
        request=row.request,
        proposed_by=row.proposed_by,
        proposed_at_ms=row.proposed_at_ms,
        state=PendingState(row.state),
        decided_by=row.decided_by,
        decided_at_ms=row.decided_at_ms,
        reason=row.reason,
    )
