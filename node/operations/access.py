"""Agreements: allowing a consumer what this node's member offers, and taking what others offer.

`allow` makes the document, signs it with the provider's identity key, and has the consumer's
node sign it over a link. Until that has happened it is stored as offered and permits nothing.
Each side pins the other's identity key with it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.operations.desk import Desk
from node.store.agreements import (
    Pin,
    StoredAgreement,
    get_agreement,
    known_keys,
    list_agreements,
    save_agreement,
)
from security.agreement import (
    AgreementTerms,
    CitizenVisibility,
    FieldTerm,
    LegalBasis,
    Party,
    PayloadKeeper,
    PurposeTerm,
    ServiceTerm,
    agreement_hash,
    make_agreement,
    parse_agreement,
    sign_agreement,
    verify_agreement,
    verify_offer,
)
from security.errors import Code, SimpulError
from security.identifiers import ServiceId, SubsystemId
from simpul.v1 import agreement_pb2

MS_PER_DAY: Final = 24 * 60 * 60 * 1000
DEFAULT_DAYS: Final = 365
NONCE_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class AllowRequest:
    """What an operator says when he lets a consumer in. Empty lists and texts take the defaults."""

    consumer: SubsystemId
    service: ServiceId
    methods: Sequence[str] = ()
    purpose: str = "layanan-publik"
    legal_basis: LegalBasis = LegalBasis.PUBLIC_TASK
    purpose_description: str = ""
    valid_days: int = DEFAULT_DAYS
    keeper: PayloadKeeper = PayloadKeeper.NONE


async def allow(desk: Desk, request: AllowRequest) -> StoredAgreement:
    """Permit a consumer's subsystem methods of a service of this node; returns it in force.

    Raises:
        SimpulError: MEMBER_UNKNOWN, SERVICE_UNKNOWN, METHOD_UNKNOWN, PEER_UNREACHABLE, or the
            consumer's no. The offer is kept: the same command sends another.
    """
    desk.require_hosted(request.service.subsystem)
    data = make_agreement(_terms(desk, request))
    key = await asyncio.to_thread(desk.identity_key, request.service.subsystem.member)
    offer = agreement_pb2.SignedAgreement(
        agreement=data, provider_signature=sign_agreement(data, key)
    )
    await _store(desk, offer)
    if request.consumer.member in desk.members:
        signed = await countersign(desk, offer)
    else:
        signed = await desk.workers.offer(offer)
        _check_answer(desk, offer, signed)
        await _store(desk, signed)
        await desk.push()
    return await asyncio.to_thread(get_agreement, desk.store, agreement_hash(signed.agreement))


async def countersign(
    desk: Desk, offer: agreement_pb2.SignedAgreement
) -> agreement_pb2.SignedAgreement:
    """Sign, keep and put in force what a provider offers a member of this node.

    What both have signed comes from a sibling: another node of a member that is hosted here.

    Raises:
        SimpulError: AGREEMENT_INVALID, AGREEMENT_DECLINED (by configuration), IDENTITY_CHANGED,
            IDENTITY_ABSENT (another node of the consumer can sign).
    """
    if offer.consumer_signature:
        return await _keep_shared(desk, offer)
    terms = verify_offer(
        offer, desk.directory, desk.now_ms(), await asyncio.to_thread(known_keys, desk.store)
    )
    for consumer in terms.consumer_subsystems:
        desk.require_hosted(consumer)
    if desk.config.agreements.countersign == "never":
        raise SimpulError(
            Code.AGREEMENT_DECLINED,
            f"{terms.consumer.member} takes no agreements by itself; ask its operators",
        )
    key = await asyncio.to_thread(desk.identity_key, terms.consumer.member)
    signed = agreement_pb2.SignedAgreement(
        agreement=offer.agreement,
        provider_signature=offer.provider_signature,
        consumer_signature=sign_agreement(offer.agreement, key),
    )
    await _store(desk, signed)
    await desk.push()
    return signed


async def _keep_shared(
    desk: Desk, signed: agreement_pb2.SignedAgreement
) -> agreement_pb2.SignedAgreement:
    known = await asyncio.to_thread(known_keys, desk.store)
    terms = verify_agreement(signed, desk.directory, desk.now_ms(), known)
    if not {terms.provider.member, terms.consumer.member} & set(desk.members):
        raise SimpulError(
            Code.AGREEMENT_DECLINED, "no member of this node is party to the agreement"
        )
    await _store(desk, signed)
    await desk.push()
    return signed


def describe(desk: Desk, stored: StoredAgreement) -> tuple[AgreementTerms, str, str]:
    """An agreement's terms, its state and this node's side, in words."""
    terms = parse_agreement(stored.agreement)
    now_ms = desk.now_ms()
    if now_ms >= terms.valid_until_ms:
        state = "expired"
    elif not stored.is_signed_by_both:
        state = "offered"
    elif now_ms < terms.valid_from_ms:
        state = "not yet valid"
    else:
        state = "active" if stored in desk.in_force() else "suspended"
    provides = terms.provider.member in desk.members
    consumes = terms.consumer.member in desk.members
    side = "both" if provides and consumes else "provider" if provides else "consumer"
    return terms, state, side


def agreements(desk: Desk) -> tuple[StoredAgreement, ...]:
    """All agreements of this node, the oldest first."""
    return list_agreements(desk.store)


def _terms(desk: Desk, request: AllowRequest) -> AgreementTerms:
    directory, now_ms = desk.directory, desk.now_ms()
    service = directory.service(request.service.subsystem, request.service.service)
    methods = tuple(request.methods) or tuple(service.contract.methods)
    for method in methods:
        if method not in service.contract.methods:
            raise SimpulError(
                Code.METHOD_UNKNOWN,
                f"{request.service.service} has no method {method}; it has "
                f"{', '.join(service.contract.methods)}",
            )
    provider, consumer = request.service.subsystem.member, request.consumer.member
    return AgreementTerms(
        nonce=os.urandom(NONCE_BYTES),
        provider=Party(provider, directory.identity_key(provider).key_id),
        consumer=Party(consumer, directory.identity_key(consumer).key_id),
        delegator=None,
        provider_subsystem=request.service.subsystem,
        consumer_subsystems=(request.consumer,),
        services=(ServiceTerm(request.service.service, methods),),
        purposes=(PurposeTerm(request.purpose, request.legal_basis, request.purpose_description),),
        request_fields=FieldTerm(None),
        response_fields=FieldTerm(None),
        rate=None,
        valid_from_ms=now_ms,
        valid_until_ms=now_ms + request.valid_days * MS_PER_DAY,
        payload_keeper=request.keeper,
        consumer_retention_days=None,
        citizen_visibility=CitizenVisibility.VISIBLE,
        issued_at_ms=now_ms,
        replaces=None,
        hours=(),
    )


def _check_answer(
    desk: Desk, offer: agreement_pb2.SignedAgreement, signed: agreement_pb2.SignedAgreement
) -> None:
    """What came back is what went out, with the consumer's signature."""
    if (signed.agreement, signed.provider_signature) != (offer.agreement, offer.provider_signature):
        raise SimpulError(
            Code.AGREEMENT_INVALID, "the consumer's node answered with another agreement"
        )
    verify_agreement(signed, desk.directory, desk.now_ms(), known_keys(desk.store))


async def _store(desk: Desk, signed: agreement_pb2.SignedAgreement) -> None:
    terms = parse_agreement(signed.agreement)
    directory = desk.directory
    parties = (terms.provider.member, terms.consumer.member)
    pins = [
        Pin(owner, member, directory.identity_key(member))
        for owner, member in (parties, parties[::-1])
        if owner in desk.members
    ]
    stored = StoredAgreement(
        hash=agreement_hash(signed.agreement),
        agreement=signed.agreement,
        provider_signature=signed.provider_signature,
        consumer_signature=signed.consumer_signature,
        provider=str(terms.provider.member),
        consumer=str(terms.consumer.member),
        added_at_ms=desk.now_ms(),
    )
    await asyncio.to_thread(save_agreement, desk.store, stored, pins)
