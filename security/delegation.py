"""A delegation: one member lets another act for it, within bounds, by its own signature.

    Delegation
      delegator, delegate    each with the identity key by which the others know it
      services, methods      which of whose, exactly
      purposes               for which
      valid from, until

It stands by itself: the delegate carries it to each provider, beside the agreement that rests on
it. The agreement is signed by its own two parties, names the delegation by its hash, and lies
within its bounds; so three keys have agreed to every call, and none of them was lent. Who was let
act may not let others act: an agreement's consumer is the delegate itself, or it is refused.

Source: docs/spec, "Agreements: on behalf of"; protos/simpul/v1/agreement.proto.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from security import strict
from security.agreement_terms import (
    MAX_AHEAD_MS,
    NONCE_BYTES,
    AgreementTerms,
    Party,
    check_purpose_id,
)
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.hashing import DELEGATION, DELEGATION_SIGNATURE, digest
from security.identifiers import MemberId, SubsystemId, check_method_name, check_service_name
from security.keys import KEY_ID_BYTES, PrivateKey, PublicKey
from security.parties import Pinned, identity_key
from security.statement import MAX_TIME_MS
from simpul.v1 import agreement_pb2

FORMAT_VERSION: Final = 1
MAX_DELEGATION_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class DelegatedService:
    """What may be called: methods of one service of one provider's subsystem."""

    provider: SubsystemId
    service: str
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DelegationTerms:
    """All that a delegation says. `nonce` has 16 bytes."""

    nonce: bytes
    delegator: Party
    delegate: Party
    services: tuple[DelegatedService, ...]
    purposes: tuple[str, ...]
    valid_from_ms: int
    valid_until_ms: int
    issued_at_ms: int


def make_delegation(terms: DelegationTerms) -> bytes:
    """The bytes to sign; raises SimpulError DELEGATION_INVALID for terms that can't be."""
    data = _print(terms)
    parse_delegation(data)
    return data


def parse_delegation(data: bytes) -> DelegationTerms:
    """Read a delegation, strictly.

    Raises:
        SimpulError: DELEGATION_INVALID for whatever isn't understood whole.
    """
    message = strict.parse(
        agreement_pb2.Delegation, data, MAX_DELEGATION_BYTES, code=Code.DELEGATION_INVALID
    )
    if message.version != FORMAT_VERSION:
        raise _invalid(f"its version is {message.version}, not {FORMAT_VERSION}")
    try:
        terms = _read(message)
    except SimpulError as error:
        if error.code is Code.DELEGATION_INVALID:
            raise
        raise _invalid(error.message) from None
    federations = {
        message.federation,
        terms.delegator.member.federation,
        terms.delegate.member.federation,
        *(item.provider.member.federation for item in terms.services),
    }
    if len(federations) != 1:
        raise _invalid("it is of several federations")
    if terms.delegator.member == terms.delegate.member:
        raise _invalid("a member needs nobody's word to act for itself")
    if not 0 < terms.valid_from_ms < terms.valid_until_ms <= MAX_TIME_MS:
        raise _invalid("its dates aren't in order")
    if not 0 < terms.issued_at_ms < terms.valid_until_ms:
        raise _invalid("it doesn't say when it was issued, or was issued after its end")
    if _print(terms) != data:
        raise _invalid("its fields aren't in order")
    return terms


def delegation_hash(data: bytes) -> bytes:
    """The hash by which agreements name the delegation: 32 bytes."""
    return digest(DELEGATION, data)


def sign_delegation(data: bytes, identity: PrivateKey) -> bytes:
    """The delegator's signature, by its identity key."""
    return identity.sign(DELEGATION_SIGNATURE, data)


def verify_delegation(
    signed: agreement_pb2.SignedDelegation,
    directory: DirectoryView,
    now_ms: int,
    pinned: Pinned,
) -> DelegationTerms:
    """Check a delegation by itself, as its delegate does and whoever hears of it.

    1. Form: strictly parsed.
    2. Federation: the directory's.
    3. Time: issued at most 60 s ahead, and not over.
    4. The delegator's identity key: the one that is listed, or pinned, and not revoked.
    5. The delegator's signature.

    Whether it was revoked is for whoever keeps revocations.

    Raises:
        SimpulError: DELEGATION_INVALID (1, 2, 3, 5); ACCESS_EXPIRED (3); MEMBER_UNKNOWN,
            KEY_UNKNOWN, KEY_REVOKED, IDENTITY_CHANGED (4).
    """
    # 1. Form.
    with _at_step(1):
        terms = parse_delegation(signed.delegation)
    # 2. Federation.
    with _at_step(2):
        if terms.delegator.member.federation != directory.federation:
            raise _invalid("it is of another federation")
    # 3. Time.
    with _at_step(3):
        if terms.issued_at_ms > now_ms + MAX_AHEAD_MS:
            raise _invalid("it was issued in the future; set the clocks")
        if now_ms >= terms.valid_until_ms:
            raise SimpulError(
                Code.ACCESS_EXPIRED, "the delegation is over; ask the delegator for a new one"
            )
    # 4. The delegator's identity key.
    key = identity_key(terms.delegator, directory, pinned)
    # 5. Its signature.
    with _at_step(5):
        _check_signature(signed.delegation, signed.signature, key)
    return terms


