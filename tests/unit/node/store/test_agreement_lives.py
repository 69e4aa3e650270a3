"""Steps of agreements: taken whole or not at all, and nothing that was revoked comes back."""

import dataclasses
from typing import Final

import pytest

from node.store.agreement_lives import (
    Taken,
    get_standing,
    keep_agreed,
    list_agreed,
    list_revocations,
    list_standings,
    list_steps,
    list_untold,
    mark_told,
    take_step,
)
from node.store.agreements import Pin, StoredAgreement, get_agreement, list_agreements
from node.store.engine import Store
from security.agreement_life import Life, Party, Step
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from security.keys import Algorithm, generate
from simpul.v1 import agreement_pb2

PROVIDER: Final = "ID/DAERAH/53.15"
CONSUMER: Final = "ID/KEMENTERIAN/KOMDIGI"
ASKED: Final = StoredAgreement(b"h" * 32, b"bytes", b"", b"consumer", PROVIDER, CONSUMER, 7)
BOTH: Final = dataclasses.replace(ASKED, provider_signature=b"provider")
PROPOSE: Final = Taken(Step.PROPOSE, Party.CONSUMER, 7, own=False, reason="please")
ACCEPT: Final = Taken(Step.ACCEPT, Party.PROVIDER, 8, own=True)
REVOKE: Final = Taken(Step.REVOKE, Party.PROVIDER, 9, own=True, reason="over")
DECLINE: Final = Taken(Step.DECLINE, Party.PROVIDER, 8, own=True, reason="no")
SIGNED: Final = agreement_pb2.SignedRevocation(revocation=b"r", key_id=b"k", signature=b"s")


def conflict(store: Store, taken: Taken, agreement: StoredAgreement = ASKED) -> None:
    with pytest.raises(SimpulError) as caught:
        take_step(store, agreement, taken)
    assert caught.value.code is Code.CONFLICT


def test_asked_accepted_revoked(store: Store) -> None:
    assert take_step(store, ASKED, PROPOSE) is Life.REQUESTED
    assert get_standing(store, ASKED.hash).note == "please"
    assert list_agreed(store) == ()
    assert take_step(store, BOTH, ACCEPT) is Life.AGREED
    assert list_agreed(store) == (BOTH,)
    assert take_step(store, BOTH, REVOKE, revocation=SIGNED) is Life.REVOKED
    assert list_agreed(store) == ()
    assert list_revocations(store) == {ASKED.hash: SIGNED}
    assert [step.step for step in list_steps(store, ASKED.hash)] == [
        Step.PROPOSE, Step.ACCEPT, Step.REVOKE,
    ]  # fmt: skip


def test_of_two_decisions_the_second_is_told_no_and_changes_nothing(store: Store) -> None:
    take_step(store, ASKED, PROPOSE)
    take_step(store, ASKED, DECLINE)
    conflict(store, ACCEPT, BOTH)
    assert get_agreement(store, ASKED.hash) == ASKED
    assert get_standing(store, ASKED.hash).life is Life.DECLINED
    assert len(list_steps(store, ASKED.hash)) == 2


def test_another_identity_key_changes_nothing(store: Store) -> None:
    keys = [generate(Algorithm.ED25519).public for _ in range(2)]
    pins = [Pin(MemberId.parse(PROVIDER), MemberId.parse(CONSUMER), key) for key in keys]
    take_step(store, ASKED, PROPOSE, pins[:1])
    with pytest.raises(SimpulError) as caught:
        take_step(store, BOTH, ACCEPT, pins[1:])
    assert caught.value.code is Code.IDENTITY_CHANGED
    assert get_standing(store, ASKED.hash).life is Life.REQUESTED


def test_own_steps_are_told_until_the_other_side_has_them(store: Store) -> None:
    take_step(store, ASKED, PROPOSE)
    take_step(store, BOTH, ACCEPT)
    (step,) = list_untold(store)
    assert step.step is Step.ACCEPT
    mark_told(store, step.number, 10)
    assert list_untold(store) == ()
    assert list_steps(store, ASKED.hash)[-1].told_at_ms == 10


@pytest.mark.parametrize("before", [None, PROPOSE])
def test_what_both_signed_is_kept_however_it_came(store: Store, before: Taken | None) -> None:
    if before is not None:
        take_step(store, ASKED, before)
    assert keep_agreed(store, BOTH, []) is Life.AGREED
    assert list_agreed(store) == (BOTH,)


def test_what_was_revoked_does_not_come_back(store: Store) -> None:
    keep_agreed(store, BOTH, [])
    take_step(store, BOTH, REVOKE, revocation=SIGNED)
    assert keep_agreed(store, BOTH, []) is Life.REVOKED
    assert list_agreed(store) == ()
    conflict(store, PROPOSE)


def test_two_revocations_at_once(store: Store) -> None:
    keep_agreed(store, BOTH, [])
    take_step(store, BOTH, REVOKE, revocation=SIGNED)
    other = Taken(Step.REVOKE, Party.CONSUMER, 9, own=False)
    assert take_step(store, BOTH, other, revocation=SIGNED) is Life.REVOKED
    assert len(list_revocations(store)) == 1


def test_a_counter_offer_knows_what_it_counters(store: Store) -> None:
    take_step(store, ASKED, PROPOSE)
    counter = dataclasses.replace(
        ASKED, hash=b"c" * 32, provider_signature=b"p", consumer_signature=b""
    )
    offered = Taken(Step.PROPOSE, Party.PROVIDER, 8, own=True, counters=ASKED.hash)
    assert take_step(store, counter, offered) is Life.OFFERED
    assert get_standing(store, counter.hash).counters == ASKED.hash
    assert set(list_standings(store)) == {ASKED.hash, counter.hash}
    assert len(list_agreements(store)) == 2


def test_an_agreement_that_is_not_here(store: Store) -> None:
    with pytest.raises(SimpulError) as caught:
        get_standing(store, b"x" * 32)
    assert caught.value.code is Code.NOT_FOUND
