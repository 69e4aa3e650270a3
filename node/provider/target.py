"""Where a service is, in one of four spellings.

    HOST:PORT            HTTP/2 without TLS, on a trusted network
    http://HOST:PORT     the same
    https://HOST:PORT    with TLS: the service shows a certificate for HOST, and this node its own
    unix:PATH            a Unix socket; unix:///PATH is as good

Rule: a target parses in one way only, and what is refused says what to write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runtime.ports import Address, TcpAddress, UnixAddress, parse_address
from security.errors import Code, SimpulError

_SCHEMES: Final = ("http://", "https://")
_UNIX: Final = "unix://"


@dataclass(frozen=True, slots=True)
class Target:
    """A service's address, and whether it is reached by TLS."""

    address: Address
    tls: bool = False

    def __str__(self) -> str:
        return f"https://{self.address}" if self.tls else str(self.address)

    @property
    def scheme(self) -> str:
        """What `:scheme` says."""
        return "https" if self.tls else "http"

    @property
    def authority(self) -> str:
        """What `:authority` says."""
        return "localhost" if isinstance(self.address, UnixAddress) else str(self.address)

    @property
    def grpc_name(self) -> str:
        """The same place in grpcio's spelling."""
        if isinstance(self.address, UnixAddress):
            return str(self.address)
        return f"dns:///{self.address}"


def parse_target(text: str) -> Target:
    """Read a target.

    Raises:
        SimpulError: It is none, or has no port of its own (CONFIG_INVALID).
    """
    scheme = next((each for each in _SCHEMES if text.startswith(each)), "")
    rest = text.removeprefix(scheme)
    if text.startswith(_UNIX):
        rest = "unix:" + text.removeprefix(_UNIX)
        if not rest.startswith("unix:/"):
            raise _invalid(text, "a socket's path is absolute: unix:///run/service.sock")
    elif "/" in rest and not rest.startswith("unix:"):
        raise _invalid(text, "nothing follows the port: the method's path comes from the call")
    if scheme and rest.startswith("unix:"):
        raise _invalid(text, "a socket is written unix:///run/service.sock")
    try:
        address = parse_address(rest)
    except SimpulError:
        raise _invalid(text, _advice(scheme, rest)) from None
    if isinstance(address, TcpAddress) and address.port == 0:
        raise _invalid(text, "port 0 is no service's; give the port that it listens on")
    return Target(address, tls=scheme == "https://")


def check_target(text: str) -> None:
    """Check a target before it is published.

    Raises:
        SimpulError: It is none, or has no port of its own (CONFIG_INVALID).
    """
    parse_target(text)


def _advice(scheme: str, rest: str) -> str:
    if rest and ":" not in rest:
        return f"the port is missing: write {scheme}{rest}:50051, with the service's own port"
    return "write HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:///PATH"


def _invalid(text: str, advice: str) -> SimpulError:
    return SimpulError(Code.CONFIG_INVALID, f"{text!r} is no target: {advice}", target=text)
