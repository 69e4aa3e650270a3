"""Looks at addresses: each is reached as the program itself would, and no further.

Many are asked at once, so a dead one delays none.
"""

from __future__ import annotations

import socket
import ssl
import urllib.error
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from typing import Final, TypeVar

from runtime.doctor.findings import Finding
from runtime.ports import Address, TcpAddress, parse_address

TIMEOUT_S: Final = 3.0
AT_ONCE: Final = 16

_Thing = TypeVar("_Thing")


def connect(address: Address) -> socket.socket:
    """A connection; raises OSError."""
    if isinstance(address, TcpAddress):
        return socket.create_connection((address.host, address.port), TIMEOUT_S)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.settimeout(TIMEOUT_S)
    try:
        opened.connect(str(address.path))
    except OSError:
        opened.close()
        raise
    return opened


def shown_sha256(address: str) -> str:
    """SHA-256, in hex, of the certificate that a TLS port shows: who pins it asks no authority.

    Raises:
        OSError: nothing answers, or not by TLS.
        SimpulError: CONFIG_INVALID, `address` is none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with closing(connect(parse_address(address))) as raw, context.wrap_socket(raw) as secured:
        return sha256(secured.getpeercert(binary_form=True) or b"").hexdigest()


def each(things: Sequence[_Thing], look: Callable[[_Thing], Finding | None]) -> list[Finding]:
    """What `look` finds at each, in order; nothing where it gives None."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [found for found in pool.map(look, things) if found is not None]


def why(error: Exception) -> str:
    """What kept a connection from coming up, in a few words."""
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        return why(error.reason)
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, TimeoutError):
        return f"no answer in {TIMEOUT_S:g} s"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
