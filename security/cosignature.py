"""C2SP's cosignatures, version 1: a witness says that it saw a log at this size, and when.

    signed message:   cosignature/v1
                      time <seconds since the epoch>
                      the checkpoint's text, its final newline included
    in the note line: key id | time, 8 bytes big-endian | Ed25519 signature, 64 bytes

A quorum is so many different witnesses of a list. A cosignature's time is the witness's word; the
quorum's is the latest of the earliest times that make it up.

It judges no consistency: that is what the witness did before it signed (`witness`).

Source: c2sp.org/tlog-cosignature.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from security.errors import Code, SimpulError
from security.keys import PrivateKey
from security.note import Note, NoteKey, NoteSignature, SignatureType

MAX_TIME_S: Final = 2**63 - 1

_TIME_BYTES: Final = 8
_SIGNATURE_BYTES: Final = 64
_MS_PER_S: Final = 1000


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified cosignature: by whom, and when it was made, in whole seconds."""

    witness: NoteKey
    time_s: int
    line: NoteSignature

    @property
    def time_ms(self) -> int:
        """The end of the second named: it was made by then."""
        return (self.time_s + 1) * _MS_PER_S - 1


def witness_key(name: str, key: PrivateKey) -> NoteKey:
    """Return the public side of a witness's key; raises SimpulError NOTE_MALFORMED."""
    return NoteKey(name, SignatureType.COSIGNATURE_V1, key.public)


def cosign(text: str, name: str, key: PrivateKey, time_s: int) -> NoteSignature:
    """Cosign a checkpoint's text. The caller has checked its consistency, and stored it.

    Raises:
        SimpulError: NOTE_MALFORMED, for a name that can be none; INTERNAL for a time that can't.
    """
    if not 0 < time_s <= MAX_TIME_S:
        raise SimpulError(Code.INTERNAL, "a cosignature's time is a positive number of seconds")
    signature = key.sign_plain(_message(text, time_s))
    return NoteSignature(
        name, witness_key(name, key).key_id, time_s.to_bytes(_TIME_BYTES, "big") + signature
    )


def verify_cosignature(text: str, line: NoteSignature, witness: NoteKey) -> Cosignature:
    """Check that a witness made this cosignature of this text.

    Raises:
        SimpulError: SIGNATURE_INVALID.
    """
    stated = line.signature[:_TIME_BYTES]
    time_s = int.from_bytes(stated, "big")
    is_whole = len(line.signature) == _TIME_BYTES + _SIGNATURE_BYTES
    if not line.is_by(witness) or witness.type is not SignatureType.COSIGNATURE_V1 or not is_whole:
        raise _false(witness, "it isn't spelt as one of this witness's")
    if not 0 < time_s <= MAX_TIME_S:
        raise _false(witness, "its time can be none")
    witness.public.verify_plain(_message(text, time_s), line.signature[_TIME_BYTES:])
    return Cosignature(witness, time_s, line)


def verified_cosignatures(note: Note, witnesses: Sequence[NoteKey]) -> tuple[Cosignature, ...]:
    """Return the cosignatures by these witnesses, the first of each; others' are not judged.

    Raises:
        SimpulError: SIGNATURE_INVALID, where one that claims to be theirs isn't.
    """
    found: list[Cosignature] = []
    for witness in witnesses:
        own = [
            verify_cosignature(note.text, line, witness)
            for line in note.signatures
            if line.is_by(witness)
        ]
        if len(own) > 0:
            found.append(min(own, key=lambda item: item.time_s))
    return tuple(found)


def quorum_time_ms(cosignatures: Sequence[Cosignature], quorum: int) -> int:
    """Return by when a quorum of different witnesses had cosigned, in ms since the epoch.

    Raises:
        SimpulError: SIGNATURE_INVALID, where they're too few; also for a quorum of none.
    """
    times: dict[bytes, int] = {}
    for item in cosignatures:
        key = item.witness.public.key
        times[key] = min(times.get(key, item.time_ms), item.time_ms)
    if quorum < 1 or len(times) < quorum:
        raise SimpulError(
            Code.SIGNATURE_INVALID,
            f"{len(times)} witnesses cosigned, and {quorum} are asked for: ask the others",
        )
    return sorted(times.values())[quorum - 1]


def _message(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _false(witness: NoteKey, what: str) -> SimpulError:
    return SimpulError(
        Code.SIGNATURE_INVALID, f"a cosignature isn't that of {witness.name}: {what}; ask it again"
    )
