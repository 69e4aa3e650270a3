"""Enrolment tokens: by the hash of their secret, which itself is kept nowhere."""

from sqlalchemy import Column, update
from sqlmodel import Field, Session, SQLModel, col

from registry.model import Token
from registry.store.rows import BIG, BYTES, swap
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId


class TokenRow(SQLModel, table=True):
    """A token. It stays after its use, so that a second use is told from an unknown token."""

    __tablename__ = "tokens"

    secret_hash: bytes = Field(sa_column=Column(BYTES, primary_key=True))
    member: str = Field(foreign_key="members.id")
    node: str
    created_at_ms: int = Field(sa_column=Column(BIG, nullable=False))
    expires_at_ms: int = Field(sa_column=Column(BIG, nullable=False))
    used_at_ms: int | None = Field(sa_column=Column(BIG, nullable=True))
    used_by: bytes | None = Field(sa_column=Column(BYTES, nullable=True))
    hosts: bool


def add(session: Session, token: Token, now_ms: int) -> None:
    """Keeps a new token."""
    session.add(
        TokenRow(
            secret_hash=token.secret_hash,
            member=str(token.member),
            node=str(token.node),
            created_at_ms=now_ms,
            expires_at_ms=token.expires_at_ms,
            used_at_ms=token.used_at_ms,
            used_by=token.used_by,
            hosts=token.hosts,
        )
    )
    session.flush()


def void(session: Session, now_ms: int) -> None:
    """Ends every token that was not used: whether it was by now isn't known here."""
    statement = (
        update(TokenRow).where(col(TokenRow.used_at_ms).is_(None)).values(expires_at_ms=now_ms)
    )
    session.exec(statement)


def find(session: Session, secret_hash: bytes) -> Token | None:
    """The token of this secret's hash, or None."""
    row = session.get(TokenRow, secret_hash)
    if row is None:
        return None
    return Token(
        secret_hash=row.secret_hash,
        member=MemberId.parse(row.member),
        node=NodeId.parse(row.node),
        expires_at_ms=row.expires_at_ms,
        used_at_ms=row.used_at_ms,
        used_by=row.used_by,
        hosts=row.hosts,
    )


def use(session: Session, token: Token, request_sha256: bytes, now_ms: int) -> None:
    """Marks a token as used by a request: once, whoever else tries at the same moment.

    Raises:
        SimpulError: TOKEN_USED, when it is used already.
    """
    statement = (
        update(TokenRow)
        .where(col(TokenRow.secret_hash) == token.secret_hash, col(TokenRow.used_at_ms).is_(None))
        .values(used_at_ms=now_ms, used_by=request_sha256)
    )
    refusal = SimpulError(
        Code.TOKEN_USED,
        "the enrolment token was used already: ask the registry's operator for a new one",
    )
    swap(session, statement, refusal)
