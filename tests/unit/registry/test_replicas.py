"""Two registries on one database: each version is published once, and both tell of it."""

import asyncio
import json
from pathlib import Path

import pytest

from registry import app, config, enrolment, replica
from registry.directory.folder import TIMESTAMP_NAME
from registry.home import RegistryHome
from registry.registrar import Registrar
from registry.sharing import FORGOTTEN_AFTER_MS, Marks
from registry.store import under_way
from runtime.clock import now_ms
from security.directory_records import parse_policy
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from simpul.registry.v1 import admin_pb2
from simpul.v1 import registry_pb2
from tests.unit.registry.conftest import KOMODO, WAKATOBI, Actor, open_store
from tests.unit.registry.running import Running, enrol_request, run

pytestmark = pytest.mark.parametrize("url", ["postgresql"], indirect=True)


@pytest.fixture
def second_home(own_home: Path, tmp_path: Path) -> Path:
    return replica.create(RegistryHome.open(own_home), tmp_path / "r2", {}).path


async def add(registry: Running, member: MemberId) -> None:
    request = admin_pb2.AddMemberRequest(member=str(member), legal_name=f"Kabupaten {member.code}")
    await registry.admin.AddMember(request)


def published(home: Path) -> dict[str, bytes]:
    """All metadata that a home serves, and what is in force."""
    folder = RegistryHome.open(home).directory
    return {name: folder.read(name) for name in folder.names("metadata")}


async def same(first: Path, second: Path) -> dict[str, bytes]:
    async with asyncio.timeout(10):
        while (found := published(first)) != published(second):
            await asyncio.sleep(0.02)
    return found


async def test_what_one_publishes_the_other_serves_and_tells(
    own_home: Path, second_home: Path
) -> None:
    async with run(own_home) as first, run(second_home) as second:
        watch = second.nodes.Watch(registry_pb2.WatchRequest())
        told = aiter(watch)
        began = (await anext(told)).directory_version
        actor = await first.joined()
        async with asyncio.timeout(5):
            while (answer := await anext(told)).directory_version <= began:
                pass
        # Pushed whole, as by the one that published it.
        assert answer.files[-1].name == TIMESTAMP_NAME
        watch.cancel()
        status = await second.admin.Status(admin_pb2.StatusRequest())
        assert (status.members, status.nodes) == (1, 1)
        nodes = await second.admin.ListNodes(admin_pb2.ListNodesRequest())
        assert [node.id for node in nodes.nodes] == [str(actor.node)]
        await same(own_home, second_home)


async def test_of_many_changes_at_both_each_version_is_published_once(
    own_home: Path, second_home: Path
) -> None:
    codes = [f"ID/DAERAH/11.{number:02}" for number in range(1, 21)]
    async with run(own_home) as first, run(second_home) as second:
        await asyncio.gather(
            *(
                add(registry, MemberId.parse(code))
                for registry, half in ((first, codes[::2]), (second, codes[1::2]))
                for code in half
            )
        )
        found = await same(own_home, second_home)
        members = await first.admin.ListMembers(admin_pb2.ListMembersRequest())
    assert sorted(member.id for member in members.members) == codes
    snapshot = json.loads(found[TIMESTAMP_NAME])["signed"]["meta"]["snapshot.json"]["version"]
    assert snapshot > 1
    # Both folders hold the same bytes of every version: nobody signed two.
    assert {f"metadata/{number}.snapshot.json" for number in range(1, snapshot + 1)} <= set(found)


async def test_a_name_is_given_once(own_home: Path, second_home: Path) -> None:
    async with run(own_home) as first, run(second_home) as second:
        done = await asyncio.gather(add(first, KOMODO), add(second, KOMODO), return_exceptions=True)
    assert [type(outcome).__name__ for outcome in done].count("NoneType") == 1


