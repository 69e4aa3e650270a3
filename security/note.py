r"""C2SP's signed notes: a text, and lines that say who signed it.

    text, of lines
    (an empty line)
    — <key name> <base64: 4 bytes of key id | signature>      once or more

    key id       = SHA-256(name | "\n" | type | public key)[:4]
    verifier key = <name>+<key id, hex>+<base64: type | public key>

Strict: what is parsed is printed the same, byte for byte. Two types are known, both with Ed25519
keys: a plain signature over the text (0x01), and a cosignature of a checkpoint (0x04), which
`cosignature` verifies. What was signed by a key that isn't asked about is not judged.

It doesn't know what a text says (`checkpoint` does).

Source: c2sp.org/signed-note.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Final, Self

from security.errors import Code, SimpulError
from security.keys import Algorithm, PrivateKey, PublicKey

KEY_ID_BYTES: Final = 4
MAX_NOTE_BYTES: Final = 64 * 1024
MAX_NAME_CHARS: Final = 255
# The specification asks for at least 16.
MAX_SIGNATURES: Final = 64

_DASH: Final = "\N{EM DASH} "
_LINE: Final = re.compile(_DASH + r"([^ \n]+) ([A-Za-z0-9+/]+={0,2})")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_VKEY_PARTS: Final = 3
_ED25519_BYTES: Final = 32


class SignatureType(IntEnum):
    """The type byte of a key's id and of a verifier key."""

    ED25519 = 0x01
    COSIGNATURE_V1 = 0x04


# Not slotted: the id is worked out once.
@dataclass(frozen=True)
class NoteKey:
    """A key by the name and for the type of signature that it signs notes with.

    Raises:
        SimpulError: NOTE_MALFORMED for a name that can be none, or a key that isn't Ed25519.
    """

    name: str
    type: SignatureType
    public: PublicKey

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.public.algorithm is not Algorithm.ED25519:
            raise _malformed(f"{self.name} signs notes with an Ed25519 key and no other")

    @cached_property
    def key_id(self) -> bytes:
        """4 bytes."""
        return hashlib.sha256(self.name.encode() + b"\n" + self._typed).digest()[:KEY_ID_BYTES]

    @property
    def vkey(self) -> str:
        """The verifier key."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self._typed).decode()}"

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read a verifier key; raises SimpulError NOTE_MALFORMED."""
        # The last part may hold a plus, names may not.
        parts = vkey.split("+", _VKEY_PARTS - 1)
        if len(parts) != _VKEY_PARTS or len(vkey) > 2 * MAX_NAME_CHARS:
            raise _malformed("a verifier key is name+id+key")
        data = decode_base64(parts[2])
        if len(data) != 1 + _ED25519_BYTES or data[0] not in set(SignatureType):
            raise _malformed("a verifier key of this kind isn't known here")
        try:
            public = PublicKey(Algorithm.ED25519, data[1:])
        except SimpulError as error:
            raise _malformed("a verifier key holds no Ed25519 key") from error
        key = cls(parts[0], SignatureType(data[0]), public)
        if key.vkey != vkey:
            raise _malformed("a verifier key's id isn't its key's")
        return key

    @property
    def _typed(self) -> bytes:
        return bytes([self.type]) + self.public.key


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: whose it says it is, and the signature behind the key id."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """As it stands in a note, with its newline."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"

    def is_by(self, key: NoteKey) -> bool:
        """Whether it says that this key made it, which proves nothing."""
        return self.name == key.name and self.key_id == key.key_id


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a newline, and at least one signature. Nothing of it is verified."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def to_bytes(self) -> bytes:
        """The note as it travels."""
        return (self.text + "\n" + "".join(item.line for item in self.signatures)).encode()

    def with_signatures(self, more: Sequence[NoteSignature]) -> "Note":
        """The note with these signatures too; one that is there already stays once."""
        new = tuple(item for item in dict.fromkeys(more) if item not in self.signatures)
        return Note(self.text, self.signatures + new)


