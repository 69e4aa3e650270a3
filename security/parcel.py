"""Parcels: a sealed header over the entries of one or many calls, from one member to one node.

The header's bytes are hashed and signed as they were made; nobody prints them again to verify. A
header names its receiver, its link, its place in that link's chain, what has durably arrived, how
many opens the other side may send, and the RFC 6962 root over its entries' bytes. So evidence for
one call shows one entry and a path, and nothing of the calls beside it.

A parsed header is well-formed; whether it may come now is for `receiver`.

Source: docs/spec, "Parcels"; simpul/v1/parcel.proto, `Parcel` and `Header`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn

from security import merkle
from security.entry import SealedEntry
from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES, HEADER, digest
from security.identifiers import MemberId, NodeId, check_federation
from security.limits import MAX_HEADER_BYTES
from security.strict import parse
from simpul.v1 import parcel_pb2

VERSION: Final = 1
# What this code speaks, highest first.
VERSIONS: Final = (VERSION,)

_REMEMBERED_NAMES: Final = 1024


@dataclass(frozen=True, slots=True)
class Received:
    """The other side's parcel, by number and header hash, up to which all is durable here."""

    number: int
    header_hash: bytes


@dataclass(frozen=True, slots=True)
class HeaderFields:
    """What a header says. Hashes and ids of keys and links have 32 bytes."""

    federation: str
    # The sending member.
    member: MemberId
    seal_key_id: bytes
    # The receiving node.
    node: NodeId
    link_id: bytes
    # From 0, per link and direction, without gaps.
    number: int
    # The hash of the sender's last header on this link; the link id where `number` is 0.
    previous: bytes
    received: Received | None
    # How many opens the receiver of this parcel may have sent on this link in all.
    credit: int
    sealed_at_ms: int
    directory_hash: bytes
    entry_count: int
    entries_root: bytes
    # Nothing after the other side's parcel of this number was or will be started.
    drain: int | None = None
    version: int = VERSION


def header_hash(header: bytes) -> bytes:
    """H("simpul/v1/header", header): what seals cover and what the next header calls previous."""
    return digest(HEADER, header)


def entries_root(entries: Sequence[SealedEntry]) -> bytes:
    """The RFC 6962 root over the entries' bytes; of no entries, the hash of nothing."""
    return merkle.root([merkle.leaf_hash(sealed.entry) for sealed in entries])


def entry_path(entries: Sequence[SealedEntry], index: int) -> tuple[bytes, ...]:
    """The path from one entry to the header's root, for evidence; checked by `merkle`."""
    return merkle.inclusion_path([merkle.leaf_hash(sealed.entry) for sealed in entries], index)


def make_header(fields: HeaderFields) -> bytes:
    """Print a header: the bytes to hash, seal, send and journal."""
    received = fields.received
    return parcel_pb2.Header(
        version=fields.version,
        federation=fields.federation,
        member=str(fields.member),
        seal_key_id=fields.seal_key_id,
        node=str(fields.node),
        link_id=fields.link_id,
        number=fields.number,
        previous=fields.previous,
        received=None
        if received is None
        else parcel_pb2.Received(number=received.number, header_hash=received.header_hash),
        credit=fields.credit,
        sealed_at_ms=fields.sealed_at_ms,
        directory_hash=fields.directory_hash,
        entry_count=fields.entry_count,
        entries_root=fields.entries_root,
        drain=fields.drain,
    ).SerializeToString(deterministic=True)


def parse_header(data: bytes) -> HeaderFields:
    """Parse a header, strictly.

    Raises:
        SimpulError: PARCEL_TOO_LARGE; PARCEL_VERSION for a version this code doesn't speak; or
            PARCEL_MALFORMED for all else that no printer of ours prints.
    """
    message = parse(
        parcel_pb2.Header,
        data,
        MAX_HEADER_BYTES,
        code=Code.PARCEL_MALFORMED,
        too_large=Code.PARCEL_TOO_LARGE,
    )
    if message.version not in VERSIONS:
        raise SimpulError(
            Code.PARCEL_VERSION,
            f"a parcel is of version {message.version}, and this node speaks {VERSION}; "
            "send what the greetings agreed on",
        )
    for name in ("number", "credit", "entry_count"):
        if not message.HasField(name):
            _refuse(f"it has no {name}")
    if message.sealed_at_ms <= 0:
        _refuse("it has no time")
    try:
        member, node = _names(message.federation, message.member, message.node)
    except SimpulError as error:
        _refuse(error.message)
    return HeaderFields(
        message.federation,
        member,
        _hash("seal_key_id", message.seal_key_id),
        node,
        _hash("link_id", message.link_id),
        message.number,
        _hash("previous", message.previous),
        parse_received(message.received) if message.HasField("received") else None,
        message.credit,
        message.sealed_at_ms,
        _hash("directory_hash", message.directory_hash),
        message.entry_count,
        _hash("entries_root", message.entries_root),
        message.drain if message.HasField("drain") else None,
        message.version,
    )


def parse_received(message: parcel_pb2.Received) -> Received:
    """Judge a receipt's fields; raises SimpulError PARCEL_MALFORMED."""
    if not message.HasField("number"):
        _refuse("its receipt has no number")
    return Received(message.number, _hash("received", message.header_hash))


def to_wire(
    header: bytes,
    seal: bytes,
    entries: Sequence[SealedEntry],
    *,
    inline_max_bytes: int | None = None,
) -> parcel_pb2.Parcel:
    """Put a parcel together for sending.

    Payloads over `inline_max_bytes` are left out, for the caller to send in chunks after it; at
    least `limits.INLINE_MAX_BYTES`, or the receiver refuses. None: every payload travels inline.
    """
    parcel = parcel_pb2.Parcel(
        header=header, seal=seal, entries=[sealed.to_proto() for sealed in entries]
    )
    if inline_max_bytes is not None:
        for entry in parcel.entries:
            if len(entry.payload) > inline_max_bytes:
                entry.ClearField("payload")
    return parcel


@lru_cache(maxsize=_REMEMBERED_NAMES)
def _names(federation: str, member: str, node: str) -> tuple[MemberId, NodeId]:
    """Parse names together, because they come together; a refusal is not remembered."""
    check_federation(federation)
    return MemberId.parse(member), NodeId.parse(node)


def _hash(name: str, data: bytes) -> bytes:
    if len(data) != HASH_BYTES:
        _refuse(f"its {name} hasn't {HASH_BYTES} bytes")
    return data


def _refuse(what: str) -> NoReturn:
    raise SimpulError(
        Code.PARCEL_MALFORMED, f"a header is malformed: {what}; print it by the published protos"
    )
