"""A worker's stock of calls that may be begun, where an agreement says how many there may be.

An agreement without a limit costs nothing here. Of others the supervisor keeps the one count; a
worker takes leases from it: single calls at first, more where they are used up at once, so that few
are taken that nobody uses. A lease holds for a second, so that no burst is saved up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from node.policy.allowance import Side
from security.agreement import RateTerm
from security.errors import SimpulError

MAX_LEASE: Final = 64
LEASE_S: Final = 1.0
# A lease that lasted no longer was too small.
USED_AT_ONCE_S: Final = 0.05
# A refusal is repeated for so long without asking again, at most.
MAX_REFUSAL_S: Final = 0.25

Lease = Callable[[bytes, Side, int], Awaitable[int]]


@dataclass(slots=True)
class _Stock:
    left: int = 0
    wanted: int = 1
    taken_s: float = 0.0
    refused_until_s: float = 0.0
    refusal: SimpulError | None = None
    leasing: asyncio.Task[None] | None = None


class Allowance:
    """One for each worker. `lease` asks the supervisor."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._stocks: dict[tuple[bytes, Side], _Stock] = {}

    async def take(self, agreement: bytes, rate: RateTerm | None, side: Side) -> None:
        """Take one call, waiting for a lease if need be.

        Raises:
            SimpulError: None may be begun now (ACCESS_RATE, ACCESS_QUOTA).
        """
        if rate is None:
            return
        loop = asyncio.get_running_loop()
        stock = self._stocks.setdefault((agreement, side), _Stock())
        while True:
            now_s = loop.time()
            if stock.refusal is not None and now_s < stock.refused_until_s:
                # A new one each time: an error that was raised holds on to where it was.
                raise SimpulError(
                    stock.refusal.code, stock.refusal.message, **stock.refusal.details
                )
            if stock.left > 0 and now_s < stock.taken_s + LEASE_S:
                stock.left -= 1
                return
            if stock.leasing is None:
                stock.leasing = loop.create_task(self._renew(stock, agreement, side))
            # All who wait share one lease; who stops waiting stops nobody else.
            await asyncio.shield(stock.leasing)

    async def _renew(self, stock: _Stock, agreement: bytes, side: Side) -> None:
        loop = asyncio.get_running_loop()
        at_once = stock.left == 0 and loop.time() - stock.taken_s < USED_AT_ONCE_S
        stock.wanted = min(stock.wanted * 2, MAX_LEASE) if at_once else 1
        try:
            stock.left = await self._lease(agreement, side, stock.wanted)
            stock.taken_s, stock.refusal = loop.time(), None
        except SimpulError as error:
            wait_s = int(error.details.get("retry_after_ms", "0")) / 1000
            stock.refusal = error
            stock.refused_until_s = loop.time() + min(wait_s, MAX_REFUSAL_S)
            if wait_s == 0:
                raise
        finally:
            stock.leasing = None
