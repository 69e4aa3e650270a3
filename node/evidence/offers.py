"""The calls that made an agreement: the one that proposed it, and the one that accepted it.

What they carried isn't kept as messages, but it can be made again: it is the agreement with its
signatures. Where the salt is still there, it is proven to be what was sealed then.

A proposal may be accepted in its own answer; then one call is all there is. Where operators
decided, the acceptance is a call of its own, from the other side, whenever that was.

Source: docs/spec, "Evidence: how the agreement was made"; "Agreements: life".
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from node.agreements.model import subsystem_of
from node.agreements.wire import DECIDE, OFFER, SERVICE
from node.evidence.agreements import FoundAgreement
from node.evidence.parcels import ParcelSource, StoredParcel, all_of_call
from node.journal.model import CallFilter, Outcome
from security.agreement import parse_agreement
from security.agreement_life import Party, Step
from security.commitment import check_payload
from security.entry_format import parse_entry
from security.errors import SimpulError
from security.kinds import Close, Open
from simpul.v1 import agreement_pb2

MAX_CALLS: Final = 1000
# The clocks of the two sides, and what it takes to tell the other.
SLACK_MS: Final = 5 * 60_000

_OTHER: Final = {Party.PROVIDER: Party.CONSUMER, Party.CONSUMER: Party.PROVIDER}

# What a call's open and its close may have carried, and which of these accepts.
_Carried = tuple[Sequence[bytes], Sequence[bytes], bytes]


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call's parcels, and for its open and its close what each commits to."""

    call_id: bytes
    parcels: tuple[StoredParcel, ...]
    payloads: Mapping[bytes, bytes]
    accepts: bool


@dataclass(frozen=True, slots=True)
class FoundMaking:
    """How an agreement was made, as far as it is here."""

    offer: FoundCall | None = None
    decision: FoundCall | None = None

    @property
    def parcels(self) -> tuple[StoredParcel, ...]:
        """Of both calls."""
        return tuple(parcel for call in self._calls() for parcel in call.parcels)

    @property
    def payloads(self) -> dict[bytes, bytes]:
        """Of both calls, by entry."""
        return {entry: data for call in self._calls() for entry, data in call.payloads.items()}

    def _calls(self) -> Iterator[FoundCall]:
        yield from (call for call in (self.offer, self.decision) if call is not None)


def find_making(sources: Sequence[ParcelSource], found: FoundAgreement) -> FoundMaking:
    """Look for the calls that made an agreement; what isn't here is left out."""
    proposers = _proposers(found)
    first: FoundCall | None = None
    for party in proposers:
        for call in _calls(sources, found, OFFER, party):
            if call.accepts:
                return FoundMaking(call)
            first = first or call
    for party in proposers:
        for call in _calls(sources, found, DECIDE, _OTHER[party]):
            return FoundMaking(first, call)
    return FoundMaking(first)


def _proposers(found: FoundAgreement) -> tuple[Party, ...]:
    """Who proposed it; either may have, where a sibling told this node what both had signed."""
    known = tuple(step.party for step in found.steps if step.step is Step.PROPOSE)
    return known[:1] or (Party.PROVIDER, Party.CONSUMER)


def _calls(
    sources: Sequence[ParcelSource], found: FoundAgreement, method: str, party: Party
) -> Iterator[FoundCall]:
    """The calls of one method by one party that carried this agreement, the oldest first."""
    terms = parse_agreement(found.stored.agreement)
    since_ms, until_ms = _between(found, Step.PROPOSE if method == OFFER else Step.ACCEPT)
    wanted = CallFilter(
        service=SERVICE,
        method=method,
        consumer=str(subsystem_of(terms, party)),
        outcome=Outcome.CLOSED,
        status=0,
        since_ms=since_ms,
        until_ms=until_ms,
        limit=MAX_CALLS,
    )
    carried = _offered if method == OFFER else _decided
    for source in sources:
        for call_id in reversed(source.calls(wanted)):
            for link in source.links(call_id)[:1]:
                parcels = all_of_call(sources, call_id, link)
                call = _call(call_id, parcels, carried(found, party))
                if call is not None:
                    yield call


