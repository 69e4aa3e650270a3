"""Members, their region codes and their revoked keys."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, delete, update
from sqlmodel import Field, Session, SQLModel, col, select

from registry.life import Standing
from registry.model import Member, Region, RevokedKey
from registry.names import likeness
from registry.store.rows import BIG, BYTES, swap
from security.errors import Code, SimpulError
from security.identifiers import MemberId, RegionCode


class MemberRow(SQLModel, table=True):
    """A member."""

    __tablename__ = "members"

    id: str = Field(primary_key=True)
    legal_name: str
    state: str
    number: int = Field(sa_column=Column(BIG, nullable=False))
    statement: bytes | None = Field(sa_column=Column(BYTES, nullable=True))
    created_at_ms: int = Field(sa_column=Column(BIG, nullable=False))
    # What its name has in common with those that look like it.
    likeness: str = Field(index=True)


class RegionRow(SQLModel, table=True):
    """A region code of a member, while it is valid."""

    __tablename__ = "member_regions"

    member: str = Field(primary_key=True, foreign_key="members.id")
    code: str = Field(primary_key=True)
    valid_from_ms: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    valid_until_ms: int | None = Field(sa_column=Column(BIG, nullable=True))
    # Codes with spaces between.
    predecessors: str
    successors: str


class RevokedKeyRow(SQLModel, table=True):
    """A key of a member that is no longer to be believed."""

    __tablename__ = "revoked_keys"

    key_id: bytes = Field(sa_column=Column(BYTES, primary_key=True))
    member: str = Field(foreign_key="members.id", index=True)
    revoked_at_ms: int = Field(sa_column=Column(BIG, nullable=False))
    suspected_since_ms: int | None = Field(sa_column=Column(BIG, nullable=True))


def add(session: Session, member: Member, now_ms: int) -> None:
    """Lists a new member.

    Raises:
        SimpulError: ALREADY_EXISTS.
    """
    if session.get(MemberRow, str(member.id)) is not None:
        raise SimpulError(
            Code.ALREADY_EXISTS, f"{member.id} is listed already: choose another code"
        )
    session.add(
        MemberRow(
            id=str(member.id),
            legal_name=member.legal_name,
            state=member.state,
            number=member.number,
            statement=member.statement,
            created_at_ms=now_ms,
            likeness=likeness(member.legal_name),
        )
    )
    session.flush()
    put_regions(session, member.id, member.regions)


def put_regions(session: Session, member: MemberId, regions: Iterable[Region]) -> None:
    """Keeps region codes, in place of those of the same code and beginning."""
    for region in regions:
        session.merge(
            RegionRow(
                member=str(member),
                code=str(region.code),
                valid_from_ms=region.valid_from_ms,
                valid_until_ms=region.valid_until_ms,
                predecessors=_joined(region.predecessors),
                successors=_joined(region.successors),
            )
        )


def replace_regions(session: Session, member: MemberId, regions: Iterable[Region]) -> None:
    """Keeps these region codes and no others: for an applicant, whose are not published."""
    session.exec(delete(RegionRow).where(col(RegionRow.member) == str(member)))
    put_regions(session, member, regions)


def look_alikes(session: Session, name: str) -> tuple[MemberId, ...]:
    """The members whose names people can't tell from this one, but for those that are gone."""
    gone = [Standing.DECLINED, Standing.WITHDRAWN, Standing.REMOVED]
    query = select(MemberRow.id).where(
        col(MemberRow.likeness) == likeness(name), col(MemberRow.state).not_in(gone)
    )
    return tuple(map(MemberId.parse, session.exec(query)))


def find(session: Session, member: MemberId) -> Member | None:
    """The member, or None."""
    row = session.get(MemberRow, str(member))
    return None if row is None else _member(row, _regions(session, row.id))


def get(session: Session, member: MemberId) -> Member:
    """The member.

    Raises:
        SimpulError: MEMBER_UNKNOWN.
    """
    found = find(session, member)
    if found is None:
        raise SimpulError(
            Code.MEMBER_UNKNOWN,
            f"{member} is not listed: add it first (simpul registry member add)",
            member=str(member),
        )
    return found


