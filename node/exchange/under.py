"""The calls under way, by their agreements: so that they end when one is no longer in force.

Looked at with each new snapshot and once a second, by agreement and not by call: ten thousand open
streams under one agreement cost one look.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from node.policy.rules import AgreementBook, check_still
from security.errors import SimpulError


class Ended(Protocol):
    """A call, of either side."""

    def end(self, error: SimpulError) -> None:
        """End it now, for this reason; the other side and the app are told. Never waits."""
        ...


class UnderWay:
    """One for each worker and side."""

    def __init__(self) -> None:
        self._calls: defaultdict[bytes, set[Ended]] = defaultdict(set)

    @contextmanager
    def call(self, agreement: bytes | None, call: Ended) -> Iterator[None]:
        """The call is under way within the block."""
        if agreement is None:
            yield
            return
        self._calls[agreement].add(call)
        try:
            yield
        finally:
            calls = self._calls[agreement]
            calls.discard(call)
            if not calls:
                del self._calls[agreement]

    def recheck(self, book: AgreementBook, now_ms: int) -> None:
        """End the calls whose agreement is no longer in force."""
        for agreement in tuple(self._calls):
            try:
                check_still(book, agreement, now_ms)
            except SimpulError as error:
                for call in tuple(self._calls[agreement]):
                    call.end(error)
