"""From a record to what is written of it: its leaf, its packed columns, what its entries say.

Pure, and done before the transaction, so that the write lock is held for writing only. It judges
nothing: whoever appends has verified the parcel; `verify` judges it again, from the disk.

    leaf data = H("simpul/v1/journal-leaf", header, seal)       (the same on both sides)
    leaf hash = SHA-256(0x00 | leaf data)                      (RFC 6962)

Source: docs/spec, "Journal".
"""

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from node.journal.blobs import pack_entries, pack_salts
from node.journal.model import ParcelRecord
from security.commitment import ROUND_BYTES
from security.errors import Code, SimpulError
from security.hashing import JOURNAL_LEAF, digest
from security.merkle import leaf_hash
from simpul.v1 import parcel_pb2


@dataclass(frozen=True, slots=True)
class Leaf:
    """A record, ready to be written. `entries` are parsed, not judged."""

    record: ParcelRecord
    leaf_hash: bytes
    packed_entries: bytes
    packed_salts: bytes
    entries: tuple[parcel_pb2.Entry, ...]


def parcel_leaf(header: bytes, seal: bytes) -> bytes:
    """Returns the hash of a parcel's leaf, 32 bytes."""
    return leaf_hash(digest(JOURNAL_LEAF, header, seal))


def make_leaf(record: ParcelRecord) -> Leaf:
    """Prepares a record.

    Raises:
        SimpulError: INTERNAL, when an entry is no entry: it was never verified.
    """
    try:
        entries = tuple(parcel_pb2.Entry.FromString(sealed.entry) for sealed in record.entries)
    except DecodeError as error:
        raise _no_entry() from error
    if any(entry.WhichOneof("kind") is None for entry in entries):
        raise _no_entry()
    return Leaf(
        record,
        parcel_leaf(record.header, record.seal),
        pack_entries(sealed.entry for sealed in record.entries),
        pack_salts((sealed.payload_salt, sealed.private_salt) for sealed in record.entries),
        entries,
    )


def payload_blocks(entry: parcel_pb2.Entry) -> int:
    """Returns the payload's rounded length in units of 256 bytes; 0 where there is no payload."""
    return entry.payload.rounded_bytes // ROUND_BYTES


def _no_entry() -> SimpulError:
    return SimpulError(Code.INTERNAL, "what is to be recorded holds no entry; report this")
