"""Whether a service matches: by its description in a file, and by what it says of itself."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc import aio
from grpc_reflection.v1alpha import reflection

from node.config import ServicesSection
from node.home import NodeHome
from node.operations import conforming
from node.operations.conforming import check, compare_target
from node.operations.desk import Desk
from node.provider.tls import service_tls
from security.contract import contract_pool
from security.contract_card import card_path
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from tests.conformance import fixed
from tests.support import directories
from tests.support.cards import PACKAGE, card

SERVICE = fixed.SERVICE
CONTRACT = directories.descriptor_set()


@dataclass
class Here:
    """A node with a directory in which the regency's contract is."""

    home: NodeHome
    config: Any
    directory: DirectoryView


@dataclass(frozen=True)
class Config:
    services: ServicesSection


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    view = directories.build(directories.targets(changed={card_path(PACKAGE): card(_without_docs)}))
    return cast("Desk", Here(NodeHome(tmp_path), Config(ServicesSection()), view))


def _without_docs(made: Any) -> None:
    made.revisions[0].documentation = b""


def changed(change: Callable[[Any], object]) -> bytes:
    files = FileDescriptorSet.FromString(CONTRACT)
    change(files.file[0])
    return files.SerializeToString()


def _other_number(file: Any) -> None:
    file.message_type[0].field[1].number = 7


def _one_method_more(file: Any) -> None:
    file.service[0].method.add(
        name="Drop", input_type=".wisata.v1.Island"
    ).output_type = ".wisata.v1.Island"


@asynccontextmanager
async def described(descriptor_set: bytes, *names: str) -> AsyncIterator[str]:
    """A server that says it is what a set defines, and answers nothing else."""
    server = aio.server(options=[("grpc.so_reuseport", 0)])
    enable: Any = reflection.enable_server_reflection
    if names:
        enable([*names, reflection.SERVICE_NAME], server, contract_pool(descriptor_set))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def test_a_description_is_compared_with_the_newest_revision_that_it_matches(
    desk: Desk,
) -> None:
    found = await check(desk, PACKAGE, 0, "", CONTRACT)
    assert (found.revision, found.count) == (1, 0)
    more = await check(desk, PACKAGE, 1, "", changed(_one_method_more))
    assert (more.count, more.services[0].beside) == (0, ("Drop",))
    other = await check(desk, PACKAGE, 0, "", changed(_other_number))
    assert [str(each) for each in other.services[0].differences] == [
        "wisata.v1.Island.keeper: the service lacks this field, number 2",
        "wisata.v1.Island.keeper: the contract has no such field, number 7",
    ]


async def test_a_server_is_asked_what_it_is(desk: Desk) -> None:
    async with described(changed(_other_number), SERVICE) as target:
        found = await check(desk, PACKAGE, 0, target, b"")
        assert found.count == 2
    async with described(CONTRACT, SERVICE) as target:
        assert (await check(desk, PACKAGE, 1, target, b"")).count == 0


@pytest.mark.parametrize(
    ("package", "revision", "target", "data", "code"),
    [
        ("lain.v1", 0, "", CONTRACT, Code.CONTRACT_UNKNOWN),
        (PACKAGE, 2, "", CONTRACT, Code.CONTRACT_UNKNOWN),
        (PACKAGE, 0, "", b"\xff", Code.PROTOSET_INVALID),
        (PACKAGE, 0, "", directories.descriptor_set("a.v1.B"), Code.PROTOSET_LACKS_SERVICE),
        (PACKAGE, 0, "nowhere", b"", Code.CONFIG_INVALID),
        (PACKAGE, 0, "127.0.0.1:1", b"", Code.SERVICE_UNREACHABLE),
    ],
)
async def test_what_cannot_be_compared_is_refused(
    desk: Desk, package: str, revision: int, target: str, data: bytes, code: Code
) -> None:
    with pytest.raises(SimpulError) as caught:
        await check(desk, package, revision, target, data)
    assert caught.value.code is code


async def test_what_is_published_is_compared_with_what_answers(tmp_path: Path) -> None:
    tls = service_tls(NodeHome(tmp_path), ServicesSection())
    async with described(CONTRACT, SERVICE) as target:
        assert await compare_target(target, CONTRACT, [SERVICE], tls) == ""
    async with described(changed(_other_number), SERVICE) as target:
        with pytest.raises(SimpulError) as caught:
            await compare_target(target, CONTRACT, [SERVICE], tls)
    assert caught.value.code is Code.CONTRACT_DIFFERS
    assert target in caught.value.message
    assert caught.value.details["count"] == "2"
    # Not every server tells; and one may tell of others alone.
    async with described(CONTRACT) as target:
        assert "no server reflection" in await compare_target(target, CONTRACT, [SERVICE], tls)
    async with described(directories.descriptor_set("a.v1.B"), "a.v1.B") as target:
        assert "does not describe" in await compare_target(target, CONTRACT, [SERVICE], tls)


async def test_what_answers_is_not_read_on_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def read(shown: bytes) -> Any:
        threads.append(threading.current_thread())
        return contract_pool(shown)

    monkeypatch.setattr(conforming, "contract_pool", read)
    tls = service_tls(NodeHome(tmp_path), ServicesSection())
    async with described(CONTRACT, SERVICE) as target:
        assert await compare_target(target, CONTRACT, [SERVICE], tls) == ""
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
