"""The name of a key in a token: a PKCS#11 URI, read strictly.

    pkcs11:token=simpul;object=seal?module-path=/usr/lib/p11.so&pin-source=/etc/simpul/pin
           token, serial, manufacturer, model    which token: token or serial must be there
           object, id                            which key in it: one of them must be there
           type                                  `private`, if anything
           module-path, pin-source               optional; otherwise the configuration's

Rules: a PIN never stands in it (`pin-value` is refused), for it is logged and shown; what is
unknown, repeated or empty is refused, and not skipped, because a key that is chosen by half of its
name may be another one; what `str` prints is what `parse` takes, in one order.

Source: RFC 7512, sections 2.3 and 2.4.
"""

import re
from dataclasses import dataclass, fields
from typing import Final, Self
from urllib.parse import quote, unquote_to_bytes

from security.errors import Code, SimpulError

SCHEME: Final = "pkcs11:"
MAX_CHARS: Final = 2048

# RFC 7512: what stands for itself in a path and in a query.
_PATH: Final = "-._~:[]@!$'()*+,=&"
_QUERY: Final = "-._~:[]@!$'()*+,=/?|"
_TEXT: Final = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&/?|]|%[0-9A-Fa-f]{2})*")
_IN_PATH: Final = ("token", "manufacturer", "serial", "model", "object", "id", "type")
_IN_QUERY: Final = ("module-path", "pin-source")


@dataclass(frozen=True, slots=True)
class TokenUri:
    """A key in a token. An empty attribute is one that was not given."""

    token: str = ""
    manufacturer: str = ""
    serial: str = ""
    model: str = ""
    object: str = ""
    id: bytes = b""
    module_path: str = ""
    pin_source: str = ""

    def __post_init__(self) -> None:
        """Raises SimpulError CONFIG_INVALID, where it names no one key."""
        if not (self.token or self.serial):
            raise _bad("names no token: give token= or serial=")
        if not (self.object or self.id):
            raise _bad("names no key: give object= or id=")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a URI; raises SimpulError CONFIG_INVALID, and shows nothing of a PIN."""
        if len(text) > MAX_CHARS or not text.startswith(SCHEME):
            raise _bad(f"begins with {SCHEME} and has at most {MAX_CHARS} characters")
        path, mark, query = text.removeprefix(SCHEME).partition("?")
        if "pin-value" in query:
            raise _bad("must not hold the PIN: put it into a file, and name that by pin-source")
        found = _attributes(path, ";", _IN_PATH)
        asked = _attributes(query, "&", _IN_QUERY) if mark else {}
        if found.pop("type", b"private") != b"private":
            raise _bad("must name a private key: type=private, or no type")
        values: dict[str, str | bytes] = {}
        for name, value in (found | asked).items():
            key = name.replace("-", "_")
            values[key] = value if name == "id" else _decoded(name, value)
        pin_source = values.get("pin_source")
        if isinstance(pin_source, str):
            values["pin_source"] = pin_source.removeprefix("file://").removeprefix("file:")
        return cls(**values)  # type: ignore[arg-type]  # `id` alone is bytes, and only it is given so

    def __str__(self) -> str:
        path = (
            f"{item.name}={quote(getattr(self, item.name), safe=_PATH)}"
            for item in fields(self)
            if item.name in _IN_PATH and getattr(self, item.name)
        )
        query = "&".join(
            f"{name}={quote(value, safe=_QUERY)}"
            for name, value in (("module-path", self.module_path), ("pin-source", self.pin_source))
            if value
        )
        return SCHEME + ";".join(path) + (f"?{query}" if query else "")


def _attributes(text: str, between: str, known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(between) if text else ():
        name, equals, value = part.partition("=")
        if name not in known:
            raise _bad(f"has an attribute {name[:40]!a}; known here are {', '.join(known)}")
        if name in found:
            raise _bad(f"has {name} twice")
        if not equals or not value or _TEXT.fullmatch(value) is None:
            raise _bad(f"has no value for {name}, or one that isn't percent-encoded")
        found[name] = unquote_to_bytes(value)
    return found


def _decoded(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise _bad(f"has a value for {name} that isn't UTF-8") from None
    if not text.isprintable():
        raise _bad(f"has a value for {name} that can't be printed")
    return text


def _bad(what: str) -> SimpulError:
    return SimpulError(
        Code.CONFIG_INVALID,
        f"a key's URI {what} (RFC 7512: pkcs11:token=LABEL;object=LABEL)",
    )
