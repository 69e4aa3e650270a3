"""Terms of an agreement, from what an operator says.

Without paths all fields may pass, which a contract with personal fields doesn't let be signed
without a reason (`security.agreement_fields`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from security.activity import check_in_use
from security.agreement import (
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
)
from security.agreement_fields import check_fields
from security.contract_types import ContractTypes, contract_types
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, ServiceId, SubsystemId

MS_PER_DAY: Final = 24 * 60 * 60 * 1000
DEFAULT_DAYS: Final = 365
ALL_FIELDS: Final = FieldTerm(None)


@dataclass(frozen=True, slots=True)
class Draft:
    """What an operator says of an agreement. Empty and None: the default, or what it was before.

    `methods` empty: every method that the contract has today.
    """

    consumer: SubsystemId
    service: ServiceId
    methods: tuple[str, ...] = ()
    purposes: tuple[PurposeTerm, ...] = ()
    request_fields: FieldTerm | None = None
    response_fields: FieldTerm | None = None
    rate: RateTerm | None = None
    valid_from_ms: int | None = None
    valid_days: int | None = None
    hours: tuple[HoursTerm, ...] = ()
    payload_keeper: PayloadKeeper | None = None
    consumer_retention_days: int | None = None
    citizen_visibility: CitizenVisibility | None = None
    replaces: bytes | None = None
    # In whose name the consumer calls, where it isn't its own.
    on_behalf_of: MemberId | None = None


def make_terms(draft: Draft, directory: DirectoryView, now_ms: int, nonce: bytes) -> AgreementTerms:
    """The terms of a new agreement.

    Args:
        draft: What the operator says.
        directory: Of the federation.
        now_ms: The time.
        nonce: 16 fresh random bytes.

    Raises:
        SimpulError: SUBSYSTEM_UNKNOWN, SERVICE_UNKNOWN, METHOD_UNKNOWN, MEMBER_UNKNOWN;
            ACCESS_FIELDS where the fields don't fit the contract.
    """
    service = directory.service(draft.service.subsystem, draft.service.service)
    directory.check_subsystem(draft.consumer)
    methods = draft.methods or tuple(service.contract.methods)
    for method in methods:
        if method not in service.contract.methods:
            raise SimpulError(
                Code.METHOD_UNKNOWN,
                f"{draft.service} has no method {method}; it has "
                f"{', '.join(service.contract.methods)}",
            )
    provider, consumer = draft.service.subsystem.member, draft.consumer.member
    valid_from_ms = now_ms if draft.valid_from_ms is None else draft.valid_from_ms
    days = DEFAULT_DAYS if draft.valid_days is None else draft.valid_days
    default = PurposeTerm("layanan-publik", LegalBasis.PUBLIC_TASK)
    terms = AgreementTerms(
        nonce=nonce,
        provider=Party(provider, directory.identity_key(provider).key_id),
        consumer=Party(consumer, directory.identity_key(consumer).key_id),
        delegator=None,
        provider_subsystem=draft.service.subsystem,
        consumer_subsystems=(draft.consumer,),
        services=(ServiceTerm(draft.service.service, methods),),
        purposes=draft.purposes or (default,),
        request_fields=draft.request_fields or ALL_FIELDS,
        response_fields=draft.response_fields or ALL_FIELDS,
        rate=draft.rate,
        valid_from_ms=valid_from_ms,
        valid_until_ms=valid_from_ms + days * MS_PER_DAY,
        payload_keeper=draft.payload_keeper or PayloadKeeper.NONE,
        consumer_retention_days=draft.consumer_retention_days,
        citizen_visibility=draft.citizen_visibility or CitizenVisibility.VISIBLE,
        issued_at_ms=now_ms,
        replaces=draft.replaces,
        hours=draft.hours,
    )
    for item in terms.purposes:
        register = directory.member(consumer).activities
        check_in_use(register, str(consumer), item.id, item.legal_basis)
    check_contracts(terms, directory)
    return terms


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What a provider leaves of a request. None: as it was asked for."""

    methods: tuple[str, ...] | None = None
    purposes: tuple[str, ...] | None = None
    request_fields: FieldTerm | None = None
    response_fields: FieldTerm | None = None
    rate: RateTerm | None = None
    valid_days: int | None = None
    hours: tuple[HoursTerm, ...] | None = None
    payload_keeper: PayloadKeeper | None = None
    consumer_retention_days: int | None = None


def narrowed(
    asked: AgreementTerms, by: Narrowing, directory: DirectoryView, now_ms: int, nonce: bytes
) -> AgreementTerms:
    """The terms of a counter-offer. That they are within what was asked is checked elsewhere.

    Raises:
        SimpulError: ACCESS_FIELDS, as `make_terms`.
    """
    services = asked.services
    if by.methods is not None:
        services = tuple(ServiceTerm(item.service, by.methods) for item in asked.services)
    purposes = asked.purposes
    if by.purposes is not None:
        purposes = tuple(item for item in asked.purposes if item.id in by.purposes)
    terms = replace(
        asked,
        nonce=nonce,
        issued_at_ms=now_ms,
        services=services,
        purposes=purposes,
        request_fields=by.request_fields or _of(asked.request_fields, services),
        response_fields=by.response_fields or _of(asked.response_fields, services),
        rate=by.rate or asked.rate,
        valid_until_ms=asked.valid_until_ms
        if by.valid_days is None
        else asked.valid_from_ms + by.valid_days * MS_PER_DAY,
        hours=asked.hours if by.hours is None else by.hours,
        payload_keeper=by.payload_keeper or asked.payload_keeper,
        consumer_retention_days=asked.consumer_retention_days
        if by.consumer_retention_days is None
        else by.consumer_retention_days,
    )
    check_contracts(terms, directory)
    return terms


def check_contracts(terms: AgreementTerms, directory: DirectoryView) -> None:
    """Pass where the fields fit the contracts that the provider publishes now.

    Raises:
        SimpulError: ACCESS_FIELDS, METHOD_UNKNOWN, SERVICE_UNKNOWN.
    """
    contracts: Mapping[str, ContractTypes] = {
        item.service: contract_types(
            directory.service(terms.provider_subsystem, item.service).contract.descriptor_set
        )
        for item in terms.services
    }
    check_fields(terms, contracts)


def _of(fields: FieldTerm, services: tuple[ServiceTerm, ...]) -> FieldTerm:
    """The paths that are left when methods were dropped."""
    if fields.paths is None:
        return fields
    methods = {method for item in services for method in item.methods}
    return FieldTerm(tuple(path for path in fields.paths if path.partition("/")[0] in methods))
