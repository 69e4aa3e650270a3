"""How many refusals a peer may cause: 10 a second, and 100 at once.

Every refusal is sealed and journaled, so a peer that only ever asks what it may not could fill a
disk. Past its budget its links are closed, with one line in the log, and it may greet again when
half of the burst has come back. What this node says no to for its own reasons (it is full, it
stops) costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from security.errors import Code, SimpulError
from security.identifiers import NodeId

PER_S: Final = 10.0
BURST: Final = 100.0
_FREE: Final = frozenset({Code.OVERLOADED, Code.NODE_DRAINING, Code.INTERNAL})


@dataclass(slots=True)
class _Account:
    tokens: float
    at_s: float


class Refusals:
    """The accounts of all peers of one worker. `clock_s` never goes back."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._accounts: dict[NodeId, _Account] = {}

    def spend(self, peer: NodeId, code: str) -> None:
        """A call of this peer is refused with this code.

        Raises:
            SimpulError: Its budget is gone (REFUSALS_EXCEEDED): close the link.
        """
        if code in _FREE:
            return
        account = self._account(peer)
        account.tokens -= 1
        if account.tokens < 0:
            raise _exceeded(peer)

    def check(self, peer: NodeId) -> None:
        """Raise SimpulError REFUSALS_EXCEEDED for a peer that must wait before it greets again."""
        if peer in self._accounts and self._account(peer).tokens < BURST / 2:
            raise _exceeded(peer)

    def _account(self, peer: NodeId) -> _Account:
        now_s = self._clock_s()
        account = self._accounts.setdefault(peer, _Account(BURST, now_s))
        account.tokens = min(BURST, account.tokens + (now_s - account.at_s) * PER_S)
        account.at_s = now_s
        return account


def _exceeded(peer: NodeId) -> SimpulError:
    return SimpulError(
        Code.REFUSALS_EXCEEDED,
        f"{peer} asks for too much that it may not have; see why its calls are refused, then dial "
        "again",
    )
