"""What members asked for about contracts, and the thread of each. It stays after its decision."""

from collections.abc import Collection

from sqlalchemy import Column, UniqueConstraint, func, update
from sqlalchemy.orm import defer
from sqlmodel import Field, Session, SQLModel, col, select

from registry.contracts.model import Event, Likeness, Submission, SubmissionState
from registry.contracts.states import OPEN
from registry.store.rows import BIG, BYTES, swap
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from simpul.v1 import registry_pb2


class SubmissionRow(SQLModel, table=True):
    """A submission: the change as its node signed it, and what was found about it."""

    __tablename__ = "contract_submissions"
    __table_args__ = (UniqueConstraint("node", "change_number"),)

    id: int | None = Field(default=None, primary_key=True)
    package: str = Field(index=True)
    member: str = Field(foreign_key="members.id", index=True)
    node: str = Field(foreign_key="nodes.id")
    change_number: int = Field(sa_column=Column(BIG, nullable=False))
    kind: str
    change: bytes = Field(sa_column=Column(BYTES, nullable=False))
    signature: bytes = Field(sa_column=Column(BYTES, nullable=False))
    revision: int
    state: str = Field(index=True)
    submitted_at_ms: int = Field(sa_column=Column(BIG, nullable=False))
    # A serialised simpul.v1.Submission with nothing but `similar` and `advice`.
    found: bytes = Field(sa_column=Column(BYTES, nullable=False))
    why_not: str
    waits_because: str


class SubmissionEventRow(SQLModel, table=True):
    """A word or a step in a thread, in the order of `id`."""

    __tablename__ = "contract_events"

    id: int | None = Field(default=None, primary_key=True)
    submission: int = Field(foreign_key="contract_submissions.id", index=True)
    at_ms: int = Field(sa_column=Column(BIG, nullable=False))
    author: str
    by_registry: bool
    state: str
    text: str


def add(session: Session, new: Submission) -> int:
    """Keeps a submission with its events; returns its id."""
    row = SubmissionRow(
        package=new.package,
        member=str(new.member),
        node=str(new.node),
        change_number=new.change_number,
        kind=new.kind,
        change=new.change,
        signature=new.signature,
        revision=new.revision,
        state=new.state,
        submitted_at_ms=new.submitted_at_ms,
        found=_found(new),
        why_not=new.why_not,
        waits_because=new.waits_because,
    )
    session.add(row)
    session.flush()
    made = row.id or 0
    for event in new.events:
        _say(session, made, event)
    return made


def get(session: Session, submission_id: int) -> Submission:
    """One submission with its thread; raises SimpulError NOT_FOUND."""
    row = session.get(SubmissionRow, submission_id)
    if row is None:
        raise SimpulError(
            Code.NOT_FOUND,
            f"there is no submission {submission_id}: see which there are (simpul contract "
            "submissions, or at the registry simpul registry contract list)",
        )
    return _submission(session, row)


def find(session: Session, node: NodeId, change_number: int) -> Submission | None:
    """A node's submission by the number of its change, or None."""
    query = select(SubmissionRow).where(
        col(SubmissionRow.node) == str(node), col(SubmissionRow.change_number) == change_number
    )
    row = session.exec(query).first()
    return None if row is None else _submission(session, row)


def every(
    session: Session, *, decided: bool, members: Collection[MemberId] | None = None
) -> tuple[Submission, ...]:
    """The open ones, the newest first; with `decided` the others too; of these members alone.

    Without what was sent, `change` and `signature`: that is megabytes each.
    """
    sent = (
        defer(SubmissionRow.change),  # type: ignore[arg-type]
        defer(SubmissionRow.signature),  # type: ignore[arg-type]
    )
    query = select(SubmissionRow).options(*sent).order_by(col(SubmissionRow.id).desc())
    if not decided:
        query = query.where(col(SubmissionRow.state).in_([state.value for state in OPEN]))
    if members is not None:
        query = query.where(col(SubmissionRow.member).in_([str(member) for member in members]))
    return tuple(_submission(session, row, sent=False) for row in session.exec(query).all())


def counts(session: Session, member: MemberId, since_ms: int) -> tuple[int, int]:
    """How many of a member's are open, and how many it made since then."""
    own = col(SubmissionRow.member) == str(member)
    states = [state.value for state in OPEN]
    query = select(func.count()).select_from(SubmissionRow).where(own)
    still_open = session.exec(query.where(col(SubmissionRow.state).in_(states))).one()
    lately = session.exec(query.where(col(SubmissionRow.submitted_at_ms) > since_ms)).one()
    return still_open, lately


def step(session: Session, before: Submission, event: Event) -> None:
    """Says something in a thread, and brings the submission to the event's state.

    Raises:
        SimpulError: CONFLICT, when it isn't in the state of `before` any more.
    """
    statement = (
        update(SubmissionRow)
        .where(col(SubmissionRow.id) == before.id, col(SubmissionRow.state) == before.state)
        .values(state=event.state)
    )
    swap(
        session,
        statement,
        SimpulError(
            Code.CONFLICT,
            f"submission {before.id} was {before.state} and is no longer: look at it again",
        ),
    )
    _say(session, before.id, event)
    session.expire_all()


def _say(session: Session, submission_id: int, event: Event) -> None:
    session.add(
        SubmissionEventRow(
            submission=submission_id,
            at_ms=event.at_ms,
            author=event.author,
            by_registry=event.by_registry,
            state=event.state,
            text=event.text,
        )
    )
    session.flush()


def _submission(session: Session, row: SubmissionRow, *, sent: bool = True) -> Submission:
    events = session.exec(
        select(SubmissionEventRow)
        .where(col(SubmissionEventRow.submission) == row.id)
        .order_by(col(SubmissionEventRow.id))
    )
    found = registry_pb2.Submission.FromString(row.found)
    return Submission(
        id=row.id or 0,
        package=row.package,
        member=MemberId.parse(row.member),
        node=NodeId.parse(row.node),
        change_number=row.change_number,
        kind=row.kind,
        change=row.change if sent else b"",
        signature=row.signature if sent else b"",
        revision=row.revision,
        state=SubmissionState(row.state),
        submitted_at_ms=row.submitted_at_ms,
        likenesses=tuple(map(_likeness, found.similar)),
        advice=tuple(found.advice),
        why_not=row.why_not,
        waits_because=row.waits_because,
        events=tuple(
            Event(e.at_ms, e.author, e.by_registry, SubmissionState(e.state), e.text)
            for e in events
        ),
    )


def _found(new: Submission) -> bytes:
    message = registry_pb2.Submission(
        similar=map(similar_message, new.likenesses), advice=new.advice
    )
    return message.SerializeToString(deterministic=True)


def similar_message(found: Likeness) -> registry_pb2.SimilarContract:
    """A likeness as it travels."""
    return registry_pb2.SimilarContract(
        package=found.package,
        revision=found.revision,
        likeness=found.score,
        close=found.close,
        shared=found.shared,
        users=map(str, found.users),
        owner=str(found.owner),
    )


def _likeness(message: registry_pb2.SimilarContract) -> Likeness:
    return Likeness(
        package=message.package,
        revision=message.revision,
        owner=MemberId.parse(message.owner),
        score=message.likeness,
        close=message.close,
        shared=tuple(message.shared),
        users=tuple(map(MemberId.parse, message.users)),
    )
