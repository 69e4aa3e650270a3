"""A grpc.aio server and channel with mutual TLS, as a worker's links need, for the trial."""

from __future__ import annotations

import datetime as dt
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(name: str) -> tuple[bytes, bytes]:
    """A self-signed P-256 certificate for `name` and localhost: (key PEM, certificate PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName(name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=1))
    builder = builder.not_valid_after(now + dt.timedelta(days=1)).add_extension(
        names, critical=False
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return secret, pem


class Echo(grpc.GenericRpcHandler):
    """Every method is a raw unary echo."""

    def service(self, details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401 - raw bytes, no stubs
        """Any method."""
        kind = str(details.method).rpartition("/")[2]
        if kind == "Bidi":
            return grpc.stream_stream_rpc_method_handler(_bidi)
        return grpc.unary_unary_rpc_method_handler(_echo)


async def _echo(message: bytes, _context: object) -> bytes:
    return message


async def _read(context: Any) -> Any:  # noqa: ANN401 - bytes or EOF, which the stubs deny
    return await context.read()


async def _bidi(_iterator: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
    await context.send_initial_metadata(())
    while (message := await _read(context)) is not grpc.aio.EOF:
        await context.write(message)


async def link_pair() -> tuple[grpc.aio.Server, grpc.aio.Channel, bytes]:
    """A mutual-TLS server and a channel to it in this loop, and the answer of one call."""
    key, cert = certificate("node.test")
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    creds = grpc.ssl_server_credentials([(key, cert)], cert, require_client_auth=True)
    port = server.add_secure_port("localhost:0", creds)
    await server.start()
    mine = grpc.ssl_channel_credentials(cert, key, cert)
    options = [("grpc.enable_http_proxy", 0)]
    channel = grpc.aio.secure_channel(f"localhost:{port}", mine, options)
    call: Any = channel.unary_unary("/trial.Link/Unary")
    return server, channel, bytes(await call(b"linked"))
