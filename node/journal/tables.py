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
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    literal_column,
)

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


TERMS_COLUMNS: Final = (
    "consumer", "provider", "service", "method", "agreement", "purpose", "on_behalf_of",
)  # fmt: skip
# What of a call stands in its terms beside what its open says.
SIDE_COLUMNS: Final = ("role", "peer")
# A query must say these too, for the database to see that an index of some calls only serves it.
# Without a type: of a Boolean, SQLAlchemy asks SQLite whether it is 1, and no index serves that.
HAS_STATUS: Final[ColumnElement[Any]] = literal_column("status <> 0")
HAS_CODE: Final[ColumnElement[Any]] = literal_column("code <> 0")
IS_OPEN: Final[ColumnElement[Any]] = literal_column("outcome = 0")
HAS_FAILED: Final[ColumnElement[Any]] = literal_column("outcome > 1")
IN_GATHER: Final[ColumnElement[Any]] = literal_column("gather IS NOT NULL")

# Their own: other databases have tables too.
METADATA: Final = MetaData()

# One slot: its tree so far, and who may append to it.
SLOTS: Final = Table(
    "slots",
    METADATA,
    Column("number", SmallInteger, primary_key=True),
    Column("size", BigInteger, nullable=False),
    # As security.merkle.Frontier writes itself.
    Column("frontier", LargeBinary, nullable=False),
    Column("holder", String, nullable=False),
    # Grows by one each time the slot is taken; every append names the one it was given.
    Column("fencing", BigInteger, nullable=False),
    # 0: given back.
    Column("lease_until_ms", BigInteger, nullable=False),
)

# A text that many rows refer to.
NAMES: Final = Table(
    "names",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("text", String, nullable=False, unique=True),
)

# One end of a link. `peer` is a name.
LINKS: Final = Table(
    "links",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("link_id", LargeBinary, nullable=False),
    Column("end", SmallInteger, nullable=False),
    Column("peer", BigInteger, nullable=False),
    UniqueConstraint("link_id", "end"),
)

# A leaf. `entries` and what precedes it are what the leaf and its proofs are made of.
PARCELS: Final = Table(
    "parcels",
    METADATA,
    Column("slot", SmallInteger, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("direction", SmallInteger, nullable=False),
    Column("link", BigInteger, nullable=False),
    Column("member", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("sealed_at_ms", BigInteger, nullable=False),
    Column("recorded_at_ms", BigInteger, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("header_hash", LargeBinary, nullable=False),
    Column("entry_count", Integer, nullable=False),
    Column("header", LargeBinary, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    # As node.journal.blobs packs them.
    Column("entries", LargeBinary, nullable=False),
    # The link's, a name: so that one index serves peer and time.
    Column("peer", BigInteger, nullable=False),
    UniqueConstraint("link", "direction", "number"),
    # What two nodes compare is found by it: all slots, one peer, one hour.
    Index("parcels_peer", "peer", "sealed_at_ms"),
)

# The salts of one parcel's payloads and private blocks, as node.journal.blobs packs them.
SALTS: Final = Table(
    "salts",
    METADATA,
    Column("slot", SmallInteger, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("salts", LargeBinary, nullable=False),
)

# Who asked what of whom, by which agreement and purpose, and in whose name: all are names; on which
# side of it this node is; and by which peer.
#
# Calls by the thousand share one row, so a call is found by any of the nine through one index,
# however rare it is and at no cost for each call.
TERMS: Final = Table(
    "terms",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("consumer", BigInteger, nullable=False),
    Column("provider", BigInteger, nullable=False),
    Column("service", BigInteger, nullable=False),
    Column("method", BigInteger, nullable=False),
    Column("agreement", BigInteger, nullable=False),
    Column("purpose", BigInteger, nullable=False),
    # Of a call in the consumer's own name: none.
    Column("on_behalf_of", BigInteger, nullable=False),
    Column("role", SmallInteger, nullable=False),
    # NO_NAME: refused before there was a link.
    Column("peer", BigInteger, nullable=False),
    UniqueConstraint(*TERMS_COLUMNS, *SIDE_COLUMNS),
)

# A call. A call id may come again on another link, so it's no key.
CALLS: Final = Table(
    "calls",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("call_id", LargeBinary, nullable=False),
    Column("link", BigInteger, nullable=False),
    Column("role", SmallInteger, nullable=False),
    Column("outcome", SmallInteger, nullable=False),
    Column("terms", BigInteger, nullable=False),
    Column("status", SmallInteger),
    Column("code", BigInteger, nullable=False),
    Column("opened_at_ms", BigInteger, nullable=False),
    Column("closed_at_ms", BigInteger),
    Column("settled", SmallInteger),
    # Of the gather that it is a part of, if any: 16 bytes.
    Column("gather", LargeBinary),
    # Of a part that was refused here: the region asked for, a name.
    Column("region", BigInteger, nullable=False),
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
    Index("calls_gather", "gather", sqlite_where=IN_GATHER, postgresql_where=IN_GATHER),
)

# Which call an entry belongs to. `blocks`: its payload's rounded length, by 256 bytes.
#
# `direction` and `kind` stand in the parcel too; here they spare reading it to list calls.
CALL_ENTRIES: Final = Table(
    "call_entries",
    METADATA,
    Column("slot", SmallInteger, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("entry_no", SmallInteger, primary_key=True),
    Column("call", BigInteger, nullable=False),
    Column("direction", SmallInteger, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("blocks", BigInteger, nullable=False),
    Index("call_entries_call", "call"),
    sqlite_with_rowid=False,
)

# The root of a full subtree of 256^level leaves, so that proofs needn't read every leaf.
TREE_NODES: Final = Table(
    "tree_nodes",
    METADATA,
    Column("slot", SmallInteger, primary_key=True),
    # 1 or more: the leaves themselves are the parcels'.
    Column("level", SmallInteger, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# A signed checkpoint of a slot, with the cosignatures that it has so far.
CHECKPOINTS: Final = Table(
    "checkpoints",
    METADATA,
    Column("slot", SmallInteger, primary_key=True),
    Column("size", BigInteger, primary_key=True),
    # As security.note prints it.
    Column("note", LargeBinary, nullable=False),
    Column("signed_at_ms", BigInteger, nullable=False),
    # When the federation's quorum had cosigned it, by the cosignatures themselves.
    Column("quorum_at_ms", BigInteger),
    # The first cosigned checkpoint that covers a parcel is found through it.
    Index("checkpoints_quorum", "slot", "quorum_at_ms", "size"),
)

# An RFC 3161 time stamp of a checkpoint's text.
TIMESTAMPS: Final = Table(
    "timestamps",
    METADATA,
    Column("slot", SmallInteger, primary_key=True),
    Column("size", BigInteger, primary_key=True),
    Column("authority", String, primary_key=True),
    # The authority's whole answer, in DER.
    Column("response", LargeBinary, nullable=False),
    Column("stamped_at_ms", BigInteger, nullable=False),
)
