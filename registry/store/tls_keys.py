"""Whose each TLS key is: one that was certified for somebody is never certified for somebody else.

Rows are never taken away: whoever had a key may have it still. Kept is SHA-256 of the key.
"""

from sqlalchemy import Column
from sqlmodel import Field, Session, SQLModel

from registry.store.rows import BIG, BYTES
from security.errors import Code, SimpulError


class TlsKeyRow(SQLModel, table=True):
    """A key that was certified."""

    __tablename__ = "tls_keys"

    key_sha256: bytes = Field(sa_column=Column(BYTES, primary_key=True))
    # A node's id, or `operator:NAME`.
    holder: str
    first_at_ms: int = Field(sa_column=Column(BIG, nullable=False))


def take(session: Session, key_sha256: bytes, holder: str, now_ms: int) -> None:
    """Notes whose a key is.

    Raises:
        SimpulError: CHANGE_INVALID, when it is somebody else's, or was; step 4 of the request's
            check. It isn't said whose.
    """
    row = session.get(TlsKeyRow, key_sha256)
    if row is None:
        session.add(TlsKeyRow(key_sha256=key_sha256, holder=holder, first_at_ms=now_ms))
        session.flush()
    elif row.holder != holder:
        raise SimpulError(
            Code.CHANGE_INVALID,
            "the certificate request is refused at step 4: it is for a key that was certified for "
            "another; make a new key, and never copy a home to make a second node",
        )
