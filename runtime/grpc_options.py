"""The options of every grpcio channel and server of ours, each with its reason.

grpcio's defaults suit a lone call inside one data centre. Here a peer may be hostile, a network may
freeze without closing, and one connection may carry a day's traffic. What was chosen was measured
on the pinned version: docs/adr/0002. Names are gRPC core's argument keys.
"""

import os

Options = tuple[tuple[str, int | str], ...]

# A suite that our certificates, all of them on elliptic curves, can't be used with.
_NO_SUITE_OF_TLS_12 = "ECDHE-RSA-AES128-GCM-SHA256"

# Headers of one request or answer. Past the soft limit core refuses at random, up to the hard one,
# which is a quarter more; both ends and both directions need the same figure.
MAX_METADATA_BYTES = 65_536

# A link's largest message: a parcel of 256 KiB of entries with their payloads, and room to grow.
# The parcel's own limit refuses earlier, and by name.
DEFAULT_MAX_MESSAGE_BYTES = 4 * 1024 * 1024

# A frozen peer is seen after at most the sum of these two.
PING_EVERY_MS = 10_000
PING_TIMEOUT_MS = 5_000

# What a peer may send on one stream before it is read here. The default follows the line's speed
# and holds 4 to 6 MB for each stream that nobody reads: a hundred stalled calls, half a gigabyte.
# This is 100 Mbit/s for one stream over 80 ms, the length of the country; calls add up.
STREAM_WINDOW_BYTES = 1024 * 1024

# Calls that the event loop has not accepted yet. The default is about 1,000, and what is over it is
# answered CANCELLED, as if the caller had given up: a burst of 6,000 lost 2,364 calls that way.
MAX_PENDING_REQUESTS = 100_000
MAX_PENDING_REQUESTS_HARD = 200_000
# How long they may wait for that. The default is 30 s, and then all that wait are answered
# CANCELLED together: on a starved machine 200 streams at once lost those that the loop had not come
# to yet.
MAX_PENDING_S = 3_600

RECONNECT_FIRST_MS = 100
RECONNECT_MAX_MS = 2_000


def refuse_old_tls() -> None:
    """Leaves TLS 1.3 as the only version, in this process, for channels and ports made from now on.

    grpcio has no option for it: but when the only TLS 1.2 suite that is allowed can't be used with
    the certificate, no TLS 1.2 handshake succeeds, and the suites of 1.3 are not touched by this.
    """
    os.environ["GRPC_SSL_CIPHER_SUITES"] = _NO_SUITE_OF_TLS_12


def server_options(*, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> Options:
    """For `grpc.aio.server(options=…)`."""
    return (
        *_both_ends(max_message_bytes),
        # With the default, two servers share a port silently, and each sees half of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.server.max_pending_requests", MAX_PENDING_REQUESTS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_REQUESTS_HARD),
        ("grpc.server_max_unrequested_time_in_server", MAX_PENDING_S),
        # The default ends a peer that pings an idle connection: "too many pings". Half the interval
        # leaves room for a clock that runs fast.
        ("grpc.http2.min_ping_interval_without_data_ms", PING_EVERY_MS // 2),
    )


def channel_options(
    *,
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    target_name: str | None = None,
) -> Options:
    """For `grpc.aio.secure_channel(options=…)` and `insecure_channel`.

    Args:
        max_message_bytes: Of one message, after decompression; a larger one is RESOURCE_EXHAUSTED.
        target_name: The DNS name that the server's certificate must hold, where it is not that of
            the address. None: the address's own.
    """
    named: Options = (
        () if target_name is None else (("grpc.ssl_target_name_override", target_name),)
    )
    return (
        *_both_ends(max_message_bytes),
        # `http_proxy` in the environment would otherwise carry calls away, even to 127.0.0.1.
        ("grpc.enable_http_proxy", 0),
        # At most once: a call is never sent again by a library that can't know whether it ran.
        ("grpc.enable_retries", 0),
        # Otherwise two channels with equal options share one connection, and bulk traffic delays
        # small calls.
        ("grpc.use_local_subchannel_pool", 1),
        # The defaults wait for seconds after a short outage, and up to two minutes after a long
        # one.
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_FIRST_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_MS),
        *named,
    )


def _both_ends(max_message_bytes: int) -> Options:
    return (
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES * 5 // 4),
        # Without the probe, windows stay as they are set; without it alone, at 64 KiB.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", STREAM_WINDOW_BYTES),
        ("grpc.keepalive_time_ms", PING_EVERY_MS),
        ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
        # The timeout above is not honoured by itself: without this one it is 60 s.
        ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
        # The default stops after two pings on an idle stream, and a link is idle at night.
        ("grpc.http2.max_pings_without_data", 0),
    )
