"""Two agreements side by side: what differs, in words, and whether one lies within the other.

A counter-offer may only be narrower: nothing passes under it that would not have passed under what
was asked for. So each term is compared by what it permits. Whoever wants more asks for more.

Source: docs/spec, "Agreements: counter-offers".
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from security.agreement_terms import (
    AgreementTerms,
    CitizenVisibility,
    FieldTerm,
    HoursTerm,
    PayloadKeeper,
    PurposeTerm,
    RateTerm,
    invalid,
)

_KEEPERS: Final = {
    PayloadKeeper.NONE: frozenset[str](),
    PayloadKeeper.CONSUMER: frozenset({"consumer"}),
    PayloadKeeper.PROVIDER: frozenset({"provider"}),
    PayloadKeeper.BOTH: frozenset({"consumer", "provider"}),
}


class Direction(StrEnum):
    """What a changed term does to what is permitted."""

    NARROWER = "narrower"
    WIDER = "wider"
    # As much as before, said otherwise.
    SAME = "same"
    # Some of both, or another thing altogether.
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Change:
    """A term that differs: its name, and what it was and is, in words."""

    term: str
    before: str
    after: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class _Term:
    name: str
    words: Callable[[AgreementTerms], str]
    # Whether all that the first permits by this term, the second does too.
    within: Callable[[AgreementTerms, AgreementTerms], bool]


def compare(before: AgreementTerms, after: AgreementTerms) -> tuple[Change, ...]:
    """What differs, in the order in which an agreement says it.

    Nonce and date of issue are not compared: they differ always.
    """
    found = (
        Change(term.name, term.words(before), term.words(after), _direction(term, before, after))
        for term in _TERMS
    )
    # Not by the words alone: times are said in seconds, and kept in milliseconds.
    return tuple(
        change
        for change in found
        if change.before != change.after or change.direction is not Direction.SAME
    )


def check_narrower(before: AgreementTerms, after: AgreementTerms) -> None:
    """Pass where `after` permits nothing that `before` does not.

    Raises:
        SimpulError: AGREEMENT_INVALID, which names the terms that do.
    """
    wider = [
        f"{change.term} ({change.before} -> {change.after})"
        for change in compare(before, after)
        if change.direction in {Direction.WIDER, Direction.OTHER}
    ]
    if wider:
        raise invalid(
            f"a counter-offer may only be narrower, and these are not: {'; '.join(wider)}"
        )


def describe(terms: AgreementTerms) -> tuple[tuple[str, str], ...]:
    """Every term and what it says, in words, in the order in which an agreement says it."""
    return tuple((term.name, term.words(terms)) for term in _TERMS)


def _direction(term: _Term, before: AgreementTerms, after: AgreementTerms) -> Direction:
    inside, around = term.within(after, before), term.within(before, after)
    if inside:
        return Direction.SAME if around else Direction.NARROWER
    return Direction.WIDER if around else Direction.OTHER


def _listed(items: Iterable[str]) -> str:
    return ", ".join(sorted(items)) or "none"


def _methods(terms: AgreementTerms) -> frozenset[str]:
    return frozenset(
        f"{item.service}/{method}" for item in terms.services for method in item.methods
    )


def _purposes(terms: AgreementTerms) -> frozenset[str]:
    return frozenset(f"{item.id} ({item.legal_basis.name})" for item in terms.purposes)


def _purpose(purpose: PurposeTerm) -> str:
    said = f"{purpose.id} ({purpose.legal_basis.name})"
    return said if purpose.description == "" else f"{said}: {purpose.description}"


def _fields(term: FieldTerm) -> str:
    if term.paths is None:
        return "all" if term.reason == "" else f"all, because: {term.reason}"
    return _listed(term.paths)


def _fields_within(inner: FieldTerm, outer: FieldTerm) -> bool:
    """A path covers itself and what lies below it.

    Also a field of bytes below it, which it would not let pass: without the contract that can't be
    seen, and it is the provider who counters, about its own data.
    """
    if outer.paths is None:
        return True
    return inner.paths is not None and all(
        any(path == known or path.startswith(f"{known}.") for known in outer.paths)
        for path in inner.paths
    )


def _rate(rate: RateTerm | None) -> str:
    if rate is None:
        return "no limit"
    said = []
    if rate.calls_per_second:
        said.append(f"{rate.calls_per_second} a second, {rate.burst} at once")
    if rate.calls_per_day:
        said.append(f"{rate.calls_per_day} a day")
    return "; ".join(said)


def _rate_within(inner: RateTerm | None, outer: RateTerm | None) -> bool:
    if outer is None:
        return True
    if inner is None:
        return False
    return all(
        limit == 0 or 0 < asked <= limit
        for asked, limit in (
            (inner.calls_per_second, outer.calls_per_second),
            (inner.burst, outer.burst),
            (inner.calls_per_day, outer.calls_per_day),
        )
    )


def _hours(hours: tuple[HoursTerm, ...]) -> str:
    if len(hours) == 0:
        return "at any hour"
    return ", ".join(
        f"{item.from_minute // 60:02}:{item.from_minute % 60:02} to "
        f"{item.until_minute // 60:02}:{item.until_minute % 60:02} WIB"
        for item in hours
    )


def _minutes(hours: tuple[HoursTerm, ...]) -> frozenset[int] | None:
    """The minutes of a day in them; None: all."""
    if len(hours) == 0:
        return None
    return frozenset(
        minute for item in hours for minute in range(item.from_minute, item.until_minute)
    )


def _hours_within(inner: tuple[HoursTerm, ...], outer: tuple[HoursTerm, ...]) -> bool:
    asked, limit = _minutes(inner), _minutes(outer)
    return limit is None or (asked is not None and asked <= limit)


def _days_within(inner: int | None, outer: int | None) -> bool:
    return outer is None or (inner is not None and inner <= outer)


def _visible(terms: AgreementTerms) -> bool:
    return terms.citizen_visibility is CitizenVisibility.VISIBLE


def _ms(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


_TERMS: Final = (
    _Term(
        "provider",
        lambda terms: str(terms.provider.member),
        lambda inner, outer: inner.provider == outer.provider,
    ),
    _Term(
        "consumer",
        lambda terms: str(terms.consumer.member),
        lambda inner, outer: inner.consumer == outer.consumer,
    ),
    _Term(
        "on behalf of",
        lambda terms: "nobody else" if terms.delegator is None else str(terms.delegator.member),
        lambda inner, outer: (
            inner.delegator == outer.delegator and inner.delegation == outer.delegation
        ),
    ),
    _Term(
        "provider's subsystem",
        lambda terms: str(terms.provider_subsystem),
        lambda inner, outer: inner.provider_subsystem == outer.provider_subsystem,
    ),
    _Term(
        "consumer's subsystems",
        lambda terms: _listed(map(str, terms.consumer_subsystems)),
        lambda inner, outer: set(inner.consumer_subsystems) <= set(outer.consumer_subsystems),
    ),
    _Term(
        "methods",
        lambda terms: _listed(_methods(terms)),
        lambda inner, outer: _methods(inner) <= _methods(outer),
    ),
    _Term(
        "purposes",
        lambda terms: _listed(map(_purpose, terms.purposes)),
        lambda inner, outer: _purposes(inner) <= _purposes(outer),
    ),
    _Term(
        "request fields",
        lambda terms: _fields(terms.request_fields),
        lambda inner, outer: _fields_within(inner.request_fields, outer.request_fields),
    ),
    _Term(
        "response fields",
        lambda terms: _fields(terms.response_fields),
        lambda inner, outer: _fields_within(inner.response_fields, outer.response_fields),
    ),
    _Term(
        "rate",
        lambda terms: _rate(terms.rate),
        lambda inner, outer: _rate_within(inner.rate, outer.rate),
    ),
    _Term(
        "hours",
        lambda terms: _hours(terms.hours),
        lambda inner, outer: _hours_within(inner.hours, outer.hours),
    ),
    _Term(
        "valid from",
        lambda terms: _ms(terms.valid_from_ms),
        lambda inner, outer: inner.valid_from_ms >= outer.valid_from_ms,
    ),
    _Term(
        "valid until",
        lambda terms: _ms(terms.valid_until_ms),
        lambda inner, outer: inner.valid_until_ms <= outer.valid_until_ms,
    ),
    _Term(
        "payloads kept by",
        lambda terms: _listed(_KEEPERS[terms.payload_keeper]),
        lambda inner, outer: _KEEPERS[inner.payload_keeper] <= _KEEPERS[outer.payload_keeper],
    ),
    _Term(
        "consumer keeps the data for",
        lambda terms: (
            "as long as the purpose needs"
            if terms.consumer_retention_days is None
            else f"{terms.consumer_retention_days} days"
        ),
        lambda inner, outer: _days_within(
            inner.consumer_retention_days, outer.consumer_retention_days
        ),
    ),
    _Term(
        # To show citizens more permits the consumer nothing more.
        "citizens see the calls",
        lambda terms: "yes" if _visible(terms) else "no",
        lambda inner, outer: _visible(inner) or not _visible(outer),
    ),
)
