"""When a receipt is due, and how many opens the peer may send.

Every header says what has durably arrived, and grants credit; so while parcels go out anyway,
nothing is due. Otherwise an empty parcel is: 1 s, 256 parcels or 1 MiB after something arrived,
at the end of a link, and when half of the peer's credit is used (docs/spec, "Links: receipts").
Empty parcels of the peer ask for nothing, so two idle nodes are silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from security.sender import Sender

AFTER_S: Final = 1.0
AFTER_PARCELS: Final = 256
AFTER_BYTES: Final = 1024 * 1024


class Receipts:
    """What one link owes its peer. `wake` is called when a receipt becomes due."""

    def __init__(self, sender: Sender, window: int, wake: Callable[[], None]) -> None:
        self._sender = sender
        self._window = window
        self._wake = wake
        self._ended_calls = 0
        self._granted = window
        self._owed_parcels = self._owed_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = False
        self._told = asyncio.Event()

    @property
    def due(self) -> bool:
        """An empty parcel must go out, unless another one does."""
        return self._due

    def owe(self, size: int) -> None:
        """A parcel with entries came in, of this many bytes."""
        self._owed_parcels += 1
        self._owed_bytes += size

    def arrived(self) -> None:
        """What came in is durable now, so a receipt may say so."""
        if not self._owed_parcels:
            return
        if self._owed_parcels >= AFTER_PARCELS or self._owed_bytes >= AFTER_BYTES:
            self.ask()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(AFTER_S, self.ask)

    def call_ended(self) -> None:
        """One of the peer's calls ended, so it may open another.

        A child link's only call was opened with the link, and no other follows.
        """
        self._ended_calls += 1
        if self._window <= 1:
            return
        self._sender.grant(self._window + self._ended_calls)
        if self._sender.credit_given - self._granted >= self._window // 2:
            self.ask()

    def ask(self) -> None:
        """Have a receipt sent now."""
        self._due = True
        self._told.clear()
        self._wake()

    async def told_all(self) -> None:
        """Wait until the receipt that was asked for went out."""
        await self._told.wait()

    def told(self) -> None:
        """A header went out; it says all there is to say."""
        self._due = False
        self._told.set()
        self._owed_parcels = self._owed_bytes = 0
        self._granted = self._sender.credit_given
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stop(self) -> None:
        """The link is over."""
        self._due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