def check_delegation(
    terms: AgreementTerms, delegation: bytes, signature: bytes, key: PublicKey | None
) -> None:
    """Steps 7 to 9 of an agreement: its delegator, of whom `key` is the identity key.

    `key` is None where the agreement has no delegator.

    Raises:
        SimpulError: DELEGATION_INVALID.
    """
    # 7. The delegation.
    with _at_step(7):
        if terms.delegation is None or key is None:
            if len(delegation) != 0 or len(signature) != 0:
                raise _invalid("the agreement beside it has no delegator")
            return
        if delegation_hash(delegation) != terms.delegation:
            raise _invalid("it is not the one that the agreement names")
        said = parse_delegation(delegation)
    # 8. The delegator's signature.
    with _at_step(8):
        _check_signature(delegation, signature, key)
    # 9. Bounds.
    with _at_step(9):
        check_within(terms, said)


def check_within(terms: AgreementTerms, delegation: DelegationTerms) -> None:
    """Pass where an agreement of the delegate's asks no more than its delegation lets it.

    Raises:
        SimpulError: DELEGATION_INVALID, which says what goes beyond.
    """
    if terms.delegator != delegation.delegator or terms.consumer != delegation.delegate:
        raise _beyond(
            f"it lets {delegation.delegate.member} act for {delegation.delegator.member}, each by "
            "the identity key that it names, and nobody else for anybody else"
        )
    lent = {
        (item.provider, item.service, method)
        for item in delegation.services
        for method in item.methods
    }
    for item in terms.services:
        for method in item.methods:
            if (terms.provider_subsystem, item.service, method) not in lent:
                raise _beyond(f"{terms.provider_subsystem}/{item.service}/{method} is not in it")
    for purpose in terms.purposes:
        if purpose.id not in delegation.purposes:
            raise _beyond(f"the purpose {purpose.id} is not in it")
    if not (
        delegation.valid_from_ms <= terms.valid_from_ms
        and terms.valid_until_ms <= delegation.valid_until_ms
    ):
        raise _beyond("the agreement begins before it, or ends after it")


def _read(message: agreement_pb2.Delegation) -> DelegationTerms:
    return DelegationTerms(
        nonce=_sized("nonce", message.nonce, NONCE_BYTES),
        delegator=_read_party(message.delegator),
        delegate=_read_party(message.delegate),
        services=_read_services(message),
        purposes=_read_purposes(message),
        valid_from_ms=message.valid_from_ms,
        valid_until_ms=message.valid_until_ms,
        issued_at_ms=message.issued_at_ms,
    )


def _read_party(message: agreement_pb2.Party) -> Party:
    key_id = _sized("identity key id", message.identity_key_id, KEY_ID_BYTES)
    return Party(MemberId.parse(message.member), key_id)


def _read_services(message: agreement_pb2.Delegation) -> tuple[DelegatedService, ...]:
    services = tuple(
        DelegatedService(SubsystemId.parse(item.provider), item.service, tuple(item.methods))
        for item in message.services
    )
    _check_several("service", [f"{item.provider}/{item.service}" for item in services])
    for item in services:
        check_service_name(item.service)
        _check_several("method", item.methods)
        for method in item.methods:
            check_method_name(method)
    return services


def _read_purposes(message: agreement_pb2.Delegation) -> tuple[str, ...]:
    _check_several("purpose", list(message.purposes))
    for purpose in message.purposes:
        check_purpose_id(purpose)
    return tuple(message.purposes)


def _print(terms: DelegationTerms) -> bytes:
    return agreement_pb2.Delegation(
        version=FORMAT_VERSION,
        federation=terms.delegator.member.federation,
        nonce=terms.nonce,
        delegator=_party(terms.delegator),
        delegate=_party(terms.delegate),
        services=[
            agreement_pb2.DelegatedService(
                provider=str(item.provider), service=item.service, methods=item.methods
            )
            for item in terms.services
        ],
        purposes=terms.purposes,
        valid_from_ms=terms.valid_from_ms,
        valid_until_ms=terms.valid_until_ms,
        issued_at_ms=terms.issued_at_ms,
    ).SerializeToString(deterministic=True)


def _party(party: Party) -> agreement_pb2.Party:
    return agreement_pb2.Party(member=str(party.member), identity_key_id=party.identity_key_id)


def _sized(what: str, value: bytes, count: int) -> bytes:
    if len(value) != count:
        raise _invalid(f"its {what} has {len(value)} bytes, not {count}")
    return value


def _check_several(what: str, items: list[str] | tuple[str, ...]) -> None:
    if len(items) == 0 or len(set(items)) != len(items):
        raise _invalid(f"it names no {what}, or one twice")


def _check_signature(data: bytes, signature: bytes, key: PublicKey) -> None:
    try:
        key.verify(DELEGATION_SIGNATURE, data, signature)
    except SimpulError as error:
        raise _invalid(error.message) from None


@contextmanager
def _at_step(step: int) -> Iterator[None]:
    try:
        yield
    except SimpulError as error:
        raise SimpulError(
            error.code, error.message, **{**error.details, "step": str(step)}
        ) from None


def _invalid(what: str) -> SimpulError:
    return SimpulError(
        Code.DELEGATION_INVALID,
        f"a delegation is refused: {what}; have the delegator make it again",
    )


def _beyond(what: str) -> SimpulError:
    return SimpulError(
        Code.DELEGATION_INVALID,
        f"the agreement goes beyond the delegation: {what}; ask the delegator for a wider one",
    )
