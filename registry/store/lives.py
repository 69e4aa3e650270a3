"""What a member's life leaves beside its listing: contacts and events."""

from sqlalchemy import Column
from sqlmodel import Field, Session, SQLModel, col, select

from registry.life import Standing
from registry.model import Contact, ContactKind, LifeEvent
from registry.store.rows import BIG
from security.identifiers import MemberId


class ContactRow(SQLModel, table=True):
    """A member's contact of one kind."""

    __tablename__ = "member_contacts"

    member: str = Field(primary_key=True, foreign_key="members.id")
    kind: str = Field(primary_key=True)
    name: str
    email: str
    phone: str


class LifeEventRow(SQLModel, table=True):
    """A step in the life of a member, or of a subsystem of it. Never changed."""

    __tablename__ = "life_events"

    number: int | None = Field(default=None, primary_key=True)
    member: str = Field(foreign_key="members.id", index=True)
    subject: str
    at_ms: int = Field(sa_column=Column(BIG, nullable=False))
    before: str | None
    after: str
    reason: str
    actor: str


def put_contact(session: Session, member: MemberId, contact: Contact) -> None:
    """Keeps a contact in place of the one of its kind."""
    session.merge(
        ContactRow(
            member=str(member),
            kind=contact.kind,
            name=contact.name,
            email=contact.email,
            phone=contact.phone,
        )
    )


def drop_contact(session: Session, member: MemberId, kind: ContactKind) -> None:
    """Keeps no contact of this kind."""
    row = session.get(ContactRow, (str(member), kind))
    if row is not None:
        session.delete(row)


def contacts(session: Session, member: MemberId) -> tuple[Contact, ...]:
    """A member's contacts, by kind."""
    query = select(ContactRow).where(col(ContactRow.member) == str(member))
    rows = session.exec(query.order_by(col(ContactRow.kind)))
    return tuple(Contact(ContactKind(row.kind), row.name, row.email, row.phone) for row in rows)


def record(session: Session, member: MemberId, event: LifeEvent) -> None:
    """Adds a step."""
    session.add(
        LifeEventRow(
            member=str(member),
            subject=event.subject,
            at_ms=event.at_ms,
            before=event.before,
            after=event.after,
            reason=event.reason,
            actor=event.actor,
        )
    )


def history(session: Session, member: MemberId) -> tuple[LifeEvent, ...]:
    """The steps of a member and its subsystems, the oldest first."""
    query = select(LifeEventRow).where(col(LifeEventRow.member) == str(member))
    return tuple(
        LifeEvent(
            at_ms=row.at_ms,
            subject=row.subject,
            before=None if row.before is None else Standing(row.before),
            after=Standing(row.after),
            reason=row.reason,
            actor=row.actor,
        )
        for row in session.exec(query.order_by(col(LifeEventRow.number)))
    )
