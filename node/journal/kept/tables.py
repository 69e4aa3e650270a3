"""The tables of what is kept and erased. A change here needs a new migration, as in `tables`.

`kept_keys` is what an erasure destroys and no archive ever holds: small and narrow, apart from the
ciphertext, and with a rowid (`tables` says why). The others hold no personal data: tags are keyed
hashes, reasons come from a list.

Source: docs/spec, "Journal: payloads", "Journal: persons", "Journal: erasure".
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)

from node.journal.tables import METADATA, Key

# The wrapped key of one entry whose content is kept.
KEPT_KEYS: Final = Table(
    "kept_keys",
    METADATA,
    Column("slot", SmallInteger, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("entry_no", SmallInteger, primary_key=True),
    # The id of the key that wraps it; zeros, and so is `wrapped`, where it was erased.
    Column("secret", LargeBinary, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Index("kept_keys_secret", "secret"),
)

# The ciphertext of a payload or of a private block; `part` as security.kept numbers them.
KEPT_PARTS: Final = Table(
    "kept_parts",
    METADATA,
    Column("slot", SmallInteger, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("entry_no", SmallInteger, primary_key=True),
    Column("part", SmallInteger, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

# A call that concerns a person. The call's opening stands here too: lists are by time.
PERSONS: Final = Table(
    "call_persons",
    METADATA,
    Column("tag", LargeBinary, primary_key=True),
    Column("opened_at_ms", BigInteger, primary_key=True),
    Column("call", BigInteger, primary_key=True),
    Index("call_persons_call", "call"),
    sqlite_with_rowid=False,
)

# An erasure, for good: rows are added, and never changed or taken away.
ERASURES: Final = Table(
    "erasures",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("call_id", LargeBinary, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    # The operator, or the member whose notice was followed.
    Column("by", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("entries", Integer, nullable=False),
    Index("erasures_call", "call_id"),
)

# That an erasure is to be told to the other side, until it has been.
TELLINGS: Final = Table(
    "erasure_tellings",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("erasure", BigInteger, nullable=False),
    Column("peer", String, nullable=False),
    Column("sender", String, nullable=False),
    Column("receiver", String, nullable=False),
    Column("tries", Integer, nullable=False),
    # Why the last try failed: a stable code, or nothing.
    Column("code", String, nullable=False),
    Column("next_at_ms", BigInteger, nullable=False),
    Column("told_at_ms", BigInteger),
    Index("erasure_tellings_due", "told_at_ms", "next_at_ms"),
)

# What another member has told: that it erased a call which this journal has too.
NOTICES: Final = Table(
    "erasure_notices",
    METADATA,
    Column("id", Key, primary_key=True),
    Column("call_id", LargeBinary, nullable=False),
    Column("member", String, nullable=False),
    Column("erased_at_ms", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    Column("heard_at_ms", BigInteger, nullable=False),
    # When it was erased here too, or set aside.
    Column("settled_at_ms", BigInteger),
    Column("settled", String, nullable=False),
    UniqueConstraint("call_id", "member"),
)
