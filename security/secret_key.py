"""A node's own symmetric keys: of a journal's records, and of its index of persons.

They never leave the node and sign nothing. A file holds one: 64 hexadecimal digits and a newline.
A key is known by its id, which tells nothing of it.

    id = H("simpul/v1/secret-key", key), its first 8 bytes

Source: docs/spec, "Journal: payloads".
"""

import re
from dataclasses import dataclass, field
from typing import Final, Self

from security.errors import Code, SimpulError
from security.hashing import SECRET_KEY, digest

SECRET_BYTES: Final = 32
SECRET_ID_BYTES: Final = 8

_TEXT: Final = re.compile(rb"[0-9a-f]{64}\n")


@dataclass(frozen=True, slots=True)
class SecretKey:
    """32 bytes that nobody else knows; `repr` shows the id only."""

    data: bytes = field(repr=False)
    id: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Checks the length; raises ValueError, because only our own code makes keys from bytes."""
        if len(self.data) != SECRET_BYTES:
            raise ValueError(f"a secret key has {SECRET_BYTES} bytes, not {len(self.data)}")
        object.__setattr__(self, "id", digest(SECRET_KEY, self.data)[:SECRET_ID_BYTES])

    @classmethod
    def from_text(cls, text: bytes) -> Self:
        """Reads a key's file.

        Raises:
            SimpulError: KEY_MALFORMED, when it's not exactly what `to_text` prints.
        """
        if _TEXT.fullmatch(text) is None:
            raise SimpulError(
                Code.KEY_MALFORMED,
                "a secret key's file holds 64 hexadecimal digits: restore it from a backup",
            )
        return cls(bytes.fromhex(text.decode("ascii")))

    def to_text(self) -> bytes:
        """What its file holds."""
        return self.data.hex().encode() + b"\n"
