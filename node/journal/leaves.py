"""From a record to what is written of it: its leaf, its packed columns, what its entries say.

An entry is read once, here, into a plain tuple: this runs for every entry of every call.

Pure, and done before the transaction, so that the write lock is held for writing only. It judges
nothing: whoever appends has verified the parcel; `verify` judges it again, from the disk.

    leaf data = H("simpul/v1/journal-leaf", header, seal)       (the same on both sides)
    leaf hash = SHA-256(0x00 | leaf data)                      (RFC 6962)

Source: docs/spec, "Journal".
"""

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from node.journal.blobs import pack_entries, pack_salts
from node.journal.model import ParcelRecord
from node.journal.tables import KINDS
from security.commitment import ROUND_BYTES
from security.errors import Code, SimpulError
from security.hashing import JOURNAL_LEAF, digest
from security.merkle import leaf_hash
from simpul.v1 import parcel_pb2

# As tables.TERMS_COLUMNS; the agreement's hash is still bytes, because hex costs.
Terms = tuple[str, str, str, str, bytes, str, str]
# Of one entry: kind (a place in tables.KINDS), call id, the payload's rounded length in units of
# 256 bytes; of an open its terms; of an end its status, and of a refusal its code; of an open that
# is a part of a gather, the gather's id.
Said = tuple[int, bytes, int, Terms | None, int, str, bytes]

OPEN: Final = KINDS.index("open")
CLOSE: Final = KINDS.index("close")
REFUSE: Final = KINDS.index("refuse")

_NUMBERS: Final = {name: number for number, name in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A record, ready to be written. What `said` holds is read, not judged."""

    record: ParcelRecord
    leaf_hash: bytes
    packed_entries: bytes
    packed_salts: bytes
    said: tuple[Said, ...]


def parcel_leaf(header: bytes, seal: bytes) -> bytes:
    """Returns the hash of a parcel's leaf, 32 bytes."""
    return leaf_hash(digest(JOURNAL_LEAF, header, seal))


def make_leaf(record: ParcelRecord) -> Leaf:
    """Prepares a record.

    Raises:
        SimpulError: INTERNAL, when an entry is no entry: it was never verified.
    """
    entries = record.entries
    return Leaf(
        record,
        parcel_leaf(record.header, record.seal),
        pack_entries([sealed.entry for sealed in entries]),
        pack_salts([(sealed.payload_salt, sealed.private_salt) for sealed in entries]),
        tuple([_said(sealed.entry) for sealed in entries]),
    )


def _said(data: bytes) -> Said:
    try:
        entry = parcel_pb2.Entry.FromString(data)
    except DecodeError as error:
        raise _no_entry() from error
    number = _NUMBERS.get(entry.WhichOneof("kind") or "")
    if number is None:
        raise _no_entry()
    blocks = entry.payload.rounded_bytes // ROUND_BYTES
    if number == OPEN:
        opened = entry.open
        terms = (
            opened.consumer,
            opened.provider,
            opened.service,
            opened.method,
            opened.agreement,
            opened.purpose,
            opened.on_behalf_of,
        )
        return (number, entry.call_id, blocks, terms, 0, "", opened.gather_id)
    if number == CLOSE:
        return (number, entry.call_id, blocks, None, entry.close.status, "", b"")
    if number == REFUSE:
        refused = entry.refuse
        return (number, entry.call_id, blocks, None, refused.status, refused.code, b"")
    return (number, entry.call_id, blocks, None, 0, "", b"")


def _no_entry() -> SimpulError:
    return SimpulError(Code.INTERNAL, "what is to be recorded holds no entry; report this")