def every(session: Session) -> list[Member]:
    """All members, by id."""
    regions: dict[str, list[RegionRow]] = {}
    for region in session.exec(
        select(RegionRow).order_by(col(RegionRow.code), col(RegionRow.valid_from_ms))
    ):
        regions.setdefault(region.member, []).append(region)
    rows = session.exec(select(MemberRow).order_by(col(MemberRow.id)))
    return [_member(row, regions.get(row.id, [])) for row in rows]


def leap(session: Session, by: int) -> None:
    """Raises every member's number, so that its record is newer than any that nodes may have."""
    session.exec(update(MemberRow).values(number=col(MemberRow.number) + by))


def changed(session: Session, member: MemberId) -> None:
    """Raises the member's number: something that is published of it has changed."""
    statement = (
        update(MemberRow)
        .where(col(MemberRow.id) == str(member))
        .values(number=col(MemberRow.number) + 1)
    )
    swap(session, statement, SimpulError(Code.MEMBER_UNKNOWN, f"{member} is not listed"))


def set_state(session: Session, member: Member, state: Standing) -> None:
    """Replaces the state that was read.

    Raises:
        SimpulError: CONFLICT, when the member was changed meanwhile.
    """
    _replace(session, member, state=state)


def set_name(session: Session, member: Member, name: str) -> None:
    """Replaces the legal name that was read; raises as `set_state` does."""
    _replace(session, member, legal_name=name, likeness=likeness(name))


def set_statement(session: Session, member: Member, signed: bytes) -> None:
    """Replaces the statement that was read; raises as `set_state` does."""
    _replace(session, member, statement=signed)


def _replace(session: Session, member: Member, **values: Any) -> None:  # noqa: ANN401  (columns)
    statement = (
        update(MemberRow)
        .where(col(MemberRow.id) == str(member.id), col(MemberRow.number) == member.number)
        .values(number=member.number + 1, **values)
    )
    swap(session, statement, _conflict(member))


def revoke_keys(session: Session, keys: Iterable[RevokedKey]) -> None:
    """Lists keys as revoked; one that is revoked already keeps its first time."""
    for key in keys:
        if session.get(RevokedKeyRow, key.key_id) is None:
            session.add(
                RevokedKeyRow(
                    key_id=key.key_id,
                    member=str(key.member),
                    revoked_at_ms=key.revoked_at_ms,
                    suspected_since_ms=key.suspected_since_ms,
                )
            )


def revoked_keys(session: Session, member: MemberId) -> tuple[RevokedKey, ...]:
    """The member's revoked keys, oldest first."""
    rows = session.exec(
        select(RevokedKeyRow)
        .where(col(RevokedKeyRow.member) == str(member))
        .order_by(col(RevokedKeyRow.revoked_at_ms), col(RevokedKeyRow.key_id))
    )
    return tuple(
        RevokedKey(row.key_id, member, row.revoked_at_ms, row.suspected_since_ms) for row in rows
    )


def _regions(session: Session, member: str) -> list[RegionRow]:
    query = (
        select(RegionRow)
        .where(col(RegionRow.member) == member)
        .order_by(col(RegionRow.code), col(RegionRow.valid_from_ms))
    )
    return list(session.exec(query))


def _member(row: MemberRow, regions: list[RegionRow]) -> Member:
    return Member(
        id=MemberId.parse(row.id),
        legal_name=row.legal_name,
        regions=tuple(
            Region(
                RegionCode.parse(region.code),
                region.valid_from_ms,
                region.valid_until_ms,
                _codes(region.predecessors),
                _codes(region.successors),
            )
            for region in regions
        ),
        state=Standing(row.state),
        number=row.number,
        statement=row.statement,
    )


def _joined(codes: Iterable[RegionCode]) -> str:
    return " ".join(map(str, codes))


def _codes(text: str) -> tuple[RegionCode, ...]:
    return tuple(map(RegionCode.parse, text.split()))


def _conflict(member: Member) -> SimpulError:
    return SimpulError(
        Code.CONFLICT,
        f"{member.id} was changed meanwhile: look at what there is now, and try again",
        member=str(member.id),
    )
