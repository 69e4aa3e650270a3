"""Kept payloads and private blocks: one random key for each entry, and that key wrapped.

Whoever destroys the wrapped key has erased that entry's content, in every copy there is.

    record key   32 random bytes, for one entry of one journal
    wrapped      AES-256 key wrap (RFC 3394) of it under the node's wrapping key: 40 bytes
    part         1 payload, 2 private block, 3 private block without its credentials
    padded       u32(length) || bytes || zeros, so that 4 + the length rounded up to 256 are taken
    ciphertext   AES-256-GCM(record key, nonce, padded, bound)
    nonce        11 zero bytes || u8(part): the key is for one entry, so each nonce is used once
    bound        "simpul/v1/kept" || 00 || u8(part) || u16(slot) || u64(index) || u16(entry number)
                 || the hash of the entry's commitment to the part

So a row that was moved to another place, beside another entry or to another part doesn't open, and
neither does one under another entry's key. Key wrap needs no nonce: wrapping the same key twice, or
at a place that a restored journal has used before, says nothing new. Lengths are rounded like those
in the entries, because ciphertext may lie in archives long after its key is gone.

It draws no keys: they are arguments.

Source: docs/spec, "Journal: payloads"; RFC 3394; NIST SP 800-38D.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from security.commitment import rounded
from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES, KEPT
from security.private import Metadata, Private
from security.secret_key import SECRET_BYTES, SecretKey

WRAPPED_BYTES: Final = SECRET_BYTES + 8
TAG_BYTES: Final = 16
# Carried, and never stored: whoever holds one may act as its owner.
CREDENTIALS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "set-cookie2",
        "simpul-token",
        "x-api-key",
        "x-auth-token",
    }
)

_LENGTH_BYTES: Final = 4
_BINARY: Final = "-bin"


class Part(IntEnum):
    """What of an entry is kept; the numbers are part of the format."""

    PAYLOAD = 1
    PRIVATE = 2
    PRIVATE_IN_PART = 3


@dataclass(frozen=True, slots=True)
class EntryPlace:
    """Where an entry stands in a journal: slot, index of its parcel, its number in the parcel."""

    slot: int
    idx: int
    entry_no: int


def wrap_key(secret: SecretKey, record_key: bytes) -> bytes:
    """Wrap an entry's key; 40 bytes."""
    return aes_key_wrap(secret.data, record_key)


def unwrap_key(secret: SecretKey, wrapped: bytes) -> bytes:
    """Return the key of an entry.

    Raises:
        SimpulError: JOURNAL_CORRUPT, where `secret` didn't wrap it or a bit of it was changed.
    """
    try:
        if len(wrapped) != WRAPPED_BYTES:
            raise InvalidUnwrap
        return aes_key_unwrap(secret.data, wrapped)
    except InvalidUnwrap as error:
        raise _corrupt("the key of a kept entry doesn't unwrap") from error


def seal_part(
    record_key: bytes, place: EntryPlace, part: Part, commitment: bytes, data: bytes
) -> bytes:
    """Encrypt one part of an entry. `commitment` is the hash in the entry, 32 bytes."""
    padding = bytes(rounded(len(data)) - len(data))
    padded = len(data).to_bytes(_LENGTH_BYTES, "big") + data + padding
    return AESGCM(record_key).encrypt(_nonce(part), padded, _bound(place, part, commitment))


def open_part(
    record_key: bytes, place: EntryPlace, part: Part, commitment: bytes, ciphertext: bytes
) -> bytes:
    """Return what `seal_part` was given.

    Raises:
        SimpulError: JOURNAL_CORRUPT, where anything differs: key, place, part, entry, one bit.
    """
    try:
        padded = AESGCM(record_key).decrypt(
            _nonce(part), ciphertext, _bound(place, part, commitment)
        )
    except (InvalidTag, ValueError) as error:
        raise _corrupt("a kept part doesn't open") from error
    length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
    data = padded[_LENGTH_BYTES : _LENGTH_BYTES + length]
    padding = padded[_LENGTH_BYTES + length :]
    if len(data) != length or len(padding) != rounded(length) - length or any(padding):
        raise _corrupt("a kept part is padded otherwise than we pad")
    return data


def without_credentials(content: Private, more: frozenset[str] = frozenset()) -> Private:
    """The private block without what is never stored: `CREDENTIALS` and the names in `more`."""
    banned = CREDENTIALS | more
    return Private(
        _without(content.metadata, banned),
        _without(content.trailers, banned),
        content.status_message,
        content.user,
        content.issue,
        content.subject,
    )


def _without(metadata: Metadata, banned: frozenset[str]) -> Metadata:
    return tuple([item for item in metadata if item[0].removesuffix(_BINARY) not in banned])


def _nonce(part: Part) -> bytes:
    return bytes(11) + bytes((part,))


def _bound(place: EntryPlace, part: Part, commitment: bytes) -> bytes:
    if len(commitment) != HASH_BYTES:
        raise ValueError(f"a commitment's hash has {HASH_BYTES} bytes, not {len(commitment)}")
    return b"".join(
        (
            KEPT,
            b"\x00",
            bytes((part,)),
            place.slot.to_bytes(2, "big"),
            place.idx.to_bytes(8, "big"),
            place.entry_no.to_bytes(2, "big"),
            commitment,
        )
    )


def _corrupt(what: str) -> SimpulError:
    return SimpulError(
        Code.JOURNAL_CORRUPT, f"{what}: the journal was changed; restore it from a backup"
    )
