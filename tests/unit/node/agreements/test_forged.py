"""What a partner alone can make must not come into force: by its own key, or by an old offer."""

from dataclasses import replace
from pathlib import Path

from node.agreements import own, received
from node.agreements.model import signed
from node.agreements.settling import Settling
from node.agreements.telling import Teller
from node.store.agreements import list_agreements, list_pins
from security.agreement import Party, make_agreement, sign_agreement
from security.agreement_life import Life
from security.agreement_life import Party as Side
from security.errors import Code, SimpulError
from simpul.v1 import agreement_pb2
from tests.conformance import fixed
from tests.support.agreements import TERMS
from tests.support.delegations import BOUNDS, DELEGATOR, delegated
from tests.unit.node.agreements.desks import Desk, delegating, desks
from tests.unit.node.agreements.test_templates import EQUAL, ask, life

CONSUMER_KEY = fixed.key(f"{fixed.MINISTRY} identity")


async def offered(desk: Desk, agreement: agreement_pb2.SignedAgreement) -> Code | None:
    """What the consumer's member is told that offers this; None: it was taken."""
    request = agreement_pb2.OfferRequest(agreement=agreement).SerializeToString()
    try:
        await received.answer(desk, "Offer", request, fixed.MINISTRY)
    except SimpulError as error:
        return error.code
    return None


async def test_a_consumer_that_signs_for_the_provider_too(tmp_path: Path) -> None:
    with desks(tmp_path) as (provider, consumer):
        # A request that nobody answers has the consumer's key pinned.
        await ask(consumer, EQUAL)
        assert list_pins(provider.store)
        before = len(list_agreements(provider.store))
        forged = replace(TERMS, provider=Party(fixed.REGENCY, CONSUMER_KEY.public.key_id))
        data = make_agreement(forged)
        both = sign_agreement(data, CONSUMER_KEY)
        agreement = agreement_pb2.SignedAgreement(
            agreement=data, provider_signature=both, consumer_signature=both
        )
        assert await offered(provider, agreement) is Code.IDENTITY_CHANGED
        assert len(list_agreements(provider.store)) == before
        assert not provider.pushed.by_hash


async def test_a_delegate_that_signs_for_its_delegator(tmp_path: Path) -> None:
    with delegating(tmp_path) as (provider, delegate, _delegator):
        await ask(delegate, EQUAL)
        false = Party(DELEGATOR, CONSUMER_KEY.public.key_id)
        forged = delegated(replace(BOUNDS, delegator=false), CONSUMER_KEY, delegator=false)
        forged.provider_signature = b""
        assert await offered(provider, forged) is Code.IDENTITY_CHANGED


async def test_a_withdrawn_offer_that_the_partner_holds_as_agreed(tmp_path: Path) -> None:
    with desks(tmp_path) as (provider, consumer):
        made = await own.propose(provider, EQUAL, Side.PROVIDER)
        assert await Teller(provider).tell() is None
        await own.withdraw(provider, made.hash, "a mistake")
        # The consumer has not heard of that when it accepts.
        await own.accept(consumer, made.hash)
        assert life(consumer, made) is Life.AGREED
        assert await Settling(provider).partners() == ()
        assert life(provider, made) is Life.WITHDRAWN
        assert made.hash not in provider.pushed.by_hash


async def test_an_offer_that_was_withdrawn(tmp_path: Path) -> None:
    with desks(tmp_path) as (provider, _consumer):
        made = await own.propose(provider, EQUAL, Side.PROVIDER)
        assert await Teller(provider).tell() is None
        await own.withdraw(provider, made.hash, "a mistake")
        agreement = signed(made)
        agreement.consumer_signature = sign_agreement(made.agreement, CONSUMER_KEY)
        assert await offered(provider, agreement) is Code.AGREEMENT_INVALID
        assert life(provider, made) is Life.WITHDRAWN
        assert made.hash not in provider.pushed.by_hash
