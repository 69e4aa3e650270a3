"""When a receipt is due, and how many opens the peer may send.

Every header says what is durable here, and grants credit; so while parcels go out anyway, nothing
is due. Otherwise an empty parcel is: 1 s, 256 parcels or 1 MiB after something became durable, at
the end of a link, when half of the credit waits for it, and when calls wait for credit
(docs/spec, "Links: receipts"). Empty parcels of the peer ask for nothing, so two idle nodes are
silent.

An open is given back when the peer acknowledges the close, and not when the close is put in line:
otherwise one that asks and never reads would have answers without end pile up here.
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

    def __init__(self, sender: Sender, wake: Callable[[], None]) -> None:
        self._sender = sender
        self._wake = wake
        # Opens under way at once: the peer's here, and ours there.
        self._given = sender.context.credit_given
        self._taken = sender.context.credit_taken
        # What the peer was last told it may send in all.
        self._granted = self._given
        self._owed_parcels = self._owed_bytes = self._owed_closes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = False

    @property
    def due(self) -> bool:
        """An empty parcel must go out, unless another one does."""
        return self._due

    def owe(self, size_bytes: int, closes: int) -> None:
        """A parcel with entries is durable here, of this size and with so many ends of our calls.

        Not earlier: a header that goes out before couldn't say so.
        """
        self._owed_parcels += 1
        self._owed_bytes += size_bytes
        self._owed_closes += closes
        if (
            self._owed_parcels >= AFTER_PARCELS
            or self._owed_bytes >= AFTER_BYTES
            or (self._taken > 1 and self._owed_closes * 2 >= self._taken)
        ):
            self.ask()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(AFTER_S, self.ask)

    def hurry(self) -> None:
        """Calls wait for credit, and it is a receipt of ours that the peer grants it for."""
        if self._owed_closes:
            self.ask()

    def heard(self, opens: int) -> None:
        """The peer acknowledged what it did, and has sent so many opens: grant what ended.

        A child link's only call was opened with the link, and no other follows.
        """
        credit = self._given + self._sender.closes_heard
        if self._given <= 1 or credit == self._sender.credit_given:
            return
        self._sender.grant(credit)
        if (self._granted - opens) * 2 <= self._given:
            self.ask()

    def ask(self) -> None:
        """Have a receipt sent now."""
        self._due = True
        self._wake()

    def told(self) -> None:
        """A header was made; it says all there is to say."""
        self._due = False
        self._owed_parcels = self._owed_bytes = self._owed_closes = 0
        self._granted = self._sender.credit_given
        self._stop_timer()

    def stop(self) -> None:
        """The link is over."""
        self._due = False
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
