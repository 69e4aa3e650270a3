"""TLS at the gateway: an app that shows a certificate is known by it, and by nothing it says."""

import json
from collections.abc import Iterator

import grpc
import pytest

from node.gateway.envoy import GatewayTls
from runtime.clock import now_ms
from runtime.ports import TcpAddress
from security.certificate import from_pem, make_server_certificate, to_pem
from security.hashing import sha256
from tests.unit.node.gateway.envoys import Envoy, envoy, free_port, wait_until_listening

NAME = "registry.id.simpul.internal"


@pytest.fixture(scope="module")
def pair() -> tuple[bytes, bytes]:
    """A key and a self-issued certificate; it serves as the gateway's and as an app's."""
    key, certificate = make_server_certificate("ID", now_ms(), 30, 1)
    return key, to_pem(certificate)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, pair: tuple[bytes, bytes]) -> Iterator[Envoy]:
    folder = tmp_path_factory.mktemp("tls")
    (folder / "key.pem").write_bytes(pair[0])
    (folder / "chain.pem").write_bytes(pair[1])
    tls = GatewayTls(folder / "chain.pem", folder / "key.pem")
    with free_port() as port, envoy(folder, TcpAddress("127.0.0.1", port), tls=tls) as one:
        wait_until_listening(one)
        yield one


def seen(
    one: Envoy, credentials: grpc.ChannelCredentials, *metadata: tuple[str, str]
) -> dict[str, object]:
    options = [("grpc.ssl_target_name_override", NAME), ("grpc.enable_http_proxy", 0)]
    with grpc.secure_channel(str(one.address), credentials, options=options) as channel:
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/t.T/Who")
        answer = ask(b"", timeout=10, metadata=metadata)
    found: dict[str, object] = json.loads(answer)
    return found


def test_an_app_is_known_by_its_certificate(secured: Envoy, pair: tuple[bytes, bytes]) -> None:
    key, chain = pair
    shown = seen(secured, grpc.ssl_channel_credentials(chain, key, chain))
    assert shown["certificate_sha256"] == sha256(from_pem(chain)[0]).hex()


def test_an_app_without_one_has_none_whatever_it_says(
    secured: Envoy, pair: tuple[bytes, bytes]
) -> None:
    forged = ("x-forwarded-client-cert", f"Hash={'ab' * 32}")
    shown = seen(secured, grpc.ssl_channel_credentials(pair[1]), forged)
    assert shown["certificate_sha256"] is None
