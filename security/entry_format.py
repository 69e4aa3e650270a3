"""An entry's bytes: printing and strict parsing of simpul.v1.Entry. `entry` says what it is for.

Source: docs/spec, "Entries: format"; simpul/v1/parcel.proto, `Entry`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NoReturn

from security.commitment import ROUND_BYTES, SALT_BYTES, Commitment, Tally
from security.consent import is_reference
from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES
from security.identifiers import MemberId, ServiceId, SubsystemId, check_method_name
from security.kinds import (
    Cancel,
    CancelReason,
    Close,
    EntryKind,
    HalfClose,
    Head,
    Kind,
    Message,
    Open,
    Refuse,
)
from security.limits import MAX_ENTRY_BYTES
from security.strict import parse
from simpul.v1 import parcel_pb2

CALL_ID_BYTES: Final = 16
GATHER_ID_BYTES: Final = 16
MAX_GRPC_STATUS: Final = 16
# The package whose services nodes offer each other, without an agreement.
OWN_PACKAGE: Final = "simpul.v1"

_WITH_PAYLOAD: Final = frozenset({EntryKind.OPEN, EntryKind.MESSAGE, EntryKind.CLOSE})
_WITH_PRIVATE: Final = frozenset(
    {EntryKind.OPEN, EntryKind.HEAD, EntryKind.CLOSE, EntryKind.REFUSE}
)
# Longer than any purpose is: one that is none gets a no of its own, and ends no link.
_PURPOSE: Final = re.compile(r"[\x20-\x7e]{0,256}")
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
# RFC 9562: the version in the top half of byte 6, the variant in the top two bits of byte 8.
_UUID_VERSION_BYTE: Final = 6
_UUID_VARIANT_BYTE: Final = 8
_UUID_VERSION: Final = 7
_UUID_VARIANT: Final = 2
# Names seen in opens: few are live at a time, and parsing them costs more than all else here.
_REMEMBERED_NAMES: Final = 4096


@dataclass(frozen=True, slots=True)
class ParsedEntry:
    """What an entry says; well-formed, and nothing more is known of it."""

    call_id: bytes
    index: int
    kind: Kind
    compressed: bool
    payload: Commitment | None
    private: Commitment | None


def print_entry(entry: ParsedEntry, salt: bytes) -> bytes:
    """The bytes that are hashed. `salt` is 16 fresh random bytes.

    Raises:
        SimpulError: PARCEL_MALFORMED if the kind may not have what is beside it.
    """
    _check_beside(entry)
    message = parcel_pb2.Entry(
        call_id=entry.call_id,
        index=entry.index,
        salt=salt,
        payload=_commitment_proto(entry.payload),
        private_block=_commitment_proto(entry.private),
        compressed=entry.compressed,
    )
    _print_kind(message, entry.kind)
    return message.SerializeToString(deterministic=True)


def parse_entry(data: bytes) -> ParsedEntry:
    """Parse an entry, strictly.

    Raises:
        SimpulError: PARCEL_TOO_LARGE, or PARCEL_MALFORMED for all that no printer of ours prints.
    """
    message = parse(
        parcel_pb2.Entry,
        data,
        MAX_ENTRY_BYTES,
        code=Code.PARCEL_MALFORMED,
        too_large=Code.PARCEL_TOO_LARGE,
    )
    name = message.WhichOneof("kind")
    if name is None:
        refuse("it has no kind")
    if len(message.salt) != SALT_BYTES:
        refuse("its salt hasn't 16 bytes")
    if not message.HasField("index"):
        refuse("it has no index")
    entry = ParsedEntry(
        _call_id(message.call_id),
        message.index,
        _KINDS[name](getattr(message, name)),
        message.compressed,
        _commitment(message.payload) if message.HasField("payload") else None,
        _commitment(message.private_block) if message.HasField("private_block") else None,
    )
    _check_beside(entry)
    return entry


def refuse(what: str) -> NoReturn:
    """Refuse an entry, as malformed."""
    raise SimpulError(
        Code.PARCEL_MALFORMED, f"an entry is malformed: {what}; print it by the published protos"
    )


def _commitment_proto(commitment: Commitment | None) -> parcel_pb2.Commitment | None:
    if commitment is None:
        return None
    return parcel_pb2.Commitment(hash=commitment.hash, rounded_bytes=commitment.rounded_bytes)


def _print_kind(message: parcel_pb2.Entry, kind: Kind) -> None:
    match kind:
        case Open():
            message.open.CopyFrom(_open_proto(kind))
        case Head():
            message.head.SetInParent()
        case Message():
            message.message.SetInParent()
        case HalfClose():
            message.half_close.requests.CopyFrom(kind.requests.to_proto())
        case Close():
            message.close.CopyFrom(
                parcel_pb2.Close(
                    status=kind.status,
                    open_digest=kind.open_digest,
                    requests=kind.requests.to_proto(),
                    responses=kind.responses.to_proto(),
                )
            )
        case Cancel():
            message.cancel.CopyFrom(
                parcel_pb2.Cancel(
                    reason=parcel_pb2.CancelReason.ValueType(kind.reason),
                    requests=kind.requests.to_proto(),
                    responses=kind.responses.to_proto(),
                )
            )
        case Refuse():
            message.refuse.CopyFrom(
                parcel_pb2.Refuse(code=kind.code, status=kind.status, open_digest=kind.open_digest)
            )


def _open_proto(kind: Open) -> parcel_pb2.Open:
    return parcel_pb2.Open(
        consumer=str(kind.consumer),
        provider=str(kind.service.subsystem),
        service=kind.service.service,
        method=kind.method,
        agreement=kind.agreement or b"",
        purpose=kind.purpose or "",
        deadline_left_ms=kind.deadline_left_ms,
        gather_id=kind.gather_id or b"",
        unary=kind.unary,
        on_behalf_of="" if kind.on_behalf_of is None else str(kind.on_behalf_of),
        consent=kind.consent or "",
    )


def _call_id(call_id: bytes) -> bytes:
    if (
        len(call_id) != CALL_ID_BYTES
        or call_id[_UUID_VERSION_BYTE] >> 4 != _UUID_VERSION
        or call_id[_UUID_VARIANT_BYTE] >> 6 != _UUID_VARIANT
    ):
        refuse("its call id is no UUIDv7")
    return call_id


def _commitment(message: parcel_pb2.Commitment) -> Commitment:
    length = message.rounded_bytes
    if len(message.hash) != HASH_BYTES or length < ROUND_BYTES or length % ROUND_BYTES != 0:
        refuse("a commitment isn't 32 bytes and a length rounded up to 256")
    return Commitment(message.hash, length)


def _check_beside(entry: ParsedEntry) -> None:
    """Payload and private block only where the kind may have them."""
    kind = entry.kind
    if entry.payload is None:
        fits = kind.kind is not EntryKind.MESSAGE and not (isinstance(kind, Open) and kind.unary)
        fits = fits and not entry.compressed
    else:
        fits = kind.kind in _WITH_PAYLOAD and not (isinstance(kind, Open) and not kind.unary)
    if not fits or (entry.private is not None and kind.kind not in _WITH_PRIVATE):
        refuse(f"{kind.kind} lacks a payload, or has what it may not have beside it")


@lru_cache(maxsize=_REMEMBERED_NAMES)
def _subsystem(text: str) -> SubsystemId:
    return SubsystemId.parse(text)


@lru_cache(maxsize=_REMEMBERED_NAMES)
def _service(subsystem: str, service: str, method: str) -> ServiceId:
    """Parse names together, because they come together; a refusal is not remembered."""
    check_method_name(method)
    return ServiceId(SubsystemId.parse(subsystem), service)


@lru_cache(maxsize=_REMEMBERED_NAMES)
def _member(text: str) -> MemberId:
    return MemberId.parse(text)


def _open(message: parcel_pb2.Open) -> Open:
    on_behalf_of = None
    try:
        if message.on_behalf_of:
            on_behalf_of = _member(message.on_behalf_of)
        consumer = _subsystem(message.consumer)
        service = _service(message.provider, message.service, message.method)
    except SimpulError as error:
        refuse(error.message)
    agreement, purpose, gather_id = message.agreement, message.purpose, message.gather_id
    if not agreement:
        _check_without_agreement(message)
    elif len(agreement) != HASH_BYTES or _PURPOSE.fullmatch(purpose) is None:
        refuse("an open's agreement hasn't 32 bytes, or its purpose can't be shown")
    if gather_id and len(gather_id) != GATHER_ID_BYTES:
        refuse("an open's gather id hasn't 16 bytes")
    if on_behalf_of is not None and on_behalf_of == consumer.member:
        refuse("an open is on behalf of the member that calls")
    if message.consent and not is_reference(message.consent):
        refuse("an open's consent is no reference")
    return Open(
        consumer,
        service,
        message.method,
        agreement or None,
        purpose or None,
        message.deadline_left_ms if message.HasField("deadline_left_ms") else None,
        gather_id or None,
        message.unary,
        on_behalf_of,
        consent=message.consent or None,
    )


def _check_without_agreement(message: parcel_pb2.Open) -> None:
    if message.purpose:
        refuse("an open has a purpose and no agreement")
    if message.on_behalf_of:
        refuse("an open is on behalf of a member, and names no agreement")
    if message.consent:
        refuse("an open has a consent and no agreement")
    if message.service.rpartition(".")[0] != OWN_PACKAGE:
        refuse(f"an open of a service outside {OWN_PACKAGE} names no agreement")


def _head(_: parcel_pb2.Head) -> Head:
    return Head()


def _message(_: parcel_pb2.Message) -> Message:
    return Message()


def _half_close(message: parcel_pb2.HalfClose) -> HalfClose:
    return HalfClose(_tally(message, "requests"))


def _close(message: parcel_pb2.Close) -> Close:
    if not message.HasField("status") or message.status > MAX_GRPC_STATUS:
        refuse("a close's status is no gRPC status")
    return Close(
        message.status,
        _open_digest(message.open_digest),
        _tally(message, "requests"),
        _tally(message, "responses"),
    )


def _cancel(message: parcel_pb2.Cancel) -> Cancel:
    try:
        reason = CancelReason(message.reason)
    except ValueError:
        refuse("a cancel's reason is unknown")
    return Cancel(reason, _tally(message, "requests"), _tally(message, "responses"))


def _refuse(message: parcel_pb2.Refuse) -> Refuse:
    if _CODE.fullmatch(message.code) is None:
        refuse("a refusal's code isn't like ACCESS_NO_AGREEMENT")
    if not 1 <= message.status <= MAX_GRPC_STATUS:
        refuse("a refusal's status is no gRPC error status")
    return Refuse(message.code, message.status, _open_digest(message.open_digest))


def _open_digest(data: bytes) -> bytes:
    if len(data) != HASH_BYTES:
        refuse("an open's digest hasn't 32 bytes")
    return data


def _tally(
    message: parcel_pb2.HalfClose | parcel_pb2.Close | parcel_pb2.Cancel, name: str
) -> Tally:
    tally: parcel_pb2.Tally = getattr(message, name)
    if not tally.HasField("count") or len(tally.digest) != HASH_BYTES:
        refuse(f"the tally of {name} is missing, or without a count and 32 bytes of digest")
    if tally.count == 0 and tally.digest != bytes(HASH_BYTES):
        refuse(f"the tally of {name} counts none and digests some")
    return Tally(tally.count, tally.digest)


_KINDS: Final[Mapping[str, Callable[[Any], Kind]]] = MappingProxyType(
    {
        "open": _open,
        "head": _head,
        "message": _message,
        "half_close": _half_close,
        "close": _close,
        "cancel": _cancel,
        "refuse": _refuse,
    }
)
