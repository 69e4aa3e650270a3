"""Two nodes' checkpoints, a real registry as their witness, real authorities of time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from node.checkpoints.authorities import HttpAuthorities
from node.checkpoints.http import HttpClient
from node.checkpoints.keeper import Keeper
from node.checkpoints.latest import LatestStore
from node.checkpoints.log import Tools
from node.checkpoints.watch import CheckpointMetrics
from node.checkpoints.witnesses import HttpWitnesses
from node.directory.fetch import HttpFetcher
from node.directory.replica import Replica
from node.journal.sql_checkpoints import SqlCheckpointStore
from node.store.engine import Store
from registry import app, home
from registry.home import NewRegistry
from runtime.clock import now_ms
from security.checkpoint import parse_checkpoint, verify_checkpoint
from security.cosignature import quorum_time_ms, verified_cosignatures
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import NodeId
from security.merkle import verify_inclusion
from security.oversight import AuthorityView
from security.tiles import inclusion_path
from security.timestamp import verify_timestamp
from simpul.v1 import directory_pb2
from tests.support.tsa import OPENSSL, Authority, authority
from tests.unit.node.checkpoints.support import Place, view
from tests.unit.node.journal.builder import Link
from tests.unit.node.journal.support import write
from tests.unit.registry.conftest import KOMODO, LABUAN, WAKATOBI, Actor
from tests.unit.registry.running import Running, run

OTHER = NodeId.parse("ID/~wakatobi-1")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Running]:
    place = home.create(tmp_path / "registry", NewRegistry(), now_ms())
    async with run(place.path) as running:
        yield running


class Node:
    """The part of a node's supervisor that keeps its checkpoints."""

    def __init__(self, folder: Path, actor: Actor, directory: DirectoryView) -> None:
        folder.mkdir()
        self.actor = actor
        self.directory = directory
        self.journal = folder / "journal.db"
        self.link = Link(name=str(folder))
        self.refusals: list[SimpulError | None] = []
        self.grow(3)
        self.store = SqlCheckpointStore.open(self.journal)
        client = HttpClient()
        tools = Tools(
            node=actor.node,
            key=lambda: actor.node_key,
            store=self.store,
            latest=LatestStore(folder / "checkpoints"),
            directory=lambda: self.directory,
            witnesses=HttpWitnesses(client),
            authorities=HttpAuthorities(client),
            metrics=CheckpointMetrics(CollectorRegistry()),
            now_ms=now_ms,
        )
        self.keeper = Keeper(tools, 8.0, self.refusals.append)

    def grow(self, count: int) -> None:
        write(self.journal, [self.link.sent() for _ in range(count)])

    def round(self) -> None:
        self.keeper.sign()
        self.keeper.cosign()
        self.keeper.stamp()


def load_directory(folder: Path, running: Running) -> DirectoryView:
    store = Store.open(folder / "state.db")
    root = (folder / "registry" / "root.json").read_bytes()
    replica = Replica(folder / "directory", "ID", root, store)
    replica.sync(HttpFetcher(running.endpoints.directory), now_ms())
    store.close()
    assert replica.view is not None
    return replica.view


async def test_the_registry_cosigns_two_nodes_journals(registry: Running, tmp_path: Path) -> None:
    actors = [await registry.joined(), await registry.joined(WAKATOBI, OTHER)]
    directory = await asyncio.to_thread(load_directory, tmp_path, registry)
    (witness,) = directory.policy.oversight.witnesses
    nodes = [Node(tmp_path / actor.node.name, actor, directory) for actor in actors]
    for node in nodes:
        for _ in range(2):
            await asyncio.to_thread(node.round)
            node.grow(300)
        await asyncio.to_thread(node.round)
        assert node.refusals == []
        origin = directory.node(node.actor.node).slots[0].origin
        kept = node.store.first_covering(0, 302)
        assert kept is not None
        assert kept.size == 303
        signed = parse_checkpoint(kept.note)
        verify_checkpoint(signed, origin, node.actor.node_key.public)
        found = verified_cosignatures(signed.note, [witness.key])
        assert quorum_time_ms(found, directory.policy.oversight.quorum) == kept.quorum_at_ms
        assert abs(found[0].time_ms - now_ms()) < 30_000
        with node.store.tree(0) as tree:
            path = inclusion_path(tree, 302, 303)
            (leaf,) = tree.hashes(0, 302, 1)
        verify_inclusion(leaf, 302, 303, path, signed.checkpoint.root)


