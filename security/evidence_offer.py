"""Evidence, step 18: the calls in which an agreement was proposed and accepted.

Either party proposes, by a call of `Offer`. The other one accepts in that call's answer, or later,
when its operators have decided, by a call of `Decide`. Each call is sealed by who makes it, so the
two are each party's own word, in the order in which the agreement came about.

Source: docs/spec, "Evidence: how the agreement was made"; "Agreements: life".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError, Message

from security.agreement_life import Party
from security.agreement_terms import AgreementTerms
from security.commitment import check_payload
from security.entry import entry_digest
from security.evidence_case import Case, EntryCase, ParcelCase
from security.evidence_format import ShownAgreement
from security.evidence_report import Outcome, not_present, not_proven, proven, refused
from security.identifiers import MemberId
from security.kinds import Close, Open
from simpul.v1 import agreement_pb2

AGREEMENTS: Final = "simpul.v1.Agreements"
OFFER: Final = "Offer"
DECIDE: Final = "Decide"

Placed = tuple[ParcelCase, EntryCase]

_OTHER: Final = {Party.PROVIDER: Party.CONSUMER, Party.CONSUMER: Party.PROVIDER}
_PROPOSED: Final = {Party.PROVIDER: "offered", Party.CONSUMER: "requested"}


@dataclass(frozen=True, slots=True)
class _Made:
    """One of the two calls: in which parcel a party opened it, and with which open."""

    parcel: ParcelCase
    party: Party
    open_digest: bytes


def offer(case: Case) -> Outcome:
    """18. The parcels in which the agreement was proposed and accepted."""
    offers = [(parcel, item) for parcel in case.parcels for item in parcel.offers]
    decisions = [(parcel, item) for parcel in case.parcels for item in parcel.decisions]
    _check_named(case, offers, decisions)
    if len(offers) == 0 and len(decisions) == 0:
        return not_present()
    terms, shown = case.terms, case.evidence.agreement
    if terms is None or shown is None:
        raise refused("an offer is in it, and no agreement")
    findings = []
    proposed = accepted = None
    if offers:
        proposed = _proposed(offers, terms, shown)
        findings.append(f"{_PROPOSED[proposed.party]} in {proposed.parcel.title}")
        accepted = _answered(offers, terms, shown, proposed)
    if decisions:
        accepted = _decided(decisions, terms, shown, proposed)
    if accepted is not None:
        findings.append(f"accepted in {accepted.title}")
    if proposed is None:
        return not_proven(*findings, "no offer or request is shown")
    if accepted is None:
        return not_proven(*findings, "no acceptance is shown")
    return proven(*findings)


def _check_named(case: Case, offers: list[Placed], decisions: list[Placed]) -> None:
    """A call is named because something of it is shown."""
    named = (case.evidence.offer_call_id, case.evidence.decide_call_id)
    for call_id, shown in zip(named, (offers, decisions), strict=True):
        if call_id is not None and len(shown) == 0:
            raise refused(f"it names call {call_id.hex()}, and shows nothing of it")


def _proposed(offers: list[Placed], terms: AgreementTerms, shown: ShownAgreement) -> _Made:
    """The offer, or the request."""
    parcel, item, kind = _opened(offers, "the offer")
    request = agreement_pb2.OfferRequest()
    _read(request, item)
    _check_method(kind, OFFER)
    if request.agreement.agreement != shown.agreement:
        raise refused("another agreement was offered")
    party = _party(terms, parcel.header.member)
    return _Made(parcel, party, entry_digest(item.shown.entry))


def _answered(
    offers: list[Placed], terms: AgreementTerms, shown: ShownAgreement, proposed: _Made
) -> ParcelCase | None:
    """The acceptance in the offer's own answer; None where there is none, or it came later."""
    for parcel, item, kind in _closes(offers):
        response = agreement_pb2.OfferResponse()
        _read(response, item)
        _check_close(parcel, kind, terms, proposed)
        if not response.HasField("agreement"):
            continue
        if response.agreement.agreement != shown.agreement:
            raise refused("another agreement was accepted")
        return parcel
    return None


def _decided(
    decisions: list[Placed], terms: AgreementTerms, shown: ShownAgreement, proposed: _Made | None
) -> ParcelCase:
    """The acceptance in a call of its own, by the party that didn't propose."""
    parcel, item, kind = _opened(decisions, "the decision")
    request = agreement_pb2.DecideRequest()
    _read(request, item)
    _check_method(kind, DECIDE)
    if request.accepted.agreement != shown.agreement:
        raise refused("another agreement was accepted, or none")
    party = _party(terms, parcel.header.member)
    if proposed is not None and party is not _OTHER[proposed.party]:
        raise refused(f"{parcel.title} wasn't sealed by the {_OTHER[proposed.party].value}")
    decided = _Made(parcel, party, entry_digest(item.shown.entry))
    for answer, beside, close in _closes(decisions):
        _read(agreement_pb2.DecideResponse(), beside)
        _check_close(answer, close, terms, decided)
    return parcel


def _opened(placed: Iterable[Placed], what: str) -> tuple[ParcelCase, EntryCase, Open]:
    opens = [
        (parcel, item, item.parsed.kind)
        for parcel, item in placed
        if isinstance(item.parsed.kind, Open)
    ]
    if len(opens) != 1:
        raise refused(f"it holds {len(opens)} opens of {what}, not 1")
    return opens[0]


def _closes(placed: Iterable[Placed]) -> list[tuple[ParcelCase, EntryCase, Close]]:
    return [
        (parcel, item, item.parsed.kind)
        for parcel, item in placed
        if isinstance(item.parsed.kind, Close)
    ]


def _check_method(kind: Open, method: str) -> None:
    if (kind.service.service, kind.method) != (AGREEMENTS, method):
        raise refused(f"what is shown as {AGREEMENTS}/{method} is a call of another method")


def _check_close(parcel: ParcelCase, kind: Close, terms: AgreementTerms, made: _Made) -> None:
    """It is the other party's good answer to that very open."""
    other = _OTHER[made.party]
    if parcel.header.member != _member(terms, other):
        raise refused(f"{parcel.title} wasn't sealed by the {other.value}")
    if kind.status != 0:
        raise refused(f"{parcel.title} ends with status {kind.status}: nothing was agreed by it")
    if kind.open_digest != made.open_digest:
        raise refused(f"{parcel.title} answers another offer than the one shown")


def _party(terms: AgreementTerms, member: MemberId) -> Party:
    for party in _OTHER:
        if member == _member(terms, party):
            return party
    raise refused(f"{member} proposed or accepted, which is no party of the agreement")


def _member(terms: AgreementTerms, party: Party) -> MemberId:
    return (terms.provider if party is Party.PROVIDER else terms.consumer).member


def _read(message: Message, item: EntryCase) -> None:
    """Its content must be there: without it the entry shows nothing."""
    commitment, payload = item.parsed.payload, item.shown.payload
    if commitment is None or payload is None:
        raise refused("the offer is shown without its content")
    check_payload(commitment, item.shown.payload_salt, payload)
    try:
        message.ParseFromString(payload)
    except DecodeError:
        raise refused("the offer's content is none") from None
