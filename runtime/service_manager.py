"""What a program tells the service manager that started it: that it is up, that it is stopping.

Source: sd_notify(3), "Notes": one datagram to the socket that NOTIFY_SOCKET names.
"""

import os
import socket
from contextlib import suppress
from typing import Final

VARIABLE: Final = "NOTIFY_SOCKET"


def tell_ready() -> None:
    """All is up. Without a service manager nothing is told."""
    _tell(b"READY=1")


def tell_stopping() -> None:
    """It stops in order now."""
    _tell(b"STOPPING=1")


def _tell(state: bytes) -> None:
    address = os.environ.get(VARIABLE, "")
    if not address.startswith(("/", "@")):
        return
    # A name that begins with @ lies in the kernel's own name space, where that is a zero byte.
    place = "\0" + address[1:] if address.startswith("@") else address
    # A manager that went away is no reason to stop working.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.sendto(state, place)
