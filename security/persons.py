"""Persons in the index of calls: found by a keyed hash of what an app says of them.

The journal keeps no name and no number of a citizen that it could be searched by without the node's
index key; with it, whoever knows a citizen's number finds his calls.

    tag = HMAC-SHA256(index key, "simpul/v1/person" || 00 || u8(kind) || normalised text, UTF-8),
          its first 16 bytes
    kind: 1 subject, 2 user, 3 issue

**Normalised** means: Unicode NFKC, case folded, NFKC again; spaces at the ends dropped, and others
made one. What is then 16 decimal digits, but for spaces, dots, hyphens and slashes between them, is
those digits alone: the number of a citizen (NIK) is written in many ways.

Source: docs/spec, "Journal: persons".
"""

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from security.hashing import PERSON
from security.secret_key import SecretKey

TAG_BYTES: Final = 16
NIK_DIGITS: Final = 16

_BETWEEN: Final = re.compile(r"[\s./-]")


class PersonKind(IntEnum):
    """What an app says of persons; the numbers are part of the format."""

    SUBJECT = 1
    USER = 2
    ISSUE = 3


@dataclass(frozen=True, slots=True, repr=False)
class Persons:
    """Whom a call concerns, as its app says; empty texts where it doesn't. `repr` hides them."""

    subject: str = ""
    user: str = ""
    issue: str = ""

    def __bool__(self) -> bool:
        return bool(self.subject or self.user or self.issue)

    def items(self) -> tuple[tuple[PersonKind, str], ...]:
        """What there is of them."""
        texts = (
            (PersonKind.SUBJECT, self.subject),
            (PersonKind.USER, self.user),
            (PersonKind.ISSUE, self.issue),
        )
        return tuple((kind, text) for kind, text in texts if normalised(text))


def normalised(text: str) -> str:
    """The one spelling by which a person is looked for; empty where nothing is left."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    spaced = " ".join(folded.split())
    digits = _BETWEEN.sub("", spaced)
    if len(digits) == NIK_DIGITS and digits.isdecimal():
        return "".join(str(unicodedata.decimal(digit)) for digit in digits)
    return spaced


def person_tag(secret: SecretKey, kind: PersonKind, text: str) -> bytes:
    """The tag of a person under an index key; 16 bytes."""
    said = PERSON + b"\x00" + bytes((kind,)) + normalised(text).encode("utf-8", "surrogatepass")
    return hmac.digest(secret.data, said, hashlib.sha256)[:TAG_BYTES]
