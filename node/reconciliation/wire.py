"""The questions and answers of `simpul.v1.Reconciliation`, from and to values. Pure.

Parsed strictly; what they may hold has limits. Whether an answer fits its question is for whoever
asked.

Source: docs/spec, "Reconciliation"; simpul/v1/reconciliation.proto.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES
from security.limits import KIB
from security.reconcile import (
    HOUR_MS,
    NOTHING,
    Hashes,
    HourDigest,
    ParcelPlace,
    Parts,
    Said,
    SetDigest,
    check_prefix,
)
from security.strict import parse
from simpul.v1 import reconciliation_pb2 as pb

SERVICE: Final = "simpul.v1.Reconciliation"
COMPARE_HOURS: Final = "CompareHours"
COMPARE_PARCELS: Final = "CompareParcels"
DESCRIBE_PARCELS: Final = "DescribeParcels"
METHODS: Final = (COMPARE_HOURS, COMPARE_PARCELS, DESCRIBE_PARCELS)
# Both sides read up to half a million rows first.
TIMEOUT_MS: Final = 60_000

MAX_SPAN_MS: Final = 24 * HOUR_MS
MAX_PARTS: Final = 64
MAX_DESCRIBED: Final = 256
MAX_QUESTION_BYTES: Final = 16 * KIB
# 64 parts of at most 64 hashes, and what frames them.
MAX_ANSWER_BYTES: Final = 256 * KIB


def parse_compare_hours(data: bytes) -> pb.CompareHoursRequest:
    """A question about hours; raises SimpulError REQUEST_MALFORMED."""
    request = parse(pb.CompareHoursRequest, data, MAX_QUESTION_BYTES)
    span_ms = request.until_ms - request.from_ms
    if request.from_ms < 0 or request.from_ms % HOUR_MS != 0 or not 0 < span_ms <= MAX_SPAN_MS:
        raise _malformed("hours begin with an hour, and are at most 24")
    if len(request.digest) != HASH_BYTES:
        raise _malformed("the digest of hours has 32 bytes")
    return request


@dataclass(frozen=True, slots=True)
class SaidHours:
    """An answer about hours. `held_from_ms`: of what was before, it may have dropped some."""

    until_ms: int
    digest: bytes
    hours: tuple[HourDigest, ...]
    held_from_ms: int


def parse_hours(data: bytes) -> SaidHours:
    """The answer about hours; raises SimpulError REQUEST_MALFORMED."""
    answer = parse(pb.CompareHoursResponse, data, MAX_ANSWER_BYTES)
    hours = tuple(
        HourDigest(item.hour, _digest(item.acknowledged), _digest(item.unacknowledged))
        for item in answer.hours
    )
    if any(before.hour >= after.hour for before, after in pairwise(hours)):
        raise _malformed("hours come in order")
    if answer.held_from_ms < 0:
        raise _malformed("a time is not before 1970")
    return SaidHours(answer.until_ms, answer.digest, hours, answer.held_from_ms)


def make_hours(
    until_ms: int, digest: bytes, hours: Iterable[HourDigest], held_from_ms: int = 0
) -> bytes:
    """Prints the answer about hours."""
    return pb.CompareHoursResponse(
        until_ms=until_ms,
        digest=digest,
        held_from_ms=held_from_ms,
        hours=[
            pb.HourDigest(
                hour=item.hour,
                acknowledged=_set(item.acknowledged),
                unacknowledged=_set(item.unacknowledged),
            )
            for item in hours
        ],
    ).SerializeToString()


def parse_compare_parcels(data: bytes) -> pb.CompareParcelsRequest:
    """A question about parts of an hour; raises SimpulError REQUEST_MALFORMED."""
    request = parse(pb.CompareParcelsRequest, data, MAX_QUESTION_BYTES)
    check_hour(request.hour, request.until_ms)
    if not 0 < len(request.parts) <= MAX_PARTS:
        raise _malformed(f"ask about 1 to {MAX_PARTS} parts at once")
    for part in request.parts:
        check_prefix(part.prefix)
    return request


def parse_said(data: bytes) -> list[Said]:
    """What was said of each part; raises SimpulError REQUEST_MALFORMED."""
    answer = parse(pb.CompareParcelsResponse, data, MAX_ANSWER_BYTES)
    return [_said(part) for part in answer.parts]


def make_said(said: Iterable[Said]) -> bytes:
    """Prints what is said of parts."""
    parts = [
        pb.SaidPart(hashes=b"".join(item.hashes))
        if isinstance(item, Hashes)
        else pb.SaidPart(digests=[_printed(each) for each in item.digests])
        for item in said
    ]
    return pb.CompareParcelsResponse(parts=parts).SerializeToString()


def parse_describe(data: bytes) -> pb.DescribeParcelsRequest:
    """A question about parcels; raises SimpulError REQUEST_MALFORMED."""
    request = parse(pb.DescribeParcelsRequest, data, MAX_QUESTION_BYTES)
    check_hour(request.hour, request.until_ms)
    if not 0 < len(request.header_hashes) <= MAX_DESCRIBED:
        raise _malformed(f"ask about 1 to {MAX_DESCRIBED} parcels at once")
    if any(len(item) != HASH_BYTES for item in request.header_hashes):
        raise _malformed("a header hash has 32 bytes")
    return request


def parse_places(data: bytes) -> list[ParcelPlace]:
    """Parcels as the other node has them, seen from this one; raises SimpulError."""
    answer = parse(pb.DescribeParcelsResponse, data, MAX_ANSWER_BYTES)
    return [_place(item) for item in answer.parcels]


def make_places(places: Sequence[ParcelPlace]) -> bytes:
    """Prints parcels as this node has them."""
    return pb.DescribeParcelsResponse(
        parcels=[
            pb.ParcelPlace(
                header_hash=item.header_hash,
                link_id=item.link_id,
                sent=item.sent,
                number=item.number,
                sealed_at_ms=item.sealed_at_ms,
                acknowledged=item.acknowledged,
                last_number=item.last_number,
            )
            for item in places
        ]
    ).SerializeToString()


def check_hour(hour: int, until_ms: int) -> None:
    """Checks that an hour begins before `until_ms`; raises SimpulError REQUEST_MALFORMED."""
    if not 0 <= hour * HOUR_MS < until_ms:
        raise _malformed("an hour begins before the end of the span")


def _said(part: pb.SaidPart) -> Said:
    if len(part.digests) > 0:
        return Parts(tuple(map(_digest, part.digests)))
    if len(part.hashes) % HASH_BYTES != 0:
        raise _malformed("a header hash has 32 bytes")
    places = range(0, len(part.hashes), HASH_BYTES)
    return Hashes(tuple(part.hashes[place : place + HASH_BYTES] for place in places))


def _digest(message: pb.SetDigest) -> SetDigest:
    if len(message.hash) != (HASH_BYTES if message.count > 0 else 0):
        raise _malformed("the digest of a set has 32 bytes, and that of an empty one none")
    return SetDigest(message.count, message.hash)


def _set(digest: SetDigest) -> pb.SetDigest | None:
    return None if digest == NOTHING else _printed(digest)


def _printed(digest: SetDigest) -> pb.SetDigest:
    return pb.SetDigest(count=digest.count, hash=digest.hash)


def _place(item: pb.ParcelPlace) -> ParcelPlace:
    if len(item.header_hash) != HASH_BYTES or len(item.link_id) != HASH_BYTES:
        raise _malformed("hashes and ids of links have 32 bytes")
    if not item.HasField("number") or not item.HasField("last_number"):
        raise _malformed("a parcel has a number")
    there = ParcelPlace(
        item.header_hash, item.link_id, item.sent, item.number, item.sealed_at_ms,
        item.acknowledged, item.last_number,
    )  # fmt: skip
    # What one node sent the other received.
    return replace(there, sent=not item.sent)


def _malformed(what: str) -> SimpulError:
    return SimpulError(Code.REQUEST_MALFORMED, f"two nodes' records can't be compared so: {what}")
