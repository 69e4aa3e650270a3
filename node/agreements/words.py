"""What an operator says and sees of agreements, as the admin API has it: to and from values."""

from __future__ import annotations

import re
from typing import Final

from node.agreements.drafts import Draft, Narrowing
from security.agreement import (
    CitizenVisibility,
    FieldTerm,
    HoursTerm,
    LegalBasis,
    PayloadKeeper,
    PurposeTerm,
    RateTerm,
)
from security.errors import Code, SimpulError
from security.identifiers import MemberId, ServiceId, SubsystemId
from simpul.node.v1 import admin_pb2

_HOURS: Final = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_MINUTES_PER_DAY: Final = 24 * 60


def draft(terms: admin_pb2.AccessTerms) -> Draft:
    """Terms of a new agreement; raises REQUEST_MALFORMED, ID_MALFORMED."""
    return Draft(
        consumer=SubsystemId.parse(terms.consumer),
        service=ServiceId.parse(terms.service_id),
        methods=tuple(terms.methods),
        purposes=tuple(_purpose(item) for item in terms.purposes),
        request_fields=_fields(terms, "request_fields"),
        response_fields=_fields(terms, "response_fields"),
        rate=_rate(terms),
        valid_from_ms=terms.valid_from_ms or None,
        valid_days=terms.valid_days or None,
        hours=tuple(_hours(text) for text in terms.hours),
        payload_keeper=_keeper(terms),
        consumer_retention_days=_retention(terms),
        citizen_visibility=CitizenVisibility.HIDDEN if terms.hidden_from_citizens else None,
        replaces=_hash(terms.replaces) if terms.replaces else None,
        on_behalf_of=MemberId.parse(terms.on_behalf_of) if terms.on_behalf_of else None,
    )


def narrowing(terms: admin_pb2.AccessTerms) -> Narrowing:
    """What is left of a request; raises REQUEST_MALFORMED."""
    return Narrowing(
        methods=tuple(terms.methods) or None,
        purposes=tuple(item.id for item in terms.purposes) or None,
        request_fields=_fields(terms, "request_fields"),
        response_fields=_fields(terms, "response_fields"),
        rate=_rate(terms),
        valid_days=terms.valid_days or None,
        hours=tuple(_hours(text) for text in terms.hours) or None,
        payload_keeper=_keeper(terms),
        consumer_retention_days=_retention(terms),
    )


def _purpose(item: admin_pb2.AccessPurpose) -> PurposeTerm:
    try:
        basis = LegalBasis[item.legal_basis]
    except KeyError:
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"{item.legal_basis[:40]!a} is no legal basis; give one of "
            f"{', '.join(LegalBasis.__members__)}",
        ) from None
    return PurposeTerm(item.id, basis, item.description)


def _fields(terms: admin_pb2.AccessTerms, which: str) -> FieldTerm | None:
    if not terms.HasField(which):  # type: ignore[arg-type]  # one of two names of ours
        return None
    said: admin_pb2.AccessFields = getattr(terms, which)
    if said.paths and said.reason:
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            "a reason is given for all fields, and fields are named; choose one",
        )
    return FieldTerm(tuple(said.paths) or None, said.reason)


def _rate(terms: admin_pb2.AccessTerms) -> RateTerm | None:
    if not terms.HasField("rate"):
        return None
    rate = terms.rate
    # A burst that isn't given is a second's worth.
    return RateTerm(rate.calls_per_second, rate.burst or rate.calls_per_second, rate.calls_per_day)


def _hours(text: str) -> HoursTerm:
    match = _HOURS.fullmatch(text)
    if match is not None:
        first, second, third, fourth = map(int, match.groups())
        begin, end = first * 60 + second, third * 60 + fourth
        if second < 60 and fourth < 60 and begin < end <= _MINUTES_PER_DAY:  # noqa: PLR2004
            return HoursTerm(begin, end)
    raise SimpulError(
        Code.REQUEST_MALFORMED,
        f"{text[:40]!a} are no hours of one day; say them like 08:00-16:00, Western Indonesia Time",
    )


def _keeper(terms: admin_pb2.AccessTerms) -> PayloadKeeper | None:
    if terms.payload_keeper == "":
        return None
    try:
        return PayloadKeeper[terms.payload_keeper.upper()]
    except KeyError:
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"{terms.payload_keeper[:40]!a} keeps nothing; say none, consumer, provider or both",
        ) from None


def _retention(terms: admin_pb2.AccessTerms) -> int | None:
    return terms.consumer_retention_days if terms.HasField("consumer_retention_days") else None


def _hash(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise SimpulError(
            Code.REQUEST_MALFORMED, f"{text[:80]!a} is no agreement's hash in hex"
        ) from None