async def test_what_a_registry_left_unpublished_another_publishes(
    own_home: Path, second_home: Path
) -> None:
    """The first ends between commit and publication, and does not come back."""
    async with run(own_home) as first:
        token = await first.token()
    place, store = RegistryHome.open(own_home), open_store(own_home)
    policy = next((place.path / "directory/targets").glob("*.policy")).read_bytes()
    registrar = Registrar(store, parse_policy(policy), place.authority())
    async with run(second_home) as second:
        before = (await second.admin.Status(admin_pb2.StatusRequest())).directory_version
        Marks(store, lambda: now_ms() - FORGOTTEN_AFTER_MS - 1).begin()
        actor = Actor(secret=token.secret, now_ms=now_ms())
        enrolment.enrol(registrar, *actor.sign_enrolment(actor.enrolment()), now_ms())
        async with asyncio.timeout(15):
            while (
                await second.admin.Status(admin_pb2.StatusRequest())
            ).directory_version == before:
                await asyncio.sleep(0.1)
            while True:
                with store.transaction() as session:
                    if under_way.begun_before(session, now_ms()) == ():
                        break
                await asyncio.sleep(0.05)
        # Its own requests leave none either.
        await second.joined(WAKATOBI, NodeId.parse("ID/~wakatobi-1"))
        with store.transaction() as session:
            assert under_way.begun_before(session, now_ms() + 1) == ()
    store.close()


async def test_a_repeated_enrolment_is_answered_by_the_other(
    own_home: Path, second_home: Path
) -> None:
    """The first did it and its answer was lost: the node asks the second the same."""
    async with run(own_home) as first, run(second_home) as second:
        token = await first.token()
        actor = Actor(secret=token.secret, now_ms=now_ms())
        request = enrol_request(actor)
        await first.nodes.Enrol(request)
        assert (await second.nodes.Enrol(request)).certificate_chain
        nodes = await second.admin.ListNodes(admin_pb2.ListNodesRequest())
        assert len(nodes.nodes) == 1


async def test_a_database_behind_the_folder_is_refused(own_home: Path, second_home: Path) -> None:
    async with run(second_home) as second:
        await second.joined()
    # The first's folder is moved ahead of the database, as if the database had been put back.
    ahead = published(second_home)[TIMESTAMP_NAME]
    document = json.loads(ahead)
    document["signed"]["version"] += 100
    (own_home / "directory" / TIMESTAMP_NAME).write_text(json.dumps(document))

    with pytest.raises(SimpulError, match="restore") as caught:
        async with app.running(own_home):
            pass
    assert caught.value.code is Code.DATABASE_CORRUPT


async def test_another_registrys_database_is_refused(
    own_home: Path, url: str, tmp_path: Path
) -> None:
    async with run(own_home):
        pass
    other = app.init(tmp_path / "other").path
    with (other / "registry.toml").open("a") as file:
        file.write(f'\n[database]\nurl = "{url}"\n')

    with pytest.raises(SimpulError, match="another registry") as caught:
        async with app.running(other):
            pass
    assert caught.value.code is Code.HOME_FOREIGN


def test_a_replica_has_the_same_keys_and_other_addresses(own_home: Path, second_home: Path) -> None:
    first, second = RegistryHome.open(own_home), RegistryHome.open(second_home)
    assert first.server_identity() == second.server_identity()
    assert first.root_sha256() == second.root_sha256()
    assert not second.witness_key_file.exists()
    assert second.path.stat().st_mode & 0o777 == 0o700
    here, there = (config.load(home.settings_file, {}) for home in (first, second))
    assert here.grpc.listen != there.grpc.listen
    assert here.database == there.database


def test_a_replica_of_a_file_is_refused(first_home: Path, tmp_path: Path, url: str) -> None:
    del url
    with pytest.raises(SimpulError, match="PostgreSQL") as caught:
        replica.create(RegistryHome.open(first_home), tmp_path / "r2", {})
    assert caught.value.code is Code.CONFIG_INVALID
