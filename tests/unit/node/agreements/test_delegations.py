"""One member acts for another: given, asked by, ended, and brought to whoever must know."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from node.agreements import delegations, own, received
from node.agreements.delegation_telling import DelegationTeller
from node.agreements.delegations import DelegationDraft, end, give
from node.agreements.drafts import Draft, Narrowing
from node.agreements.force import in_force
from node.agreements.model import signed
from node.agreements.settling import Settling
from node.agreements.show import shown
from node.agreements.show_delegations import all_shown
from node.policy.rules import check_open, check_still
from node.store.agreement_lives import get_standing
from node.store.agreements import StoredAgreement, get_agreement, list_pins
from node.store.delegations import (
    StoredDelegation,
    ended,
    get_delegation,
    list_delegations,
    list_untold,
)
from node.store.engine import Store
from security.agreement import PurposeTerm, make_agreement, parse_agreement, sign_agreement
from security.agreement_life import Life, Party
from security.agreement_terms import LegalBasis
from security.delegation import parse_delegation, sign_delegation
from security.errors import Code, SimpulError
from security.identifiers import MemberId, ServiceId
from security.keys import PrivateKey
from security.kinds import Open
from security.revocation import Revocation, sign_delegation_revocation, sign_revocation
from security.statement import make_statement
from simpul.v1 import agreement_pb2, directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.agreements import CONSUMER_IDENTITY, TERMS
from tests.support.delegations import DELEGATOR, DELEGATOR_KEY, DELEGATOR_NODE, record
from tests.unit.node.agreements.desks import (
    NOW_MS,
    SECOND_NODE,
    Desk,
    delegating,
    directory_with_delegator,
    regency_of_two,
)
from tests.unit.node.agreements.test_life import permits, tell

SERVICE: Final = ServiceId(fixed.TOURISM, fixed.SERVICE)
BOUNDS: Final = DelegationDraft(
    DELEGATOR, fixed.MINISTRY, ((SERVICE, ("Get", "List")),), ("layanan-wisata",), valid_days=30
)
DRAFT: Final = Draft(
    fixed.SUPER_APP, SERVICE,
    purposes=(PurposeTerm("layanan-wisata", LegalBasis.PUBLIC_TASK),),
    on_behalf_of=DELEGATOR,
)  # fmt: skip
STRANGER: Final = fixed.key("stranger")

Three = tuple[Desk, Desk, Desk]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Three]:
    with delegating(tmp_path) as made:
        yield made


async def given(nodes: Three, bounds: DelegationDraft = BOUNDS) -> StoredDelegation:
    made = await give(nodes[2], bounds)
    assert await DelegationTeller(nodes[2]).tell() is None
    return made


async def agreed(nodes: Three) -> tuple[StoredDelegation, StoredAgreement]:
    provider, delegate, _ = nodes
    delegation = await given(nodes)
    made = await own.propose(delegate, DRAFT, Party.CONSUMER)
    await tell(delegate)
    await own.accept(provider, made.hash)
    await tell(provider)
    assert permits(provider, made)
    assert permits(delegate, made)
    return delegation, made


def opened(agreement: StoredAgreement, on_behalf_of: MemberId | None = DELEGATOR) -> Open:
    return Open(
        fixed.SUPER_APP, SERVICE, "Get", agreement.hash, "layanan-wisata",
        on_behalf_of=on_behalf_of,
    )  # fmt: skip


def refusal(desk: Desk, call: Open) -> Code | None:
    try:
        check_open(desk.pushed, opened=call, sender=fixed.MINISTRY, now_ms=NOW_MS)
    except SimpulError as error:
        return error.code
    return None


async def test_three_members_have_signed_what_is_agreed(nodes: Three) -> None:
    provider, delegate, delegator = nodes
    delegation, made = await agreed(nodes)
    for desk in (provider, delegate):
        kept = get_agreement(desk.store, made.hash)
        assert (kept.delegation, kept.delegator_signature) == (
            delegation.signed.delegation,
            delegation.signed.signature,
        )
        pins = {(pin.owner, pin.member): pin.key for pin in list_pins(desk.store)}
        assert pins[desk.members[0], DELEGATOR] == DELEGATOR_KEY.public
        assert refusal(desk, opened(made)) is None
        assert refusal(desk, opened(made, None)) is Code.ACCESS_DELEGATION
    # The provider has the delegation beside the agreement, and keeps no other of it.
    assert list_delegations(provider.store) == ()
    assert get_delegation(delegate.store, delegation.hash).signed == delegation.signed
    assert get_delegation(delegator.store, delegation.hash).told
    assert [item.agreements for item in all_shown(delegate)] == [(made.hash,)]


async def test_what_the_request_leaves_open_ends_at_the_delegation_s_bounds(nodes: Three) -> None:
    delegation = await given(nodes)
    made = await own.propose(nodes[1], DRAFT, Party.CONSUMER)
    terms = parse_agreement(made.agreement)
    assert terms.services[0].methods == ("Get", "List")
    assert terms.valid_until_ms == parse_delegation(delegation.signed.delegation).valid_until_ms


@pytest.mark.parametrize(
    "draft",
    [
        replace(DRAFT, methods=("Watch",)),
        replace(DRAFT, valid_days=31),
        replace(DRAFT, purposes=(PurposeTerm("pajak", LegalBasis.PUBLIC_TASK),)),
        replace(DRAFT, valid_from_ms=NOW_MS - 1),
    ],
)
async def test_a_request_beyond_the_delegation_is_not_even_signed(
    nodes: Three, draft: Draft
) -> None:
    await given(nodes)
    with pytest.raises(SimpulError) as caught:
        await own.propose(nodes[1], draft, Party.CONSUMER)
    assert caught.value.code is Code.DELEGATION_INVALID


async def test_nobody_acts_without_a_delegation(nodes: Three) -> None:
    provider, delegate, _ = nodes
    with pytest.raises(SimpulError) as caught:
        await own.propose(delegate, DRAFT, Party.CONSUMER)
    assert caught.value.code is Code.ACCESS_DELEGATION
    # A provider has none to go by: it is asked, and doesn't offer.
    await given(nodes)
    with pytest.raises(SimpulError) as caught:
        await own.propose(provider, DRAFT, Party.PROVIDER)
    assert caught.value.code is Code.REQUEST_MALFORMED


async def test_a_delegate_s_node_that_skips_its_own_checks_is_refused(nodes: Three) -> None:
    provider, delegate, _ = nodes
    delegation = await given(nodes)
    asked = parse_agreement((await own.propose(delegate, DRAFT, Party.CONSUMER)).agreement)
    wider = replace(asked, services=(replace(TERMS.services[0], methods=("Get", "Watch")),))
    forged = replace(asked, nonce=b"n" * 16)
    for terms, signature in (
        (wider, delegation.signed.signature),
        (forged, sign_delegation(delegation.signed.delegation, CONSUMER_IDENTITY)),
    ):
        data = make_agreement(terms)
        request = agreement_pb2.OfferRequest(
            agreement=agreement_pb2.SignedAgreement(
                agreement=data,
                consumer_signature=sign_agreement(data, CONSUMER_IDENTITY),
                delegation=delegation.signed.delegation,
                delegator_signature=signature,
            )
        )
        with pytest.raises(SimpulError) as caught:
            await received.offered(provider, request, fixed.MINISTRY)
        assert caught.value.code is Code.DELEGATION_INVALID


async def test_a_counter_offer_rests_on_the_same_delegation(nodes: Three) -> None:
    provider, delegate, _ = nodes
    delegation = await given(nodes)
    asked = await own.propose(delegate, DRAFT, Party.CONSUMER)
    await tell(delegate)
    less = await own.counter(provider, asked.hash, Narrowing(methods=("Get",)))
    await tell(provider)
    await own.accept(delegate, less.hash)
    await tell(delegate)
    assert permits(provider, less)
    assert get_agreement(provider.store, less.hash).delegation == delegation.signed.delegation


async def test_an_end_reaches_the_provider_whatever_the_delegate_does(nodes: Three) -> None:
    provider, delegate, delegator = nodes
    delegation, made = await agreed(nodes)
    delegate.reachable = False
    await end(delegator, delegation.hash, "the contract is over")
    untold = await DelegationTeller(delegator).tell()
    assert untold is not None
    assert untold.code is Code.PEER_UNREACHABLE
    assert refusal(provider, opened(made)) is Code.ACCESS_DELEGATION
    with pytest.raises(SimpulError) as caught:
        check_still(provider.pushed, made.hash, NOW_MS)
    assert caught.value.code is Code.ACCESS_DELEGATION
    stands = shown(provider, made, in_force(provider))
    assert (stands.state, stands.why) == ("undelegated", f"{DELEGATOR} has revoked its delegation")
    # The agreement itself is as it was: two sides agreed, and a third took back its part.
    assert get_standing(provider.store, made.hash).life is Life.AGREED
    # The delegate hears of it when it is back.
    assert refusal(delegate, opened(made)) is None
    delegate.reachable = True
    assert await DelegationTeller(delegator).tell() is None
    assert refusal(delegate, opened(made)) is Code.ACCESS_DELEGATION
    assert [(item.state, item.reason) for item in all_shown(delegate)] == [
        ("revoked", "the contract is over")
    ]


async def test_nothing_new_rests_on_what_was_ended(nodes: Three) -> None:
    provider, delegate, delegator = nodes
    delegation = await given(nodes)
    asked = await own.propose(delegate, DRAFT, Party.CONSUMER)
    await tell(delegate)
    later = await own.propose(delegate, DRAFT, Party.CONSUMER)
    delegate.reachable = False
    await end(delegator, delegation.hash, "")
    await DelegationTeller(delegator).tell()
    # One that waits is not accepted, one that comes later not taken.
    with pytest.raises(SimpulError) as caught:
        await own.accept(provider, asked.hash)
    assert caught.value.code is Code.ACCESS_DELEGATION
    request = agreement_pb2.OfferRequest(agreement=signed(later))
    with pytest.raises(SimpulError) as caught:
        await received.offered(provider, request, fixed.MINISTRY)
    assert caught.value.code is Code.ACCESS_DELEGATION
    # And the delegate, once it has heard, asks no more.
    delegate.reachable = True
    await DelegationTeller(delegator).tell()
    with pytest.raises(SimpulError) as caught:
        await own.propose(delegate, DRAFT, Party.CONSUMER)
    assert caught.value.code is Code.ACCESS_DELEGATION


async def test_what_was_ended_is_not_revived_by_giving_it_again(nodes: Three) -> None:
    provider, delegate, delegator = nodes
    delegation, _made = await agreed(nodes)
    await end(delegator, delegation.hash, "")
    assert await DelegationTeller(delegator).tell() is None
    again = agreement_pb2.GiveRequest(delegation=delegation.signed).SerializeToString()
    await delegations.answer(delegate, "Give", again, DELEGATOR)
    assert ended(delegate.store) == ended(provider.store) == {delegation.hash}
    with pytest.raises(SimpulError) as caught:
        await end(delegator, delegation.hash, "twice")
    assert caught.value.code is Code.CONFLICT


async def test_only_the_delegator_gives_and_ends(nodes: Three) -> None:
    provider, delegate, _delegator = nodes
    delegation, made = await agreed(nodes)
    with pytest.raises(SimpulError) as caught:
        await end(delegate, delegation.hash, "not mine to end")
    assert caught.value.code is Code.MEMBER_UNKNOWN
    with pytest.raises(SimpulError) as caught:
        await give(delegate, BOUNDS)
    assert caught.value.code is Code.MEMBER_UNKNOWN
    give_request = agreement_pb2.GiveRequest(delegation=delegation.signed)
    with pytest.raises(SimpulError) as caught:
        await delegations.answer(delegate, "Give", give_request.SerializeToString(), fixed.REGENCY)
    assert caught.value.code is Code.DELEGATION_INVALID
    # Whoever tells of one that it isn't concerned by.
    with pytest.raises(SimpulError) as caught:
        await delegations.answer(provider, "Give", give_request.SerializeToString(), DELEGATOR)
    assert caught.value.code is Code.MEMBER_UNKNOWN
    assert permits(provider, made)


@pytest.mark.parametrize(
    ("sign", "key", "member"),
    [
        # By a stranger's key; by the delegate, in its own name; as the end of an agreement.
        (sign_delegation_revocation, STRANGER, DELEGATOR),
        (sign_delegation_revocation, CONSUMER_IDENTITY, fixed.MINISTRY),
        (sign_revocation, DELEGATOR_KEY, DELEGATOR),
    ],
)
async def test_a_forged_end_is_refused(
    nodes: Three,
    sign: Callable[[Revocation, PrivateKey], agreement_pb2.SignedRevocation],
    key: PrivateKey,
    member: MemberId,
) -> None:
    provider, _, _ = nodes
    delegation, made = await agreed(nodes)
    said = Revocation(delegation.hash, member, NOW_MS, "")
    request = agreement_pb2.EndRequest(delegation=delegation.signed, revocation=sign(said, key))
    with pytest.raises(SimpulError):
        await delegations.answer(provider, "End", request.SerializeToString(), DELEGATOR)
    assert permits(provider, made)


async def test_a_forged_delegation_is_refused(nodes: Three) -> None:
    _, delegate, _ = nodes
    delegation = await give(nodes[2], BOUNDS)
    data = delegation.signed.delegation
    for key in (STRANGER, CONSUMER_IDENTITY):
        forged = agreement_pb2.SignedDelegation(
            delegation=data, signature=sign_delegation(data, key)
        )
        request = agreement_pb2.GiveRequest(delegation=forged).SerializeToString()
        with pytest.raises(SimpulError) as caught:
            await delegations.answer(delegate, "Give", request, DELEGATOR)
        assert (caught.value.code, caught.value.details["step"]) == (Code.DELEGATION_INVALID, "5")
    assert list_delegations(delegate.store) == ()


async def test_it_rests_while_the_delegator_is_suspended_or_shows_another_key(
    nodes: Three,
) -> None:
    provider, delegate, _ = nodes
    _, made = await agreed(nodes)

    def suspend(changed: directory_pb2.MemberRecord) -> None:
        changed.state = directory_pb2.MEMBER_STATE_SUSPENDED

    def replace_identity(changed: directory_pb2.MemberRecord) -> None:
        false, seal = fixed.key("false"), fixed.key(f"{DELEGATOR} seal")
        view = directories.statement_view(DELEGATOR, DELEGATOR_NODE, false, seal)
        changed.statement.CopyFrom(make_statement(view, false))

    for change in (suspend, replace_identity):
        for desk in (provider, delegate):
            desk.directory = directory_with_delegator(change)
            await desk.push()
            assert refusal(desk, opened(made)) is Code.ACCESS_DELEGATION
            desk.directory = directory_with_delegator()
            await desk.push()
            assert refusal(desk, opened(made)) is None


async def test_a_restored_provider_hears_of_the_end_from_the_delegator_itself(
    nodes: Three,
) -> None:
    provider, delegate, delegator = nodes
    delegation, made = await agreed(nodes)
    # Told while it was away, as a backup from before knows it.
    provider.reachable = False
    await end(delegator, delegation.hash, "")
    await DelegationTeller(delegator).tell()
    assert permits(provider, made)
    # The delegate hides it.
    delegate.reachable = False
    faults = await Settling(provider).partners()
    assert [fault.code for fault in faults] == [Code.PEER_UNREACHABLE]
    assert refusal(provider, opened(made)) is Code.ACCESS_DELEGATION


async def test_a_delegate_that_was_away_asks_for_what_was_given_and_ended(nodes: Three) -> None:
    _provider, delegate, delegator = nodes
    first = await given(nodes)
    delegate.reachable = False
    await end(delegator, first.hash, "")
    await DelegationTeller(delegator).tell()
    second = await give(delegator, BOUNDS)
    await Settling(delegate).partners()
    assert ended(delegate.store) == {first.hash}
    assert {item.hash for item in list_delegations(delegate.store)} == {first.hash, second.hash}


async def test_an_end_without_the_identity_key_is_signed_by_a_seal_key(nodes: Three) -> None:
    provider, _, delegator = nodes
    delegation, made = await agreed(nodes)
    delegator.has_identity = False
    await end(delegator, delegation.hash, "")
    assert await DelegationTeller(delegator).tell() is None
    assert refusal(provider, opened(made)) is Code.ACCESS_DELEGATION
    # To give one needs it.
    with pytest.raises(SimpulError) as caught:
        await give(delegator, BOUNDS)
    assert caught.value.code is Code.IDENTITY_ABSENT


async def test_a_delegate_that_is_suspended_keeps_no_provider_from_hearing(nodes: Three) -> None:
    provider, delegate, delegator = nodes
    delegation, made = await agreed(nodes)
    suspended = directories.ministry_record()
    suspended.state = directory_pb2.MEMBER_STATE_SUSPENDED
    delegator.directory = directories.directory(directories.regency_record(), suspended, record())
    await end(delegator, delegation.hash, "")
    untold = await DelegationTeller(delegator).tell()
    assert untold is not None
    assert untold.code is Code.NODE_UNKNOWN
    assert refusal(provider, opened(made)) is Code.ACCESS_DELEGATION
    # It hears of it when it is back.
    delegator.directory = directory_with_delegator()
    assert await DelegationTeller(delegator).tell() is None
    assert ended(delegate.store) == {delegation.hash}
    assert list_untold(delegator.store) == ()


async def test_one_is_given_that_was_signed_where_the_key_is(nodes: Three) -> None:
    _, delegate, delegator = nodes
    delegator.has_identity = False
    document = await delegations.drafted(delegator, BOUNDS)
    assert list_delegations(delegator.store) == ()
    for wrong in (b"", sign_delegation(document.delegation, STRANGER)):
        document.signature = wrong
        with pytest.raises(SimpulError) as caught:
            await delegations.take_in(delegator, document)
        assert caught.value.code is Code.DELEGATION_INVALID
    document.signature = sign_delegation(document.delegation, DELEGATOR_KEY)
    with pytest.raises(SimpulError) as caught:
        await delegations.take_in(delegate, document)
    assert caught.value.code is Code.MEMBER_UNKNOWN
    made = await delegations.take_in(delegator, document)
    assert await DelegationTeller(delegator).tell() is None
    assert get_delegation(delegate.store, made.hash).signed == document


async def test_a_provider_s_other_node_hears_of_the_end_from_the_delegator_or_from_its_sibling(
    nodes: Three, tmp_path: Path
) -> None:
    provider, delegate, delegator = nodes
    second = Desk(
        SECOND_NODE, provider.members, Store.open(tmp_path / "second.db"), provider.desks,
        has_identity=False,
    )  # fmt: skip
    provider.desks[SECOND_NODE] = second
    ministry = directories.ministry_record()
    wide = directories.directory(regency_of_two(), ministry, record())
    for desk in (provider, delegate, delegator, second):
        desk.directory = wide
    try:
        delegation, made = await agreed(nodes)
        assert permits(second, made)
        second.reachable = False
        await end(delegator, delegation.hash, "")
        assert await DelegationTeller(delegator).tell() is not None
        assert permits(second, made)
        await Settling(second).round()
        assert refusal(second, opened(made)) is Code.ACCESS_DELEGATION
        second.reachable = True
        assert await DelegationTeller(delegator).tell() is None
    finally:
        second.store.close()
