"""Nodes of one member hold the same agreements, and what was revoked comes back nowhere."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from typing import Final

import pytest

from node.agreements import own
from node.agreements.settling import Settling
from node.agreements.telling import Teller
from node.store.agreement_lives import get_standing
from node.store.agreements import StoredAgreement
from node.store.engine import Store
from security.agreement_life import Life, Party
from security.identifiers import MemberId
from tests.conformance import fixed
from tests.unit.node.agreements.desks import Desk, directory_of_three, three
from tests.unit.node.agreements.test_life import DRAFT, permits, tell

LIMIT_S: Final = 60.0

Three = tuple[Desk, Desk, Desk]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Three]:
    with three(tmp_path) as made:
        yield made


async def agreed(nodes: Three) -> StoredAgreement:
    provider, _, consumer = nodes
    made = await own.propose(consumer, DRAFT, Party.CONSUMER)
    await tell(consumer)
    await own.accept(provider, made.hash)
    await tell(provider)
    return made


async def test_what_one_node_agreed_its_sibling_permits(nodes: Three) -> None:
    made = await agreed(nodes)
    assert [permits(desk, made) for desk in nodes] == [True, True, True]


async def test_what_one_node_revoked_its_sibling_refuses(nodes: Three) -> None:
    provider, second, consumer = nodes
    made = await agreed(nodes)
    await own.revoke(second, made.hash, "at the node without the identity key")
    await tell(second)
    assert [permits(desk, made) for desk in nodes] == [False, False, False]
    assert get_standing(provider.store, made.hash).life is Life.REVOKED
    assert get_standing(consumer.store, made.hash).life is Life.REVOKED


async def test_a_node_that_was_away_asks_its_sibling(nodes: Three) -> None:
    provider, second, _ = nodes
    second.reachable = False
    made = await own.propose(nodes[2], DRAFT, Party.CONSUMER)
    await Teller(nodes[2]).tell()
    await own.accept(provider, made.hash)
    await Teller(provider).tell()
    await own.revoke(provider, made.hash, "while it was away")
    assert not permits(second, made)
    await Settling(second).round()
    assert get_standing(second.store, made.hash).life is Life.REVOKED
    assert not permits(second, made)


async def test_nothing_is_in_force_for_a_moment_while_it_is_taken_over(nodes: Three) -> None:
    provider, second, _ = nodes
    second.reachable = False
    made = await own.propose(nodes[2], DRAFT, Party.CONSUMER)
    await Teller(nodes[2]).tell()
    await own.accept(provider, made.hash)
    await own.revoke(provider, made.hash, "over")
    await Settling(second).round()
    assert [made.hash in book.by_hash for book in second.history] == [False]


async def test_until_a_sibling_answers_its_member_is_unsettled(nodes: Three) -> None:
    provider, second, consumer = nodes
    settling = Settling(second)
    now_s = asyncio.get_running_loop().time()
    assert settling.unsettled(now_s, LIMIT_S) == {fixed.REGENCY}
    provider.reachable = False
    await settling.round()
    assert settling.unsettled(now_s, LIMIT_S) == {fixed.REGENCY}
    provider.reachable = True
    await settling.round()
    now_s = asyncio.get_running_loop().time()
    assert settling.unsettled(now_s, LIMIT_S) == frozenset()
    assert settling.unsettled(now_s + LIMIT_S + 1, LIMIT_S) == {fixed.REGENCY}
    # A member with one node waits for nobody.
    assert Settling(consumer).unsettled(now_s, LIMIT_S) == frozenset()


async def test_a_sibling_that_the_directory_no_longer_lists_is_not_waited_for(
    nodes: Three,
) -> None:
    provider = nodes[0]
    provider.directory = directory_of_three(second_is_active=False)
    assert Settling(provider).unsettled(1e9, LIMIT_S) == frozenset()


async def test_a_member_that_is_not_listed_yet_waits_for_nobody(nodes: Three) -> None:
    provider = nodes[0]
    provider.members = (MemberId.parse("ID/DAERAH/53.16"),)
    assert Settling(provider).unsettled(0.0, LIMIT_S) == frozenset()


async def test_a_restored_backup_resurrects_nothing(nodes: Three, tmp_path: Path) -> None:
    provider = nodes[0]
    made = await agreed(nodes)
    provider.store.close()
    copyfile(tmp_path / f"{provider.node.name}.db", tmp_path / "backup.db")
    provider.store = Store.open(tmp_path / f"{provider.node.name}.db")
    await own.revoke(provider, made.hash, "after the backup")
    await tell(provider)
    provider.store.close()
    provider.store = Store.open(tmp_path / "backup.db")
    await provider.push()
    assert permits(provider, made), "the backup believes in it"
    await Settling(provider).round()
    assert not permits(provider, made)


async def test_partners_know_what_a_restored_node_forgot(nodes: Three, tmp_path: Path) -> None:
    provider, second, _ = nodes
    second.reachable = False
    made = await own.propose(nodes[2], DRAFT, Party.CONSUMER)
    await Teller(nodes[2]).tell()
    await own.accept(provider, made.hash)
    await Teller(provider).tell()
    provider.store.close()
    file = tmp_path / f"{provider.node.name}.db"
    copyfile(file, tmp_path / "backup.db")
    provider.store = Store.open(file)
    await own.revoke(provider, made.hash, "after the backup")
    await Teller(provider).tell()
    provider.store.close()
    provider.store = Store.open(tmp_path / "backup.db")
    assert await Settling(provider).partners() == ()
    assert not permits(provider, made)
    assert get_standing(provider.store, made.hash).life is Life.REVOKED
    # Without an answer it is told who didn't give one.
    nodes[2].reachable = False
    (fault,) = await Settling(provider).partners()
    assert str(fixed.MINISTRY_NODE) in fault.message
