"""One HTTP/2 request exactly as given, valid or not, with hyper-h2; what came back, in short."""

from __future__ import annotations

import socket
from typing import Any

import h2.config  # type: ignore[import-not-found,unused-ignore]
import h2.connection  # type: ignore[import-not-found,unused-ignore]
import h2.events  # type: ignore[import-not-found,unused-ignore]


def exchange(  # noqa: C901 - one branch for each event
    target: str,
    head: list[tuple[str, str | bytes]],
    body: bytes,
    end_with_head: bool = False,  # noqa: FBT001, FBT002
    timeout_s: float = 1.5,
) -> list[Any]:
    """Send the request on a connection of its own and list the events until the stream ends."""
    config = h2.config.H2Configuration(
        client_side=True,
        header_encoding=None,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
        validate_inbound_headers=False,
    )
    conn = h2.connection.H2Connection(config)
    host, port = target.rsplit(":", 1)
    got: list[Any] = []
    with socket.create_connection((host, int(port)), timeout_s) as sock:
        conn.initiate_connection()
        conn.send_headers(1, head, end_stream=end_with_head)
        if not end_with_head:
            conn.send_data(1, body, end_stream=True)
        sock.sendall(conn.data_to_send())
        while True:
            try:
                data = sock.recv(65536)
            except TimeoutError:
                return [*got, "NO ANSWER"]
            if not data:
                return [*got, "connection closed"]
            for event in conn.receive_data(data):
                match event:
                    case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                        keep = (b":status", b"grpc-status", b"grpc-message", b"content-type")
                        fields = [
                            b"=".join(h).decode() for h in event.headers or [] if h[0] in keep
                        ]
                        kind = (
                            "head" if isinstance(event, h2.events.ResponseReceived) else "trailers"
                        )
                        got.append([kind, *fields])
                    case h2.events.DataReceived():
                        got.append(["data", len(event.data or b"")])
                    case h2.events.StreamReset():
                        return [*got, f"reset {event.error_code}"]
                    case h2.events.ConnectionTerminated():
                        return [*got, f"goaway {event.error_code}"]
                    case h2.events.StreamEnded():
                        return got
            sock.sendall(conn.data_to_send())
