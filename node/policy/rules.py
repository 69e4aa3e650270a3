"""Which agreement permits a call. Pure.

It verifies no signature and knows no directory: whoever fills the book has verified what goes in,
and leaves out what is suspended. Whether terms permit one call is `security.agreement.permit`'s to
say; this finds the terms to ask. Rules:

1. No agreement, no call; what is not named exactly is not permitted.
2. Where purposes are several and the app named none, it must choose, and is told among which.
3. Of several agreements for one purpose, the one issued last is used.
4. An agreement on behalf of a member permits calls that say so, and no others.

Source: wire standard, "What a receiver checks", step 14; trust, "Agreements".
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from security.agreement import AgreementTerms, agreement_hash, check_time, parse_agreement, permit
from security.errors import Code, SimpulError
from security.identifiers import MemberId, SubsystemId
from security.kinds import Open


@dataclass(frozen=True, slots=True)
class _Target:
    """Who calls what."""

    consumer: SubsystemId
    provider: SubsystemId
    service: str
    method: str
    on_behalf_of: MemberId | None


@dataclass(frozen=True, slots=True)
class _Entry:
    hash: bytes
    terms: AgreementTerms


class AgreementBook:
    """All agreements in force on a node at one moment. Immutable; one look-up finds a call."""

    __slots__ = ("by_hash", "by_target", "parties", "undelegated")

    def __init__(self, agreements: Iterable[bytes] = (), undelegated: Iterable[bytes] = ()) -> None:
        """Fill it, once.

        Args:
            agreements: The bytes that both sides signed, verified before.
            undelegated: Hashes of others, which rest because their delegation does.

        Raises:
            SimpulError: AGREEMENT_INVALID, when one can't be read.
        """
        entries = [_Entry(agreement_hash(data), parse_agreement(data)) for data in agreements]
        entries.sort(key=lambda entry: (-entry.terms.issued_at_ms, entry.hash))
        by_target: defaultdict[_Target, list[_Entry]] = defaultdict(list)
        for entry in entries:
            for target in _targets(entry.terms):
                by_target[target].append(entry)
        # The terms of each, by the agreement's hash.
        self.by_hash: Mapping[bytes, AgreementTerms] = MappingProxyType(
            {entry.hash: entry.terms for entry in entries}
        )
        # The newest first.
        self.by_target: Mapping[_Target, tuple[_Entry, ...]] = MappingProxyType(
            {target: tuple(found) for target, found in by_target.items()}
        )
        self.parties = frozenset(
            (target.consumer, target.provider, target.on_behalf_of) for target in by_target
        )
        self.undelegated = frozenset(undelegated)


def find_agreement(
    book: AgreementBook,
    *,
    consumer: SubsystemId,
    provider: SubsystemId,
    service: str,
    method: str,
    purpose: str | None,
    on_behalf_of: MemberId | None = None,
    now_ms: int,
) -> tuple[bytes, str]:
    """The agreement and the purpose of a call that is about to be made: the consumer's side.

    `purpose` is the app's `simpul-purpose`, `on_behalf_of` its word of that name; None where it
    sent none.

    Raises:
        SimpulError: ACCESS_NO_AGREEMENT, ACCESS_DELEGATION, ACCESS_METHOD, ACCESS_EXPIRED,
            ACCESS_PURPOSE.
    """
    target = _Target(consumer, provider, service, method, on_behalf_of)
    found = book.by_target.get(target, ())
    if len(found) == 0:
        raise _none(book, target)
    if len(found) == 1:
        return found[0].hash, _permit(found[0].terms, target, purpose, now_ms)
    return _choose(found, target, purpose, now_ms)


def check_open(
    book: AgreementBook, *, opened: Open, sender: MemberId, now_ms: int
) -> AgreementTerms:
    """The terms of the agreement that an open names, where it permits the call: at the provider.

    Args:
        book: This node's own copy.
        opened: What came, with an agreement.
        sender: The member whose seal it bears.
        now_ms: The time.

    Raises:
        SimpulError: ACCESS_NO_AGREEMENT, ACCESS_CONSUMER, ACCESS_DELEGATION, ACCESS_METHOD,
            ACCESS_EXPIRED, ACCESS_PURPOSE.
    """
    terms = None if opened.agreement is None else book.by_hash.get(opened.agreement)
    if opened.agreement in book.undelegated:
        raise _undelegated()
    if terms is None:
        raise SimpulError(
            Code.ACCESS_NO_AGREEMENT,
            "the agreement that the call names is not in force at the provider: ask for one",
        )
    if sender != opened.consumer.member or sender != terms.consumer.member:
        raise SimpulError(
            Code.ACCESS_CONSUMER,
            f"the agreement is not with {sender}: call in the name of the member that it names",
        )
    if opened.purpose is None:
        raise SimpulError(
            Code.ACCESS_PURPOSE, "the open names no purpose: name one that the agreement lists"
        )
    service = opened.service
    target = _Target(
        opened.consumer, service.subsystem, service.service, opened.method, opened.on_behalf_of
    )
    _permit(terms, target, opened.purpose, now_ms)
    return terms


def check_still(book: AgreementBook, agreement: bytes, now_ms: int) -> AgreementTerms:
    """The terms of the agreement of a call that has begun, where it is in force still.

    Raises:
        SimpulError: ACCESS_NO_AGREEMENT when it was revoked or is suspended; ACCESS_DELEGATION when
            its delegation was; ACCESS_EXPIRED.
    """
    if agreement in book.undelegated:
        raise _undelegated()
    terms = book.by_hash.get(agreement)
    if terms is None:
        raise SimpulError(
            Code.ACCESS_NO_AGREEMENT,
            "the agreement of this call is no longer in force: it was revoked, or is suspended",
        )
    check_time(terms, now_ms)
    return terms


def _targets(terms: AgreementTerms) -> Iterator[_Target]:
    delegator = None if terms.delegator is None else terms.delegator.member
    return (
        _Target(consumer, terms.provider_subsystem, item.service, method, delegator)
        for consumer in terms.consumer_subsystems
        for item in terms.services
        for method in item.methods
    )


def _permit(terms: AgreementTerms, target: _Target, purpose: str | None, now_ms: int) -> str:
    return permit(
        terms,
        consumer=target.consumer,
        provider=target.provider,
        service=target.service,
        method=target.method,
        purpose=purpose,
        on_behalf_of=target.on_behalf_of,
        now_ms=now_ms,
    )


def _choose(
    found: tuple[_Entry, ...], target: _Target, purpose: str | None, now_ms: int
) -> tuple[bytes, str]:
    """Among several agreements: by purpose, the newest first."""
    usable: dict[str, bytes] = {}
    refusal: SimpulError | None = None
    for entry in found:
        for item in entry.terms.purposes:
            try:
                usable.setdefault(_permit(entry.terms, target, item.id, now_ms), entry.hash)
            except SimpulError as error:
                refusal = refusal or error
    if not usable and refusal is not None:
        raise refusal
    if purpose is None and len(usable) == 1:
        purpose = next(iter(usable))
    if purpose is None or purpose not in usable:
        given = "no purpose was given" if purpose is None else f"{purpose[:80]!a} is no purpose"
        raise SimpulError(
            Code.ACCESS_PURPOSE,
            f"{given}; send simpul-purpose with one of: {', '.join(sorted(usable))}",
        )
    return usable[purpose], purpose


def _none(book: AgreementBook, target: _Target) -> SimpulError:
    called = f"{target.provider}/{target.service}/{target.method}"
    if target.on_behalf_of is not None and (
        (target.consumer, target.provider, target.on_behalf_of) not in book.parties
    ):
        return SimpulError(
            Code.ACCESS_DELEGATION,
            f"{target.consumer} may not call {target.provider} on behalf of {target.on_behalf_of}: "
            "there must be a delegation of that member's, and an agreement by it "
            "(`simpul access request --on-behalf-of`)",
        )
    if (target.consumer, target.provider, target.on_behalf_of) in book.parties:
        return SimpulError(
            Code.ACCESS_METHOD,
            f"no agreement of {target.consumer} covers {called}: ask the provider for another",
        )
    return SimpulError(
        Code.ACCESS_NO_AGREEMENT,
        f"{target.consumer} has no agreement for {called}: ask the provider for one "
        "(`simpul access allow`, at its node)",
    )


def _undelegated() -> SimpulError:
    return SimpulError(
        Code.ACCESS_DELEGATION,
        "the delegation that the agreement rests on no longer holds: it was revoked, or the member "
        "that gave it is suspended or has another identity key",
    )
