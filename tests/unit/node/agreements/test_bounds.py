"""What others say of delegations and agreements, however much, stops nobody's calls."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from node.agreements import delegations, own, received
from node.agreements.delegations import give
from node.agreements.model import signed
from node.agreements.pages import MAX_LISTED, Page, of_delegation, page_after, places_of
from node.agreements.settling import MAX_BARREN, Settling
from node.agreements.telling import Teller
from node.agreements.wire import MAX_ANSWER_BYTES
from node.store.agreement_lives import get_standing
from node.store.agreements import StoredAgreement, get_agreement
from node.store.delegations import (
    MAX_BYTES_OF_A_DELEGATOR,
    MAX_OF_A_DELEGATOR,
    ended,
    list_delegations,
)
from node.store.engine import Store
from node.store.models import AgreementLifeRow, AgreementRow, DelegationEndRow, DelegationRow
from security.agreement_life import Life, Party
from security.delegation import (
    MAX_DELEGATION_BYTES,
    delegation_hash,
    make_delegation,
    sign_delegation,
)
from security.errors import Code, SimpulError
from security.revocation import Revocation, sign_delegation_revocation, sign_revocation
from simpul.v1 import agreement_pb2
from tests.conformance import fixed
from tests.support.delegations import BOUNDS, DELEGATOR, DELEGATOR_KEY
from tests.unit.node.agreements.desks import NOW_MS, Desk, delegating, three
from tests.unit.node.agreements.test_delegations import BOUNDS as GIVEN
from tests.unit.node.agreements.test_delegations import DRAFT as IN_ANOTHER_S_NAME
from tests.unit.node.agreements.test_life import DRAFT, permits, tell

Three = tuple[Desk, Desk, Desk]
WHEN_OVER_MS: Final = BOUNDS.valid_until_ms


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Three]:
    """A provider's, its consumer's, and that of a member in whose name the consumer may act."""
    with delegating(tmp_path) as made:
        yield made


@pytest.fixture
def siblings(tmp_path: Path) -> Iterator[Three]:
    """A provider's two, and its consumer's."""
    with three(tmp_path) as made:
        yield made


def delegation(*, is_signed: bool = True) -> agreement_pb2.SignedDelegation:
    data = make_delegation(replace(BOUNDS, nonce=os.urandom(16)))
    signature = sign_delegation(data, DELEGATOR_KEY) if is_signed else b""
    return agreement_pb2.SignedDelegation(delegation=data, signature=signature)


def end_of(said: agreement_pb2.SignedDelegation) -> agreement_pb2.SignedRevocation:
    revocation = Revocation(delegation_hash(said.delegation), DELEGATOR, NOW_MS, "")
    return sign_delegation_revocation(revocation, fixed.key(f"{DELEGATOR} seal"))


async def tell_end(desk: Desk, said: agreement_pb2.SignedDelegation) -> None:
    request = agreement_pb2.EndRequest(delegation=said, revocation=end_of(said))
    await delegations.answer(desk, "End", request.SerializeToString(), DELEGATOR)


async def tell_given(desk: Desk, said: agreement_pb2.SignedDelegation) -> None:
    request = agreement_pb2.GiveRequest(delegation=said)
    await delegations.answer(desk, "Give", request.SerializeToString(), DELEGATOR)


async def refusal(
    telling: Callable[[Desk, agreement_pb2.SignedDelegation], Awaitable[None]],
    desk: Desk,
    said: agreement_pb2.SignedDelegation,
) -> Code | None:
    try:
        await telling(desk, said)
    except SimpulError as error:
        return error.code
    return None


def fill(
    store: Store, count: int, *, size: int = 1, data: Callable[[], bytes] | None = None
) -> None:
    """Rows of ended delegations of the delegator's, as if they had been told."""
    made = [bytes(size) if data is None else data() for _ in range(count)]
    hashes = [os.urandom(32) if data is None else delegation_hash(each) for each in made]
    with store.transaction() as session:
        session.add_all(
            DelegationRow(
                hash=hash_, delegation=each, signature=b"", delegator=str(DELEGATOR),
                valid_until_ms=WHEN_OVER_MS, added_at_ms=NOW_MS, own=False,
            )
            for hash_, each in zip(hashes, made, strict=True)
        )  # fmt: skip
        session.flush()
        session.add_all(
            DelegationEndRow(
                hash=hash_, revocation=b"r" * 4000, key_id=b"", signature=b"", own=False
            )
            for hash_ in hashes
        )


