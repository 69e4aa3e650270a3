"""A node whose seal key signs at most a hundred times a second: a stand-in for an HSM.

    python -m bench.slow_signer HOME

serves the node of HOME as `simpul node serve` does, but for its workers' seal key. For the bench
only; the key is the node's own, and the seals are good.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, Final

import node.processes
from node.entry import start_worker
from node.gateway.asgi import GatewayApp, GatewayHost
from node.home import KeyName, NodeHome
from node.supervisor import serve
from security.keys import PrivateKey

SIGNATURES_PER_S: Final = 100


class SlowKey(PrivateKey):
    """A private key whose signatures take the hundredth of a second that an HSM's would."""

    __slots__ = ()

    def sign(self, domain: bytes, data: bytes) -> bytes:
        """As it is done, later."""
        time.sleep(1 / SIGNATURES_PER_S)
        return super().sign(domain, data)


async def _start() -> GatewayHost:
    """Start the worker, with a home that gives the slow key."""
    read = NodeHome.read_key

    def read_slow(home: NodeHome, name: KeyName) -> PrivateKey:
        key = read(home, name)
        return SlowKey.from_pem(key.to_pem()) if name is KeyName.SEAL else key

    patched: Any = NodeHome
    patched.read_key = read_slow
    return await start_worker()


app = GatewayApp(_start)


def main() -> None:
    """Serve until SIGTERM."""
    patched: Any = node.processes
    patched.APP = "bench.slow_signer:app"
    asyncio.run(serve(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
