"""C2SP's checkpoints: a log's size and root at one moment, as a signed note.

    origin                      which log
    tree size                   decimal, no leading zero
    base64 of the root
    extension lines, if any     carried, not understood

    — <origin> <signature by the log's key>
    — <witness> <cosignature>                   as many as there are

A journal's slot is a log; its key is the node's, and its name in the signature line is the origin.
Nodes write no extension lines, and parse those of others.

Strict: what is parsed is printed the same. It judges no consistency (`merkle`) and no
cosignature (`cosignature`).

Source: c2sp.org/tlog-checkpoint.
"""

import base64
import re
from dataclasses import dataclass
from typing import Final

from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES
from security.keys import PrivateKey, PublicKey
from security.merkle import EMPTY_ROOT, MAX_SIZE
from security.note import (
    MAX_NOTE_BYTES,
    Note,
    NoteKey,
    SignatureType,
    check_name,
    decode_base64,
    parse_note,
    sign_text,
    verify_note,
)

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_MIN_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's tree head. Raises SimpulError CHECKPOINT_INVALID for what can be none."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.origin == "" or "\n" in self.origin:
            raise _invalid("its origin is empty, or two lines")
        if not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH_BYTES:
            raise _invalid("its size or root can be none")
        if any(line == "" or "\n" in line for line in self.extensions):
            raise _invalid("an extension line is empty, or two lines")

    @property
    def text(self) -> str:
        """What is signed."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode())
        return "\n".join((*lines, *self.extensions)) + "\n"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint and the note it came in. Only `verify_checkpoint` says that it's the log's."""

    checkpoint: Checkpoint
    note: Note


def parse_text(text: str) -> Checkpoint:
    """Read a note's text as a checkpoint; raises SimpulError CHECKPOINT_INVALID."""
    lines = text.removesuffix("\n").split("\n")
    if not text.endswith("\n") or len(lines) < _MIN_LINES:
        raise _invalid("it has fewer than three lines")
    origin, size, root, *extensions = lines
    if _SIZE.fullmatch(size) is None:
        raise _invalid("its size isn't a number without leading zeroes")
    try:
        return Checkpoint(origin, int(size), decode_base64(root), tuple(extensions))
    except SimpulError as error:
        if error.code is Code.CHECKPOINT_INVALID:
            raise
        raise _invalid("its root isn't base64") from error


def parse_checkpoint(data: bytes, max_bytes: int = MAX_NOTE_BYTES) -> SignedCheckpoint:
    """Read a signed checkpoint, strictly. Verifies nothing.

    Raises:
        SimpulError: NOTE_MALFORMED or CHECKPOINT_INVALID.
    """
    note = parse_note(data, max_bytes)
    return SignedCheckpoint(parse_text(note.text), note)


def log_key(origin: str, public: PublicKey) -> NoteKey:
    """Return the key that signs a log's checkpoints; raises SimpulError NOTE_MALFORMED."""
    return NoteKey(origin, SignatureType.ED25519, public)


def sign_checkpoint(checkpoint: Checkpoint, key: PrivateKey) -> SignedCheckpoint:
    """Sign a checkpoint with the log's key.

    The caller has made sure that it's consistent with every one that this log signed before.

    Raises:
        SimpulError: NOTE_MALFORMED, where the origin can be no key's name.
    """
    check_name(checkpoint.origin)
    signature = sign_text(checkpoint.text, checkpoint.origin, key)
    return SignedCheckpoint(checkpoint, Note(checkpoint.text, (signature,)))


def verify_checkpoint(signed: SignedCheckpoint, origin: str, public: PublicKey) -> None:
    """Check that a checkpoint is this log's, by its key.

    Raises:
        SimpulError: CHECKPOINT_INVALID, of another log, or an empty tree with a root that is none;
            SIGNATURE_INVALID.
    """
    if signed.checkpoint.origin != origin:
        raise _invalid("it's of another log")
    verify_note(signed.note, (log_key(origin, public),))
    if signed.checkpoint.size == 0 and signed.checkpoint.root != EMPTY_ROOT:
        raise _invalid("its tree is empty, and its root isn't that of an empty tree")


def _invalid(what: str) -> SimpulError:
    return SimpulError(
        Code.CHECKPOINT_INVALID, f"this is no checkpoint: {what}; see c2sp.org/tlog-checkpoint"
    )
