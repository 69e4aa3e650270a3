"""What all tables share: whole bytes, big numbers, and the look at the row count."""

from typing import Any

from sqlalchemy import BigInteger, CursorResult, Update
from sqlalchemy.types import LargeBinary, TypeEngine
from sqlmodel import Session

from security.errors import SimpulError

# Milliseconds since the epoch and the wire's numbers need 64 bits.
BIG: TypeEngine[Any] = BigInteger()
BYTES: TypeEngine[Any] = LargeBinary()


def swap(session: Session, statement: Update, otherwise: SimpulError) -> None:
    """Runs a compare-and-swap: exactly one row must match.

    Raises:
        SimpulError: `otherwise`, when the row is not (or no longer) as the statement compares.
    """
    result: CursorResult[Any] = session.exec(statement)
    if result.rowcount != 1:
        raise otherwise
