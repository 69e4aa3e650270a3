import dataclasses

import pytest

from node.store.agreements import (
    Pin,
    StoredAgreement,
    check_pin,
    get_agreement,
    known_keys,
    list_agreements,
    list_pins,
    replace_pin,
    save_agreement,
)
from node.store.engine import Store
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from security.keys import Algorithm, generate

PROVIDER = "ID/DAERAH/53.15"
CONSUMER = "ID/KEMENTERIAN/KOMDIGI"
OLD, NEW, NEWER = (generate(Algorithm.ED25519).public for _ in range(3))
PIN = Pin(MemberId.parse(PROVIDER), MemberId.parse(CONSUMER), OLD)
OFFERED = StoredAgreement(b"h" * 32, b"bytes", b"provider", b"", PROVIDER, CONSUMER, 7)
SIGNED = dataclasses.replace(OFFERED, consumer_signature=b"consumer")


def test_a_signature_is_added_and_never_replaced(store: Store) -> None:
    save_agreement(store, OFFERED, [PIN])
    assert not get_agreement(store, OFFERED.hash).is_signed_by_both
    save_agreement(store, SIGNED, [PIN])
    save_agreement(store, dataclasses.replace(SIGNED, provider_signature=b"other"), [])
    assert get_agreement(store, OFFERED.hash) == SIGNED
    assert list_agreements(store) == (SIGNED,)


def test_agreements_are_listed_oldest_first(store: Store) -> None:
    newer = dataclasses.replace(SIGNED, hash=b"a" * 32, added_at_ms=8)
    save_agreement(store, newer, [])
    save_agreement(store, SIGNED, [])
    assert list_agreements(store) == (SIGNED, newer)


def test_an_unknown_agreement_is_not_found(store: Store) -> None:
    with pytest.raises(SimpulError) as caught:
        get_agreement(store, b"x" * 32)
    assert caught.value.code is Code.NOT_FOUND


def test_another_identity_key_is_refused_and_the_agreement_not_stored(store: Store) -> None:
    save_agreement(store, SIGNED, [PIN])
    other = dataclasses.replace(SIGNED, hash=b"a" * 32)
    with pytest.raises(SimpulError) as caught:
        save_agreement(store, other, [dataclasses.replace(PIN, key=NEW)])
    assert caught.value.code is Code.IDENTITY_CHANGED
    assert "compare the fingerprint" in caught.value.message
    assert list_agreements(store) == (SIGNED,)
    assert list_pins(store) == (PIN,)


def test_a_pin_is_one_side_s_own(store: Store) -> None:
    save_agreement(store, SIGNED, [PIN])
    check_pin(store, PIN)
    check_pin(store, Pin(MemberId.parse("ID/DAERAH/52.08"), PIN.member, NEW))
    with pytest.raises(SimpulError) as caught:
        check_pin(store, dataclasses.replace(PIN, key=NEW))
    assert caught.value.code is Code.IDENTITY_CHANGED


def test_a_pin_is_replaced_only_from_what_it_was(store: Store) -> None:
    save_agreement(store, SIGNED, [PIN])
    replace_pin(store, PIN, NEW, 9)
    assert list_pins(store) == (dataclasses.replace(PIN, key=NEW),)
    with pytest.raises(SimpulError) as caught:
        replace_pin(store, PIN, NEWER, 10)
    assert caught.value.code is Code.CONFLICT
    # Whose they are, too: a key that is known of one member is no key of another.
    assert known_keys(store).keys() == {(PIN.member, key.key_id) for key in (OLD, NEW)}


def test_a_key_may_come_back_after_another(store: Store) -> None:
    save_agreement(store, SIGNED, [PIN])
    new = dataclasses.replace(PIN, key=NEW)
    replace_pin(store, PIN, NEW, 9)
    replace_pin(store, new, OLD, 10)
    assert list_pins(store) == (PIN,)
