"""Evidence, steps 16 to 21: each fails where just that step is broken."""

from dataclasses import replace
from typing import Any

from security.activity import activity_message
from security.agreement import agreement_hash
from security.agreement_terms import LegalBasis, PurposeTerm
from security.evidence import Evidence, Report, Result
from security.private import Private, make_private
from security.statement import make_statement, statement_hash
from tests.conformance import fixed
from tests.support import agreements, directories
from tests.support.delegations import BOUNDS, DELEGATOR, DELEGATOR_KEY, delegated
from tests.support.evidence import (
    MINISTRY,
    MINISTRY_SEAL,
    REGENCY,
    Call,
    Scene,
    signed_agreement,
    unary,
)
from tests.support.evidence_judge import (
    GOOD,
    export,
    fails,
    flipped,
    judge,
    results,
    shown,
    with_parcel,
)
from tests.support.evidence_making import acting
from tests.unit.security.test_activity import FIRST, SECOND

# 16. agreement


def test_16_no_agreement_is_not_present() -> None:
    report = judge(replace(GOOD, agreement=None))
    found = results(report)
    assert report.failed is None
    assert found["agreement"] is found["permission"] is Result.NOT_PRESENT


def test_16_one_signature_is_missing_or_another_s() -> None:
    good = signed_agreement()
    for change in (
        replace(good, consumer_signature=b""),
        replace(good, provider_signature=b""),
        replace(good, consumer_signature=good.provider_signature),
        replace(good, provider_signature=flipped(good.provider_signature, 5)),
    ):
        fails(replace(GOOD, agreement=change), 16)


def test_16_another_agreement() -> None:
    other = agreements.signed(replace(agreements.TERMS, nonce=bytes(16)))
    fails(
        replace(GOOD, agreement=signed_agreement(other)), 16, saying="the one that the open names"
    )


def false_identity() -> Evidence:
    """A captured registry lists another identity key, and a seal key under it."""
    scene_record = directories.ministry_record()
    false = fixed.key("false identity")
    view = directories.statement_view(fixed.MINISTRY, fixed.MINISTRY_NODE, false, MINISTRY_SEAL)
    scene_record.statement.CopyFrom(make_statement(view, false))
    return unary(Scene(records=(directories.regency_record(), scene_record)))


def test_16_a_key_that_the_registry_made_up() -> None:
    fails(false_identity(), 16, saying="nothing in the file shows")
    known = agreements.CONSUMER_IDENTITY.public
    fails(replace(false_identity(), identity_keys=(known,)), 16, saying="successions")


def test_16_seals_under_a_key_that_the_agreement_s_never_signed() -> None:
    """The true key is listed again, later: the seals rest on the false one all the same."""
    false = fixed.key("false identity")
    record = directories.ministry_record()
    view = directories.statement_view(fixed.MINISTRY, fixed.MINISTRY_NODE, false, MINISTRY_SEAL)
    record.statement.CopyFrom(make_statement(view, false))
    scene = Scene(records=(directories.regency_record(), record))
    true = directories.ministry_record()
    true.number = 2
    scene.later(directories.regency_record(), true)
    fails(unary(scene), 16, saying="successions")


def test_16_a_key_that_is_not_needed() -> None:
    fails(replace(GOOD, identity_keys=(fixed.key("spare").public,)), 16, saying="doesn't name")


def succeeded() -> Evidence:
    """The ministry's identity key changed between the agreement and the call."""
    record = directories.ministry_record()
    old, new = agreements.CONSUMER_IDENTITY, fixed.key("new identity")
    first = directories.statement_view(fixed.MINISTRY, fixed.MINISTRY_NODE, old, MINISTRY_SEAL)
    second = replace(
        first,
        number=2,
        identity_key=new.public,
        previous=statement_hash(record.statement.statement),
    )
    record.statement.CopyFrom(make_statement(second, new, old))
    record.successions.append(record.statement)
    made = unary(Scene(records=(directories.regency_record(), record)))
    return replace(made, identity_keys=(old.public,))


def test_16_a_successor_s_seals_count() -> None:
    report = judge(succeeded())
    assert report.failed is None, report.failed
    fails(replace(succeeded(), identity_keys=()), 16)


def test_16_three_have_signed_what_was_called_in_another_s_name() -> None:
    report = judge(acting(delegated(), DELEGATOR))
    assert report.failed is None, report.failed
    assert results(report)["permission"] is Result.PROVEN
    (says,) = report.steps[15].findings[1:]
    assert says.startswith(f"on behalf of {DELEGATOR}, by delegation ")
    assert f"signed by {DELEGATOR} (key {DELEGATOR_KEY.public.key_id.hex()[:16]})" in says
    assert report.call is not None
    assert (report.call.consumer, report.call.on_behalf_of) == (
        str(fixed.SUPER_APP),
        str(DELEGATOR),
    )


