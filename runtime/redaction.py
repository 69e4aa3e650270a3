"""What must not be written anywhere: tokens, passwords, private keys, salts.

It judges by names and by shape, so it is a net and not a licence: code passes no secret to a log in
the first place.
"""

import re
from collections.abc import Mapping

REDACTED = "[redacted]"

_SECRET_WORDS = frozenset(
    {
        "authorization",
        "cookie",
        "credential",
        "passphrase",
        "password",
        "pem",
        "pin",
        "salt",
        "secret",
        "token",
    }
)
# `token_id`, `password_file`: these name a secret and do not hold it.
_HARMLESS_ENDS = frozenset({"count", "file", "fingerprint", "hash", "id", "ms", "path"})
_WORD = re.compile(r"[a-z0-9]+")
_PRIVATE_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")


def names_a_secret(name: str) -> bool:
    """Whether a key of this name (`app.token`, `x-api-key`, `seal_private_key`) holds a secret."""
    words = [word.removesuffix("s") for word in _WORD.findall(name.lower())]
    if not words or words[-1] in _HARMLESS_ENDS:
        return False
    return (
        not _SECRET_WORDS.isdisjoint(words)
        or words[-2:] == ["private", "key"]
        or words[-2:] == ["api", "key"]
    )


def redact(value: object, name: str = "") -> object:
    """`value` with every secret in it replaced by `[redacted]`; bytes become hex, for printing."""
    if name and names_a_secret(name) and value is not None:
        return REDACTED
    match value:
        case str():
            return REDACTED if _PRIVATE_PEM.search(value) is not None else value
        case bytes():
            return REDACTED if _PRIVATE_PEM.search(value.decode("latin-1")) else value.hex()
        case Mapping():
            return {str(key): redact(item, str(key)) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [redact(item) for item in value]
        case _:
            return value
