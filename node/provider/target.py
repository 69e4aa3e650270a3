"""Where a service is: `HOST:PORT`, speaking HTTP/2 without TLS on a trusted network."""

from __future__ import annotations

from runtime.ports import UnixAddress, parse_address
from security.errors import Code, SimpulError


def check_target(target: str) -> None:
    """Check a target before it is published.

    Raises:
        SimpulError: It is no HOST:PORT with a port of its own, or it is a Unix socket, which this
            version can't call (CONFIG_INVALID).
    """
    address = parse_address(target)
    if isinstance(address, UnixAddress):
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"{target}: services behind a Unix socket can't be called; have the service listen on "
            "a loopback port and give 127.0.0.1:PORT",
            target=target,
        )
    if address.port == 0:
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"{target}: port 0 is no service's; give the port that it listens on",
            target=target,
        )
