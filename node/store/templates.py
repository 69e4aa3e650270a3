"""Templates for access that operators approved, and the agreements that came of them.

A template never changes: another one takes its place. So what an agreement rests on can be read
for as long as the agreement is kept.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select, update

from node.store.agreements import Pin, pin_within
from node.store.engine import Store
from node.store.models import AgreementLifeRow, TemplateAgreementRow, TemplateMemberRow, TemplateRow
from security.agreement_life import Life
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from simpul.node.v1 import admin_pb2

_NOT_ENDED: Final = 0


@dataclass(frozen=True, slots=True)
class Template:
    """Terms that whoever is in a group may have. `terms` say no consumer, and all methods."""

    owner: MemberId
    name: str
    group: str
    federation_wide: bool
    # Who joins the federation-wide group later, too.
    follow: bool
    terms: admin_pb2.AccessTerms
    approved_by: str
    approved_at_ms: int
    expires_at_ms: int
    ended_by: str = ""
    ended_at_ms: int = _NOT_ENDED
    # Who was in the federation-wide group at its approval.
    members: frozenset[MemberId] = frozenset()

    def answers(self, now_ms: int) -> bool:
        """Whether requests are still answered by it."""
        return self.ended_at_ms == _NOT_ENDED and now_ms < self.expires_at_ms


@dataclass(frozen=True, slots=True)
class TemplateAgreement:
    """An agreement that a template answered, and where it stands."""

    agreement: bytes
    owner: MemberId
    template: str
    member: MemberId
    at_ms: int
    life: Life


def add_template(store: Store, template: Template, pins: Iterable[Pin]) -> None:
    """Stores a template, and pins the identity keys of those whom it will answer; all or nothing.

    Raises:
        SimpulError: ALREADY_EXISTS; IDENTITY_CHANGED for a member that is known by another key.
    """
    row = TemplateRow(
        owner=str(template.owner),
        name=template.name,
        group=template.group,
        federation_wide=template.federation_wide,
        follow=template.follow,
        terms=template.terms.SerializeToString(deterministic=True),
        approved_by=template.approved_by,
        approved_at_ms=template.approved_at_ms,
        expires_at_ms=template.expires_at_ms,
        ended_by=template.ended_by,
        ended_at_ms=template.ended_at_ms,
    )
    try:
        with store.transaction() as session:
            session.add(row)
            session.flush()
            for member in sorted(template.members, key=str):
                session.add(
                    TemplateMemberRow(owner=row.owner, template=row.name, member=str(member))
                )
            for pin in pins:
                pin_within(session, pin, template.approved_at_ms)
    except IntegrityError as error:
        raise SimpulError(
            Code.ALREADY_EXISTS,
            f"{template.owner} has had a template {template.name} already, and it is kept: choose "
            "another name",
        ) from error


def end_template(store: Store, owner: MemberId, name: str, ended_by: str, now_ms: int) -> None:
    """Has a template answer nothing more; raises SimpulError CONFLICT where it is ended."""
    with store.transaction() as session:
        result = session.exec(
            update(TemplateRow)
            .where(
                col(TemplateRow.owner) == str(owner),
                col(TemplateRow.name) == name,
                col(TemplateRow.ended_at_ms) == _NOT_ENDED,
            )
            .values(ended_by=ended_by, ended_at_ms=now_ms)
        )
        if result.rowcount != 1:
            raise SimpulError(Code.CONFLICT, f"{name} is ended already: look at it, by show")


def list_templates(store: Store) -> tuple[Template, ...]:
    """All templates, by owner and the time of their approval."""
    with store.transaction() as session:
        order = (col(TemplateRow.owner), col(TemplateRow.approved_at_ms), col(TemplateRow.name))
        members: dict[tuple[str, str], set[MemberId]] = {}
        for row in session.exec(select(TemplateMemberRow)):
            members.setdefault((row.owner, row.template), set()).add(MemberId.parse(row.member))
        return tuple(
            _template(row, frozenset(members.get((row.owner, row.name), ())))
            for row in session.exec(select(TemplateRow).order_by(*order))
        )


def get_template(store: Store, owner: MemberId, name: str) -> Template:
    """One template; raises SimpulError NOT_FOUND."""
    for template in list_templates(store):
        if (template.owner, template.name) == (owner, name):
            return template
    raise SimpulError(
        Code.NOT_FOUND,
        f"{owner} has no template {name[:80]!a}: `simpul access template list --all` shows those "
        "there are",
    )


def answered_by(
    template: Template, agreement: bytes, member: MemberId, now_ms: int
) -> Callable[[Session], None]:
    """What keeps, in the transaction that accepts an agreement, by which template it came."""

    def keep(session: Session) -> None:
        session.add(
            TemplateAgreementRow(
                hash=agreement,
                owner=str(template.owner),
                template=template.name,
                member=str(member),
                at_ms=now_ms,
            )
        )

    return keep


def list_answered(store: Store, member: MemberId | None = None) -> tuple[TemplateAgreement, ...]:
    """The agreements that came of templates, the oldest first; of one consumer's, or of all."""
    query = (
        select(TemplateAgreementRow, AgreementLifeRow.life)
        .join(AgreementLifeRow, col(AgreementLifeRow.hash) == col(TemplateAgreementRow.hash))
        .order_by(col(TemplateAgreementRow.at_ms), col(TemplateAgreementRow.hash))
    )
    if member is not None:
        query = query.where(col(TemplateAgreementRow.member) == str(member))
    with store.transaction() as session:
        rows = session.exec(query)
        return tuple(
            TemplateAgreement(
                agreement=row.hash,
                owner=MemberId.parse(row.owner),
                template=row.template,
                member=MemberId.parse(row.member),
                at_ms=row.at_ms,
                life=Life(life),
            )
            for row, life in rows
        )


def _template(row: TemplateRow, members: frozenset[MemberId]) -> Template:
    return Template(
        owner=MemberId.parse(row.owner),
        name=row.name,
        group=row.group,
        federation_wide=row.federation_wide,
        follow=row.follow,
        terms=admin_pb2.AccessTerms.FromString(row.terms),
        approved_by=row.approved_by,
        approved_at_ms=row.approved_at_ms,
        expires_at_ms=row.expires_at_ms,
        ended_by=row.ended_by,
        ended_at_ms=row.ended_at_ms,
        members=members,
    )
