"""The private block: what an entry says about persons, kept apart so that it can be erased.

Metadata, trailers, status message, user, case number, citizen. The entry commits to the block's
bytes (`commitment`); the block travels beside it and is never part of what is journaled for good.

A block holds only what its entry's kind may have:

    open     metadata (of the request), user, issue, subject
    head     metadata (initial, of the response)
    close    metadata (only if no head went before), trailers, status message
    refuse   status message

A key is gRPC's: lower case letters, digits, `_`, `-` and `.`. A value of a key that ends in `-bin`
is any bytes, decoded; any other value is printable ASCII. Repeated keys stay in order.

What keys mean, and which are passed on, is for gateway and provider.

Source: docs/spec, "Entries: private block"; simpul/v1/parcel.proto, `PrivateBlock`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NoReturn

from security.errors import Code, SimpulError
from security.kinds import EntryKind
from security.limits import Limits
from security.strict import parse
from simpul.v1 import parcel_pb2

Metadata = tuple[tuple[str, bytes], ...]

MAX_KEY_CHARS: Final = 256
MAX_PERSON_CHARS: Final = 1024

_KEY: Final = re.compile(r"[0-9a-z_.-]{1,256}")
_TEXT: Final = re.compile(rb"[\x20-\x7e]*")
_BINARY: Final = "-bin"
_REMEMBERED_KEYS: Final = 4096

_FIELDS: Final = ("metadata", "trailers", "status_message", "user", "issue", "subject")
_ALLOWED: Final[Mapping[EntryKind, frozenset[str]]] = MappingProxyType(
    {
        EntryKind.OPEN: frozenset({"metadata", "user", "issue", "subject"}),
        EntryKind.HEAD: frozenset({"metadata"}),
        EntryKind.CLOSE: frozenset({"metadata", "trailers", "status_message"}),
        EntryKind.REFUSE: frozenset({"status_message"}),
    }
)
_FORBIDDEN: Final[Mapping[EntryKind, tuple[str, ...]]] = MappingProxyType(
    {
        kind: tuple(name for name in _FIELDS if name not in _ALLOWED.get(kind, frozenset()))
        for kind in EntryKind
    }
)


@dataclass(frozen=True, slots=True, repr=False)
class Private:
    """A private block's content; an empty text or tuple where there is none. `repr` hides it."""

    metadata: Metadata = ()
    trailers: Metadata = ()
    status_message: str = ""
    user: str = ""
    issue: str = ""
    subject: str = ""


NOTHING_PRIVATE: Final = Private()


def make_private(content: Private) -> bytes:
    """Print a private block. What it may hold is judged by whoever parses it."""
    return parcel_pb2.PrivateBlock(
        metadata=_pairs(content.metadata),
        trailers=_pairs(content.trailers),
        status_message=content.status_message,
        user=content.user,
        issue=content.issue,
        subject=content.subject,
    ).SerializeToString(deterministic=True)


def parse_private(data: bytes, kind: EntryKind, limits: Limits) -> Private:
    """Parse the private block of an entry of this kind, strictly.

    Raises:
        SimpulError: PARCEL_TOO_LARGE, or PARCEL_MALFORMED for all that our printer would not print
            or that an entry of this kind may not have.
    """
    message = parse(
        parcel_pb2.PrivateBlock,
        data,
        limits.max_metadata_bytes,
        code=Code.PARCEL_MALFORMED,
        too_large=Code.PARCEL_TOO_LARGE,
    )
    content = Private(
        _metadata(message.metadata),
        _metadata(message.trailers),
        message.status_message,
        message.user,
        message.issue,
        message.subject,
    )
    for name in _FORBIDDEN[kind]:
        if getattr(content, name):
            _refuse(f"{kind} may not have {name}")
    if (
        len(content.user) > MAX_PERSON_CHARS
        or len(content.issue) > MAX_PERSON_CHARS
        or len(content.subject) > MAX_PERSON_CHARS
    ):
        _refuse(f"user, issue or subject has over {MAX_PERSON_CHARS} characters")
    return content


def check_metadatum(key: str, value: bytes) -> None:
    """Check one key and value, for those who make private blocks from what an app or service says.

    Raises:
        SimpulError: METADATA_MALFORMED.
    """
    if not _is_key(key):
        raise SimpulError(
            Code.METADATA_MALFORMED,
            f"metadata key {key[:MAX_KEY_CHARS]!a} isn't of 0-9 a-z _ - . and at most "
            f"{MAX_KEY_CHARS} characters; rename it",
        )
    if not key.endswith(_BINARY) and _TEXT.fullmatch(value) is None:
        raise SimpulError(
            Code.METADATA_MALFORMED,
            f"the value of metadata key {key!a} isn't printable ASCII; name the key {key}-bin",
        )


def _pairs(metadata: Metadata) -> Iterable[parcel_pb2.Metadatum]:
    return [parcel_pb2.Metadatum(key=key, value=value) for key, value in metadata]


def _metadata(pairs: Iterable[parcel_pb2.Metadatum]) -> Metadata:
    found = tuple([(pair.key, pair.value) for pair in pairs])
    try:
        for key, value in found:
            check_metadatum(key, value)
    except SimpulError as error:
        _refuse(error.message)
    return found


@lru_cache(maxsize=_REMEMBERED_KEYS)
def _is_key(key: str) -> bool:
    return _KEY.fullmatch(key) is not None


def _refuse(what: str) -> NoReturn:
    raise SimpulError(Code.PARCEL_MALFORMED, f"a private block is malformed: {what}; mend it")
