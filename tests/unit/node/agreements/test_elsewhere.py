"""Agreements of members whose identity keys lie on no node."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.agreements import elsewhere, own, received
from node.store.agreement_lives import list_agreed
from node.store.agreements import list_agreements
from security.agreement import agreement_hash, sign_agreement
from security.agreement_life import Life, Party
from security.errors import Code, SimpulError
from security.hashing import AGREEMENT_SIGNATURE
from security.keys import PrivateKey
from simpul.v1.agreement_pb2 import OfferRequest, SignedAgreement
from tests.conformance import fixed
from tests.support.agreements import CONSUMER_IDENTITY, PROVIDER_IDENTITY
from tests.unit.node.agreements.desks import Desk, desks
from tests.unit.node.agreements.test_life import DRAFT, STRANGER, life, permits, requested, tell


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Desk, Desk]]:
    """Neither node has an identity key."""
    with desks(tmp_path) as made:
        for desk in made:
            desk.has_identity, desk.signs_elsewhere = False, True
        yield made


def by_provider(document: SignedAgreement, key: PrivateKey = PROVIDER_IDENTITY) -> SignedAgreement:
    document.provider_signature = sign_agreement(document.agreement, key)
    return document


def by_consumer(document: SignedAgreement, key: PrivateKey = CONSUMER_IDENTITY) -> SignedAgreement:
    document.consumer_signature = sign_agreement(document.agreement, key)
    return document


async def exported(two: tuple[Desk, Desk]) -> SignedAgreement:
    """A request that came from a node with its key, as it leaves the provider's for signing."""
    provider, consumer = two
    consumer.has_identity = True
    made = await requested(two)
    return await elsewhere.to_accept(provider, made.hash)


async def test_asked_and_agreed_without_a_key_on_either_node(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    document = await elsewhere.to_propose(consumer, DRAFT, Party.CONSUMER)
    assert list_agreements(consumer.store) == ()
    asked = await elsewhere.take_in(consumer, by_consumer(document), "for the tourists")
    await tell(consumer)
    assert life(provider, asked) is Life.REQUESTED

    back = await elsewhere.to_accept(provider, asked.hash)
    assert not permits(provider, asked)
    await elsewhere.take_in(provider, by_provider(back), "")
    assert permits(provider, asked)
    await tell(provider)
    assert permits(consumer, asked)


async def test_a_provider_offers_what_was_signed_elsewhere(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    # It would sign by itself, if it could.
    consumer.agrees_by_itself = True
    document = await elsewhere.to_propose(provider, DRAFT, Party.PROVIDER)
    offer = await elsewhere.take_in(provider, by_provider(document), "")
    await tell(provider)
    assert life(consumer, offer) is Life.OFFERED
    # Told once more, it waits still: it is no fault that the key is elsewhere.
    again = OfferRequest(agreement=document).SerializeToString()
    assert await received.answer(consumer, "Offer", again, fixed.REGENCY) == b""
    back = await elsewhere.to_accept(consumer, offer.hash)
    await elsewhere.take_in(consumer, by_consumer(back), "")
    await tell(consumer)
    assert permits(provider, offer)
    assert permits(consumer, offer)


async def test_a_node_that_could_never_sign_takes_no_proposal(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    provider.signs_elsewhere, consumer.has_identity = False, True
    made = await own.propose(consumer, DRAFT, Party.CONSUMER)
    await tell(consumer)
    assert list_agreements(provider.store) == ()
    assert life(consumer, made) is Life.REQUESTED


@pytest.mark.parametrize(
    "forge",
    [
        lambda document: document,
        lambda document: by_provider(document, STRANGER),
        lambda document: by_provider(document, CONSUMER_IDENTITY),
    ],
    ids=["unsigned", "a stranger's", "the other side's key"],
)
async def test_what_comes_back_is_judged_as_a_stranger_s(
    two: tuple[Desk, Desk], forge: Callable[[SignedAgreement], SignedAgreement]
) -> None:
    provider, _ = two
    document = await exported(two)
    with pytest.raises(SimpulError) as caught:
        await elsewhere.take_in(provider, forge(document), "")
    assert (caught.value.code, caught.value.details["step"]) == (Code.AGREEMENT_INVALID, "5")
    assert list_agreed(provider.store) == ()


async def test_one_changed_byte_makes_it_another_agreement(two: tuple[Desk, Desk]) -> None:
    provider, _ = two
    document = by_provider(await exported(two))
    changed = bytearray(document.agreement)
    # In the nonce: it stays well-formed.
    at = document.agreement.index(b"\x1a\x10") + 2
    changed[at] ^= 1
    document.agreement = bytes(changed)
    with pytest.raises(SimpulError) as caught:
        await elsewhere.take_in(provider, document, "")
    assert caught.value.code is Code.AGREEMENT_INVALID
    assert list_agreed(provider.store) == ()


async def test_the_other_side_s_signature_is_the_one_that_came_from_it(
    two: tuple[Desk, Desk],
) -> None:
    provider, _ = two
    document = by_consumer(by_provider(await exported(two)), STRANGER)
    agreed = await elsewhere.take_in(provider, document, "")
    CONSUMER_IDENTITY.public.verify(
        AGREEMENT_SIGNATURE, agreed.agreement, agreed.consumer_signature
    )


async def test_what_no_longer_waits_is_not_taken_in(two: tuple[Desk, Desk]) -> None:
    provider, _ = two
    document = by_provider(await exported(two))
    await own.decline(provider, agreement_hash(document.agreement), "too late")
    with pytest.raises(SimpulError) as caught:
        await elsewhere.take_in(provider, document, "")
    assert caught.value.code is Code.CONFLICT
    assert list_agreed(provider.store) == ()


async def test_a_proposal_of_another_member_is_not_ours_to_bring(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    document = await elsewhere.to_propose(consumer, DRAFT, Party.CONSUMER)
    with pytest.raises(SimpulError) as caught:
        await elsewhere.take_in(provider, by_consumer(document), "")
    assert caught.value.code is Code.MEMBER_UNKNOWN
    assert fixed.MINISTRY not in provider.members