async def test_a_fork_is_shown_by_the_registry(registry: Running, tmp_path: Path) -> None:
    actor = await registry.joined(KOMODO, LABUAN)
    directory = await asyncio.to_thread(load_directory, tmp_path, registry)
    first = Node(tmp_path / "first", actor, directory)
    await asyncio.to_thread(first.round)
    twin = Node(tmp_path / "twin", actor, directory)
    twin.grow(4)
    await asyncio.to_thread(twin.round)
    (refusal,) = twin.refusals
    assert refusal is not None
    assert refusal.code is Code.JOURNAL_RESTORED_OR_FORKED
    assert twin.store.listed(limit=9) == ()
    assert first.refusals == []


async def test_the_registry_may_be_away_and_come_back(tmp_path: Path) -> None:
    place = home.create(tmp_path / "registry", NewRegistry(), now_ms())
    async with run(place.path) as running:
        actor = await running.joined()
        directory = await asyncio.to_thread(load_directory, tmp_path, running)
        node = Node(tmp_path / "node", actor, directory)
        await asyncio.to_thread(node.round)
    node.grow(2)
    await asyncio.to_thread(node.round)
    assert [item.quorum_at_ms is None for item in node.store.listed(limit=9)] == [True, False]
    assert node.refusals == []
    await asyncio.sleep(1.1)
    async with app.running(place.path):
        await asyncio.to_thread(node.round)
    assert [item.quorum_at_ms is None for item in node.store.listed(limit=9)] == [False, False]


@pytest.fixture
def authorities() -> Iterator[list[Authority]]:
    if OPENSSL is None:
        pytest.skip("there is no openssl here")
    with ExitStack() as stack:
        yield [stack.enter_context(authority(name)) for name in ("one", "two")]


def time_policy(authorities: list[Authority]) -> directory_pb2.TimePolicy:
    return directory_pb2.TimePolicy(
        authorities=[
            directory_pb2.TimestampAuthority(
                name=f"TSA {number}", certificate=item.certificate, url=item.url
            )
            for number, item in enumerate(authorities)
        ],
        every_ms=60_000,
        max_age_ms=600_000,
        overdue=directory_pb2.TIME_OVERDUE_REFUSE,
    )


def test_real_authorities_stamp_and_fail_over(tmp_path: Path, authorities: list[Authority]) -> None:
    place = Place(tmp_path / "node", witnesses=(), time=time_policy(authorities))
    place.authorities = HttpAuthorities(HttpClient())  # type: ignore[assignment]
    place.clock.now_ms = now_ms()
    place.grow(3)
    keeper = place.start()
    keeper.sign()
    authorities[0].broken = True
    keeper.stamp()
    kept = place.store.first_stamped(0, 2)
    assert kept is not None
    (stamp,) = kept.timestamps
    assert stamp.authority == "TSA 1"
    text = parse_checkpoint(kept.note).note.text.encode()
    assert verify_timestamp(stamp.response, text, authorities[1].certificate) == stamp.stamped_at_ms
    # A stale answer, given again, is no stamp of this text.
    authorities[1].lying = stamp.response
    place.clock.now_ms += 120_000
    place.grow(1)
    keeper.sign()
    keeper.stamp()
    assert place.store.first_stamped(0, 3) is None
    assert place.alerts(Code.TIMESTAMP_INVALID) == 1
    assert place.latest.stamps_failing_since() == place.clock()


def test_an_old_stamp_of_the_same_text_is_no_answer(authorities: list[Authority]) -> None:
    tsa = authorities[0]
    listed = AuthorityView("TSA", tsa.certificate, tsa.url)
    client = HttpAuthorities(HttpClient())
    tsa.lying = client.stamp(listed, "text\n").response
    with pytest.raises(SimpulError) as caught:
        client.stamp(listed, "text\n")
    assert caught.value.code is Code.TIMESTAMP_INVALID


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:1/x", Code.TIMESTAMP_UNREACHABLE),
        ("http://[::1", Code.TIMESTAMP_UNREACHABLE),
    ],
)
def test_an_authority_that_isnt_there(url: str, code: Code) -> None:
    with pytest.raises(SimpulError) as caught:
        HttpAuthorities(HttpClient()).stamp(AuthorityView("TSA", b"", url), "text\n")
    assert caught.value.code is code


def test_a_witness_that_isnt_there() -> None:
    listed = view({"w1": "http://127.0.0.1:1"}, 1).policy.oversight.witnesses[0]
    with pytest.raises(SimpulError) as caught:
        HttpWitnesses(HttpClient()).latest(listed, "log")
    assert caught.value.code is Code.WITNESS_UNREACHABLE
