"""Agreements: verified in numbered steps, and what they permit."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from security.agreement import (
    AgreementTerms,
    HoursTerm,
    Party,
    PurposeTerm,
    ServiceTerm,
    agreement_hash,
    make_agreement,
    permit,
    verify_agreement,
    verify_proposal,
)
from security.agreement_life import Party as Side
from security.agreement_terms import LegalBasis
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.hashing import digest
from security.identifiers import MemberId, SubsystemId
from security.parties import Pinned
from security.statement import make_statement
from simpul.v1 import agreement_pb2, directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.agreements import CONSUMER_IDENTITY, PROVIDER_IDENTITY, TERMS, signed

NOW = fixed.NOW_MS
HOUR_MS = 3_600_000
DIRECTORY = directories.directory()
STRANGER = fixed.key("stranger")
NEW_IDENTITY = fixed.key("new identity")


def refused_at(step: int, call: Callable[[], object], code: Code = Code.AGREEMENT_INVALID) -> None:
    with pytest.raises(SimpulError) as caught:
        call()
    assert (caught.value.code, caught.value.details["step"]) == (code, str(step))


def code_of(call: Callable[[], object]) -> Code:
    with pytest.raises(SimpulError) as caught:
        call()
    return caught.value.code


def verify(
    agreement: agreement_pb2.SignedAgreement,
    directory: DirectoryView = DIRECTORY,
    now_ms: int = NOW,
    pinned: Pinned | None = None,
) -> AgreementTerms:
    return verify_agreement(agreement, directory, now_ms, pinned or {})


def rotated_directory(*revoked: bytes) -> DirectoryView:
    """The regency has a new identity key."""
    record = directories.regency_record()
    seal = fixed.key(f"{fixed.REGENCY} seal")
    view = directories.statement_view(fixed.REGENCY, fixed.REGENCY_NODE, NEW_IDENTITY, seal)
    record.statement.CopyFrom(make_statement(view, NEW_IDENTITY))
    for key_id in revoked:
        record.revoked_keys.add(key_id=key_id, revoked_at_ms=NOW)
    return directories.directory(record, directories.ministry_record())


def test_an_agreement_of_both_is_verified() -> None:
    assert verify(signed()) == TERMS


def test_its_hash_is_over_its_bytes() -> None:
    data = make_agreement(TERMS)
    assert agreement_hash(data) == digest(b"simpul/v1/agreement", data)
    other = make_agreement(replace(TERMS, nonce=b"n" * 16))
    assert agreement_hash(other) != agreement_hash(data)


def test_terms_that_cant_be_are_not_made() -> None:
    assert code_of(lambda: make_agreement(replace(TERMS, purposes=()))) is Code.AGREEMENT_INVALID


def test_step_1_form() -> None:
    agreement = signed()
    agreement.agreement += b"\xf8\x07\x01"
    refused_at(1, lambda: verify(agreement))


def test_step_2_federation() -> None:
    other = replace(DIRECTORY, federation="MY")
    refused_at(2, lambda: verify(signed(), other))


def test_step_3_time() -> None:
    verify(signed(), now_ms=NOW - 60_000)
    refused_at(3, lambda: verify(signed(), now_ms=NOW - 60_001))
    verify(signed(), now_ms=TERMS.valid_until_ms - 1)
    over = TERMS.valid_until_ms
    refused_at(3, lambda: verify(signed(), now_ms=over), Code.ACCESS_EXPIRED)


def test_step_4_identity_keys_another_key_is_listed() -> None:
    rotated = rotated_directory()
    refused_at(4, lambda: verify(signed(), rotated), Code.IDENTITY_CHANGED)
    # Nor does it help to sign with the new one: the agreement names the old.
    by_new = signed(provider=NEW_IDENTITY)
    refused_at(4, lambda: verify(by_new, rotated), Code.IDENTITY_CHANGED)


def test_step_4_identity_keys_of_the_consumer_too() -> None:
    false = replace(TERMS, consumer=Party(fixed.MINISTRY, STRANGER.public.key_id))
    refused_at(4, lambda: verify(signed(false, consumer=STRANGER)), Code.IDENTITY_CHANGED)


def test_step_4_identity_keys_may_be_pinned() -> None:
    key = PROVIDER_IDENTITY.public
    of_provider = (TERMS.provider.member, key.key_id)
    assert verify(signed(), rotated_directory(), pinned={of_provider: key}) == TERMS
    # A pin under another key's id is none.
    wrong = {of_provider: NEW_IDENTITY.public}
    refused_at(
        4, lambda: verify(signed(), rotated_directory(), pinned=wrong), Code.IDENTITY_CHANGED
    )


def test_step_4_identity_keys_that_are_revoked() -> None:
    key = PROVIDER_IDENTITY.public
    revoked = rotated_directory(key.key_id)
    pinned = {(TERMS.provider.member, key.key_id): key}
    refused_at(4, lambda: verify(signed(), revoked, pinned=pinned), Code.KEY_REVOKED)


def test_step_4_identity_keys_that_are_pinned_for_another_member() -> None:
    key = CONSUMER_IDENTITY.public
    pinned = {(TERMS.consumer.member, key.key_id): key}
    # The consumer signs for both, by its own key, which the provider has pinned for it.
    forged = replace(TERMS, provider=Party(TERMS.provider.member, key.key_id))
    by_consumer = signed(forged, provider=CONSUMER_IDENTITY)
    refused_at(4, lambda: verify(by_consumer, pinned=pinned), Code.IDENTITY_CHANGED)


def test_step_4_identity_keys_of_unknown_members() -> None:
    alone = directories.directory(directories.regency_record())
    assert code_of(lambda: verify(signed(), alone)) is Code.MEMBER_UNKNOWN


def test_step_5_the_providers_signature() -> None:
    refused_at(5, lambda: verify(signed(provider=STRANGER)))
    refused_at(5, lambda: verify(signed(provider=CONSUMER_IDENTITY)))
    agreement = signed()
    agreement.ClearField("provider_signature")
    refused_at(5, lambda: verify(agreement))


def test_step_6_the_consumers_signature() -> None:
    refused_at(6, lambda: verify(signed(consumer=STRANGER)))
    refused_at(6, lambda: verify(signed(consumer=None)))
    swapped = signed()
    swapped.consumer_signature = swapped.provider_signature
    refused_at(6, lambda: verify(swapped))


def by_consumer() -> agreement_pb2.SignedAgreement:
    agreement = signed()
    agreement.provider_signature = b""
    return agreement


def propose(
    agreement: agreement_pb2.SignedAgreement, directory: DirectoryView = DIRECTORY
) -> tuple[AgreementTerms, Side]:
    return verify_proposal(agreement, directory, NOW)


def test_a_proposal_is_signed_by_one_of_them() -> None:
    assert propose(signed(consumer=None)) == (TERMS, Side.PROVIDER)
    assert propose(by_consumer()) == (TERMS, Side.CONSUMER)


def test_a_proposal_with_a_false_signature_is_refused() -> None:
    refused_at(5, lambda: propose(signed(provider=STRANGER, consumer=None)))
    false = signed(consumer=STRANGER)
    false.provider_signature = b""
    refused_at(6, lambda: propose(false))


def test_a_proposal_with_none_or_both_is_refused() -> None:
    nobody = signed(consumer=None)
    nobody.provider_signature = b""
    refused_at(5, lambda: propose(nobody))
    refused_at(6, lambda: propose(signed()))


def test_a_signature_in_the_other_ones_place_is_refused() -> None:
    agreement = signed(consumer=None)
    agreement.consumer_signature, agreement.provider_signature = agreement.provider_signature, b""
    refused_at(6, lambda: propose(agreement))


@pytest.mark.parametrize("member", [fixed.REGENCY, fixed.MINISTRY])
def test_a_proposal_by_or_to_a_suspended_member_is_refused(member: MemberId) -> None:
    records = {
        fixed.REGENCY: directories.regency_record(),
        fixed.MINISTRY: directories.ministry_record(),
    }
    records[member].state = directory_pb2.MEMBER_STATE_SUSPENDED
    directory = directories.directory(*records.values())
    for proposal in (signed(consumer=None), by_consumer()):
        refused_at(4, partial(propose, proposal, directory), Code.MEMBER_SUSPENDED)


def test_what_was_agreed_before_a_suspension_can_still_be_verified() -> None:
    record = directories.regency_record()
    record.state = directory_pb2.MEMBER_STATE_SUSPENDED
    directory = directories.directory(record, directories.ministry_record())
    assert verify(signed(), directory) == TERMS


def test_a_proposal_by_another_key_than_is_listed_is_refused() -> None:
    agreement = signed(consumer=None)
    refused_at(4, lambda: propose(agreement, rotated_directory()), Code.IDENTITY_CHANGED)


def ask(
    terms: AgreementTerms = TERMS,
    *,
    consumer: SubsystemId = fixed.SUPER_APP,
    provider: SubsystemId = fixed.TOURISM,
    service: str = fixed.SERVICE,
    method: str = "Get",
    purpose: str | None = None,
    now_ms: int = NOW,
) -> str:
    return permit(
        terms,
        consumer=consumer,
        provider=provider,
        service=service,
        method=method,
        purpose=purpose,
        now_ms=now_ms,
    )


def test_a_call_within_the_terms_is_permitted() -> None:
    assert ask() == "layanan-wisata"
    assert ask(purpose="layanan-wisata", method="List") == "layanan-wisata"


def test_another_provider_isnt() -> None:
    other = SubsystemId(fixed.REGENCY, "x")
    assert code_of(lambda: ask(provider=other)) is Code.ACCESS_NO_AGREEMENT


def test_another_consumer_isnt() -> None:
    other = SubsystemId(fixed.MINISTRY, "x")
    assert code_of(lambda: ask(consumer=other)) is Code.ACCESS_CONSUMER


@pytest.mark.parametrize(
    ("service", "method"),
    [(fixed.SERVICE, "Import"), ("a.B", "Get"), (fixed.SERVICE, ""), (fixed.SERVICE, "get")],
)
def test_another_method_isnt(service: str, method: str) -> None:
    terms = replace(TERMS, services=(*TERMS.services, ServiceTerm("a.B", ("Import",))))
    assert ask(terms, service="a.B", method="Import") == "layanan-wisata"
    call = lambda: ask(terms, service=service, method=method)  # noqa: E731
    assert code_of(call) is Code.ACCESS_METHOD


@pytest.mark.parametrize("purpose", ["", "Layanan-Wisata", "other"])
def test_another_purpose_isnt(purpose: str) -> None:
    assert code_of(lambda: ask(purpose=purpose)) is Code.ACCESS_PURPOSE


def test_a_purpose_must_be_said_where_there_are_several() -> None:
    more = PurposeTerm("statistik", LegalBasis.LEGAL_DUTY)
    terms = replace(TERMS, purposes=(*TERMS.purposes, more))
    assert code_of(lambda: ask(terms)) is Code.ACCESS_PURPOSE
    assert ask(terms, purpose="statistik") == "statistik"


def test_it_holds_from_its_start_until_before_its_end() -> None:
    ask(now_ms=TERMS.valid_from_ms)
    ask(now_ms=TERMS.valid_until_ms - 1)
    for now in (TERMS.valid_from_ms - 1, TERMS.valid_until_ms):
        with pytest.raises(SimpulError, match="date"):
            ask(now_ms=now)


def test_it_holds_within_its_hours_in_western_indonesia_time() -> None:
    # NOW is 02:00 UTC, 09:00 in Jakarta.
    terms = replace(TERMS, hours=(HoursTerm(8 * 60, 10 * 60), HoursTerm(23 * 60, 24 * 60)))
    for hours in (0, 0.99, 14, 14.99):
        ask(terms, now_ms=NOW + round(hours * HOUR_MS))
    for hours in (1, 13.99, 15, 22.99):
        with pytest.raises(SimpulError, match="hour") as caught:
            ask(terms, now_ms=NOW + round(hours * HOUR_MS))
        assert caught.value.code is Code.ACCESS_EXPIRED
