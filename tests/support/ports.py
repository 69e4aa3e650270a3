"""Ports for tests whose nodes and programs must come back to the same ones.

A node is told its ports when it joins, and listens later: what is random, or taken by an outgoing
connection, may be somebody else's by then. Here each process of a test run counts through a range
of its own, below every range from which kernels take ports for outgoing connections.
"""

import itertools
import os
import socket
from contextlib import suppress

_LOWEST = 3_000
# Of one process of the run. Two of them end below those that programs are given by default.
_EACH = 3_500

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 2
_FIRST = _LOWEST + _WORKER * _EACH
# Not all runs on a machine begin with the same one.
_NEXT = itertools.cycle(_FIRST + (os.getpid() + step) % _EACH for step in range(_EACH))


def free_port() -> int:
    """A loopback port that no other test of this run was given lately, and nobody listens on."""
    for port in itertools.islice(_NEXT, _EACH):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def node_ports() -> tuple[str, ...]:
    """Where a node that joins is to listen, as options of `simpul node init`."""
    options = ("--gateway", "--listen", "--metrics")
    return tuple(word for name in options for word in (name, f"127.0.0.1:{free_port()}"))
