"""Joining, against a registry on loopback: each step's refusal, and what a failed try leaves."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.config import load_config
from node.directory.replica import Replica
from node.enrol import EnrolOptions, enrol
from node.home import KeyName, NodeHome
from node.store.engine import Store
from runtime.clock import now_ms
from security import certificate
from security.errors import Code, SimpulError
from security.hashing import sha256
from security.identifiers import NodeId
from security.statement import parse_statement
from security.token import fingerprint
from tests.unit.node.directory.fake_registry import MEMBER
from tests.unit.node.fake_registry_server import NODE, FakeServer, fake_server

# Those that joining makes; a witness makes its own when it is one.
MADE = (KeyName.IDENTITY, KeyName.SEAL, KeyName.NODE, KeyName.TLS)


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server() as running:
        yield running


def options(server: FakeServer, tmp_path: Path, **change: object) -> EnrolOptions:
    made = EnrolOptions(
        home=tmp_path / "home",
        registry=server.address,
        root=server.directory.first_root,
        token=server.token(),
        slots=2,
        link_listen="127.0.0.1:8442",
    )
    return dataclasses.replace(made, **change)  # type: ignore[arg-type]


async def refused(asked: EnrolOptions) -> SimpulError:
    with pytest.raises(SimpulError) as caught:
        await enrol(asked, now_ms)
    assert "\n" not in caught.value.message
    return caught.value


async def test_a_node_joins(server: FakeServer, tmp_path: Path) -> None:
    done = await enrol(options(server, tmp_path), now_ms)
    home = NodeHome.open(tmp_path / "home")
    config = load_config(home, {})
    assert config.node_id == NODE
    assert config.member_ids == (MEMBER,)
    assert config.registry.certificate_sha256 == sha256(server.certificate).hex()
    assert (config.journal.slots, str(config.link.advertise)) == (2, "127.0.0.1:8442")
    # So that the first start loads no migrations.
    assert done.home.journal.is_file()
    assert home.read_root() == server.directory.first_root
    assert certificate.from_pem(home.read_registry_certificate()) == (server.certificate,)
    leaf, _ = certificate.from_pem(home.read_chain())
    assert certificate.dns_names(leaf) == (NODE.dns_name,)
    (sent,) = server.enrolments
    statement = parse_statement(sent.statement.statement)
    keys = {name: home.read_key(name).public for name in MADE}
    assert statement.identity_key == keys[KeyName.IDENTITY]
    assert [(k.key, k.node) for k in statement.seal_keys] == [(keys[KeyName.SEAL], NODE)]
    assert done.fingerprint == fingerprint(
        MEMBER, NODE, keys[KeyName.IDENTITY], keys[KeyName.NODE], keys[KeyName.SEAL]
    )
    assert done.fault is None


async def test_a_node_that_joined_starts_without_the_registry(
    server: FakeServer, tmp_path: Path
) -> None:
    done = await enrol(options(server, tmp_path), now_ms)
    store = Store.open(done.home.state)
    replica = Replica(done.home.directory, "ID", done.home.read_root(), store)
    assert replica.open_local(now_ms()) == done.generation
    store.close()


async def test_a_malformed_token_touches_nothing(server: FakeServer, tmp_path: Path) -> None:
    error = await refused(options(server, tmp_path, token="simpul1_nonsense"))
    assert error.code is Code.TOKEN_MALFORMED
    assert not (tmp_path / "home").exists()


async def test_another_root_is_refused(server: FakeServer, tmp_path: Path) -> None:
    error = await refused(options(server, tmp_path, root=b"{}"))
    assert error.code is Code.ROOT_MISMATCH
    assert not (tmp_path / "home").exists()


async def test_a_home_in_use_is_left_alone(server: FakeServer, tmp_path: Path) -> None:
    await enrol(options(server, tmp_path), now_ms)
    before = (tmp_path / "home" / "node.toml").read_bytes()
    assert (await refused(options(server, tmp_path))).code is Code.HOME_EXISTS
    assert (tmp_path / "home" / "node.toml").read_bytes() == before


async def test_a_server_with_another_certificate_never_sees_the_token(
    server: FakeServer, tmp_path: Path
) -> None:
    token = server.token(registry_certificate_sha256=b"x" * 32)
    error = await refused(options(server, tmp_path, token=token))
    assert error.code is Code.CERTIFICATE_MISMATCH
    assert server.enrolments == []


@pytest.mark.parametrize("code", [Code.TOKEN_USED, Code.TOKEN_EXPIRED, Code.TOKEN_UNKNOWN])
async def test_the_registry_s_refusal_arrives_as_it_is(
    server: FakeServer, tmp_path: Path, code: Code
) -> None:
    server.refusal = SimpulError(code, "ask for a new token")
    error = await refused(options(server, tmp_path))
    assert (error.code, error.message) == (code, "ask for a new token")


async def test_a_failed_try_is_not_in_the_way_of_the_next(
    server: FakeServer, tmp_path: Path
) -> None:
    address = server.address
    error = await refused(options(server, tmp_path, registry="127.0.0.1:1"))
    assert error.code is Code.REGISTRY_UNREACHABLE
    server.refusal = SimpulError(Code.INTERNAL, "the registry's disk is full")
    assert (await refused(options(server, tmp_path))).code is Code.INTERNAL
    with pytest.raises(SimpulError) as caught:
        NodeHome.open(tmp_path / "home")
    assert caught.value.code is Code.HOME_MISSING
    server.refusal = None
    done = await enrol(options(server, tmp_path, registry=address), now_ms)
    assert done.token.node == NODE


async def test_keys_of_a_failed_try_serve_again(server: FakeServer, tmp_path: Path) -> None:
    server.refusal = SimpulError(Code.INTERNAL, "no")
    await refused(options(server, tmp_path))
    before = {name: NodeHome.at(tmp_path / "home").read_pem(name) for name in MADE}
    server.refusal = None
    done = await enrol(options(server, tmp_path), now_ms)
    assert {name: done.home.read_pem(name) for name in MADE} == before


async def test_a_certificate_for_another_node_is_refused(
    server: FakeServer, tmp_path: Path
) -> None:
    server.answer_for = NodeId.parse("ID/~mataram-1")
    error = await refused(options(server, tmp_path))
    assert error.code is Code.CERTIFICATE_MISMATCH
    assert not (tmp_path / "home" / "node.toml").exists()


async def test_a_directory_that_can_t_be_had_now_does_not_undo_the_enrolment(
    server: FakeServer, tmp_path: Path
) -> None:
    server.directory.files.pop("metadata/timestamp.json")
    done = await enrol(options(server, tmp_path), now_ms)
    assert done.generation is None
    assert done.fault is not None
    assert done.fault.code is Code.REGISTRY_UNREACHABLE
    NodeHome.open(tmp_path / "home")


@pytest.mark.parametrize(
    "change",
    [{"registry": "unix:/x"}, {"link_advertise": "127.0.0.1:0"}, {"link_advertise": "nowhere"}],
)
async def test_an_address_that_can_be_none_is_refused_first(
    server: FakeServer, tmp_path: Path, change: dict[str, str]
) -> None:
    error = await refused(options(server, tmp_path, **change))
    assert error.code is Code.CONFIG_INVALID
    assert server.enrolments == []
