"""Gives the workers leases of calls, where an agreement says how many there may be.

One ledger for all workers of the node, and for both sides: a consumer's node counts too, so that
what the provider would refuse doesn't travel. A day's count is on the disk before its calls begin.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Final

from node.operations.desk import Desk
from node.policy.allowance import Ledger, Share, Side, day_of
from node.store.agreement_lives import list_agreed
from node.store.agreements import get_agreement
from node.store.quotas import forget_counts, load_counts, save_count
from security.agreement import AgreementTerms, parse_agreement
from security.errors import Code, SimpulError
from security.identifiers import MemberId

_REMEMBERED: Final = 4096


class Allowances:
    """The ledger of one node."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ledger: Ledger | None = None
        # Counts reach the disk in the order in which they grow.
        self._taking = asyncio.Lock()
        self._tidied_day: int | None = None
        self._terms = lru_cache(maxsize=_REMEMBERED)(self._read_terms)

    async def lease(self, agreement: bytes, side: Side, wanted: int) -> int:
        """How many calls may be begun now, of at most `wanted`.

        Raises:
            SimpulError: ACCESS_RATE, ACCESS_QUOTA; NOT_FOUND for an agreement that is not here.
        """
        async with self._taking:
            return await asyncio.to_thread(self._lease, agreement, side, wanted)

    def _lease(self, agreement: bytes, side: Side, wanted: int) -> int:
        if wanted < 1:
            raise SimpulError(Code.REQUEST_MALFORMED, "a lease is of one call or more")
        terms, desk = self._terms(agreement), self._desk
        rate = terms.rate
        if rate is None:
            return wanted
        party = terms.provider if side is Side.PROVIDER else terms.consumer
        key = agreement + bytes((side,))
        ledger = self._opened()
        self._tidy(ledger)
        granted = ledger.take(key, rate, self._share(party.member), wanted, desk.now_ms())
        count = ledger.count(key)
        if rate.calls_per_day and count is not None:
            save_count(desk.store, key, count)
        return granted

    def _tidy(self, ledger: Ledger) -> None:
        """Once a day, forget what was revoked or is over.

        Not what rests only: it may come back within its day, and has used up what it has.
        """
        now_ms = self._desk.now_ms()
        if day_of(now_ms) == self._tidied_day:
            return
        kept = frozenset(
            stored.hash + bytes((side,))
            for stored in list_agreed(self._desk.store)
            if now_ms < self._terms(stored.hash).valid_until_ms
            for side in Side
        )
        ledger.keep(kept)
        forget_counts(self._desk.store, load_counts(self._desk.store).keys() - kept)
        self._tidied_day = day_of(now_ms)

    def _share(self, member: MemberId) -> Share:
        percent = self._desk.config.agreements.share_percent
        if percent is not None:
            return Share(percent, 100)
        nodes = self._desk.directory.nodes_of(member, self._desk.now_ms())
        return Share(1, max(1, len(nodes)))

    def _opened(self) -> Ledger:
        """The ledger, with the counts of the day as they were stored."""
        if self._ledger is None:
            ledger, stale = Ledger(), []
            for key, count in load_counts(self._desk.store).items():
                try:
                    rate = self._terms(key[:-1]).rate
                except SimpulError:
                    rate = None
                if rate is None:
                    stale.append(key)
                else:
                    ledger.restore(key, rate, count, self._desk.now_ms())
            forget_counts(self._desk.store, stale)
            self._ledger = ledger
        return self._ledger

    def _read_terms(self, agreement: bytes) -> AgreementTerms:
        return parse_agreement(get_agreement(self._desk.store, agreement).agreement)