async def acted_for(nodes: Three) -> tuple[agreement_pb2.SignedDelegation, StoredAgreement]:
    provider, delegate, delegator = nodes
    known = (await give(delegator, GIVEN)).signed
    await tell_given(delegate, known)
    made = await own.propose(delegate, IN_ANOTHER_S_NAME, Party.CONSUMER)
    await tell(delegate)
    await own.accept(provider, made.hash)
    await tell(provider)
    assert permits(provider, made)
    return known, made


async def test_the_end_of_what_nobody_signed_is_refused(nodes: Three) -> None:
    provider = nodes[0]
    assert await refusal(tell_end, provider, delegation(is_signed=False)) is Code.DELEGATION_INVALID
    assert list_delegations(provider.store) == ()
    assert provider.history == []


async def test_an_end_that_changes_nothing_here_is_kept_and_troubles_no_worker(
    nodes: Three,
) -> None:
    provider = nodes[0]
    said = delegation()
    await tell_end(provider, said)
    assert ended(provider.store) == {delegation_hash(said.delegation)}
    assert provider.history == []


async def test_of_one_that_is_over_not_even_the_end_is_kept(nodes: Three) -> None:
    provider = nodes[0]
    provider.now_ms = WHEN_OVER_MS
    await tell_end(provider, delegation())
    assert list_delegations(provider.store) == ()


async def test_a_delegator_fills_its_own_room_only_until_they_are_over(nodes: Three) -> None:
    _, delegate, _ = nodes
    known = delegation()
    await tell_given(delegate, known)
    fill(delegate.store, MAX_OF_A_DELEGATOR - 1)
    assert await refusal(tell_given, delegate, delegation()) is Code.OVERLOADED
    assert await refusal(tell_end, delegate, delegation()) is Code.OVERLOADED
    # Of what is known here the end is always kept.
    assert await refusal(tell_end, delegate, known) is None
    assert delegation_hash(known.delegation) in ended(delegate.store)
    delegate.now_ms = WHEN_OVER_MS
    later = make_delegation(
        replace(BOUNDS, valid_from_ms=WHEN_OVER_MS, valid_until_ms=WHEN_OVER_MS + 1000)
    )
    signature = sign_delegation(later, DELEGATOR_KEY)
    await tell_given(
        delegate, agreement_pb2.SignedDelegation(delegation=later, signature=signature)
    )
    assert [known.hash for known in list_delegations(delegate.store)] == [delegation_hash(later)]


async def test_large_ones_fill_it_sooner(nodes: Three) -> None:
    _, delegate, _ = nodes
    fill(
        delegate.store, MAX_BYTES_OF_A_DELEGATOR // MAX_DELEGATION_BYTES, size=MAX_DELEGATION_BYTES
    )
    assert await refusal(tell_given, delegate, delegation()) is Code.OVERLOADED


async def test_an_end_that_an_agreement_rests_on_is_kept_however_full_it_is(nodes: Three) -> None:
    provider = nodes[0]
    known, made = await acted_for(nodes)
    fill(provider.store, MAX_OF_A_DELEGATOR)
    pushes = len(provider.history)
    await tell_end(provider, known)
    assert not permits(provider, made)
    # Twice changes nothing.
    await tell_end(provider, known)
    assert len(provider.history) == pushes + 1


async def test_a_node_that_holds_more_than_a_request_can_list_settles(siblings: Three) -> None:
    provider, second, consumer = siblings
    made = await own.propose(consumer, DRAFT, Party.CONSUMER)
    await Teller(consumer).tell()
    await own.accept(provider, made.hash)
    await Teller(provider).tell()
    await own.revoke(second, made.hash, "not told")
    fill(provider.store, 8000)
    with provider.store.transaction() as session:
        hashes = [os.urandom(32) for _ in range(8000)]
        session.add_all(
            AgreementRow(
                hash=hash_, agreement=b"", provider_signature=b"", consumer_signature=b"",
                provider="", consumer="", added_at_ms=NOW_MS, delegation=b"",
                delegator_signature=b"",
            )
            for hash_ in hashes
        )  # fmt: skip
        session.flush()
        session.add_all(
            AgreementLifeRow(hash=hash_, life=Life.REVOKED, counters=None, note="")
            for hash_ in hashes
        )
    settling = Settling(provider)
    await settling.round()
    assert settling.unsettled(asyncio.get_running_loop().time(), 60) == frozenset()
    assert get_standing(provider.store, made.hash).life is Life.REVOKED


