"""Operators, each with the SHA-256 of the one certificate that proves it."""

from dataclasses import dataclass

from sqlalchemy import Column, delete, update
from sqlmodel import Field, Session, SQLModel, col, select

from registry.authorization import Role
from registry.store.rows import BIG, BYTES, swap
from security.errors import Code, SimpulError


@dataclass(frozen=True, slots=True)
class Operator:
    """A person who works here over mutual TLS."""

    name: str
    role: Role
    certificate_sha256: str
    expires_at_ms: int
    certificate_der: bytes


class OperatorRow(SQLModel, table=True):
    """An operator. The row goes when it is removed: histories keep its name."""

    __tablename__ = "operators"

    name: str = Field(primary_key=True)
    role: str
    certificate_sha256: str = Field(unique=True)
    expires_at_ms: int = Field(sa_column=Column(BIG, nullable=False))
    certificate_der: bytes = Field(sa_column=Column(BYTES, nullable=False))


def add(session: Session, operator: Operator) -> None:
    """Enrols an operator; raises SimpulError ALREADY_EXISTS."""
    if session.get(OperatorRow, operator.name) is not None:
        raise SimpulError(
            Code.ALREADY_EXISTS,
            f"{operator.name} is an operator already: remove it first, or choose another name",
        )
    session.add(
        OperatorRow(
            name=operator.name,
            role=operator.role,
            certificate_sha256=operator.certificate_sha256,
            expires_at_ms=operator.expires_at_ms,
            certificate_der=operator.certificate_der,
        )
    )
    session.flush()


def every(session: Session) -> tuple[Operator, ...]:
    """All operators, by name."""
    return tuple(
        _operator(row) for row in session.exec(select(OperatorRow).order_by(col(OperatorRow.name)))
    )


def find_by_certificate(session: Session, sha256: str) -> Operator | None:
    """Whose certificate it is, or None."""
    query = select(OperatorRow).where(col(OperatorRow.certificate_sha256) == sha256)
    row = session.exec(query).first()
    return None if row is None else _operator(row)


def get(session: Session, name: str) -> Operator:
    """One operator; raises SimpulError NOT_FOUND."""
    row = session.get(OperatorRow, name)
    if row is None:
        raise _unknown(name)
    return _operator(row)


def set_role(session: Session, name: str, role: Role) -> None:
    """Gives an operator another role; raises SimpulError NOT_FOUND."""
    statement = update(OperatorRow).where(col(OperatorRow.name) == name).values(role=role)
    swap(session, statement, _unknown(name))


def remove(session: Session, name: str) -> None:
    """Takes an operator off; raises SimpulError NOT_FOUND."""
    get(session, name)
    session.exec(delete(OperatorRow).where(col(OperatorRow.name) == name))


def _operator(row: OperatorRow) -> Operator:
    return Operator(
        row.name, Role(row.role), row.certificate_sha256, row.expires_at_ms, row.certificate_der
    )


def _unknown(name: str) -> SimpulError:
    return SimpulError(
        Code.NOT_FOUND, f"{name[:100]} is no operator: see simpul registry operator list"
    )