def _between(found: FoundAgreement, wanted: Step) -> tuple[int, int]:
    """When a step was told, so that not all of a long journal is looked through.

    A proposal may be told again until it is decided, and its answer may then be the acceptance.
    """
    issued_ms = parse_agreement(found.stored.agreement).issued_at_ms
    starts = [step.at_ms for step in found.steps if step.step is wanted]
    ends = [
        max(step.at_ms, step.told_at_ms or 0)
        for step in found.steps
        if step.step is wanted or step.step is Step.PROPOSE
    ]
    first = min(starts, default=issued_ms)
    return first - SLACK_MS, max((found.stored.added_at_ms, *ends, *starts)) + SLACK_MS


def _call(
    call_id: bytes,
    parcels: tuple[StoredParcel, ...],
    carried: _Carried,
) -> FoundCall | None:
    """The call, where both its entries are shown to have carried one of these."""
    asked, answered, accepting = carried
    payloads: dict[bytes, bytes] = {}
    said: list[bytes] = []
    for parcel in parcels:
        for index in parcel.mine:
            entry = parcel.entries[index]
            kind = parse_entry(entry).kind
            if not isinstance(kind, Open | Close):
                continue
            made = asked if isinstance(kind, Open) else answered
            payload = _committed(entry, parcel.salts[index][0], made)
            if payload is None:
                return None
            payloads[entry] = payload
            said.append(payload)
    # An open without its close was no step: the other side took nothing up.
    if len(payloads) != 2:  # noqa: PLR2004
        return None
    return FoundCall(call_id, parcels, payloads, accepting in said)


def _committed(entry: bytes, salt: bytes, made: Iterable[bytes]) -> bytes | None:
    """Which of these an entry commits to, if one."""
    commitment = parse_entry(entry).payload
    if commitment is None:
        return None
    for payload in made:
        try:
            check_payload(commitment, salt, payload)
        except SimpulError:
            continue
        return payload
    return None


def _offered(found: FoundAgreement, party: Party) -> _Carried:
    """The offers that may have been made: as the step of proposing remembers it, and a bare one.

    A note stands there as it was told; the other side's operators have seen at most its first 1,000
    characters, so of a longer one only the proposing side can make the offer again.
    """
    stored = found.stored
    half = agreement_pb2.SignedAgreement(
        agreement=stored.agreement,
        provider_signature=stored.provider_signature if party is Party.PROVIDER else b"",
        consumer_signature=stored.consumer_signature if party is Party.CONSUMER else b"",
        delegation=stored.delegation,
        delegator_signature=stored.delegator_signature,
    )
    notes = [step.reason for step in found.steps if step.step is Step.PROPOSE]
    asked = [
        agreement_pb2.OfferRequest(agreement=half, counters=counters, note=note)
        for note in dict.fromkeys((*notes, ""))
        for counters in dict.fromkeys((found.counters, b""))
    ]
    both = agreement_pb2.OfferResponse(agreement=_signed(found)).SerializeToString()
    later = agreement_pb2.OfferResponse().SerializeToString()
    return [item.SerializeToString() for item in asked], [both, later], both


def _decided(found: FoundAgreement, _party: Party) -> _Carried:
    """A decision has no note: it is the agreement, with both signatures."""
    asked = agreement_pb2.DecideRequest(accepted=_signed(found)).SerializeToString()
    return [asked], [agreement_pb2.DecideResponse().SerializeToString()], asked


def _signed(found: FoundAgreement) -> agreement_pb2.SignedAgreement:
    stored = found.stored
    return agreement_pb2.SignedAgreement(
        agreement=stored.agreement,
        provider_signature=stored.provider_signature,
        consumer_signature=stored.consumer_signature,
        delegation=stored.delegation,
        delegator_signature=stored.delegator_signature,
    )