async def test_what_cannot_be_taken_over_hides_nothing_that_comes_after_it(
    siblings: Three,
) -> None:
    provider, second, consumer = siblings
    made = await own.propose(consumer, DRAFT, Party.CONSUMER)
    await Teller(consumer).tell()
    await own.accept(provider, made.hash)
    await Teller(provider).tell()
    await own.revoke(second, made.hash, "not told")
    # Three answers of them, each an end that nobody signed.
    fill(second.store, 1200, data=lambda: delegation(is_signed=False).delegation)
    await Settling(provider).round()
    assert get_standing(provider.store, made.hash).life is Life.REVOKED


def test_pages_hold_every_place_once() -> None:
    ends, lives = ([os.urandom(32) for _ in range(n)] for n in (MAX_LISTED, MAX_LISTED + 2))
    pages = [page_after(b"", ends, lives)]
    while pages[-1].until:
        pages.append(page_after(pages[-1].until, ends, lives))
    assert len(pages) == 3
    places = [of_delegation(hash_) for hash_ in ends] + [b"\1" + hash_ for hash_ in lives]
    assert {sum(page.has(place) for page in pages) for place in places} == {1}
    assert Page().has(places[0])


async def test_an_answer_is_never_larger_than_its_asker_takes(nodes: Three) -> None:
    provider = nodes[0]
    fill(provider.store, 1500, data=lambda: delegation(is_signed=False).delegation)
    after, seen = b"", set[bytes]()
    for _ in range(10):
        request = agreement_pb2.HeldRequest(member=str(fixed.REGENCY), after=after)
        data = await received.answer(provider, "Held", request.SerializeToString(), fixed.REGENCY)
        assert len(data) < MAX_ANSWER_BYTES
        held = agreement_pb2.HeldResponse.FromString(data)
        seen |= set(places_of(held))
        if not held.more:
            break
        after = max(places_of(held))
    assert len(seen) == 1500


@dataclass(slots=True)
class Asking(Desk):
    """One that is given the same answer by everybody."""

    answer: agreement_pb2.HeldResponse | None = None
    asked: int = 0

    async def ask(self, *_args: object, **_names: object) -> bytes:
        """The answer, always."""
        self.asked += 1
        # Another task has its turn, as while a real answer is on its way.
        await asyncio.sleep(0)
        assert self.answer is not None
        return self.answer.SerializeToString()


def asking(desk: Desk, answer: agreement_pb2.HeldResponse) -> Asking:
    return Asking(desk.node, desk.members, desk.store, desk.desks, desk.directory, answer=answer)


async def test_a_partner_that_says_more_without_end_is_not_asked_without_end(
    siblings: Three,
) -> None:
    provider, _, consumer = siblings
    made = await own.propose(consumer, DRAFT, Party.CONSUMER)
    await tell(consumer)
    await own.accept(provider, made.hash)
    known = signed(get_agreement(provider.store, made.hash))
    desk = asking(provider, agreement_pb2.HeldResponse(agreements=[known], more=True))
    await asyncio.wait_for(Settling(desk).partners(), 30)
    assert desk.asked <= MAX_BARREN
    assert desk.history == []


async def test_a_revocation_that_is_refused_does_not_keep_the_others_from_the_workers(
    siblings: Three,
) -> None:
    provider, _, consumer = siblings
    made = await own.propose(consumer, DRAFT, Party.CONSUMER)
    await tell(consumer)
    await own.accept(provider, made.hash)
    assert permits(provider, made)
    over = Revocation(made.hash, fixed.MINISTRY, NOW_MS, "")
    unknown = replace(over, agreement=os.urandom(32))
    key = fixed.key(f"{fixed.MINISTRY} seal")
    answer = agreement_pb2.HeldResponse(
        revocations=[sign_revocation(said, key) for said in (unknown, over, unknown)]
    )
    desk = asking(provider, answer)
    assert await Settling(desk).partners() == ()
    assert get_standing(provider.store, made.hash).life is Life.REVOKED
    assert len(desk.history) == 1
    assert not permits(desk, made)
