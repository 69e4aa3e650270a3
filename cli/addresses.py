"""Where a new node listens, when its operator doesn't say.

A federation on one machine (the registry is on loopback) gets free ports on loopback, so that many
nodes live side by side. Otherwise the ports are the documented ones, apps and metrics stay on
loopback, and other nodes are told the address from which this machine reaches the registry.
"""

import ipaddress
import socket
from dataclasses import dataclass

from runtime.ports import LOOPBACK, TcpAddress, free_addresses, parse_address
from security.errors import Code, SimpulError

ANY = "0.0.0.0"  # noqa: S104  (other nodes come from everywhere)
GATEWAY_PORT = 8441
LINK_PORT = 8442
METRICS_PORT = 8443


@dataclass(frozen=True, slots=True)
class Addresses:
    """Of a node, as `node.toml` holds them."""

    listen: str
    advertise: str
    gateway: str
    metrics: str


def choose(
    registry: str,
    *,
    listen: str | None,
    advertise: str | None,
    gateway: str | None,
    metrics: str | None,
) -> Addresses:
    """The addresses given, and fitting ones for those that are None.

    Raises:
        SimpulError: CONFIG_INVALID, for an address that is none; REGISTRY_UNREACHABLE, when the
            registry's host has no address.
    """
    # Of several, which are replicas of one, the first speaks for all.
    place = _tcp(registry.partition(",")[0].strip(), "--registry")
    own = _own_host(place)
    local = _is_loopback(own)
    free = [address.port for address in free_addresses(3)] if local else None
    ports = free or [GATEWAY_PORT, LINK_PORT, METRICS_PORT]
    link = str(TcpAddress(LOOPBACK if local else ANY, ports[1])) if listen is None else listen
    return Addresses(
        listen=link,
        advertise=_advertised(_tcp(link, "--listen"), own) if advertise is None else advertise,
        gateway=str(TcpAddress(LOOPBACK, ports[0])) if gateway is None else gateway,
        metrics=str(TcpAddress(LOOPBACK, ports[2])) if metrics is None else metrics,
    )


def _advertised(listen: TcpAddress, own: str) -> str:
    """What other nodes are told: never the address that means all addresses."""
    return str(TcpAddress(own if listen.is_unspecified else listen.host, listen.port))


def _tcp(text: str, option: str) -> TcpAddress:
    address = parse_address(text)
    if isinstance(address, TcpAddress):
        return address
    raise SimpulError(Code.CONFIG_INVALID, f"{option} is {text}: give HOST:PORT")


def _own_host(registry: TcpAddress) -> str:
    """The address of this machine from which it would reach the registry. Nothing is sent."""
    try:
        ((family, _, _, _, target), *_) = socket.getaddrinfo(
            registry.host, registry.port, type=socket.SOCK_DGRAM
        )
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise SimpulError(
            Code.REGISTRY_UNREACHABLE,
            f"{registry.host} has no address that this machine can reach: check --registry",
        ) from error


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback
