from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.registry_client import NodeChanges, RegistryClient
from node.store.engine import Store
from security import certificate
from security.errors import Code, SimpulError
from security.identifiers import ServiceId
from security.keys import Algorithm, generate
from simpul.v1 import registry_pb2
from tests.unit.node.fake_registry_server import NODE, FakeServer, fake_server

NOW_MS = 1_700_000_000_000
SERVICE = ServiceId.parse("ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata")


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server() as running:
        yield running


@pytest.fixture
async def client(server: FakeServer) -> AsyncIterator[RegistryClient]:
    made = RegistryClient(server.address, certificate.to_pem(server.certificate), "ID")
    yield made
    await made.close()


@pytest.fixture
def changes(client: RegistryClient, server: FakeServer, tmp_path: Path) -> NodeChanges:
    key = generate(Algorithm.ED25519)
    server.node_key = key.public
    return NodeChanges(client, NODE, lambda: key, Store.open(tmp_path / "state.db"))


async def test_each_change_is_signed_and_numbered(server: FakeServer, changes: NodeChanges) -> None:
    assert await changes.publish_service(SERVICE, b"protoset", NOW_MS) == 7
    assert await changes.withdraw_service(SERVICE, NOW_MS) == 7
    assert await changes.set_link_address("node.example:1", NOW_MS) == 7
    assert await changes.renew_certificate(b"csr", NOW_MS) == (b"der",)
    assert await changes.replace_statement(registry_pb2.Enrolment().statement, NOW_MS) == 7
    numbers = [change.number for change in server.changes]
    assert numbers == sorted(set(numbers))
    assert [change.WhichOneof("kind") for change in server.changes] == [
        "publish_service",
        "withdraw_service",
        "set_link_address",
        "renew_certificate",
        "replace_statement",
    ]
    first = server.changes[0]
    assert (first.version, first.federation, first.node) == (1, "ID", str(NODE))
    assert first.made_at_ms == NOW_MS
    published = first.publish_service
    assert (published.subsystem, published.service) == (str(SERVICE.subsystem), SERVICE.service)


async def test_a_refused_change_uses_its_number_up(
    server: FakeServer, changes: NodeChanges
) -> None:
    server.refusal = SimpulError(Code.CHANGE_INVALID, "no", path="members/x")
    with pytest.raises(SimpulError) as caught:
        await changes.set_link_address("node.example:1", NOW_MS)
    assert caught.value.code is Code.CHANGE_INVALID
    assert caught.value.details["path"] == "members/x"
    server.refusal = None
    await changes.set_link_address("node.example:1", NOW_MS)
    assert server.changes[0].number == NOW_MS + 1


async def test_the_watch_gives_versions_and_says_when_it_ends(
    server: FakeServer, client: RegistryClient
) -> None:
    server.pushes = 2
    watch = client.watch(5)
    assert [(await anext(watch)).directory_version for _ in range(2)] == [6, 7]
    with pytest.raises(SimpulError) as caught:
        await anext(watch)
    assert caught.value.code is Code.REGISTRY_UNREACHABLE


async def test_a_server_with_another_certificate_is_not_spoken_to(server: FakeServer) -> None:
    _, other = certificate.make_server_certificate("ID", NOW_MS, 30, 1)
    client = RegistryClient(server.address, certificate.to_pem(other), "ID")
    with pytest.raises(SimpulError) as caught:
        await anext(client.watch(0))
    assert caught.value.code is Code.REGISTRY_UNREACHABLE
    await client.close()


async def test_a_registry_of_another_federation_is_not_spoken_to(server: FakeServer) -> None:
    client = RegistryClient(server.address, certificate.to_pem(server.certificate), "SG")
    with pytest.raises(SimpulError) as caught:
        await anext(client.watch(0))
    assert caught.value.code is Code.REGISTRY_UNREACHABLE
    await client.close()


async def test_a_query_for_look_alikes_is_signed(changes: NodeChanges) -> None:
    member = SERVICE.subsystem.member
    (found,) = await changes.find_similar("wisata.v1", b"protoset", member, NOW_MS)
    assert (found.package, found.owner) == ("wisata.v1", str(member))
    (found,) = await changes.find_similar("wisata.v1", b"protoset", None, NOW_MS)
    assert found.owner == ""
