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
from node.keyring import KeyRing
from node.supervisor import serve
from security.identifiers import MemberId
from security.keys import PrivateKey

SIGNATURES_PER_S: Final = 100


class SlowKey(PrivateKey):
    """A private key whose signatures take the hundredth of a second that an HSM's would."""

    __slots__ = ()

    @property
    def on_device(self) -> bool:
        """As one in an HSM is."""
        return True

    def sign(self, domain: bytes, data: bytes) -> bytes:
        """As it is done, later."""
        time.sleep(1 / SIGNATURES_PER_S)
        return super().sign(domain, data)


async def _start() -> GatewayHost:
    """Start the worker, with a ring that gives the slow key."""
    read = KeyRing.seal_keys

    def read_slow(ring: KeyRing, member: MemberId) -> tuple[PrivateKey, ...]:
        return tuple(SlowKey.from_pem(key.to_pem()) for key in read(ring, member))

    patched: Any = KeyRing
    patched.seal_keys = read_slow
    return await start_worker()


app = GatewayApp(_start)


def main() -> None:
    """Serve until SIGTERM."""
    patched: Any = node.processes
    patched.APP = "bench.slow_signer:app"
    asyncio.run(serve(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
