"""Targets: how they are written, and each kind with a real service behind it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from node.calls import Message, OutboundRequest
from node.config import ServicesSection
from node.gateway.limits import CallLimits
from node.home import KeyName, NodeHome
from node.provider.dial import fault_of_target
from node.provider.services import HttpServices
from node.provider.target import Target, parse_target
from node.provider.tls import ServiceTls, service_tls
from runtime.clock import now_ms
from runtime.ports import TcpAddress, UnixAddress
from security import certificate
from security.errors import Code, SimpulError
from security.identifiers import NodeId
from tests.unit.node.provider.certificates import Files, make

ASK = OutboundRequest("/t.T/Ask", (), 5000)
HOST = TcpAddress("wisata.internal", 50051)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("wisata.internal:50051", Target(HOST)),
        ("http://wisata.internal:50051", Target(HOST)),
        ("https://wisata.internal:50051", Target(HOST, tls=True)),
        ("https://[::1]:1", Target(TcpAddress("::1", 1), tls=True)),
        ("unix:/run/x.sock", Target(UnixAddress("/run/x.sock"))),
        ("unix:///run/x.sock", Target(UnixAddress("/run/x.sock"))),
    ],
)
def test_the_spellings_of_a_target(text: str, target: Target) -> None:
    assert parse_target(text) == target
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("localhost", "the port is missing: write localhost:50051"),
        ("https://wisata.internal", "write https://wisata.internal:50051"),
        ("https://wisata.internal:50051/", "nothing follows the port"),
        ("http://a:1/path", "nothing follows the port"),
        ("127.0.0.1:0", "port 0 is no service's"),
        ("127.0.0.1:65536", "write HOST:PORT"),
        ("unix:", "write HOST:PORT"),
        ("unix://run/x.sock", "a socket's path is absolute"),
        ("http://unix:/x", "a socket is written unix:///"),
        ("grpc://a:1", "nothing follows the port"),
        ("", "write HOST:PORT"),
        ("a b:1", "write HOST:PORT"),
        ("user@a:1", "write HOST:PORT"),
    ],
)
def test_what_is_no_target_says_what_to_write(text: str, advice: str) -> None:
    with pytest.raises(SimpulError, match=r".") as caught:
        parse_target(text)
    assert caught.value.code is Code.CONFIG_INVALID
    assert advice in caught.value.message


class Echo(grpc.GenericRpcHandler):
    """Answers the message, and says who asks."""

    def service(self, _details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, request: bytes, context: Any) -> bytes:
        names = context.auth_context().get("x509_common_name", [b"nobody"])
        context.set_trailing_metadata((("x-who", names[0].decode()),))
        return request


@contextlib.asynccontextmanager
async def served(address: str, credentials: Any = None) -> AsyncIterator[str]:
    server = aio.server(handlers=[Echo()], options=[("grpc.so_reuseport", 0)])
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def service_files(folder: Path) -> Files:
    return make(folder, "service")


@pytest.fixture(scope="module")
def node_files(folder: Path) -> Files:
    return make(folder, "node")


def credentials(service: Files, node: Files, *, mutual: bool) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(service.key.read_bytes(), service.certificate.read_bytes())],
        root_certificates=node.ca.read_bytes() if mutual else None,
        require_client_auth=mutual,
    )


async def answered(target: str, tls: ServiceTls | None) -> tuple[int, str]:
    services = HttpServices(CallLimits(), tls)
    try:
        got = await services.unary(target, ASK, Message(b"x"))
    finally:
        await services.close()
    assert got.message == Message(b"x") or got.trailers.status
    return got.trailers.status, dict(got.trailers.metadata).get("x-who", b"").decode()


async def test_a_service_behind_a_unix_socket() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        async with served(f"unix:{place}/s"):
            assert await answered(f"unix://{place}/s", None) == (0, "nobody")
            assert await answered(f"unix:{place}/s", None) == (0, "nobody")
        reason = await fault_of_target(parse_target(f"unix://{place}/none"), None)
        assert reason == "there is no such socket; start the service, or mend the path"


@pytest.mark.parametrize(("mutual", "who"), [(True, "node"), (False, "nobody")])
async def test_a_service_over_tls_knows_its_node(
    service_files: Files, node_files: Files, mutual: bool, who: str
) -> None:
    tls = ServiceTls(node_files.certificate, node_files.key, service_files.ca)
    async with served(
        "127.0.0.1:0", credentials(service_files, node_files, mutual=mutual)
    ) as address:
        assert await answered(f"https://{address}", tls) == (0, who)
        assert await fault_of_target(parse_target(f"https://{address}"), tls) is None


async def test_a_node_shows_what_the_federation_gave_it(
    folder: Path, service_files: Files, node_files: Files
) -> None:
    authority = certificate.make_authority("ID", now_ms(), 1)
    key, node = certificate.make_key(), NodeId.parse("ID/~labuan-bajo-1")
    issued = certificate.issue(
        *authority, certificate.make_request(key, node), node, now_ms(), 30, 2
    )
    home = NodeHome(folder)
    for file in (home.key_file(KeyName.TLS), home.chain):
        file.parent.mkdir(exist_ok=True)
    home.key_file(KeyName.TLS).write_bytes(key)
    home.chain.write_bytes(certificate.to_pem(issued))
    known = replace(node_files, ca=folder / "federation.pem")
    known.ca.write_bytes(certificate.to_pem(authority[1]))
    own = service_tls(home, ServicesSection(ca_file=service_files.ca.name))
    async with served("127.0.0.1:0", credentials(service_files, known, mutual=True)) as address:
        status, _ = await answered(f"https://{address}", own)
        assert status == 0
        other = service_tls(
            home,
            ServicesSection(
                ca_file=str(service_files.ca), certificate="node.pem", key="node-key.pem"
            ),
        )
        assert other.certificate == node_files.certificate
        with pytest.raises(SimpulError, match="can't reach the service"):
            await answered(f"https://{address}", other)
    with pytest.raises(SimpulError, match="belong together"):
        service_tls(home, ServicesSection(key="node-key.pem"))


async def test_what_is_wrong_with_tls_is_said(service_files: Files, node_files: Files) -> None:
    right = ServiceTls(node_files.certificate, node_files.key, service_files.ca)
    foreign = ServiceTls(service_files.certificate, service_files.key, service_files.ca)
    elsewhere = ServiceTls(node_files.certificate, node_files.key, node_files.ca)
    none = ServiceTls(node_files.certificate, node_files.ca, service_files.ca)

    async def fault(target: str, tls: ServiceTls | None) -> str:
        services = HttpServices(CallLimits(), tls)
        with pytest.raises(SimpulError, match="operators") as caught:
            await services.unary(target, ASK, Message(b"x"))
        await services.close()
        assert caught.value.code is Code.SERVICE_UNREACHABLE
        return await fault_of_target(parse_target(target), tls) or ""

    async with served("127.0.0.1:0", credentials(service_files, node_files, mutual=True)) as at:
        assert "its certificate is not accepted" in await fault(f"https://{at}", elsewhere)
        assert "where it wants TLS, write https://" in await fault(f"http://{at}", right)
        assert "see services.certificate" in await fault(f"https://{at}", foreign)
        assert "services.key" in await fault(f"https://{at}", none)
        assert "not set up" in await fault(f"https://{at}", None)
    async with served("127.0.0.1:0") as at:
        assert "where it has no TLS, write http://" in await fault(f"https://{at}", right)


async def test_a_server_that_is_no_grpc_server_is_named(service_files: Files) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(service_files.certificate, service_files.key)
    context.set_alpn_protocols(["http/1.1"])

    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    tls = ServiceTls(service_files.certificate, service_files.key, service_files.ca)
    for scheme, own in (("http", None), ("https", context)):
        server = await asyncio.start_server(old, "127.0.0.1", 0, ssl=own)
        port = server.sockets[0].getsockname()[1]
        reason = await fault_of_target(parse_target(f"{scheme}://127.0.0.1:{port}"), tls)
        assert reason is not None
        assert "it does not speak HTTP/2 there" in reason
        server.close()
        await server.wait_closed()
    reason = await fault_of_target(parse_target(f"127.0.0.1:{port}"), None)
    assert reason == "nothing listens there; start the service, or mend the port"
