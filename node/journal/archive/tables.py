"""The tables of what was archived and dropped. A change here needs a new migration, as in `tables`.

What stays of a dropped parcel is its leaf's data, 32 bytes: from these every hash of the tree is
made, so that proofs and checkpoints of any size can still be made and checked. And what two nodes
compare of it, 44 bytes, so that neither loses a record unseen by having archived the other's.

Source: docs/spec, "Archives: what stays in the journal".
"""

from typing import Final

from sqlalchemy import BigInteger, Column, LargeBinary, SmallInteger, String, Table

from node.journal.tables import METADATA

# How many of a slot's first parcels were dropped. Not in `slots`: appends hold that row.
DROPPED: Final = Table(
    "dropped",
    METADATA,
    Column("slot", SmallInteger, primary_key=True),
    Column("first", BigInteger, nullable=False),
    # Before this time all was recorded that was dropped without a word in `dropped_parcels`, by a
    # version that had none; 0 where nothing was.
    Column("unhashed_before_ms", BigInteger, nullable=False),
)

# What is compared of parcels that were dropped at once: with one peer, sealed within one hour since
# the epoch, of one link's end and direction. `idx` is the first one's.
DROPPED_PARCELS: Final = Table(
    "dropped_parcels",
    METADATA,
    Column("peer", BigInteger, primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    Column("slot", SmallInteger, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("link", BigInteger, nullable=False),
    Column("direction", SmallInteger, nullable=False),
    # As node.journal.archive.gone packs them.
    Column("parcels", LargeBinary, nullable=False),
)

# The leaf data of up to 256 dropped parcels, 32 bytes each, from `idx` * 256 on.
LEAF_TILES: Final = Table(
    "leaf_tiles",
    METADATA,
    Column("slot", SmallInteger, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

# The last dropped parcel of a link's end and direction: what the next one must name.
LINK_TAILS: Final = Table(
    "link_tails",
    METADATA,
    Column("link", BigInteger, primary_key=True),
    Column("direction", SmallInteger, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("header_hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# A call some of whose entries were dropped with their parcels, and others not yet.
CUT_CALLS: Final = Table(
    "cut_calls",
    METADATA,
    Column("call", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

# An archive that was written, read back and verified: leaves `first` to before `end_idx`.
ARCHIVES: Final = Table(
    "archives",
    METADATA,
    Column("slot", SmallInteger, primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("end_idx", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    # A folder or s3://bucket/prefix, and the name there.
    Column("place", String, nullable=False),
    Column("name", String, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # By when its parcels were recorded.
    Column("first_at_ms", BigInteger, nullable=False),
    Column("last_at_ms", BigInteger, nullable=False),
    Column("archived_at_ms", BigInteger, nullable=False),
)
