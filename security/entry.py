"""Entries: the events of calls, as they are hashed, sealed, journaled and proven.

An entry's bytes are made once and never made again: whoever verifies hashes the bytes that came.
Beside it travel the payload and the private block, each with its salt; the entry itself holds only
commitments to them (`commitment`).

A parsed entry is well-formed:
- a call id is a UUIDv7 of 16 bytes, salts have 16 bytes and hashes 32;
- only open (where `unary`), message and close carry a payload; a message must;
- only open, head, close and refuse carry a private block;
- agreement and purpose are both there or both absent; they may be absent only where the service is
  of package `simpul.v1` itself, which nodes offer each other.

Whether it may come now is for `calls`; who may send it, for `receiver`.

Source: docs/spec, "Entries"; simpul/v1/parcel.proto, `Entry` and `SealedEntry`.
"""

from dataclasses import dataclass, field
from typing import Final

from security.commitment import (
    SALT_BYTES,
    Commitment,
    check_payload,
    check_private,
    commit_payload,
    commit_private,
    rounded,
)
from security.entry_format import ParsedEntry, parse_entry, print_entry
from security.errors import Code, SimpulError
from security.hashing import ENTRY, digest
from security.kinds import Kind
from security.limits import INLINE_MAX_BYTES
from simpul.v1 import parcel_pb2

__all__ = [
    "ENTRY_SALT_BYTES",
    "EntryDraft",
    "ParsedEntry",
    "SealedEntry",
    "check_commitments",
    "commit_to_payload",
    "entry_digest",
    "from_proto",
    "make_entry",
    "make_parsed_entry",
    "parse_entry",
]

# For one entry: its own salt, the payload's, the private block's.
ENTRY_SALT_BYTES: Final = 3 * SALT_BYTES
_PAYLOAD_SALT: Final = slice(SALT_BYTES, 2 * SALT_BYTES)
_PRIVATE_SALT: Final = slice(2 * SALT_BYTES, 3 * SALT_BYTES)


@dataclass(frozen=True, slots=True)
class EntryDraft:
    """An entry before it is one. `index` counts the call's entries in this direction, from 0.

    `private` is a private block's bytes (`private.make_private`); None where there is none.
    """

    kind: Kind
    call_id: bytes
    index: int
    payload: bytes | None = field(default=None, repr=False)
    compressed: bool = False
    private: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """An entry's bytes and, beside them, what they commit to.

    A salt is empty where the entry commits to nothing. `payload` is None with a salt where the
    bytes follow in chunks. What is private is not shown by `repr`.
    """

    entry: bytes
    payload: bytes | None = field(default=None, repr=False)
    payload_salt: bytes = field(default=b"", repr=False)
    private: bytes | None = field(default=None, repr=False)
    private_salt: bytes = field(default=b"", repr=False)

    def to_proto(self) -> parcel_pb2.SealedEntry:
        """As it travels."""
        return parcel_pb2.SealedEntry(
            entry=self.entry,
            payload=self.payload,
            payload_salt=self.payload_salt,
            private_block=self.private,
            private_salt=self.private_salt,
        )


def entry_digest(entry: bytes) -> bytes:
    """H("simpul/v1/entry", entry): how a close or a refuse names the open it answers."""
    return digest(ENTRY, entry)


def make_entry(draft: EntryDraft, salts: bytes) -> SealedEntry:
    """Make an entry's bytes. `salts` are 48 fresh random bytes, used for no other entry.

    Raises:
        SimpulError: PARCEL_MALFORMED if the kind may not have what is beside it.
        ValueError: `salts` has another length; a caller of ours is wrong.
    """
    sealed, _ = make_parsed_entry(draft, salts, commit_to_payload(draft.payload, salts))
    return sealed


def commit_to_payload(payload: bytes | None, salts: bytes) -> Commitment | None:
    """The commitment that an entry made with these 48 bytes of salts has to this payload."""
    return None if payload is None else commit_payload(salts[_PAYLOAD_SALT], payload)


def make_parsed_entry(
    draft: EntryDraft, salts: bytes, payload: Commitment | None
) -> tuple[SealedEntry, ParsedEntry]:
    """As `make_entry`, for callers that have `commit_to_payload` already, and parse at once."""
    if len(salts) != ENTRY_SALT_BYTES:
        raise ValueError(f"an entry takes {ENTRY_SALT_BYTES} bytes of salts, not {len(salts)}")
    payload_salt = b"" if payload is None else salts[_PAYLOAD_SALT]
    private_salt = b"" if draft.private is None else salts[_PRIVATE_SALT]
    parsed = ParsedEntry(
        draft.call_id,
        draft.index,
        draft.kind,
        draft.compressed,
        payload,
        None if draft.private is None else commit_private(private_salt, draft.private),
    )
    entry = print_entry(parsed, salts[:SALT_BYTES])
    return SealedEntry(entry, draft.payload, payload_salt, draft.private, private_salt), parsed


def from_proto(message: parcel_pb2.SealedEntry) -> SealedEntry:
    """Take an entry off the wire; what it says is judged by `parse_entry` and `check_commitments`.

    `message` itself is parsed strictly by whoever read the frame or the parcel that held it.
    """
    return SealedEntry(
        message.entry,
        message.payload if message.HasField("payload") else None,
        message.payload_salt,
        message.private_block if message.HasField("private_block") else None,
        message.private_salt,
    )


def check_commitments(parsed: ParsedEntry, sealed: SealedEntry) -> None:
    """Check what travels beside an entry against what the entry commits to.

    Bytes and salts are there exactly where the entry commits to them. Only a payload too long to
    travel inline may be absent: it follows in chunks, and `commitment.check_payload` judges it.

    Raises:
        SimpulError: COMMITMENT_MISMATCH.
    """
    _check_present("payload", parsed.payload, sealed.payload, sealed.payload_salt)
    _check_present("private block", parsed.private, sealed.private, sealed.private_salt)
    if parsed.payload is not None:
        if sealed.payload is not None:
            check_payload(parsed.payload, sealed.payload_salt, sealed.payload)
        elif parsed.payload.rounded_bytes <= rounded(INLINE_MAX_BYTES):
            raise _mismatch("a payload short enough to travel inline is missing")
    if parsed.private is not None:
        if sealed.private is None:
            raise _mismatch("a private block is missing")
        check_private(parsed.private, sealed.private_salt, sealed.private)


def _check_present(
    what: str, commitment: Commitment | None, data: bytes | None, salt: bytes
) -> None:
    if commitment is None and (data is not None or salt):
        raise _mismatch(f"a {what} travels beside an entry that commits to none")
    if commitment is not None and len(salt) != SALT_BYTES:
        raise _mismatch(f"a {what} has a salt of {len(salt)} bytes, not {SALT_BYTES}")


def _mismatch(what: str) -> SimpulError:
    return SimpulError(Code.COMMITMENT_MISMATCH, f"{what}; ask the sender's operator about it")
