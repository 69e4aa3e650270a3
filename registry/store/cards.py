"""Contracts' cards and their revisions. Neither is ever removed."""

from dataclasses import dataclass

from sqlalchemy import Column, update
from sqlmodel import Field, Session, SQLModel, col, select

from registry.contracts.model import Card, Revision
from registry.store.rows import BIG, BYTES, swap
from security.contract_card import Comment, ContractTermsView, read_terms, terms_message
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from simpul.v1 import directory_pb2


class CardRow(SQLModel, table=True):
    """A contract, by its package."""

    __tablename__ = "contract_cards"

    package: str = Field(primary_key=True)
    number: int = Field(sa_column=Column(BIG, nullable=False))
    owner: str = Field(foreign_key="members.id")
    # A serialised simpul.v1.ContractTerms.
    terms: bytes = Field(sa_column=Column(BYTES, nullable=False))


class RevisionRow(SQLModel, table=True):
    """A numbered revision of a contract. The descriptor set is in `contracts`, by its hash."""

    __tablename__ = "contract_revisions"

    package: str = Field(primary_key=True, foreign_key="contract_cards.package")
    number: int = Field(primary_key=True)
    publisher: str = Field(foreign_key="members.id")
    published_at_ms: int = Field(sa_column=Column(BIG, nullable=False))
    descriptor_sha256: bytes = Field(sa_column=Column(BYTES, nullable=False))
    # A serialised simpul.v1.ContractDocumentation with nothing but comments.
    comments: bytes = Field(sa_column=Column(BYTES, nullable=False))


@dataclass(frozen=True, slots=True)
class Summary:
    """A contract and its newest revision, without what may be large."""

    package: str
    # The card's.
    number: int
    owner: MemberId
    revision: int
    descriptor_sha256: bytes


def find(session: Session, package: str) -> Card | None:
    """A contract's card, or None."""
    row = session.get(CardRow, package)
    return None if row is None else _card(row)


def get(session: Session, package: str) -> Card:
    """A contract's card; raises SimpulError CONTRACT_UNKNOWN."""
    found = find(session, package)
    if found is None:
        raise SimpulError(
            Code.CONTRACT_UNKNOWN,
            f"there is no contract {package[:200]!a}: see what there is (simpul contract list)",
        )
    return found


def every(session: Session) -> tuple[Card, ...]:
    """All cards, by package."""
    rows = session.exec(select(CardRow).order_by(col(CardRow.package)))
    return tuple(map(_card, rows))


def packages(session: Session) -> tuple[str, ...]:
    """The packages of all cards, in order."""
    return tuple(session.exec(select(CardRow.package).order_by(col(CardRow.package))))


def add(session: Session, card: Card) -> None:
    """Lists a contract."""
    session.add(
        CardRow(
            package=card.package,
            number=card.number,
            owner=str(card.owner),
            terms=_terms(card.terms),
        )
    )
    session.flush()


def replace(session: Session, before: Card, owner: MemberId, terms: ContractTermsView) -> None:
    """Gives a card another owner or other terms, and the next number.

    Raises:
        SimpulError: CONFLICT, when the card isn't `before` any more.
    """
    statement = (
        update(CardRow)
        .where(col(CardRow.package) == before.package, col(CardRow.number) == before.number)
        .values(number=before.number + 1, owner=str(owner), terms=_terms(terms))
    )
    swap(session, statement, _came_second(before))
    session.expire_all()


def touch(session: Session, before: Card) -> None:
    """Gives a card the next number: what is published with it changes."""
    replace(session, before, before.owner, before.terms)


def add_revision(session: Session, revision: Revision) -> None:
    """Lists a revision; raises SimpulError CONFLICT where its number is taken."""
    session.add(
        RevisionRow(
            package=revision.package,
            number=revision.number,
            publisher=str(revision.publisher),
            published_at_ms=revision.published_at_ms,
            descriptor_sha256=revision.descriptor_sha256,
            comments=_comments(revision.comments),
        )
    )
    session.flush()


def set_comments(session: Session, revision: Revision, comments: tuple[Comment, ...]) -> None:
    """Gives a revision other comments; the revision itself stays."""
    statement = (
        update(RevisionRow)
        .where(
            col(RevisionRow.package) == revision.package,
            col(RevisionRow.number) == revision.number,
        )
        .values(comments=_comments(comments))
    )
    missing = SimpulError(Code.INTERNAL, f"revision {revision.number} is not in the store")
    swap(session, statement, missing)
    session.expire_all()


def summaries(session: Session) -> tuple[Summary, ...]:
    """Every contract with its newest revision, by package."""
    rows = session.exec(
        select(RevisionRow.package, RevisionRow.number, RevisionRow.descriptor_sha256).order_by(
            col(RevisionRow.package), col(RevisionRow.number)
        )
    )
    newest = {package: (number, digest) for package, number, digest in rows}
    listed = session.exec(
        select(CardRow.package, CardRow.number, CardRow.owner).order_by(col(CardRow.package))
    )
    return tuple(
        Summary(package, number, MemberId.parse(owner), *newest[package])
        for package, number, owner in listed
    )


def revision(session: Session, package: str, number: int) -> Revision:
    """One revision, which there is."""
    row = session.get(RevisionRow, (package, number))
    if row is None:
        raise SimpulError(Code.INTERNAL, f"revision {number} of {package} is not in the store")
    return _revision(row)


def revisions(session: Session, package: str) -> tuple[Revision, ...]:
    """A contract's revisions, from 1 on."""
    rows = session.exec(
        select(RevisionRow)
        .where(col(RevisionRow.package) == package)
        .order_by(col(RevisionRow.number))
    )
    return tuple(map(_revision, rows))


def _card(row: CardRow) -> Card:
    terms = read_terms(directory_pb2.ContractTerms.FromString(row.terms), row.package)
    return Card(row.package, row.number, MemberId.parse(row.owner), terms)


def _revision(row: RevisionRow) -> Revision:
    said = directory_pb2.ContractDocumentation.FromString(row.comments)
    return Revision(
        package=row.package,
        number=row.number,
        publisher=MemberId.parse(row.publisher),
        published_at_ms=row.published_at_ms,
        descriptor_sha256=row.descriptor_sha256,
        comments=tuple(Comment(c.element, c.leading, c.trailing) for c in said.comments),
    )


def _terms(terms: ContractTermsView) -> bytes:
    return terms_message(terms).SerializeToString(deterministic=True)


def _comments(comments: tuple[Comment, ...]) -> bytes:
    said = directory_pb2.ContractDocumentation(
        comments=[
            directory_pb2.ElementComment(
                element=item.element, leading=item.leading, trailing=item.trailing
            )
            for item in comments
        ]
    )
    return said.SerializeToString(deterministic=True)


def _came_second(card: Card) -> SimpulError:
    return SimpulError(
        Code.CONFLICT,
        f"the card of {card.package} was changed meanwhile: see it again (simpul contract show)",
        package=card.package,
    )
