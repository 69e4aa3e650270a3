"""The tables of what was archived and dropped. A change here needs a new migration, as in `tables`.

What stays of a dropped parcel is its leaf's data, 32 bytes: from these every hash of the tree is
made, so that proofs and checkpoints of any size can still be made and checked.

Source: docs/spec, "Archives: what stays in the journal".
"""

from typing import Final

from sqlalchemy import BigInteger, SmallInteger, Table
from sqlmodel import Field

from node.journal.tables import JournalTable


class DroppedRow(JournalTable, table=True):
    """How many of a slot's first parcels were dropped. Not in `slots`: appends hold that row."""

    __tablename__ = "dropped"

    slot: int = Field(primary_key=True, sa_type=SmallInteger)
    first: int = Field(sa_type=BigInteger)


class LeafTileRow(JournalTable, table=True):
    """The leaf data of up to 256 dropped parcels, 32 bytes each, from `idx` * 256 on."""

    __tablename__ = "leaf_tiles"

    slot: int = Field(primary_key=True, sa_type=SmallInteger)
    idx: int = Field(primary_key=True, sa_type=BigInteger)
    data: bytes


class LinkTailRow(JournalTable, table=True):
    """The last dropped parcel of a link's end and direction: what the next one must name."""

    __tablename__ = "link_tails"
    __table_args__ = ({"sqlite_with_rowid": False},)

    link: int = Field(primary_key=True, sa_type=BigInteger)
    direction: int = Field(primary_key=True, sa_type=SmallInteger)
    number: int = Field(sa_type=BigInteger)
    header_hash: bytes


class CutCallRow(JournalTable, table=True):
    """A call some of whose entries were dropped with their parcels, and others not yet."""

    __tablename__ = "cut_calls"
    __table_args__ = ({"sqlite_with_rowid": False},)

    call: int = Field(primary_key=True, sa_type=BigInteger)


class ArchiveRow(JournalTable, table=True):
    """An archive that was written, read back and verified: leaves `first` to before `end_idx`."""

    __tablename__ = "archives"

    slot: int = Field(primary_key=True, sa_type=SmallInteger)
    first: int = Field(primary_key=True, sa_type=BigInteger)
    end_idx: int = Field(sa_type=BigInteger)
    digest: bytes
    # A folder or s3://bucket/prefix, and the name there.
    place: str
    name: str
    size_bytes: int = Field(sa_type=BigInteger)
    # By when its parcels were recorded.
    first_at_ms: int = Field(sa_type=BigInteger)
    last_at_ms: int = Field(sa_type=BigInteger)
    archived_at_ms: int = Field(sa_type=BigInteger)


def _table(row: type[JournalTable]) -> Table:
    return JournalTable.metadata.tables[str(row.__tablename__)]


DROPPED: Final = _table(DroppedRow)
LEAF_TILES: Final = _table(LeafTileRow)
LINK_TAILS: Final = _table(LinkTailRow)
CUT_CALLS: Final = _table(CutCallRow)
ARCHIVES: Final = _table(ArchiveRow)
