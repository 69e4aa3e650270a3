"""Enrol, Change and Watch over TLS on loopback, against a whole registry."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import grpc
import pytest

from runtime.clock import now_ms
from security import certificate
from security.errors import Code
from security.identifiers import NodeId
from security.token import parse_token
from simpul.registry.v1 import admin_pb2
from simpul.v1 import directory_pb2, registry_pb2
from tests.unit.registry.conftest import KOMODO, LABUAN, WAKATOBI, Actor, publish_service
from tests.unit.registry.running import (
    Running,
    certificate_sha256,
    change_request,
    enrol_request,
    refusal,
    run,
)

ADDRESS = registry_pb2.SetLinkAddress(link_address="10.0.0.1:7101")


@pytest.fixture
async def registry(own_home: Path) -> AsyncIterator[Running]:
    async with run(own_home) as running:
        yield running


def record(files: dict[str, bytes]) -> directory_pb2.MemberRecord:
    """The member's record among pushed files."""
    (data,) = [data for name, data in files.items() if name.startswith("targets/members/")]
    return directory_pb2.MemberRecord.FromString(data)


def files_of(answer: registry_pb2.WatchResponse) -> dict[str, bytes]:
    return {file.name: file.content for file in answer.files}


async def test_a_node_joins_and_is_in_the_directory_when_it_is_answered(
    registry: Running, own_home: Path
) -> None:
    token = await registry.token()
    actor = Actor(secret=token.secret, now_ms=now_ms())

    answer = await registry.nodes.Enrol(enrol_request(actor))

    assert token.registry_certificate_sha256 == certificate_sha256(registry.certificate_pem)
    assert token.root_sha256 == sha256((own_home / "root.json").read_bytes()).digest()
    assert answer.directory_url == registry.endpoints.directory
    assert certificate.dns_names(answer.certificate_chain[0]) == (LABUAN.dns_name,)
    (nodes,) = (await registry.admin.ListNodes(admin_pb2.ListNodesRequest())).nodes
    assert (nodes.id, nodes.member, nodes.state) == (str(LABUAN), str(KOMODO), "active")


