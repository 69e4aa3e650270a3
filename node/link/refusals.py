"""What a peer's bad manners may cost: 10 refusals or faults a second, and 100 at once.

Every refusal is sealed and journaled, and every fault verified, so a peer that only ever asks what
it may not, or sends what no honest node does, could fill a disk or keep a processor busy. Past its
budget all links that it opened here end, with one line in the log, and it may open one again when
half of the burst has come back. What this node says no to for its own reasons (it is full, it
stops, it waits for its sibling, its service is down) costs nothing.

A peer is known by its certificate before it has greeted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from security.errors import Code, SimpulError
from security.identifiers import NodeId

_log = structlog.get_logger(__name__)

PER_S: Final = 10.0
BURST: Final = 100.0
# Lines about the same of one peer are this far apart; those between are counted.
QUIET_S: Final = 60.0
_FREE: Final = frozenset(
    {
        Code.OVERLOADED,
        Code.NODE_DRAINING,
        Code.AGREEMENTS_UNSETTLED,
        Code.SERVICE_UNREACHABLE,
        Code.SUPERVISOR_LOST,
        Code.INTERNAL,
    }
)


@dataclass(slots=True)
class _Account:
    tokens: float
    at_s: float
    # The budget was spent, and half of it isn't back yet.
    expelled: bool = False
    # By code: when it was last logged, and how often it was not since.
    said: dict[str, tuple[float, int]] = field(default_factory=dict)


class Refusals:
    """The accounts of all peers of one worker. `clock_s` never goes back."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._accounts: dict[NodeId, _Account] = {}
        self._expel: Callable[[NodeId, SimpulError], None] = lambda _peer, _error: None

    def on_exceeded(self, expel: Callable[[NodeId, SimpulError], None]) -> None:
        """Have this called when a peer's budget is gone: end its links."""
        self._expel = expel

    def spend(self, peer: NodeId, code: str) -> None:
        """A call of this peer is refused with this code, or a link of it ended by it."""
        if code in _FREE:
            return
        account = self._account(peer)
        account.tokens -= 1
        if account.tokens < 0:
            if not account.expelled:
                _log.warning("peer over its budget of refusals", peer=str(peer), code=code)
            account.expelled = True
            self._expel(peer, _exceeded(peer))

    def check(self, peer: NodeId) -> None:
        """Raise SimpulError REFUSALS_EXCEEDED for a peer that must wait before it opens a link."""
        if peer in self._accounts and self._account(peer).expelled:
            raise _exceeded(peer)

    def complain(self, peer: NodeId, error: SimpulError, **beside: object) -> None:
        """Log why a link ended, unless the same was logged of this peer a moment ago."""
        said = self._account(peer).said
        now_s = self._clock_s()
        at_s, unsaid = said.get(error.code, (now_s - QUIET_S, 0))
        if now_s - at_s < QUIET_S:
            said[error.code] = (at_s, unsaid + 1)
            return
        _log.warning(
            "link ended", peer=str(peer), code=error.code, step=getattr(error, "step", None),
            why=error.message, left_out=unsaid, **beside,
        )  # fmt: skip
        said[error.code] = (now_s, 0)

    def _account(self, peer: NodeId) -> _Account:
        now_s = self._clock_s()
        account = self._accounts.setdefault(peer, _Account(BURST, now_s))
        account.tokens = min(BURST, account.tokens + (now_s - account.at_s) * PER_S)
        account.at_s = now_s
        account.expelled = account.expelled and account.tokens < BURST / 2
        return account


def _exceeded(peer: NodeId) -> SimpulError:
    return SimpulError(
        Code.REFUSALS_EXCEEDED,
        f"{peer} asks for too much that it may not have; see why its calls are refused, then dial "
        "again",
    )
