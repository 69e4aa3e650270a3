"""The tables of `journal.db`. A change here needs a new migration; a test compares the two.

Made to be small, because they grow for years: whatever repeats (names of members and methods, link
ids) is stored once and referred to by a number; codes are small integers; an entry's bytes lie in
its parcel's one blob. Salts have a table of their own, so that erasing them touches no leaf of the
tree. A call's `opened_at_ms` is the second column of each of its indexes, because lists are by
time.

`WITHOUT ROWID` serves narrow rows that are found by their key. Parcels are wide and have a rowid.
So have salts, and the keys of what is kept, for another reason: rows that are only ever added at a
table's end, and overwritten in their own length, are never moved, and so SQLite leaves no copy of
one in the free space of another page. What must be erasable lies in no other kind of table.

Source: docs/spec, "Journal".
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    UniqueConstraint,
    literal_column,
)
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from node.journal.model import Direction, LinkEnd, Outcome, Role, Settlement

# SQLite's rowid is spelt INTEGER; PostgreSQL's INTEGER is too short.
Key = BigInteger().with_variant(Integer(), "sqlite")

# In a column that refers to a name: there is none.
NO_NAME: Final = 0
# In calls.link: refused before there was a link. In call_entries.call: of a call never opened.
NO_LINK: Final = 0
NO_CALL: Final = 0

DIRECTIONS: Final = (Direction.SENT, Direction.RECEIVED)
ENDS: Final = (LinkEnd.DIALLER, LinkEnd.ACCEPTOR)
ROLES: Final = (Role.CONSUMER, Role.PROVIDER)
OUTCOMES: Final = (Outcome.OPEN, Outcome.CLOSED, Outcome.REFUSED, Outcome.LOST)
SETTLEMENTS: Final = tuple(Settlement)
# The fields of an Entry's `kind`. New ones are added at the end: the position is what is stored.
KINDS: Final = ("open", "head", "message", "half_close", "close", "cancel", "refuse")


TERMS_COLUMNS: Final = ("consumer", "provider", "service", "method", "agreement", "purpose")
# A query must say these too, for the database to see that an index of some calls only serves it.
# Without a type: of a Boolean, SQLAlchemy asks SQLite whether it is 1, and no index serves that.
HAS_STATUS: Final[ColumnElement[Any]] = literal_column("status <> 0")
HAS_CODE: Final[ColumnElement[Any]] = literal_column("code <> 0")
IS_OPEN: Final[ColumnElement[Any]] = literal_column("outcome = 0")
HAS_FAILED: Final[ColumnElement[Any]] = literal_column("outcome > 1")


class JournalTable(SQLModel, registry=registry(metadata=MetaData())):
    """Base of this database's tables. Their own metadata: other databases have tables too."""


class SlotRow(JournalTable, table=True):
    """One slot: its tree so far, and who may append to it."""

    __tablename__ = "slots"

    number: int = Field(primary_key=True, sa_type=SmallInteger)
    size: int = Field(sa_type=BigInteger)
    # As security.merkle.Frontier writes itself.
    frontier: bytes
    holder: str
    # Grows by one each time the slot is taken; every append names the one it was given.
    fencing: int = Field(sa_type=BigInteger)
    # 0: given back.
    lease_until_ms: int = Field(sa_type=BigInteger)


class NameRow(JournalTable, table=True):
    """A text that many rows refer to."""

    __tablename__ = "names"

    id: int = Field(primary_key=True, sa_type=Key)
    text: str = Field(unique=True)


class LinkRow(JournalTable, table=True):
    """One end of a link. `peer` is a name."""

    __tablename__ = "links"
    __table_args__ = (UniqueConstraint("link_id", "end"),)

    id: int = Field(primary_key=True, sa_type=Key)
    link_id: bytes
    end: int = Field(sa_type=SmallInteger)
    peer: int = Field(sa_type=BigInteger)


class ParcelRow(JournalTable, table=True):
    """A leaf. `entries` and what precedes it are what the leaf and its proofs are made of."""

    __tablename__ = "parcels"
    __table_args__ = (
        UniqueConstraint("link", "direction", "number"),
        # What two nodes compare is found by it: all slots, one peer, one hour.
        Index("parcels_peer", "peer", "sealed_at_ms"),
    )

    slot: int = Field(primary_key=True, sa_type=SmallInteger)
    idx: int = Field(primary_key=True, sa_type=BigInteger)
    direction: int = Field(sa_type=SmallInteger)
    link: int = Field(sa_type=BigInteger)
    member: int = Field(sa_type=BigInteger)
    number: int = Field(sa_type=BigInteger)
    sealed_at_ms: int = Field(sa_type=BigInteger)
    recorded_at_ms: int = Field(sa_type=BigInteger)
    leaf_hash: bytes
    header_hash: bytes
    entry_count: int
    header: bytes
    seal: bytes
    # As node.journal.blobs packs them.
    entries: bytes
    # The link's, a name: so that one index serves peer and time.
    peer: int = Field(sa_type=BigInteger)


class SaltRow(JournalTable, table=True):
    """The salts of one parcel's payloads and private blocks, as node.journal.blobs packs them."""

    __tablename__ = "salts"

    slot: int = Field(primary_key=True, sa_type=SmallInteger)
    idx: int = Field(primary_key=True, sa_type=BigInteger)
    salts: bytes


