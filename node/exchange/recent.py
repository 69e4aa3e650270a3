"""At most once: which call ids a worker handed to its services lately.

A link knows its own calls only. A consumer's node that sends a call again on another link, after a
cut or a restart of either, must not have it done twice: so the provider's node remembers for each
member the ids that it handed on, for as long as any call may last, and refuses the second. An id
older than that by its own time is refused too, because nobody can say any more whether it was
handed on.

Bounded: at least the newest `max_calls` are remembered and at most twice as many; of more the
oldest are forgotten. Who loses by that is the member that sends so many and repeats one of them,
and nobody else. A call takes 8 bytes in a table at most half full: what is remembered is a number
of 64 bits, Python's hash of member and id, which has a key of this process. Of two calls that share
one, once in 10^13 calls, the second is refused.

Ids that came to another worker are found in the journal: `node.exchange.elsewhere`.

Source: docs/spec, "Calls: outcomes".
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from typing import Final

from security.errors import Code, SimpulError
from security.identifiers import MemberId

MAX_CALLS: Final = 200_000
# What clocks of two nodes may differ by; docs/spec, "What a receiver checks", 5.
MAX_SKEW_MS: Final = 60_000
_TIME_BYTES: Final = 6
_NUMBER_BYTES: Final = 8
_ALL_BITS: Final = 2**64 - 1

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
        # The older ones are dropped together, when the newer are `max_calls` or all are too old.
        self._newer, self._older = _Numbers(max_calls), _Numbers(max_calls)
        for member, call_id, at_ms in known:
            self._remember(hash((member, call_id)), at_ms)

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def take(self, member: MemberId, call_id: bytes, now_ms: int) -> None:
        """Note that a call is about to be handed to its service.

        Raises:
            SimpulError: It was before, or may have been (CALL_REPEATED).
        """
        oldest_ms = now_ms - self._window_ms
        number = hash((member, call_id))
        if number in self._newer or number in self._older:
            raise repeated("was handed to its service already")
        if int.from_bytes(call_id[:_TIME_BYTES], "big") < oldest_ms:
            raise repeated("is older than any call may last")
        self._forget(oldest_ms)
        self._remember(number, now_ms)

    def _remember(self, number: int, at_ms: int) -> None:
        if len(self._newer) == self._max_calls:
            self._newer, self._older = _Numbers(self._max_calls), self._newer
        self._newer.add(number, at_ms)

    def _forget(self, oldest_ms: int) -> None:
        if self._older.last_ms < oldest_ms and len(self._older) > 0:
            self._older = _Numbers(self._max_calls)
        if self._newer.last_ms < oldest_ms and len(self._newer) > 0:
            self._newer = _Numbers(self._max_calls)


class _Numbers:
    """Up to `most` numbers of 64 bits; 0 is taken for 1. It takes memory as it fills."""

    def __init__(self, most: int) -> None:
        # At most half full, so that a look at the next place soon ends.
        places = 1 << (2 * most - 1).bit_length()
        self._mask = places - 1
        self._places = memoryview(mmap.mmap(-1, places * _NUMBER_BYTES)).cast("Q")
        self._count = 0
        # When the last one came.
        self.last_ms = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        wanted, place = self._find(number)
        return self._places[place] == wanted

    def add(self, number: int, at_ms: int) -> None:
        """Add one that is not there yet."""
        wanted, place = self._find(number)
        self._places[place] = wanted
        self._count += 1
        self.last_ms = at_ms

    def _find(self, number: int) -> tuple[int, int]:
        """The number as it is written, and its place or the empty one where it would stand."""
        wanted = (number & _ALL_BITS) or 1
        places, place = self._places, wanted & self._mask
        while places[place] not in {0, wanted}:
            place = (place + 1) & self._mask
        return wanted, place


def repeated(what: str) -> SimpulError:
    """Why a call is not handed to its service: it may have been before."""
    return SimpulError(
        Code.CALL_REPEATED, f"a call with this id {what}; ask what came of it, or call anew"
    )
