"""A running registry as nodes and operators meet it: real sockets, TLS, gRPC."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest

from registry import app
from registry.home import Endpoints
from runtime.clock import now_ms
from runtime.grpc_errors import from_rpc_error
from runtime.grpc_options import channel_options
from runtime.ports import TcpAddress, parse_address
from security.errors import SimpulError
from security.identifiers import MemberId, NodeId
from security.token import EnrolmentToken, parse_token
from simpul.registry.v1 import admin_pb2, admin_pb2_grpc
from simpul.v1 import registry_pb2, registry_pb2_grpc
from tests.unit.registry.conftest import KOMODO, LABUAN, Actor

DNS_NAME = "registry.id.simpul.internal"


@dataclass(frozen=True)
class Running:
    """The two ends that a registry shows."""

    endpoints: Endpoints
    certificate_pem: bytes
    # The asynchronous stubs are in the stub files only.
    nodes: "registry_pb2_grpc.RegistryAsyncStub"
    admin: "admin_pb2_grpc.RegistryAdminAsyncStub"

    async def token(
        self, member: MemberId = KOMODO, node: NodeId = LABUAN, name: str = ""
    ) -> EnrolmentToken:
        """A token, as an operator makes it."""
        answer = await self.admin.CreateEnrolment(
            admin_pb2.CreateEnrolmentRequest(
                member=str(member),
                node_name=node.name,
                legal_name=name or f"Kabupaten {member.code}",
            )
        )
        return parse_token(answer.token)

    async def joined(self, member: MemberId = KOMODO, node: NodeId = LABUAN) -> Actor:
        """A node that has joined."""
        token = await self.token(member, node)
        actor = Actor(member=member, node=node, secret=token.secret, now_ms=now_ms())
        await self.nodes.Enrol(enrol_request(actor))
        return actor


def enrol_request(actor: Actor, **changed: object) -> registry_pb2.EnrolRequest:
    data, signature = actor.sign_enrolment(actor.enrolment(**changed))
    return registry_pb2.EnrolRequest(enrolment=data, signature=signature)


def change_request(actor: Actor, **fields: object) -> registry_pb2.ChangeRequest:
    data, signature = actor.sign_change(actor.change(**fields))
    return registry_pb2.ChangeRequest(change=data, signature=signature)


async def refusal(call: Any) -> tuple[SimpulError, grpc.StatusCode]:
    """The error and the status with which a call ends."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value), caught.value.code()


def shown_certificate(address: str) -> bytes:
    """The certificate that a port shows, in PEM, as whoever pins it fetches it."""
    parsed = parse_address(address)
    if not isinstance(parsed, TcpAddress):
        raise TypeError(address)
    return ssl.get_server_certificate((parsed.host, parsed.port)).encode()


def certificate_sha256(pem: bytes) -> bytes:
    return sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).digest()


@asynccontextmanager
async def run(home: Path) -> AsyncIterator[Running]:
    """The registry at `home`, with a node's channel and an operator's."""
    async with app.running(home) as endpoints:
        pem = await asyncio.to_thread(shown_certificate, endpoints.grpc)
        credentials = grpc.ssl_channel_credentials(pem)
        options = channel_options(target_name=DNS_NAME, max_message_bytes=8 * 1024 * 1024)
        async with (
            grpc.aio.secure_channel(endpoints.grpc, credentials, options) as nodes,
            grpc.aio.insecure_channel(endpoints.admin, channel_options()) as admin,
        ):
            yield Running(
                endpoints,
                pem,
                registry_pb2_grpc.RegistryStub(nodes),
                admin_pb2_grpc.RegistryAdminStub(admin),
            )


async def until(done: Callable[[], bool], *, timeout_s: float = 5) -> None:
    """Waits a few seconds for `done`; longer where a process must start first."""
    async with asyncio.timeout(timeout_s):
        while not done():
            await asyncio.sleep(0.01)
