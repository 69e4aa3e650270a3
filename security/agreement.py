"""Agreements: made, hashed, signed by both sides, verified; and what they permit.

    SignedAgreement
      agreement              Agreement bytes, as hashed and signed
      provider_signature     by the provider's identity key
      consumer_signature     by the consumer's
      delegation             where the consumer acts for another: what that one lets it do
      delegator_signature    by the delegator's identity key, over the delegation

The registry is neither asked nor told. Each side pins the identity key that the agreement names
for the other, so that a captured registry can't put another key in its place.

What `permit` decides is who may call which method, for which purpose, and when. Rates, fields and
retention are terms too, and whoever carries the call must keep them: they need a count, or the
message, and neither is here. Whether a delegation was revoked is for whoever keeps revocations.

Source: docs/spec, "Agreements"; protos/simpul/v1/agreement.proto.
"""

from typing import Final

from security.agreement_life import Party as Side
from security.agreement_terms import (
    MAX_AHEAD_MS,
    MINUTES_PER_DAY,
    AgreementTerms,
    CitizenVisibility,
    FieldTerm,
    HoursTerm,
    LegalBasis,
    Party,
    PayloadKeeper,
    PurposeTerm,
    RateTerm,
    ServiceTerm,
    check_purpose_id,
    parse_agreement,
    print_agreement,
)
from security.delegation import check_delegation
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.hashing import AGREEMENT, AGREEMENT_SIGNATURE, digest
from security.identifiers import MemberId, SubsystemId
from security.keys import PrivateKey, PublicKey
from security.parties import NO_PINS, Pinned, identity_key
from simpul.v1 import agreement_pb2

__all__ = [
    "AgreementTerms",
    "CitizenVisibility",
    "FieldTerm",
    "HoursTerm",
    "LegalBasis",
    "Party",
    "PayloadKeeper",
    "PurposeTerm",
    "RateTerm",
    "ServiceTerm",
    "agreement_hash",
    "check_purpose_id",
    "check_time",
    "make_agreement",
    "parse_agreement",
    "permit",
    "sign_agreement",
    "verify_agreement",
    "verify_proposal",
]

_MS_PER_MINUTE: Final = 60_000
# Western Indonesia Time, UTC+7, which has no summer time.
_HOURS_OFFSET_MINUTES: Final = 7 * 60


def make_agreement(terms: AgreementTerms) -> bytes:
    """Return the agreement's bytes; raises SimpulError AGREEMENT_INVALID for terms that can't be.

    The nonce must be fresh.
    """
    data = print_agreement(terms)
    parse_agreement(data)
    return data


def agreement_hash(data: bytes) -> bytes:
    """Return the hash by which calls name the agreement: 32 bytes."""
    return digest(AGREEMENT, data)


def sign_agreement(data: bytes, identity: PrivateKey) -> bytes:
    """Return a party's signature: the same for provider and consumer, with their own keys."""
    return identity.sign(AGREEMENT_SIGNATURE, data)


def verify_proposal(
    signed: agreement_pb2.SignedAgreement,
    directory: DirectoryView,
    now_ms: int,
    pinned: Pinned = NO_PINS,
) -> tuple[AgreementTerms, Side]:
    """Check an agreement that only one party has signed, and say which.

    The steps of `verify_agreement`, of 5 and 6 the one for the party that signed. Step 4 also asks
    that all parties are active: nothing new is agreed with a member that is suspended or removed.

    Raises:
        SimpulError: as `verify_agreement`; AGREEMENT_INVALID at step 5 where nobody signed, at 6
            where both did; MEMBER_SUSPENDED at 4.
    """
    terms = _verify_form(signed, directory, now_ms)
    # 4. Active parties.
    for party in terms.parties:
        _require_active(party, directory)
    _verify_delegation(signed, terms, directory, pinned)
    if len(signed.provider_signature) == 0 and len(signed.consumer_signature) == 0:
        raise _refused(5, "nobody has signed it")
    if len(signed.provider_signature) != 0 and len(signed.consumer_signature) != 0:
        raise _refused(6, "a proposal has both signatures already")
    # 4 and 5, or 4 and 6.
    if len(signed.provider_signature) != 0:
        key = identity_key(terms.provider, directory, pinned)
        _verify_signature(5, key, signed.agreement, signed.provider_signature)
        return terms, Side.PROVIDER
    key = identity_key(terms.consumer, directory, pinned)
    _verify_signature(6, key, signed.agreement, signed.consumer_signature)
    return terms, Side.CONSUMER


def verify_agreement(
    signed: agreement_pb2.SignedAgreement,
    directory: DirectoryView,
    now_ms: int,
    pinned: Pinned = NO_PINS,
) -> AgreementTerms:
    """Check an agreement that both sides have signed.

    `pinned` holds identity keys by their ids that the caller keeps from before, and has seen hand
    over to the ones that the directory lists now. Without them, the directory's keys must be those
    that the agreement names.

    1. Form: strictly parsed, every term known.
    2. Federation: the directory's.
    3. Time: issued at most 60 s ahead, and not over.
    4. Identity keys: those that the agreement names are listed or pinned, and not revoked.
    5. The provider's signature.
    6. The consumer's signature.
    7. The delegation, where there is a delegator: it is the one that the agreement names.
    8. The delegator's signature, by its identity key, as 4.
    9. The agreement lies within it.

    Raises:
        SimpulError: AGREEMENT_INVALID, ACCESS_EXPIRED (3); MEMBER_UNKNOWN, KEY_UNKNOWN,
            KEY_REVOKED, IDENTITY_CHANGED (4, 8); DELEGATION_INVALID (7, 8, 9).
    """
    terms = _verify_form(signed, directory, now_ms)
    # 4 and 5. The provider.
    provider_key = identity_key(terms.provider, directory, pinned)
    _verify_signature(5, provider_key, signed.agreement, signed.provider_signature)
    # 4 and 6. The consumer.
    consumer_key = identity_key(terms.consumer, directory, pinned)
    _verify_signature(6, consumer_key, signed.agreement, signed.consumer_signature)
    _verify_delegation(signed, terms, directory, pinned)
    return terms