async def test_bad_tokens(registry: Running) -> None:
    used = await registry.joined()
    wrong = Actor(secret=b"w" * 32)
    elsewhere = Actor(secret=b"w" * 32)

    table = [
        (enrol_request(wrong), Code.TOKEN_UNKNOWN, grpc.StatusCode.UNAUTHENTICATED),
        (
            enrol_request(Actor(secret=used.secret)),
            Code.TOKEN_USED,
            grpc.StatusCode.UNAUTHENTICATED,
        ),
        (
            enrol_request(elsewhere, federation="XX"),
            Code.TOKEN_OTHER_FEDERATION,
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            registry_pb2.EnrolRequest(enrolment=b"\xff"),
            Code.REQUEST_MALFORMED,
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (registry_pb2.EnrolRequest(), Code.REQUEST_MALFORMED, grpc.StatusCode.INVALID_ARGUMENT),
    ]
    for request, code, status in table:
        error, found = await refusal(registry.nodes.Enrol(request))
        assert (error.code, found) == (code, status)


async def test_an_expired_token(registry: Running) -> None:
    answer = await registry.admin.CreateEnrolment(
        admin_pb2.CreateEnrolmentRequest(
            member=str(KOMODO), node_name=LABUAN.name, ttl_s=1, legal_name="Komodo"
        )
    )
    secret = parse_token(answer.token).secret
    await asyncio.sleep(max(0, answer.expires_at_ms - now_ms()) / 1000 + 0.01)

    error, status = await refusal(registry.nodes.Enrol(enrol_request(Actor(secret=secret))))

    assert (error.code, status) == (Code.TOKEN_EXPIRED, grpc.StatusCode.UNAUTHENTICATED)


async def test_one_token_at_the_same_moment(registry: Running) -> None:
    token = await registry.token()
    requests = [enrol_request(Actor(secret=token.secret, now_ms=now_ms())) for _ in range(4)]

    outcomes = await asyncio.gather(
        *(registry.nodes.Enrol(request) for request in requests), return_exceptions=True
    )

    assert sum(isinstance(item, registry_pb2.EnrolResponse) for item in outcomes) == 1


async def test_a_service_is_published(registry: Running) -> None:
    actor = await registry.joined()
    before = await registry.admin.Status(admin_pb2.StatusRequest())

    answer = await registry.nodes.Change(change_request(actor, publish_service=publish_service()))

    after = await registry.admin.Status(admin_pb2.StatusRequest())
    assert answer.directory_version == before.directory_version + 1 == after.directory_version
    assert after.services == 1
    (member,) = (await registry.admin.ListMembers(admin_pb2.ListMembersRequest())).members
    assert list(member.services) == [f"{KOMODO}/pariwisata/wisata.v1.Wisata"]


async def test_a_renewal_needs_no_new_directory(registry: Running) -> None:
    actor = await registry.joined()
    before = await registry.admin.Status(admin_pb2.StatusRequest())
    kind = registry_pb2.RenewCertificate(
        certificate_request=certificate.make_request(actor.tls_key, LABUAN)
    )

    answer = await registry.nodes.Change(change_request(actor, renew_certificate=kind))

    assert len(answer.certificate_chain) == 2
    assert answer.directory_version == before.directory_version


async def test_a_change_is_refused_with_its_code(registry: Running) -> None:
    actor = await registry.joined()
    request = change_request(actor, set_link_address=ADDRESS)
    await registry.nodes.Change(request)

    error, status = await refusal(registry.nodes.Change(request))
    assert (error.code, status) == (Code.CHANGE_REPLAYED, grpc.StatusCode.FAILED_PRECONDITION)

    stranger = Actor(node=NodeId("ID", "nobody"), now_ms=now_ms())
    error, status = await refusal(
        registry.nodes.Change(change_request(stranger, set_link_address=ADDRESS))
    )
    assert (error.code, status) == (Code.NODE_UNKNOWN, grpc.StatusCode.NOT_FOUND)


async def test_too_large_a_change_is_refused_by_name(registry: Running) -> None:
    request = registry_pb2.ChangeRequest(change=bytes(4 * 1024 * 1024 + 17 * 1024))

    error, status = await refusal(registry.nodes.Change(request))

    assert (error.code, status) == (Code.MESSAGE_TOO_LARGE, grpc.StatusCode.RESOURCE_EXHAUSTED)


async def test_watchers_are_pushed_each_version_with_its_files(registry: Running) -> None:
    status = await registry.admin.Status(admin_pb2.StatusRequest())
    request = registry_pb2.WatchRequest(directory_version=status.directory_version)
    watches = [registry.nodes.Watch(request) for _ in range(3)]
    for watch in watches:
        first = await watch.read()
        assert isinstance(first, registry_pb2.WatchResponse)
        # The version that it has, signed just now.
        assert first.directory_version == status.directory_version
        assert [file.name for file in first.files] == ["metadata/timestamp.json"]

    actor = await registry.joined()
    for watch in watches:
        # The member first, then its node.
        for nodes in (0, 1):
            answer = await watch.read()
            assert isinstance(answer, registry_pb2.WatchResponse)
            assert len(record(files_of(answer)).nodes) == nodes
            assert list(files_of(answer))[-1] == "metadata/timestamp.json"
            assert answer.directory_version == status.directory_version + 1 + nodes
        watch.cancel()
    assert actor.node == LABUAN


async def test_a_watcher_that_is_behind_is_told_to_fetch(registry: Running) -> None:
    watch = registry.nodes.Watch(registry_pb2.WatchRequest(directory_version=0))

    first = await watch.read()

    assert isinstance(first, registry_pb2.WatchResponse)
    status = await registry.admin.Status(admin_pb2.StatusRequest())
    assert (first.directory_version, len(first.files)) == (status.directory_version, 0)
    watch.cancel()


async def test_the_operators_methods_are_not_on_the_nodes_port(registry: Running) -> None:
    credentials = grpc.ssl_channel_credentials(registry.certificate_pem)
    options = (("grpc.ssl_target_name_override", "registry.id.simpul.internal"),)
    async with grpc.aio.secure_channel(registry.endpoints.grpc, credentials, options) as channel:
        for method in ("/simpul.registry.v1.RegistryAdmin/ListNodes", "/simpul.v1.Registry/Drop"):
            ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            error, status = await refusal(ask(b""))
            assert (error.code, status) == (Code.METHOD_UNKNOWN, grpc.StatusCode.UNIMPLEMENTED)


async def test_what_an_operator_does(registry: Running) -> None:
    added = await registry.admin.AddMember(
        admin_pb2.AddMemberRequest(
            member=str(WAKATOBI), legal_name="Wakatobi", region_codes=["74.07"]
        )
    )
    assert (added.member.state, list(added.member.region_codes)) == ("active", ["74.07"])
    state = await registry.admin.SetMemberState(
        admin_pb2.SetMemberStateRequest(member=str(WAKATOBI), state="suspended")
    )
    assert state.member.state == "suspended"
    await registry.joined()
    revoked = await registry.admin.RevokeNode(admin_pb2.RevokeNodeRequest(node=str(LABUAN)))
    status = await registry.admin.Status(admin_pb2.StatusRequest())
    assert revoked.directory_version == status.directory_version > state.directory_version
    assert (status.federation, status.members, status.nodes) == ("ID", 2, 1)


async def test_what_an_operator_gets_wrong(registry: Running) -> None:
    admin = registry.admin
    table = [
        (admin.AddMember(admin_pb2.AddMemberRequest(member="x")), Code.ID_MALFORMED),
        (
            admin.SetMemberState(
                admin_pb2.SetMemberStateRequest(member=str(KOMODO), state="asleep")
            ),
            Code.REQUEST_MALFORMED,
        ),
        (
            admin.SetMemberState(
                admin_pb2.SetMemberStateRequest(member=str(KOMODO), state="removed")
            ),
            Code.MEMBER_UNKNOWN,
        ),
        (
            admin.CreateEnrolment(
                admin_pb2.CreateEnrolmentRequest(member=str(KOMODO), node_name="Labuan Bajo")
            ),
            Code.ID_MALFORMED,
        ),
        (
            admin.CreateEnrolment(
                admin_pb2.CreateEnrolmentRequest(
                    member=str(KOMODO), node_name="labuan-bajo-1", ttl_s=1 << 40
                )
            ),
            Code.REQUEST_MALFORMED,
        ),
        (admin.RevokeNode(admin_pb2.RevokeNodeRequest(node=str(LABUAN))), Code.NODE_UNKNOWN),
    ]
    for call, code in table:
        error, _ = await refusal(call)
        assert error.code is code
        assert "\n" not in error.message
