"""Starts real Envoys with the tests' host inside, and speaks HTTP/2 to them frame by frame."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from node.gateway.envoy import EnvoyPlan, GatewayTls, command, environment, write_bootstrap
from node.gateway.limits import CallLimits
from runtime.ports import Address, TcpAddress
from security.errors import SimpulError

APP = "tests.unit.node.gateway.host_app:app"
HEAD = (
    (":method", "POST"), (":scheme", "http"), (":path", "/t.T/Unary"), (":authority", "x"),
    ("content-type", "application/grpc"), ("te", "trailers"),
)  # fmt: skip
WAIT_S = 20.0
FRAME = 16_384


@dataclass
class Envoy:
    address: Address
    process: subprocess.Popen[bytes]
    admin: Path
    log: Path


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port that several Envoys may listen on, held until the end."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextlib.contextmanager
def envoy(
    folder: Path, address: Address, name: str = "0", *, tls: GatewayTls | None = None, **env: str
) -> Iterator[Envoy]:
    """A running Envoy that need not listen yet."""
    file, admin, log = (folder / f"{kind}-{name}" for kind in ("config", "admin", "log"))
    plan = EnvoyPlan(
        address, APP, admin, CallLimits(max_metadata_bytes=8192), shared_port=True, tls=tls
    )
    try:
        write_bootstrap(plan, file)
        variables = {"PATH": os.environ["PATH"], **environment(), **env}
        arguments = command(file)
    except SimpulError as error:
        pytest.skip(f"no gateway on this machine: {error.message}")
    with log.open("wb") as out:
        process = subprocess.Popen(arguments, env=variables, stdout=out, stderr=out)
    try:
        yield Envoy(address, process, admin, log)
    finally:
        process.terminate()
        process.wait(WAIT_S)


def wait_until_listening(one: Envoy) -> None:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if isinstance(one.address, TcpAddress):
                socket.create_connection((one.address.host, one.address.port)).close()
            else:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(one.address.path)
            return
        assert one.process.poll() is None, one.log.read_text(encoding="utf-8")
        time.sleep(0.02)
    raise TimeoutError(one.log.read_text(encoding="utf-8"))


@dataclass
class Raw:
    """What came back on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reset: int | None = None
    trailers_only: bool = False

    @property
    def status(self) -> str | None:
        return self.trailers.get("grpc-status") or self.headers.get("grpc-status")


def frame(data: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(data).to_bytes(4, "big") + data


def exchange(
    port: int, body: bytes = frame(b"x"), *, timeout_s: float = 5.0, **change: str | bytes | None
) -> Raw:
    """One request, valid or not, on a connection of its own.

    Keys of `change` replace or add headers, `_` for `-`, `path` for `:path`; None leaves one out.
    """
    names = {"path": ":path", "method": ":method"}
    fields: dict[str, str | bytes | None] = dict(HEAD)
    for key, value in change.items():
        fields[names.get(key, key.replace("_", "-"))] = value
    head = [(key, value) for key, value in fields.items() if value is not None]
    config = h2.config.H2Configuration(
        client_side=True,
        header_encoding="latin-1",
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
        validate_inbound_headers=False,
    )
    conn = h2.connection.H2Connection(config)
    raw = Raw()
    with socket.create_connection(("127.0.0.1", port), timeout_s) as sock:
        conn.initiate_connection()
        conn.send_headers(1, head)
        for at in range(0, len(body), FRAME):
            conn.send_data(1, body[at : at + FRAME])
        conn.end_stream(1)
        sock.sendall(conn.data_to_send())
        while data := sock.recv(65536):
            for event in conn.receive_data(data):
                if _take(raw, event):
                    return raw
            sock.sendall(conn.data_to_send())
    return raw


def _take(raw: Raw, event: h2.events.Event) -> bool:
    match event:
        case h2.events.ResponseReceived():
            raw.headers = {str(key): str(value) for key, value in event.headers or []}
            raw.trailers_only = event.stream_ended is not None
        case h2.events.TrailersReceived():
            raw.trailers = {str(key): str(value) for key, value in event.headers or []}
        case h2.events.DataReceived():
            raw.body += event.data or b""
        case h2.events.StreamReset():
            raw.reset = int(event.error_code or 0)
            return True
        case h2.events.StreamEnded() | h2.events.ConnectionTerminated():
            return True
    return False