def parse_note(data: bytes, max_bytes: int = MAX_NOTE_BYTES) -> Note:
    """Read a note, strictly.

    Raises:
        SimpulError: NOTE_MALFORMED.
    """
    text = decode_text(data, max_bytes)
    body, found, signed = text.rpartition("\n\n")
    if found == "":
        raise _malformed("there is no empty line before its signatures")
    return Note(body + "\n", parse_signatures(signed))


def parse_signatures(text: str) -> tuple[NoteSignature, ...]:
    """Read signature lines, each with its newline: a note's, or a witness's answer.

    Raises:
        SimpulError: NOTE_MALFORMED.
    """
    *lines, rest = text.split("\n")
    if rest != "" or not 0 < len(lines) <= MAX_SIGNATURES:
        raise _malformed(f"it has no signature, more than {MAX_SIGNATURES}, or a cut line")
    return tuple(map(_parse_line, lines))


def decode_text(data: bytes, max_bytes: int) -> str:
    """Return the text of these bytes, which a note may hold; raises SimpulError NOTE_MALFORMED."""
    if len(data) > max_bytes:
        raise _malformed(f"it is longer than {max_bytes} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _malformed("it isn't UTF-8") from error
    if _CONTROL.search(text) is not None:
        raise _malformed("it holds a control character")
    return text


def decode_base64(text: str) -> bytes:
    """Return what base64 of one spelling holds; raises SimpulError NOTE_MALFORMED."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("it holds base64 that is none") from error
    # Loose bits at the end would give one signature several spellings.
    if base64.b64encode(data).decode() != text:
        raise _malformed("it holds base64 of an odd spelling")
    return data


def check_name(name: str) -> None:
    """Check a key's name; raises SimpulError NOTE_MALFORMED."""
    bad = name == "" or len(name) > MAX_NAME_CHARS or "+" in name
    if bad or any(char.isspace() for char in name) or _CONTROL.search(name) is not None:
        raise _malformed("a key's name is empty, too long, or holds a space or plus")


def sign_text(text: str, name: str, key: PrivateKey) -> NoteSignature:
    """Return a plain signature over `text`.

    Raises:
        SimpulError: NOTE_MALFORMED, for a text or a name that can be none; INTERNAL.
    """
    data = text.encode()
    decode_text(data, MAX_NOTE_BYTES)
    if not text.endswith("\n"):
        raise _malformed("its text doesn't end in a newline")
    by = NoteKey(name, SignatureType.ED25519, key.public)
    return NoteSignature(name, by.key_id, key.sign_plain(data))


def verify_note(note: Note, keys: Sequence[NoteKey]) -> tuple[NoteSignature, ...]:
    """Check the plain signatures by these keys; all that claim to be theirs must be.

    Returns:
        Those signatures, at least one.

    Raises:
        SimpulError: SIGNATURE_INVALID: one is false, or there is none.
    """
    data = note.text.encode()
    found = []
    for key in keys:
        if key.type is not SignatureType.ED25519:
            raise SimpulError(Code.INTERNAL, "cosignatures aren't verified as plain signatures")
        for signature in note.signatures:
            if signature.is_by(key):
                key.public.verify_plain(data, signature.signature)
                found.append(signature)
    if len(found) == 0:
        raise SimpulError(
            Code.SIGNATURE_INVALID, "the note isn't signed by a key that is known; sign it with one"
        )
    return tuple(found)


def _parse_line(line: str) -> NoteSignature:
    match = _LINE.fullmatch(line)
    if match is None:
        raise _malformed("a signature line isn't spelt as one")
    check_name(match[1])
    data = decode_base64(match[2])
    if len(data) <= KEY_ID_BYTES:
        raise _malformed("a signature line holds no signature")
    return NoteSignature(match[1], data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])


def _malformed(what: str) -> SimpulError:
    return SimpulError(
        Code.NOTE_MALFORMED, f"this is no signed note: {what}; see c2sp.org/signed-note"
    )
