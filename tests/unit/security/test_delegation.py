"""Agreements on behalf of a member: every way in which the delegation may be wrong, by step."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest

from security.agreement import (
    AgreementTerms,
    Party,
    PurposeTerm,
    ServiceTerm,
    permit,
    verify_agreement,
    verify_proposal,
)
from security.agreement_terms import LegalBasis
from security.delegation import (
    DelegatedService,
    DelegationTerms,
    delegation_hash,
    make_delegation,
    parse_delegation,
    sign_delegation,
    verify_delegation,
)
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from security.keys import PrivateKey
from security.revocation import (
    Revocation,
    sign_delegation_revocation,
    sign_revocation,
    verify_delegation_revocation,
)
from simpul.v1 import agreement_pb2, directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.agreements import CONSUMER_IDENTITY, TERMS
from tests.support.delegations import BOUNDS, DELEGATOR, DELEGATOR_KEY, delegated, record

NOW: Final = fixed.NOW_MS
OTHER: Final = MemberId.parse("ID/DAERAH/53.17")


def directory(change: Callable[[directory_pb2.MemberRecord], object] = bool) -> DirectoryView:
    other = directories.member_record(OTHER, NodeId.parse("ID/~sikka-1"))
    both = (directories.regency_record(), directories.ministry_record())
    return directories.directory(*both, record(change), other)


def verify(
    signed: agreement_pb2.SignedAgreement, view: DirectoryView | None = None
) -> AgreementTerms:
    return verify_agreement(signed, view or directory(), NOW)


def refused(
    step: int, signed: agreement_pb2.SignedAgreement, code: Code = Code.DELEGATION_INVALID
) -> None:
    with pytest.raises(SimpulError) as caught:
        verify(signed)
    assert (caught.value.code, caught.value.details["step"]) == (code, str(step))


def test_three_keys_agreed() -> None:
    assert verify(delegated()).delegator == BOUNDS.delegator
    assert parse_delegation(make_delegation(BOUNDS)) == BOUNDS


def test_step_7_no_delegation_beside_it_or_another_one() -> None:
    missing = delegated()
    missing.ClearField("delegation")
    refused(7, missing)
    swapped, other = delegated(), delegated(replace(BOUNDS, nonce=b"n" * 16))
    swapped.delegation = other.delegation
    swapped.delegator_signature = other.delegator_signature
    refused(7, swapped)


def test_step_7_a_delegation_beside_an_agreement_without_a_delegator() -> None:
    plain = delegated(delegator=None, delegation=None)
    refused(7, plain)


def test_step_8_the_delegator_s_signature_is_missing_or_forged() -> None:
    missing = delegated()
    missing.ClearField("delegator_signature")
    refused(8, missing)
    refused(8, delegated(key=fixed.key("stranger")))
    # By the delegate, in the delegator's name.
    refused(8, delegated(key=CONSUMER_IDENTITY))


def test_step_8_the_delegator_s_key_is_another_or_revoked() -> None:
    stranger = Party(DELEGATOR, fixed.key("stranger").public.key_id)
    bounds = replace(BOUNDS, delegator=stranger)
    forged = delegated(bounds, fixed.key("stranger"), delegator=stranger)
    refused(8, forged, Code.IDENTITY_CHANGED)

    def revoke(changed: directory_pb2.MemberRecord) -> None:
        changed.revoked_keys.add(key_id=DELEGATOR_KEY.public.key_id, revoked_at_ms=NOW)

    with pytest.raises(SimpulError) as caught:
        verify(delegated(), directory(revoke))
    assert caught.value.code is Code.KEY_REVOKED


def _other_key(member: MemberId) -> Party:
    return Party(member, fixed.key(f"{member} identity").public.key_id)


@pytest.mark.parametrize(
    "bounds",
    [
        # Who was let act lets another one act.
        replace(BOUNDS, delegator=TERMS.consumer, delegate=_other_key(OTHER)),
        # For another delegate; for the right one, by another key.
        replace(BOUNDS, delegate=_other_key(OTHER)),
        replace(BOUNDS, delegate=Party(fixed.MINISTRY, b"k" * 32)),
        # Methods, service, provider, purposes, dates.
        replace(BOUNDS, services=(DelegatedService(fixed.TOURISM, fixed.SERVICE, ("Get",)),)),
        replace(BOUNDS, services=(DelegatedService(fixed.TOURISM, "a.B", ("Get", "List")),)),
        replace(
            BOUNDS,
            services=(DelegatedService(fixed.SUPER_APP, fixed.SERVICE, ("Get", "List")),),
        ),
        replace(BOUNDS, purposes=("pajak",)),
        replace(BOUNDS, valid_from_ms=TERMS.valid_from_ms + 1),
        replace(BOUNDS, valid_until_ms=TERMS.valid_until_ms - 1),
    ],
)
def test_step_9_beyond_the_delegation(bounds: DelegationTerms) -> None:
    refused(9, delegated(bounds))


def test_within_the_delegation() -> None:
    wide = replace(
        BOUNDS,
        services=(
            DelegatedService(fixed.TOURISM, "a.B", ("X",)),
            DelegatedService(fixed.TOURISM, fixed.SERVICE, ("Get", "List", "Watch")),
        ),
        purposes=("pajak", "layanan-wisata"),
        valid_from_ms=1,
        valid_until_ms=TERMS.valid_until_ms + 1,
    )
    verify(delegated(wide, services=(ServiceTerm(fixed.SERVICE, ("Get",)),)))


def test_a_suspended_delegator_s_proposal_is_refused() -> None:
    def suspend(changed: directory_pb2.MemberRecord) -> None:
        changed.state = directory_pb2.MEMBER_STATE_SUSPENDED

    proposal = delegated()
    proposal.provider_signature = b""
    verify_proposal(proposal, directory(), NOW)
    with pytest.raises(SimpulError) as caught:
        verify_proposal(proposal, directory(suspend), NOW)
    assert caught.value.code is Code.MEMBER_SUSPENDED


@pytest.mark.parametrize(
    "change",
    [
        lambda d: setattr(d, "version", 2),
        lambda d: setattr(d, "federation", "MY"),
        lambda d: setattr(d, "nonce", b"short"),
        lambda d: d.ClearField("services"),
        lambda d: d.services[0].ClearField("methods"),
        lambda d: d.services.append(d.services[0]),
        lambda d: setattr(d.services[0], "provider", "MY/A/B/c"),
        lambda d: d.ClearField("purposes"),
        lambda d: d.purposes.append("Not A Purpose"),
        lambda d: d.delegate.CopyFrom(d.delegator),
        lambda d: setattr(d, "valid_from_ms", d.valid_until_ms),
        lambda d: d.ClearField("issued_at_ms"),
    ],
)
def test_a_malformed_delegation_is_refused(
    change: Callable[[agreement_pb2.Delegation], object],
) -> None:
    message = agreement_pb2.Delegation.FromString(make_delegation(BOUNDS))
    change(message)
    with pytest.raises(SimpulError) as caught:
        parse_delegation(message.SerializeToString(deterministic=True))
    assert caught.value.code is Code.DELEGATION_INVALID


def test_one_changed_byte_is_another_delegation() -> None:
    signed = delegated()
    signed.delegation = signed.delegation[:-1] + bytes([signed.delegation[-1] ^ 1])
    refused(7, signed)


def test_a_call_says_on_whose_behalf_as_the_agreement_does() -> None:
    terms = verify(delegated())

    def ask(on_behalf_of: MemberId | None, of: AgreementTerms = terms) -> str:
        return permit(
            of, consumer=fixed.SUPER_APP, provider=fixed.TOURISM, service=fixed.SERVICE,
            method="Get", purpose=None, on_behalf_of=on_behalf_of, now_ms=NOW,
        )  # fmt: skip

    assert ask(DELEGATOR) == "layanan-wisata"
    for said, of in ((None, terms), (OTHER, terms), (DELEGATOR, TERMS)):
        with pytest.raises(SimpulError) as caught:
            ask(said, of)
        assert caught.value.code is Code.ACCESS_DELEGATION


def test_a_delegation_is_ended_by_its_delegator_alone() -> None:
    data = make_delegation(BOUNDS)
    said = Revocation(delegation_hash(data), DELEGATOR, NOW, "")

    def check(signed: agreement_pb2.SignedRevocation) -> None:
        verify_delegation_revocation(signed, data, directory(), NOW)

    check(sign_delegation_revocation(said, DELEGATOR_KEY))
    check(sign_delegation_revocation(said, fixed.key(f"{DELEGATOR} seal")))
    for step, bad in (
        (2, sign_delegation_revocation(replace(said, agreement=b"h" * 32), DELEGATOR_KEY)),
        (3, sign_delegation_revocation(replace(said, member=fixed.MINISTRY), CONSUMER_IDENTITY)),
        (4, sign_delegation_revocation(replace(said, at_ms=NOW + 60_001), DELEGATOR_KEY)),
        # Signed as the end of an agreement.
        (6, sign_revocation(said, DELEGATOR_KEY)),
    ):
        with pytest.raises(SimpulError) as caught:
            check(bad)
        assert caught.value.details["step"] == str(step)


def test_purposes_are_bounded_by_id_whatever_their_description() -> None:
    basis = LegalBasis.PUBLIC_TASK
    verify(delegated(purposes=(PurposeTerm("layanan-wisata", basis, "in other words"),)))
    beyond = (PurposeTerm("layanan-wisata", basis), PurposeTerm("pajak", basis))
    refused(9, delegated(purposes=beyond))


def signed_delegation(
    bounds: DelegationTerms = BOUNDS, key: PrivateKey = DELEGATOR_KEY
) -> agreement_pb2.SignedDelegation:
    data = make_delegation(bounds)
    return agreement_pb2.SignedDelegation(delegation=data, signature=sign_delegation(data, key))


def test_a_delegation_by_itself() -> None:
    assert verify_delegation(signed_delegation(), directory(), NOW, {}) == BOUNDS
    # A key that was pinned before counts, whatever the registry lists.
    old = fixed.key("old")
    bounds = replace(BOUNDS, delegator=Party(DELEGATOR, old.public.key_id))
    pinned = {(DELEGATOR, old.public.key_id): old.public}
    assert verify_delegation(signed_delegation(bounds, old), directory(), NOW, pinned) == bounds


def test_a_delegation_by_a_key_that_is_pinned_for_another_member() -> None:
    key = CONSUMER_IDENTITY.public
    bounds = replace(BOUNDS, delegator=Party(DELEGATOR, key.key_id))
    pinned = {(BOUNDS.delegate.member, key.key_id): key}
    with pytest.raises(SimpulError) as caught:
        verify_delegation(signed_delegation(bounds, CONSUMER_IDENTITY), directory(), NOW, pinned)
    assert caught.value.code is Code.IDENTITY_CHANGED


@pytest.mark.parametrize(
    ("step", "signed", "now_ms", "code"),
    [
        (1, agreement_pb2.SignedDelegation(delegation=b"\xff"), NOW, Code.DELEGATION_INVALID),
        (3, signed_delegation(), NOW - 60_001, Code.DELEGATION_INVALID),
        (3, signed_delegation(), BOUNDS.valid_until_ms, Code.ACCESS_EXPIRED),
        (4, signed_delegation(replace(BOUNDS, delegator=Party(DELEGATOR, b"k" * 32))), NOW,
         Code.IDENTITY_CHANGED),
        (5, signed_delegation(key=CONSUMER_IDENTITY), NOW, Code.DELEGATION_INVALID),
    ],
)  # fmt: skip
def test_a_delegation_that_is_refused_by_step(
    step: int, signed: agreement_pb2.SignedDelegation, now_ms: int, code: Code
) -> None:
    with pytest.raises(SimpulError) as caught:
        verify_delegation(signed, directory(), now_ms, {})
    assert (caught.value.code, caught.value.details["step"]) == (code, str(step))


def test_a_delegation_of_another_federation_is_refused_at_step_2() -> None:
    view = replace(directory(), federation="MY")
    with pytest.raises(SimpulError) as caught:
        verify_delegation(signed_delegation(), view, NOW, {})
    assert caught.value.details["step"] == "2"