def permit(
    terms: AgreementTerms,
    *,
    consumer: SubsystemId,
    provider: SubsystemId,
    service: str,
    method: str,
    purpose: str | None,
    on_behalf_of: MemberId | None = None,
    now_ms: int,
) -> str:
    """Return the purpose under which a call is permitted: the one given, or the only one there is.

    Raises:
        SimpulError: ACCESS_NO_AGREEMENT for another provider, ACCESS_CONSUMER, ACCESS_DELEGATION
            for another one acted for, ACCESS_METHOD, ACCESS_EXPIRED or ACCESS_PURPOSE.
    """
    if provider != terms.provider_subsystem:
        raise SimpulError(
            Code.ACCESS_NO_AGREEMENT,
            f"the agreement is with {terms.provider_subsystem}, not {provider}; ask {provider} for "
            "one",
        )
    if consumer not in terms.consumer_subsystems:
        raise SimpulError(
            Code.ACCESS_CONSUMER,
            f"the agreement doesn't name {consumer}; ask {provider} for one that does",
        )
    delegator = None if terms.delegator is None else terms.delegator.member
    if on_behalf_of != delegator:
        raise SimpulError(
            Code.ACCESS_DELEGATION,
            f"the agreement is for calls on behalf of {delegator or 'nobody else'}, and this one "
            f"is on behalf of {on_behalf_of or 'nobody else'}: say it as the agreement does",
        )
    if not any(service == item.service and method in item.methods for item in terms.services):
        raise SimpulError(
            Code.ACCESS_METHOD,
            f"the agreement doesn't cover {service}/{method}; ask {provider} for one that does",
        )
    check_time(terms, now_ms)
    return _purpose(terms, purpose)


def _verify_form(
    signed: agreement_pb2.SignedAgreement, directory: DirectoryView, now_ms: int
) -> AgreementTerms:
    # 1. Form.
    try:
        terms = parse_agreement(signed.agreement)
    except SimpulError as error:
        raise SimpulError(error.code, error.message, step="1") from None
    # 2. Federation.
    if terms.federation != directory.federation:
        raise _refused(2, f"it is of federation {terms.federation}")
    # 3. Time.
    if terms.issued_at_ms > now_ms + MAX_AHEAD_MS:
        raise _refused(3, "it was issued in the future; set the clocks")
    if now_ms >= terms.valid_until_ms:
        raise SimpulError(
            Code.ACCESS_EXPIRED, "the agreement is over; ask the provider for a new one", step="3"
        )
    return terms


def _require_active(party: Party, directory: DirectoryView) -> None:
    try:
        directory.require_active(party.member)
    except SimpulError as error:
        raise SimpulError(error.code, error.message, **{**error.details, "step": "4"}) from None


def _verify_delegation(
    signed: agreement_pb2.SignedAgreement,
    terms: AgreementTerms,
    directory: DirectoryView,
    pinned: Pinned,
) -> None:
    key = None
    if terms.delegator is not None:
        try:
            key = identity_key(terms.delegator, directory, pinned)
        except SimpulError as error:
            raise SimpulError(error.code, error.message, **{**error.details, "step": "8"}) from None
    check_delegation(terms, signed.delegation, signed.delegator_signature, key)


def _verify_signature(step: int, key: PublicKey, data: bytes, signature: bytes) -> None:
    try:
        key.verify(AGREEMENT_SIGNATURE, data, signature)
    except SimpulError as error:
        raise _refused(step, error.message) from None


def check_time(terms: AgreementTerms, now_ms: int) -> None:
    """Pass where an agreement holds at this date and hour; raises SimpulError ACCESS_EXPIRED."""
    if not terms.valid_from_ms <= now_ms < terms.valid_until_ms:
        raise SimpulError(
            Code.ACCESS_EXPIRED,
            "the agreement doesn't hold at this date; ask the provider for a new one",
        )
    minute = (now_ms // _MS_PER_MINUTE + _HOURS_OFFSET_MINUTES) % MINUTES_PER_DAY
    if len(terms.hours) != 0 and not any(
        item.from_minute <= minute < item.until_minute for item in terms.hours
    ):
        raise SimpulError(
            Code.ACCESS_EXPIRED, "the agreement doesn't hold at this hour; call within its hours"
        )


def _purpose(terms: AgreementTerms, purpose: str | None) -> str:
    known = [item.id for item in terms.purposes]
    if purpose is None and len(known) == 1:
        return known[0]
    if purpose is None or purpose not in known:
        given = "no purpose was given" if purpose is None else f"{purpose[:80]!a} isn't a purpose"
        raise SimpulError(
            Code.ACCESS_PURPOSE, f"{given}; send simpul-purpose with one of: {', '.join(known)}"
        )
    return purpose


def _refused(step: int, what: str) -> SimpulError:
    return SimpulError(
        Code.AGREEMENT_INVALID,
        f"an agreement is refused at step {step}: {what}; make it again, and have both sides sign "
        "it",
        step=str(step),
    )
