"""At most once: which call ids a node handed to its services lately.

A link knows its own calls only. A consumer's node that sends a call again on another link, after a
cut or a restart of either, must not have it done twice: so the provider's node remembers for each
member the ids that it handed on, for as long as any call may last, and refuses the second. An id
older than that by its own time is refused too, because nobody can say any more whether it was
handed on.

Bounded: of more calls than `max_calls` the oldest are forgotten first. Who loses by that is the
member that sends so many and repeats one of them, and nobody else.

Source: docs/spec, "Calls: outcomes".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from security.errors import Code, SimpulError
from security.identifiers import MemberId

MAX_CALLS: Final = 200_000
# What clocks of two nodes may differ by; docs/spec, "What a receiver checks", 5.
MAX_SKEW_MS: Final = 60_000
_TIME_BYTES: Final = 6

# A call, and when it was handed on.
Known = tuple[MemberId, bytes, int]


class RecentCalls:
    """One for each worker. Time never goes back in it, even if the clock does."""

    def __init__(
        self, known: Iterable[Known] = (), *, max_call_ms: int, max_calls: int = MAX_CALLS
    ) -> None:
        """`known`: what the journal tells of before the worker's start, the oldest first.

        `max_call_ms`: the most that any federation lets a call last here.
        """
        self._window_ms = max_call_ms + MAX_SKEW_MS
        self._max_calls = max_calls
        # In the order in which they were handed on.
        self._calls: dict[tuple[MemberId, bytes], int] = {}
        for member, call_id, at_ms in known:
            self._remember(member, call_id, at_ms)

    def __len__(self) -> int:
        return len(self._calls)

    def take(self, member: MemberId, call_id: bytes, now_ms: int) -> None:
        """Note that a call is about to be handed to its service.

        Raises:
            SimpulError: It was before, or may have been (CALL_REPEATED).
        """
        oldest_ms = now_ms - self._window_ms
        if (member, call_id) in self._calls:
            raise _repeated("was handed to its service already")
        if int.from_bytes(call_id[:_TIME_BYTES], "big") < oldest_ms:
            raise _repeated("is older than any call may last")
        self._forget(oldest_ms)
        self._remember(member, call_id, now_ms)

    def _remember(self, member: MemberId, call_id: bytes, at_ms: int) -> None:
        self._calls[member, call_id] = at_ms
        if len(self._calls) > self._max_calls:
            del self._calls[next(iter(self._calls))]

    def _forget(self, oldest_ms: int) -> None:
        while self._calls:
            first = next(iter(self._calls))
            if self._calls[first] >= oldest_ms:
                return
            del self._calls[first]


def _repeated(what: str) -> SimpulError:
    return SimpulError(
        Code.CALL_REPEATED, f"a call with this id {what}; ask what came of it, or call anew"
    )
