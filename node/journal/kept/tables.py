"""The tables of what is kept and erased. A change here needs a new migration, as in `tables`.

`kept_keys` is what an erasure destroys and no archive ever holds: small and narrow, apart from the
ciphertext, and with a rowid (`tables` says why). The others hold no personal data: tags are keyed
hashes, reasons come from a list.

Source: docs/spec, "Journal: payloads", "Journal: persons", "Journal: erasure".
"""

from typing import Final

from sqlalchemy import BigInteger, Index, SmallInteger, Table, UniqueConstraint
from sqlmodel import Field

from node.journal.tables import JournalTable, Key


class KeptKeyRow(JournalTable, table=True):
    """The wrapped key of one entry whose content is kept."""

    __tablename__ = "kept_keys"
    __table_args__ = (Index("kept_keys_secret", "secret"),)

    slot: int = Field(primary_key=True, sa_type=SmallInteger)
    idx: int = Field(primary_key=True, sa_type=BigInteger)
    entry_no: int = Field(primary_key=True, sa_type=SmallInteger)
    # The id of the key that wraps it; zeros, and so is `wrapped`, where it was erased.
    secret: bytes
    wrapped: bytes


class KeptPartRow(JournalTable, table=True):
    """The ciphertext of a payload or of a private block; `part` as security.kept numbers them."""

    __tablename__ = "kept_parts"

    slot: int = Field(primary_key=True, sa_type=SmallInteger)
    idx: int = Field(primary_key=True, sa_type=BigInteger)
    entry_no: int = Field(primary_key=True, sa_type=SmallInteger)
    part: int = Field(primary_key=True, sa_type=SmallInteger)
    data: bytes


class PersonRow(JournalTable, table=True):
    """A call that concerns a person. The call's opening stands here too: lists are by time."""

    __tablename__ = "call_persons"
    __table_args__ = (Index("call_persons_call", "call"), {"sqlite_with_rowid": False})

    tag: bytes = Field(primary_key=True)
    opened_at_ms: int = Field(primary_key=True, sa_type=BigInteger)
    call: int = Field(primary_key=True, sa_type=BigInteger)


class ErasureRow(JournalTable, table=True):
    """An erasure, for good: rows are added, and never changed or taken away."""

    __tablename__ = "erasures"
    __table_args__ = (Index("erasures_call", "call_id"),)

    id: int = Field(primary_key=True, sa_type=Key)
    call_id: bytes
    at_ms: int = Field(sa_type=BigInteger)
    # The operator, or the member whose notice was followed.
    by: str
    reason: str
    entries: int


class TellingRow(JournalTable, table=True):
    """That an erasure is to be told to the other side, until it has been."""

    __tablename__ = "erasure_tellings"
    __table_args__ = (Index("erasure_tellings_due", "told_at_ms", "next_at_ms"),)

    id: int = Field(primary_key=True, sa_type=Key)
    erasure: int = Field(sa_type=BigInteger)
    peer: str
    sender: str
    receiver: str
    tries: int
    # Why the last try failed: a stable code, or nothing.
    code: str
    next_at_ms: int = Field(sa_type=BigInteger)
    told_at_ms: int | None = Field(sa_type=BigInteger)


class NoticeRow(JournalTable, table=True):
    """What another member has told: that it erased a call which this journal has too."""

    __tablename__ = "erasure_notices"
    __table_args__ = (UniqueConstraint("call_id", "member"),)

    id: int = Field(primary_key=True, sa_type=Key)
    call_id: bytes
    member: str
    erased_at_ms: int = Field(sa_type=BigInteger)
    reason: str
    heard_at_ms: int = Field(sa_type=BigInteger)
    # When it was erased here too, or set aside.
    settled_at_ms: int | None = Field(sa_type=BigInteger)
    settled: str


def _table(row: type[JournalTable]) -> Table:
    return JournalTable.metadata.tables[str(row.__tablename__)]


KEPT_KEYS: Final = _table(KeptKeyRow)
KEPT_PARTS: Final = _table(KeptPartRow)
PERSONS: Final = _table(PersonRow)
ERASURES: Final = _table(ErasureRow)
TELLINGS: Final = _table(TellingRow)
NOTICES: Final = _table(NoticeRow)