def test_16_what_is_wrong_with_the_delegation() -> None:
    missing = delegated()
    missing.ClearField("delegation")
    unsigned = delegated()
    unsigned.ClearField("delegator_signature")
    other = delegated()
    other.delegation = delegated(replace(BOUNDS, nonce=bytes(16))).delegation
    for wrong in (
        missing,
        unsigned,
        other,
        delegated(key=agreements.CONSUMER_IDENTITY),
        delegated(replace(BOUNDS, purposes=("pajak",))),
    ):
        fails(acting(wrong, DELEGATOR), 16, saying="delegation")
    # The same as any other member's key: a directory in the file must list it.
    stranger = replace(BOUNDS.delegator, identity_key_id=fixed.key("stranger").public.key_id)
    bounds = replace(BOUNDS, delegator=stranger)
    forged = delegated(bounds, fixed.key("stranger"), delegator=stranger)
    fails(acting(forged, DELEGATOR), 16, saying="nothing in the file shows")


def test_17_in_another_s_name_only_as_the_agreement_says() -> None:
    for call in (acting(delegated(), None), acting(agreements.signed(), DELEGATOR)):
        report = judge(call)
        assert report.failed is None, report.failed
        assert results(report)["permission"] is Result.NOT_PROVEN


def test_17_the_purpose_is_shown_as_it_was_registered_then() -> None:
    then, later = directories.ministry_record(), directories.ministry_record()
    then.activities.append(activity_message(FIRST))
    later.activities.extend(map(activity_message, (FIRST, SECOND)))
    scene = Scene(records=(directories.regency_record(), then))
    later.number += 1
    scene.later(directories.regency_record(), later)
    report = judge(unary(scene))
    assert report.failed is None, report.failed
    says = report.steps[16].findings[1]
    assert "'Tourist map', version 1: 'Show islands to visitors', kept '30 days'" in says


def test_17_an_open_without_a_purpose_is_not_proven_to_be_permitted() -> None:
    scene = Scene()
    call = Call(kind=replace(Call().kind, purpose=None))
    asked = scene.link.send(MINISTRY, call.open())
    refused = scene.link.send(REGENCY, call.refuse("ACCESS_PURPOSE"), ack=asked)
    report = judge(export(scene, [asked, refused]))
    assert results(report)["permission"] is Result.NOT_PROVEN


def consented(reference: str | None) -> Report:
    """Evidence of a call whose purpose rests on consent."""
    basis = PurposeTerm("layanan-wisata", LegalBasis.CONSENT, "")
    signed = agreements.signed(replace(agreements.TERMS, purposes=(basis,)))
    scene = Scene()
    named = agreement_hash(signed.agreement)
    call = Call(kind=replace(Call().kind, agreement=named, consent=reference))
    asked = scene.link.send(MINISTRY, call.open())
    answered = scene.link.send(REGENCY, call.close(b""), ack=asked)
    return judge(replace(export(scene, [asked, answered]), agreement=signed_agreement(signed)))


def test_17_the_consent_that_the_open_names_is_shown() -> None:
    report = consented("cns-samarinda")
    assert report.failed is None, report.failed
    assert results(report)["permission"] is Result.PROVEN
    assert "by the consent cns-samarinda" in report.steps[16].findings
    assert report.call is not None
    assert report.call.consent == "cns-samarinda"


def test_17_a_call_that_lacks_its_consent_is_not_proven_to_be_permitted() -> None:
    report = consented(None)
    assert results(report)["permission"] is Result.NOT_PROVEN
    assert "CONSENT_MISSING" in report.steps[16].findings[0]


# 17 has no way to fail: what isn't permitted is not proven (above). 18: test_evidence_offer.

# 20 and 21: contents


def with_entry(number: int, **fields: Any) -> Evidence:
    entry = replace(shown(number).entries[0], **fields)
    return with_parcel(number, replace(shown(number), entries=(entry,)))


def test_20_another_message() -> None:
    fails(with_entry(1, payload=b"\x0a\x05Rinca"), 20)
    fails(with_entry(1, payload_salt=bytes(16)), 20)
    fails(with_entry(1, payload=None, payload_salt=bytes(15)), 20)


def test_21_another_private_block() -> None:
    fails(with_entry(0, private=make_private(Private(user="operator-8"))), 21)
    fails(with_entry(1, private_salt=bytes(16)), 21)


def test_a_hash_is_the_agreement_s() -> None:
    assert Call().kind.agreement == agreement_hash(agreements.signed().agreement)
