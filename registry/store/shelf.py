"""What is published, where several registries share a database: each fills its folder from here.

A publication has a number, its timestamp's version. Exactly one registry publishes each: the head
is written by compare-and-swap.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Column, delete, update
from sqlmodel import Field, Session, SQLModel, col, select

from registry.store.rows import BIG, BYTES, swap
from security.errors import Code, SimpulError

_ONLY = 1


class ShelfFileRow(SQLModel, table=True):
    """A published file other than the timestamp: written once, with the publication it is of."""

    __tablename__ = "shelf_files"

    name: str = Field(primary_key=True)
    number: int = Field(sa_column=Column(BIG, nullable=False, index=True))
    content: bytes = Field(sa_column=Column(BYTES, nullable=False))


class ShelfHeadRow(SQLModel, table=True):
    """The one row that says which publication is in force."""

    __tablename__ = "shelf_head"

    id: int = Field(primary_key=True)
    number: int = Field(sa_column=Column(BIG, nullable=False))
    timestamp: bytes = Field(sa_column=Column(BYTES, nullable=False))


@dataclass(frozen=True, slots=True)
class Head:
    """The publication in force."""

    number: int
    timestamp: bytes


def head(session: Session) -> Head | None:
    """The publication in force; None before the first."""
    row = session.get(ShelfHeadRow, _ONLY)
    return None if row is None else Head(row.number, row.timestamp)


def number(session: Session) -> int:
    """The number of the publication in force; 0 before the first. Reads no file."""
    found = session.exec(select(ShelfHeadRow.number).where(col(ShelfHeadRow.id) == _ONLY)).first()
    return 0 if found is None else found


def put(session: Session, before: int, new: Head, files: Mapping[str, bytes]) -> None:
    """Puts a publication in force, in place of number `before` (0: of none).

    Raises:
        SimpulError: CONFLICT, when another registry published meanwhile; nothing is then left of
            this one once the transaction ends.
    """
    if before == 0:
        session.add(ShelfHeadRow(id=_ONLY, number=new.number, timestamp=new.timestamp))
        session.flush()
    else:
        statement = (
            update(ShelfHeadRow)
            .where(col(ShelfHeadRow.id) == _ONLY, col(ShelfHeadRow.number) == before)
            .values(number=new.number, timestamp=new.timestamp)
        )
        swap(
            session,
            statement,
            SimpulError(Code.CONFLICT, "another registry published meanwhile: it is tried again"),
        )
    for name, content in files.items():
        found = session.get(ShelfFileRow, name)
        if found is None:
            session.add(ShelfFileRow(name=name, number=new.number, content=content))
        elif found.content != content:
            raise SimpulError(
                Code.CONFLICT,
                f"{name} was published with another content: does another program publish here?",
            )
    session.flush()


def files_after(session: Session, number: int) -> dict[str, bytes]:
    """The files of the publications after this one, the oldest first."""
    query = (
        select(ShelfFileRow)
        .where(col(ShelfFileRow.number) > number)
        .order_by(col(ShelfFileRow.number), col(ShelfFileRow.name))
    )
    return {row.name: row.content for row in session.exec(query)}


def find(session: Session, name: str) -> bytes | None:
    """One file, or None."""
    row = session.get(ShelfFileRow, name)
    return None if row is None else row.content


def drop(session: Session, name: str) -> None:
    """Takes a file away that nothing published names any more."""
    session.exec(delete(ShelfFileRow).where(col(ShelfFileRow.name) == name))
