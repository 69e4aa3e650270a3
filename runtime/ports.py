"""Addresses to listen on: parsed strictly, and tried before a server starts.

It does not start servers. It also finds free ports for programs that live side by side on one
machine. Two forms are known: `HOST:PORT` (`127.0.0.1:8443`, `[::1]:0`) and
`unix:PATH`. A host is not resolved here; port 0 means a free one of the system's choice.

Rules: an address parses in one way only, and prints as it was written; a port that is taken is
PORT_IN_USE, with the setting to change in the message, and never a server that shares it silently.
"""

import errno
import ipaddress
import random
import re
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from security.errors import Code, SimpulError

MAX_PORT = 65_535
# Linux: the address structure holds 108 bytes, one of them the final zero.
MAX_UNIX_PATH_BYTES = 107
LOOPBACK = "127.0.0.1"
# Where the kernel takes ports for outgoing connections from, as "LOW HIGH".
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
# Linux's own, where the machine doesn't say.
_LOWEST_OUTGOING = 32_768
_LOWEST_FREE = 10_000
_ENOUGH = 1_000

_HOST_PORT = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d+)"
)


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host as it was written, without brackets, and a port from 0 to 65535."""

    host: str
    port: int

    @property
    def is_unspecified(self) -> bool:
        """Whether it means every address of this machine: to listen on, and nothing to be told."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A path in the file system."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """`HOST:PORT`, `[V6]:PORT` or `unix:PATH`.

    Raises:
        SimpulError: CONFIG_INVALID, when it is none of these.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path or "\0" in path or len(path.encode()) > MAX_UNIX_PATH_BYTES:
            raise _invalid(text, f"a path of 1 to {MAX_UNIX_PATH_BYTES} bytes after unix:")
        return UnixAddress(path)
    match = _HOST_PORT.fullmatch(text)
    if match is None or not text.isascii() or not (match["v6"] is None or _is_v6(match["v6"])):
        raise _invalid(text, "HOST:PORT, [IPV6]:PORT or unix:PATH")
    digits = match["port"]
    # One spelling for one port: 080 is refused, as is what int() alone would take.
    if str(int(digits[:6])) != digits or int(digits) > MAX_PORT:
        raise _invalid(text, f"a port from 0 to {MAX_PORT}")
    return TcpAddress(match["v6"] or match["host"], int(digits))


def _is_v6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def ensure_free(address: Address, setting: str) -> None:
    """Binds `address` and lets it go again, so that a taken one is said before anything starts.

    Another program may take it in between: servers bind without sharing, so that fails too, later.

    Args:
        address: Where a server is about to listen. Port 0 is always free.
        setting: The key that holds it, for the message: `gateway.listen`.

    Raises:
        SimpulError: PORT_IN_USE, when somebody listens there; CONFIG_INVALID, when this machine has
            no such address or the program may not listen on it.
    """
    try:
        if isinstance(address, UnixAddress):
            _try_unix(address)
        else:
            _try_tcp(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SimpulError(
                Code.PORT_IN_USE,
                f"{address} is in use: stop the program that listens there, or change {setting}",
                setting=setting,
                address=str(address),
            ) from error
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"can't listen on {address} ({error.strerror or error}): change {setting}",
            setting=setting,
            address=str(address),
        ) from error


def free_addresses(count: int) -> tuple[TcpAddress, ...]:
    """Different loopback addresses where nobody listens now, so that a restart keeps its ports.

    Raises:
        SimpulError: PORT_IN_USE, when there are too few.
    """
    ports = inbound_ports()
    found: list[TcpAddress] = []
    with ExitStack() as held:
        for port in random.sample(ports, min(len(ports), 50 * count)):
            probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            with suppress(OSError):
                probe.bind((LOOPBACK, port))
                found.append(TcpAddress(LOOPBACK, port))
            if len(found) == count:
                return tuple(found)
    raise SimpulError(
        Code.PORT_IN_USE,
        f"this machine has hardly a free port from {ports.start} to {ports.stop - 1}: say by "
        "options or configuration which ones to use",
    )


def inbound_ports() -> range:
    """Ports that no outgoing connection of this machine is given.

    A program that dials such a port while nobody listens there may be connected to itself, and then
    holds the port. Where the machine leaves hardly any, those that Linux leaves by default.
    """
    try:
        lowest = int(_OUTGOING.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        lowest = _LOWEST_OUTGOING
    enough = lowest - _LOWEST_FREE >= _ENOUGH
    return range(_LOWEST_FREE, min(lowest, _LOWEST_OUTGOING) if enough else _LOWEST_OUTGOING)


def _try_tcp(address: TcpAddress) -> None:
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    for family, kind, protocol, _, target in found:
        with socket.socket(family, kind, protocol) as probe:
            # A port whose last connections are still closing is free; one that is listened on is
            # not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
            probe.listen(1)


def _try_unix(address: UnixAddress) -> None:
    path = Path(address.path)
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "its folder does not exist")
    if not path.exists():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            # Left behind by a program that is gone: a server replaces it.
            return
    raise OSError(errno.EADDRINUSE, "in use")


def _invalid(text: str, expected: str) -> SimpulError:
    return SimpulError(
        Code.CONFIG_INVALID, f"{text!r} is no address: write {expected}", address=text
    )