class TermsRow(JournalTable, table=True):
    """Who asked what of whom, by which agreement and purpose; all are names.

    Calls by the thousand share one row, so a call is found by any of the six through one index.
    """

    __tablename__ = "terms"
    __table_args__ = (UniqueConstraint(*TERMS_COLUMNS),)

    id: int = Field(primary_key=True, sa_type=Key)
    consumer: int = Field(sa_type=BigInteger)
    provider: int = Field(sa_type=BigInteger)
    service: int = Field(sa_type=BigInteger)
    method: int = Field(sa_type=BigInteger)
    agreement: int = Field(sa_type=BigInteger)
    purpose: int = Field(sa_type=BigInteger)


class CallTableRow(JournalTable, table=True):
    """A call. A call id may come again on another link, so it's no key."""

    __tablename__ = "calls"
    __table_args__ = (
        Index("calls_call_id", "call_id"),
        Index("calls_opened", "opened_at_ms"),
        Index("calls_terms", "terms", "opened_at_ms"),
        # Nearly all calls succeed: an index of those would find nothing sooner.
        Index(
            "calls_status",
            "status",
            "opened_at_ms",
            sqlite_where=HAS_STATUS,
            postgresql_where=HAS_STATUS,
        ),
        Index(
            "calls_code",
            "code",
            "opened_at_ms",
            sqlite_where=HAS_CODE,
            postgresql_where=HAS_CODE,
        ),
        # So that those which a link leaves open are found however many others there are.
        Index("calls_open", "link", sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),
        Index(
            "calls_outcome",
            "outcome",
            "opened_at_ms",
            sqlite_where=HAS_FAILED,
            postgresql_where=HAS_FAILED,
        ),
    )

    id: int = Field(primary_key=True, sa_type=Key)
    call_id: bytes
    link: int = Field(sa_type=BigInteger)
    role: int = Field(sa_type=SmallInteger)
    outcome: int = Field(sa_type=SmallInteger)
    terms: int = Field(sa_type=BigInteger)
    status: int | None = Field(sa_type=SmallInteger)
    code: int = Field(sa_type=BigInteger)
    opened_at_ms: int = Field(sa_type=BigInteger)
    closed_at_ms: int | None = Field(sa_type=BigInteger)
    settled: int | None = Field(default=None, sa_type=SmallInteger)


class CallEntryRow(JournalTable, table=True):
    """Which call an entry belongs to. `blocks`: its payload's rounded length, by 256 bytes.

    `direction` and `kind` stand in the parcel too; here they spare reading it to list calls.
    """

    __tablename__ = "call_entries"
    __table_args__ = (
        Index("call_entries_call", "call"),
        {"sqlite_with_rowid": False},
    )

    slot: int = Field(primary_key=True, sa_type=SmallInteger)
    idx: int = Field(primary_key=True, sa_type=BigInteger)
    entry_no: int = Field(primary_key=True, sa_type=SmallInteger)
    call: int = Field(sa_type=BigInteger)
    direction: int = Field(sa_type=SmallInteger)
    kind: int = Field(sa_type=SmallInteger)
    blocks: int = Field(sa_type=BigInteger)


class TreeNodeRow(JournalTable, table=True):
    """The root of a full subtree of 256^level leaves, so that proofs needn't read every leaf."""

    __tablename__ = "tree_nodes"
    __table_args__ = {"sqlite_with_rowid": False}

    slot: int = Field(primary_key=True, sa_type=SmallInteger)
    # 1 or more: the leaves themselves are the parcels'.
    level: int = Field(primary_key=True, sa_type=SmallInteger)
    idx: int = Field(primary_key=True, sa_type=BigInteger)
    hash: bytes


class CheckpointRow(JournalTable, table=True):
    """A signed checkpoint of a slot, with the cosignatures that it has so far."""

    __tablename__ = "checkpoints"
    # The first cosigned checkpoint that covers a parcel is found through it.
    __table_args__ = (Index("checkpoints_quorum", "slot", "quorum_at_ms", "size"),)

    slot: int = Field(primary_key=True, sa_type=SmallInteger)
    size: int = Field(primary_key=True, sa_type=BigInteger)
    # As security.note prints it.
    note: bytes
    signed_at_ms: int = Field(sa_type=BigInteger)
    # When the federation's quorum had cosigned it, by the cosignatures themselves.
    quorum_at_ms: int | None = Field(sa_type=BigInteger)


class TimestampRow(JournalTable, table=True):
    """An RFC 3161 time stamp of a checkpoint's text."""

    __tablename__ = "timestamps"

    slot: int = Field(primary_key=True, sa_type=SmallInteger)
    size: int = Field(primary_key=True, sa_type=BigInteger)
    authority: str = Field(primary_key=True)
    # The authority's whole answer, in DER.
    response: bytes
    stamped_at_ms: int = Field(sa_type=BigInteger)


def _table(row: type[JournalTable]) -> Table:
    return JournalTable.metadata.tables[str(row.__tablename__)]


SLOTS: Final = _table(SlotRow)
NAMES: Final = _table(NameRow)
LINKS: Final = _table(LinkRow)
PARCELS: Final = _table(ParcelRow)
SALTS: Final = _table(SaltRow)
TERMS: Final = _table(TermsRow)
CALLS: Final = _table(CallTableRow)
CALL_ENTRIES: Final = _table(CallEntryRow)
TREE_NODES: Final = _table(TreeNodeRow)
CHECKPOINTS: Final = _table(CheckpointRow)
TIMESTAMPS: Final = _table(TimestampRow)
