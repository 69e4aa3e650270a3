"""The node's one count of calls: over restarts, over days, and of agreements that are no more."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest

from node.config import AgreementsSection
from node.operations.allowances import Allowances
from node.policy.allowance import MS_PER_DAY, Side
from node.store.agreement_lives import Taken, take_step
from node.store.agreements import StoredAgreement
from node.store.engine import Store
from node.store.quotas import load_counts
from security.agreement import AgreementTerms, RateTerm, agreement_hash
from security.agreement_life import Party, Step
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.revocation import Revocation, sign_revocation
from tests.conformance import fixed
from tests.support import directories
from tests.support.agreements import PROVIDER_IDENTITY, TERMS, signed

A_DAY: Final = replace(TERMS, rate=RateTerm(0, 0, 3))
OTHER: Final = replace(A_DAY, nonce=b"o" * 16)


@dataclass
class Config:
    agreements: AgreementsSection = field(default_factory=AgreementsSection)


@dataclass
class Desk:
    """As much of a desk as counting takes."""

    store: Store
    at_ms: int = fixed.NOW_MS
    config: Config = field(default_factory=Config)
    directory: DirectoryView = field(default_factory=directories.directory)

    def now_ms(self) -> int:
        return self.at_ms


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    store = Store.open(tmp_path / "state.db")
    yield Desk(store)
    store.close()


def agree(desk: Desk, terms: AgreementTerms) -> StoredAgreement:
    both = signed(terms)
    agreed = StoredAgreement(
        agreement_hash(both.agreement), both.agreement, both.provider_signature,
        both.consumer_signature, str(fixed.REGENCY), str(fixed.MINISTRY), fixed.NOW_MS,
    )  # fmt: skip
    for step, party in ((Step.PROPOSE, Party.CONSUMER), (Step.ACCEPT, Party.PROVIDER)):
        take_step(desk.store, agreed, Taken(step, party, fixed.NOW_MS, own=False))
    return agreed


def revoke(desk: Desk, agreed: StoredAgreement) -> None:
    revocation = sign_revocation(
        Revocation(agreed.hash, fixed.REGENCY, fixed.NOW_MS, ""), PROVIDER_IDENTITY
    )
    taken = Taken(Step.REVOKE, Party.PROVIDER, fixed.NOW_MS, own=True)
    take_step(desk.store, agreed, taken, (), revocation)


def counting(desk: Desk) -> Allowances:
    return Allowances(desk)  # type: ignore[arg-type]


async def test_a_restart_does_not_begin_the_day_anew(desk: Desk) -> None:
    agreed = agree(desk, A_DAY)
    assert await counting(desk).lease(agreed.hash, Side.PROVIDER, 2) == 2
    again = counting(desk)
    assert await again.lease(agreed.hash, Side.PROVIDER, 2) == 1
    with pytest.raises(SimpulError) as caught:
        await again.lease(agreed.hash, Side.PROVIDER, 1)
    assert caught.value.code is Code.ACCESS_QUOTA


async def test_what_was_revoked_is_forgotten_the_next_day_and_nothing_else(desk: Desk) -> None:
    agreed, other = agree(desk, A_DAY), agree(desk, OTHER)
    allowances = counting(desk)
    for each in (agreed, other):
        await allowances.lease(each.hash, Side.PROVIDER, 3)
    revoke(desk, other)
    keys = {each.hash + bytes((Side.PROVIDER,)) for each in (agreed, other)}
    with pytest.raises(SimpulError):
        await allowances.lease(agreed.hash, Side.PROVIDER, 1)
    assert load_counts(desk.store).keys() == keys
    desk.at_ms += MS_PER_DAY
    await allowances.lease(agreed.hash, Side.PROVIDER, 1)
    assert load_counts(desk.store).keys() == keys - {other.hash + bytes((Side.PROVIDER,))}
    ledger = allowances._ledger
    assert ledger is not None
    assert ledger.count(other.hash + bytes((Side.PROVIDER,))) is None
    # What goes on has a new day, and no more than that.
    assert await allowances.lease(agreed.hash, Side.PROVIDER, 9) == 2


async def test_what_is_over_is_forgotten(desk: Desk) -> None:
    short = replace(OTHER, valid_until_ms=fixed.NOW_MS + MS_PER_DAY)
    agreed, over = agree(desk, A_DAY), agree(desk, short)
    allowances = counting(desk)
    await allowances.lease(over.hash, Side.CONSUMER, 1)
    desk.at_ms += MS_PER_DAY
    await allowances.lease(agreed.hash, Side.CONSUMER, 1)
    assert load_counts(desk.store).keys() == {agreed.hash + bytes((Side.CONSUMER,))}
