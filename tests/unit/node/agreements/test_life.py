"""Agreements from a request to a revocation, between two nodes, with every step told or not yet."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from node.agreements import own, received
from node.agreements.drafts import Draft, Narrowing
from node.agreements.telling import Teller
from node.store.agreement_lives import get_standing, list_agreed, list_steps
from node.store.agreements import StoredAgreement, get_agreement, list_agreements
from security.agreement import FieldTerm, RateTerm, make_agreement, parse_agreement, sign_agreement
from security.agreement_life import Life, Party
from security.errors import Code, SimpulError
from security.identifiers import ServiceId
from security.revocation import Revocation, sign_revocation
from simpul.v1 import agreement_pb2, directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.agreements import CONSUMER_IDENTITY, PROVIDER_IDENTITY, TERMS
from tests.unit.node.agreements.desks import NOW_MS, Desk, desks

DRAFT: Final = Draft(
    fixed.SUPER_APP,
    ServiceId(fixed.TOURISM, fixed.SERVICE),
    methods=("Get", "List"),
    response_fields=FieldTerm(("Get/name", "Get/keeper", "List/name")),
    rate=RateTerm(10, 10, 0),
)
STRANGER: Final = fixed.key("stranger")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Desk, Desk]]:
    with desks(tmp_path) as made:
        yield made


def life(desk: Desk, agreement: StoredAgreement) -> Life:
    return get_standing(desk.store, agreement.hash).life


async def tell(*told: Desk) -> None:
    for desk in told:
        assert await Teller(desk).tell() is None


async def requested(two: tuple[Desk, Desk]) -> StoredAgreement:
    provider, consumer = two
    made = await own.propose(consumer, DRAFT, Party.CONSUMER, "for the tourists")
    await tell(consumer)
    assert life(provider, made) is life(consumer, made) is Life.REQUESTED
    return made


def permits(desk: Desk, agreement: StoredAgreement) -> bool:
    return agreement.hash in desk.pushed.by_hash


def code(caught: pytest.ExceptionInfo[SimpulError]) -> Code:
    return caught.value.code


async def test_a_request_waits_for_the_provider_s_operator(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    made = await requested(two)
    assert get_standing(provider.store, made.hash).note == "for the tourists"
    assert not permits(provider, made)
    await own.accept(provider, made.hash)
    assert permits(provider, made)
    assert not permits(consumer, made)
    await tell(provider)
    assert permits(consumer, made)
    assert get_agreement(consumer.store, made.hash) == replace(
        get_agreement(provider.store, made.hash), added_at_ms=NOW_MS
    )


async def test_an_offer_is_signed_by_a_node_that_agrees_by_itself(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    consumer.agrees_by_itself = True
    made = await own.propose(provider, DRAFT, Party.PROVIDER)
    await tell(provider)
    assert permits(provider, made)
    assert permits(consumer, made)
    # What a consumer asks for is never granted so.
    provider.agrees_by_itself = True
    asked = await own.propose(consumer, DRAFT, Party.CONSUMER)
    await tell(consumer)
    assert life(provider, asked) is Life.REQUESTED


async def test_a_counter_offer_is_narrower_and_names_what_it_counters(
    two: tuple[Desk, Desk],
) -> None:
    provider, consumer = two
    asked = await requested(two)
    by = Narrowing(methods=("Get",), response_fields=FieldTerm(("Get/name",)))
    less = await own.counter(provider, asked.hash, by, "names are enough")
    await tell(provider)
    assert life(consumer, asked) is life(provider, asked) is Life.COUNTERED
    assert get_standing(consumer.store, less.hash).counters == asked.hash
    await own.accept(consumer, less.hash)
    await tell(consumer)
    assert permits(provider, less)
    assert permits(consumer, less)
    assert parse_agreement(less.agreement).response_fields == FieldTerm(("Get/name",))
    with pytest.raises(SimpulError) as caught:
        await own.accept(provider, asked.hash)
    assert code(caught) is Code.CONFLICT


async def test_a_counter_offer_that_is_wider_is_not_made(two: tuple[Desk, Desk]) -> None:
    provider, _ = two
    asked = await requested(two)
    with pytest.raises(SimpulError, match="rate") as caught:
        await own.counter(provider, asked.hash, Narrowing(rate=RateTerm(11, 11, 0)))
    assert code(caught) is Code.AGREEMENT_INVALID
    assert life(provider, asked) is Life.REQUESTED
    assert len(list_agreements(provider.store)) == 1


async def test_a_wider_counter_offer_of_a_foreign_node_is_refused(two: tuple[Desk, Desk]) -> None:
    _, consumer = two
    asked = await requested(two)
    wider = replace(parse_agreement(asked.agreement), nonce=b"w" * 16, rate=None)
    data = make_agreement(wider)
    offer = agreement_pb2.OfferRequest(
        agreement=agreement_pb2.SignedAgreement(
            agreement=data, provider_signature=sign_agreement(data, PROVIDER_IDENTITY)
        ),
        counters=asked.hash,
    )
    with pytest.raises(SimpulError, match="rate"):
        await received.offered(consumer, offer, fixed.REGENCY)
    assert life(consumer, asked) is Life.REQUESTED


async def test_declined_with_a_reason(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    asked = await requested(two)
    await own.decline(provider, asked.hash, "no legal basis")
    await tell(provider)
    assert life(consumer, asked) is Life.DECLINED
    assert list_steps(consumer.store, asked.hash)[-1].reason == "no legal basis"


async def test_withdrawn_by_the_one_who_asked(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    asked = await requested(two)
    await own.withdraw(consumer, asked.hash, "a mistake")
    await tell(consumer)
    assert life(provider, asked) is Life.WITHDRAWN
    with pytest.raises(SimpulError) as caught:
        await own.accept(provider, asked.hash)
    assert code(caught) is Code.CONFLICT


@pytest.mark.parametrize("who", [0, 1])
async def test_revoked_by_either_alone_and_in_force_at_once(
    two: tuple[Desk, Desk], who: int
) -> None:
    revoker, partner = two[who], two[1 - who]
    made = await requested(two)
    await own.accept(two[0], made.hash)
    await tell(two[0])
    partner.reachable = False
    await own.revoke(revoker, made.hash, "no longer needed")
    assert not permits(revoker, made)
    assert permits(partner, made)
    untold = await Teller(revoker).tell()
    assert untold is not None
    assert untold.code is Code.PEER_UNREACHABLE
    partner.reachable = True
    await tell(revoker)
    assert not permits(partner, made)
    assert life(partner, made) is Life.REVOKED


async def test_revoked_by_both_at_once(two: tuple[Desk, Desk]) -> None:
    made = await requested(two)
    await own.accept(two[0], made.hash)
    await tell(two[0])
    for desk in two:
        await own.revoke(desk, made.hash, "at once")
    await tell(*two)
    assert life(two[0], made) is life(two[1], made) is Life.REVOKED


async def test_revoked_without_the_identity_key(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    made = await requested(two)
    await own.accept(provider, made.hash)
    await tell(provider)
    provider.has_identity = False
    await own.revoke(provider, made.hash, "a key is lost")
    await tell(provider)
    assert life(consumer, made) is Life.REVOKED


async def test_what_cannot_be_told_now_is_told_later(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    provider.reachable = False
    made = await own.propose(consumer, DRAFT, Party.CONSUMER)
    teller = Teller(consumer)
    untold = await teller.tell()
    assert untold is not None
    assert untold.code is Code.PEER_UNREACHABLE
    assert list_agreements(provider.store) == ()
    provider.reachable = True
    assert await teller.tell() is None
    assert life(provider, made) is Life.REQUESTED
    # Once more changes nothing, as after an answer that was lost.
    await tell(consumer)
    assert len(list_steps(provider.store, made.hash)) == 1


async def test_a_step_that_was_heard_before_is_acknowledged(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    made = await requested(two)
    await own.accept(provider, made.hash)
    for _ in range(2):
        both = agreement_pb2.DecideRequest(
            accepted=agreement_pb2.SignedAgreement(
                agreement=made.agreement,
                provider_signature=sign_agreement(made.agreement, PROVIDER_IDENTITY),
                consumer_signature=made.consumer_signature,
            )
        )
        await received.decided(consumer, both, fixed.REGENCY)
    assert len(list_steps(consumer.store, made.hash)) == 2


async def test_a_proposal_that_the_other_node_won_t_have_is_declined(
    two: tuple[Desk, Desk],
) -> None:
    provider, consumer = two
    made = await own.propose(consumer, DRAFT, Party.CONSUMER)
    provider.members = ()
    untold = await Teller(consumer).tell()
    assert untold is not None
    assert untold.code is Code.MEMBER_UNKNOWN
    assert life(consumer, made) is Life.DECLINED


async def test_nobody_accepts_what_he_proposed(two: tuple[Desk, Desk]) -> None:
    _, consumer = two
    made = await requested(two)
    with pytest.raises(SimpulError) as caught:
        await own.accept(consumer, made.hash)
    assert code(caught) is Code.MEMBER_UNKNOWN
    assert list_agreed(consumer.store) == ()


# What a partner's node may try.


def signed_by(
    *, provider: bool = False, consumer: bool = False, **changed: object
) -> agreement_pb2.SignedAgreement:
    data = make_agreement(replace(TERMS, **changed))  # type: ignore[arg-type]
    return agreement_pb2.SignedAgreement(
        agreement=data,
        provider_signature=sign_agreement(data, PROVIDER_IDENTITY) if provider else b"",
        consumer_signature=sign_agreement(data, CONSUMER_IDENTITY) if consumer else b"",
    )


async def test_a_proposal_in_another_s_name_is_refused(two: tuple[Desk, Desk]) -> None:
    provider, _ = two
    offer = agreement_pb2.OfferRequest(agreement=signed_by(consumer=True))
    with pytest.raises(SimpulError) as caught:
        await received.offered(provider, offer, fixed.REGENCY)
    assert code(caught) is Code.AGREEMENT_INVALID
    assert list_agreements(provider.store) == ()


async def test_a_proposal_whose_fields_the_contract_lacks_is_refused(
    two: tuple[Desk, Desk],
) -> None:
    provider, _ = two
    fields = FieldTerm(("Get/price", "List/name"))
    offer = agreement_pb2.OfferRequest(agreement=signed_by(consumer=True, response_fields=fields))
    with pytest.raises(SimpulError) as caught:
        await received.offered(provider, offer, fixed.MINISTRY)
    assert code(caught) is Code.ACCESS_FIELDS


async def test_a_service_that_was_published_a_moment_ago_is_looked_for_in_a_newer_directory(
    two: tuple[Desk, Desk],
) -> None:
    provider, consumer = two
    consumer.agrees_by_itself = True
    record = directories.regency_record()
    del record.services[:]
    consumer.newest = consumer.directory
    consumer.directory = directories.directory(record, directories.ministry_record())
    made = await own.propose(provider, DRAFT, Party.PROVIDER)
    await tell(provider)
    assert life(provider, made) is life(consumer, made) is Life.AGREED


async def test_what_a_suspended_member_proposes_reaches_no_inbox(two: tuple[Desk, Desk]) -> None:
    provider, consumer = two
    suspend_consumer(provider)
    made = await own.propose(consumer, DRAFT, Party.CONSUMER)
    # Its own node has not heard of the suspension, and tells all the same.
    untold = await Teller(consumer).tell()
    assert untold is not None
    assert untold.code is Code.MEMBER_SUSPENDED
    assert life(consumer, made) is Life.DECLINED
    assert list_agreements(provider.store) == ()


async def test_what_a_member_proposed_before_it_was_suspended_is_not_accepted(
    two: tuple[Desk, Desk],
) -> None:
    provider, _ = two
    made = await requested(two)
    suspend_consumer(provider)
    with pytest.raises(SimpulError) as caught:
        await own.accept(provider, made.hash)
    assert code(caught) is Code.MEMBER_SUSPENDED
    assert life(provider, made) is Life.REQUESTED


async def test_what_a_suspended_member_is_to_be_told_keeps_nobody_else_from_hearing(
    two: tuple[Desk, Desk],
) -> None:
    provider, _ = two
    made = await own.propose(provider, DRAFT, Party.PROVIDER)
    suspend_consumer(provider)
    untold = await Teller(provider).tell()
    assert untold is not None
    assert untold.code is Code.MEMBER_SUSPENDED
    # Once it is active again it hears of it.
    provider.directory = directories.directory()
    assert await Teller(provider).tell() is None
    assert life(provider, made) is not Life.DECLINED


def suspend_consumer(desk: Desk) -> None:
    record = directories.ministry_record()
    record.state = directory_pb2.MEMBER_STATE_SUSPENDED
    desk.directory = directories.directory(directories.regency_record(), record)


async def test_an_acceptance_of_what_was_never_proposed_is_refused(two: tuple[Desk, Desk]) -> None:
    _, consumer = two
    both = agreement_pb2.DecideRequest(accepted=signed_by(provider=True, consumer=True))
    with pytest.raises(SimpulError) as caught:
        await received.decided(consumer, both, fixed.REGENCY)
    assert code(caught) is Code.NOT_FOUND


async def test_an_acceptance_with_a_forged_signature_is_refused(two: tuple[Desk, Desk]) -> None:
    _, consumer = two
    made = await requested(two)
    forged = agreement_pb2.SignedAgreement(
        agreement=made.agreement,
        provider_signature=sign_agreement(made.agreement, STRANGER),
        consumer_signature=made.consumer_signature,
    )
    with pytest.raises(SimpulError) as caught:
        decision = agreement_pb2.DecideRequest(accepted=forged)
        await received.decided(consumer, decision, fixed.REGENCY)
    assert caught.value.details["step"] == "5"
    assert life(consumer, made) is Life.REQUESTED


async def test_a_stranger_declines_and_revokes_nothing(two: tuple[Desk, Desk]) -> None:
    provider, _ = two
    made = await requested(two)
    stranger = fixed.REGENCY.parse("ID/DAERAH/53.16")
    no = agreement_pb2.DecideRequest(declined=agreement_pb2.Decline(agreement=made.hash))
    with pytest.raises(SimpulError):
        await received.decided(provider, no, stranger)
    await own.accept(provider, made.hash)
    revocation = Revocation(made.hash, fixed.MINISTRY, NOW_MS, "")
    for key, sender in ((STRANGER, fixed.MINISTRY), (CONSUMER_IDENTITY, stranger)):
        with pytest.raises(SimpulError):
            await received.revoked(provider, sign_revocation(revocation, key), sender)
    assert permits(provider, made)


async def test_a_partner_asks_for_his_own_agreements_and_no_others(two: tuple[Desk, Desk]) -> None:
    provider, _ = two
    made = await requested(two)
    await own.accept(provider, made.hash)
    ask = agreement_pb2.HeldRequest(member=str(fixed.MINISTRY))
    found = received.held(provider, ask, fixed.MINISTRY)
    assert [each.agreement for each in found.agreements] == [made.agreement]
    ask.agreements.append(made.hash)
    assert not received.held(provider, ask, fixed.MINISTRY).agreements
    await own.revoke(provider, made.hash, "over")
    assert len(received.held(provider, ask, fixed.MINISTRY).revocations) == 1
    ask.revoked.append(made.hash)
    assert not received.held(provider, ask, fixed.MINISTRY).revocations
    with pytest.raises(SimpulError) as caught:
        received.held(provider, ask, fixed.REGENCY)
    assert code(caught) is Code.AGREEMENT_INVALID
