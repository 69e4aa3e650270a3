"""Legal names, contacts, and names that look alike: pure.

A name is read by people, who take two that look the same for one. Rules: NFC, printable, one line,
no invisible or direction-changing characters, letters of one script; and no two listed members
whose names are the same but for case, accents, spaces, and letters that stand for each other
(0 and O, 1 and l and I). Codes need no such care: they are ASCII by their grammar.

Source: Unicode TR 39 (confusables), in the small part that names of one script need.
"""

import re
import unicodedata
from typing import Final

from registry.model import Contact
from security.directory_records import MAX_NAME_CHARS
from security.errors import Code, SimpulError

MAX_EMAIL_CHARS: Final = 254
_EMAIL: Final = re.compile(r"[^\s@<>(),;:\\\"]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_PHONE: Final = re.compile(r"\+?[0-9][0-9 ()./-]{3,30}")
_STAND_FOR: Final = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l", "5": "s"})
# What joins or hides: beside the control characters, which are not printable anyway.
_HIDDEN: Final = frozenset({"Cf", "Cc", "Co", "Cn", "Cs", "Zl", "Zp"})


def check_name(text: str, what: str = "a legal name") -> None:
    """A name that people can read and tell from others.

    Raises:
        SimpulError: CHANGE_INVALID.
    """
    if not 0 < len(text) <= MAX_NAME_CHARS or text != text.strip():
        raise _bad(what, f"has 1 to {MAX_NAME_CHARS} characters, and no space at its ends")
    if unicodedata.normalize("NFC", text) != text:
        raise _bad(what, "is written in Unicode's composed form (NFC)")
    if any(unicodedata.category(char) in _HIDDEN for char in text) or not text.isprintable():
        raise _bad(what, "has no invisible characters and is one line")
    scripts = {unicodedata.name(char, "?").split()[0] for char in text if char.isalpha()}
    if len(scripts) > 1:
        raise _bad(what, f"has letters of one script, not of {' and '.join(sorted(scripts))}")


def likeness(name: str) -> str:
    """What two names have in common that people can't tell apart."""
    # Twice: what stands for a capital letter, a mathematical one say, is a capital afterwards.
    folded = unicodedata.normalize("NFKD", name).casefold()
    plain = unicodedata.normalize("NFKD", folded)
    letters = "".join(char for char in plain if not unicodedata.combining(char))
    return " ".join(letters.translate(_STAND_FOR).split())


def check_contact(contact: Contact) -> None:
    """A person or a desk that can be reached.

    Raises:
        SimpulError: CHANGE_INVALID.
    """
    check_name(contact.name, f"the name of the {contact.kind} contact")
    if not contact.email and not contact.phone:
        raise _bad(f"the {contact.kind} contact", "has an e-mail address or a telephone number")
    is_address = len(contact.email) <= MAX_EMAIL_CHARS and _EMAIL.fullmatch(contact.email)
    if contact.email and not is_address:
        raise _bad(f"the {contact.kind} contact", "has an e-mail address like name@example.go.id")
    if contact.phone and _PHONE.fullmatch(contact.phone) is None:
        raise _bad(f"the {contact.kind} contact", "has a telephone number like +62 21 123456")


def _bad(what: str, rule: str) -> SimpulError:
    return SimpulError(Code.CHANGE_INVALID, f"{what} {rule}: correct it")
