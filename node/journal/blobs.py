"""The two packed columns of a parcel: its entries' bytes, and the salts beside them.

    entries = for each entry: u32 big-endian length | the entry's bytes
    salts   = for each entry: u8 flags (1 payload salt, 2 private salt, 4 erased) | 16 bytes for
              each of the first two flags set, zeros where the entry was erased

An erased blob is as long as it was: the database then overwrites it where it lies, and moves no
other row.

Pure. Unpacking is strict: what packing would not write is refused, so that a changed length or flag
can't hide.

Source: docs/spec, "Journal".
"""

from collections.abc import Collection, Iterable
from typing import Final

from security.commitment import SALT_BYTES
from security.errors import Code, SimpulError

LENGTH_BYTES: Final = 4
PAYLOAD_FLAG: Final = 1
PRIVATE_FLAG: Final = 2
ERASED_FLAG: Final = 4

# By the lengths of the payload's and the private block's salts.
_FLAGS: Final = {
    (0, 0): b"\x00",
    (SALT_BYTES, 0): bytes((PAYLOAD_FLAG,)),
    (0, SALT_BYTES): bytes((PRIVATE_FLAG,)),
    (SALT_BYTES, SALT_BYTES): bytes((PAYLOAD_FLAG | PRIVATE_FLAG,)),
}

Salts = tuple[bytes, bytes]


def pack_entries(entries: Iterable[bytes]) -> bytes:
    """Returns the blob of the entries' bytes, in their order."""
    return b"".join(
        [part for entry in entries for part in (len(entry).to_bytes(LENGTH_BYTES, "big"), entry)]
    )


def unpack_entries(blob: bytes) -> tuple[bytes, ...]:
    """Returns the entries' bytes.

    Raises:
        SimpulError: JOURNAL_CORRUPT, when the blob ends within an entry.
    """
    entries: list[bytes] = []
    at, end = 0, len(blob)
    while at < end:
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(blob[at:start], "big")
        if at > end or start > end:
            raise _corrupt("the packed entries end within an entry")
        entries.append(blob[start:at])
    return tuple(entries)


def pack_salts(salts: Iterable[Salts]) -> bytes:
    """Returns the blob of (payload salt, private salt) of each entry, empty where there is none.

    Raises:
        SimpulError: INTERNAL, when a salt isn't 16 bytes: it could not be read again.
    """
    try:
        return b"".join(
            [
                part
                for payload, private in salts
                for part in (_FLAGS[len(payload), len(private)], payload, private)
            ]
        )
    except KeyError as error:
        raise SimpulError(
            Code.INTERNAL, "a salt of another length than 16 can't be recorded"
        ) from error


def unpack_salts(blob: bytes) -> tuple[Salts | None, ...]:
    """Returns (payload salt, private salt) of each entry, and None for one that was erased.

    Raises:
        SimpulError: JOURNAL_CORRUPT, on an unknown flag or a cut salt.
    """
    salts: list[Salts | None] = []
    at = 0
    while at < len(blob):
        flags = blob[at]
        if flags > (PAYLOAD_FLAG | PRIVATE_FLAG | ERASED_FLAG):
            raise _corrupt(f"the packed salts have the unknown flags {flags}")
        payload, at = _salt(blob, at + 1, present=bool(flags & PAYLOAD_FLAG))
        private, at = _salt(blob, at, present=bool(flags & PRIVATE_FLAG))
        erased = bool(flags & ERASED_FLAG)
        if erased and any(payload + private):
            raise _corrupt("an erased entry has salts")
        salts.append(None if erased else (payload, private))
    return tuple(salts)


def erase_salts(blob: bytes, entries: Collection[int]) -> bytes:
    """Returns the blob without the salts of the entries of these numbers; it's as long as before.

    Raises:
        SimpulError: as `unpack_salts` does.
    """
    left, at = bytearray(blob), 0
    for number, _ in enumerate(unpack_salts(blob)):
        flags = blob[at]
        end = at + 1 + SALT_BYTES * (flags & PAYLOAD_FLAG) + SALT_BYTES * (flags >> 1 & 1)
        if number in entries:
            left[at:end] = bytes((flags | ERASED_FLAG,)) + bytes(end - at - 1)
        at = end
    return bytes(left)


def _salt(blob: bytes, at: int, *, present: bool) -> tuple[bytes, int]:
    if not present:
        return b"", at
    end = at + SALT_BYTES
    if end > len(blob):
        raise _corrupt("the packed salts end within a salt")
    return blob[at:end], end


def _corrupt(what: str) -> SimpulError:
    return SimpulError(
        Code.JOURNAL_CORRUPT, f"{what}: the journal was changed; restore it from a backup"
    )
