"""The calls under way, by what permits them: so that they end when it is no longer in force.

Looked at with each new snapshot and once a second, by agreement and purpose and not by call: ten
thousand open streams under one agreement cost one look.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from node.policy.purposes import check_purpose
from node.policy.rules import AgreementBook, check_still
from security.directory import DirectoryView
from security.errors import SimpulError


class Ended(Protocol):
    """A call, of either side."""

    def end(self, error: SimpulError) -> None:
        """End it now, for this reason; the other side and the app are told. Never waits."""
        ...


class UnderWay:
    """One for each worker and side."""

    def __init__(self) -> None:
        # By agreement and purpose.
        self._calls: defaultdict[tuple[bytes, str | None], set[Ended]] = defaultdict(set)

    @contextmanager
    def call(self, agreement: bytes | None, purpose: str | None, call: Ended) -> Iterator[None]:
        """The call is under way within the block."""
        if agreement is None:
            yield
            return
        key = (agreement, purpose)
        self._calls[key].add(call)
        try:
            yield
        finally:
            calls = self._calls[key]
            calls.discard(call)
            if not calls:
                del self._calls[key]

    def recheck(self, book: AgreementBook, directory: DirectoryView, now_ms: int) -> None:
        """End the calls whose agreement is no longer in force, or whose purpose is retired."""
        for agreement, purpose in tuple(self._calls):
            try:
                terms = check_still(book, agreement, now_ms)
                check_purpose(directory, terms, purpose)
            except SimpulError as error:
                for call in tuple(self._calls[agreement, purpose]):
                    call.end(error)
