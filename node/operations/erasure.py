"""Erasing calls, telling the other sides, and hearing what they erased.

An erasure is done when the journal has destroyed the call's keys, salts and contents; the bytes are
then scrubbed from its files, at once or as soon as no reader is in the way. What is to be told
stands in the journal until it has been acknowledged, so no restart forgets it.

A notice that comes is recorded and shown; where nothing of the call is kept, that is answered, and
the other side tells it no more. It's followed here, without an operator, only where the
configuration says so (`journal.erase_on_notice`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from node.journal.kept.model import (
    NOTHING_KEPT,
    Erased,
    ErasureOrder,
    Notice,
    Reason,
    Settled,
    Telling,
)
from node.journal.kept.store import KeptStore
from node.journal.model import CallRow, Role
from node.secret_ring import WRAP, SecretRing
from security.erasure import (
    ErasureNotice,
    make_answer,
    make_notice,
    parse_answer,
    parse_notice,
)
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from security.secret_key import SECRET_BYTES, SecretKey

_log = structlog.get_logger(__name__)

# How often the journal is looked at for what is to be told; an erasure here is told at once.
LOOK_EVERY_S: Final = 10.0
# After a failure: doubled each time, up to an hour.
FIRST_RETRY_MS: Final = 5_000
MAX_RETRY_MS: Final = 3_600_000
# Told in one look, and rewrapped in one transaction.
TELL_BATCH: Final = 100
REWRAP_BATCH: Final = 1_000
MAX_BY_CHARS: Final = 64

EraseResult = Erased | SimpulError
# Tells another node, and gives its answer. Raises SimpulError.
Tell = Callable[[Telling, bytes], Awaitable[bytes]]
# Finds a call that was dropped and of which something is kept. Blocks; raises SimpulError.
FindDropped = Callable[[bytes], CallRow | None]
# Erases one call at a given time, wherever its parcels are. Blocks; raises SimpulError.
EraseCall = Callable[[ErasureOrder, int], Erased]


class Erasures:
    """One supervisor's erasures. Any part of it may be used while `run` runs."""

    def __init__(
        self,
        store: KeptStore,
        erase_call: EraseCall,
        find_dropped: FindDropped,
        ring: SecretRing,
        tell: Tell,
        now_ms: Callable[[], int],
        draw: Callable[[int], bytes],
        *,
        on_notice: bool,
    ) -> None:
        """`on_notice`: erase here what another says that it erased. `draw`: fresh random bytes."""
        self._store = store
        self._erase_call = erase_call
        self._find_dropped = find_dropped
        # Archives are read from end to end: for one notice at a time.
        self._finding = asyncio.Lock()
        self._ring = ring
        self._tell_peer = tell
        self._now_ms = now_ms
        self._draw = draw
        self._on_notice = on_notice
        self._wake = asyncio.Event()
        # A process that was killed between the two must not leave what it erased in the files.
        self._unscrubbed = True
        self._rewrapping = asyncio.Lock()

    async def run(self) -> None:
        """Tell what is to be told, and scrub what is to be scrubbed, until cancelled."""
        while True:
            self._wake.clear()
            try:
                if self._unscrubbed:
                    await self.scrub()
                for telling in await asyncio.to_thread(self._due):
                    await self._tell(telling)
            except SimpulError as error:
                _log.warning("erasures wait", code=error.code, why=error.message)
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def erase(self, calls: Sequence[bytes], by: str, reason: Reason) -> list[EraseResult]:
        """Erase calls, each on its own; returns what became of each, in their order.

        Raises:
            SimpulError: REQUEST_MALFORMED, where it isn't said who does it.
        """
        if not 0 < len(by) <= MAX_BY_CHARS or not by.isprintable():
            raise SimpulError(
                Code.REQUEST_MALFORMED, f"say who erases, in 1 to {MAX_BY_CHARS} characters"
            )
        found: list[EraseResult] = []
        for call_id in calls:
            try:
                found.append(await self._erase(ErasureOrder(call_id, by, reason)))
            except SimpulError as error:
                found.append(error)
        self._wake.set()
        return found

    async def scrub(self) -> bool:
        """Take what was erased out of the journal's files; whether it could be done now.

        Raises:
            SimpulError: As the journal's store says.
        """
        self._unscrubbed = not await asyncio.to_thread(self._store.scrub)
        return not self._unscrubbed

    async def answer(self, data: bytes, sender: MemberId) -> bytes:
        """Answer `Erasures.Notify`; raises as `hear`."""
        return make_answer(nothing_kept=not await self.hear(data, str(sender)))

    async def hear(self, data: bytes, member: str) -> bool:
        """Record a notice of a member; erase the call here too where that is configured.

        Returns:
            False, where nothing is kept here of a call of that member's: nothing is recorded.

        Raises:
            SimpulError: REQUEST_MALFORMED; OVERLOADED, ARCHIVE_FAILED, ARCHIVE_INVALID, or
                NOT_FOUND for an archive that is gone: where that can't be said now.
        """
        said, now_ms = parse_notice(data), self._now_ms()
        notice = await self._record(
            Notice(said.call_id, member, said.erased_at_ms, said.reason, now_ms, None, Settled.OPEN)
        )
        if notice is None:
            _log.info(
                "the other side erased a call of which nothing is kept",
                call_id=said.call_id.hex(), member=member,
            )  # fmt: skip
            return False
        _log.info(
            "the other side erased a call", call_id=said.call_id.hex(), member=member,
            reason=said.reason, settled=str(notice.settled),
        )  # fmt: skip
        if notice.settled is Settled.OPEN and self._on_notice:
            reason = Reason(said.reason) if said.reason in [*Reason] else Reason.OTHER
            try:
                await self._erase(ErasureOrder(said.call_id, member, reason))
            except SimpulError as error:
                # The notice stays open, and an operator sees it.
                _log.warning("not erased on notice", code=error.code, why=error.message)
            self._wake.set()
        return True

    async def _record(self, notice: Notice) -> Notice | None:
        """None where there is nothing to record it of."""
        try:
            return await asyncio.to_thread(self._store.hear, notice)
        except SimpulError as error:
            if error.code is not Code.NOT_FOUND:
                raise
        if self._finding.locked():
            raise SimpulError(
                Code.OVERLOADED, "this node looks another call up in its archives; tell it later"
            )
        async with self._finding:
            call = await asyncio.to_thread(self._find_dropped, notice.call_id)
        if call is None:
            return None
        other = call.provider if call.role is Role.CONSUMER else call.consumer
        if not other.startswith(f"{notice.member}/"):
            return None
        return await asyncio.to_thread(self._store.hear, notice, (other,))

    async def decline(self, call_id: bytes) -> int:
        """Set the open notices of a call aside; returns how many there were."""
        now_ms = self._now_ms()
        count = await asyncio.to_thread(
            self._store.settle, call_id, Settled.DECLINED, now_ms=now_ms
        )
        _log.info("notices of an erasure set aside", call_id=call_id.hex(), notices=count)
        return count

    async def rewrap(self, *, new_key: bool) -> tuple[bytes, int, int, int]:
        """Wrap some of what is kept by the newest key, made first where `new_key` says so.

        When nothing is left the older keys are destroyed.

        Returns:
            The newest key's id, how many were done, how many are left, how many keys were
            destroyed.

        Raises:
            SimpulError: KEY_UNKNOWN, where the key that wraps something is gone.
        """
        async with self._rewrapping:
            return await asyncio.to_thread(self._rewrap, new_key)

    def _rewrap(self, new_key: bool) -> tuple[bytes, int, int, int]:  # noqa: FBT001 - for to_thread
        ring = self._ring
        if new_key:
            ring.add(WRAP, SecretKey(self._draw(SECRET_BYTES)))
            _log.info("new wrapping key", key=ring.kept_keys().newest.id.hex())
        keys = ring.kept_keys()
        done = self._store.rewrap(keys, limit=REWRAP_BATCH)
        left = self._store.wrapped_otherwise(keys)
        destroyed = 0
        if done == 0 and left == 0 and len(keys.wrapping) > 1:
            self._store.scrub()
            destroyed = ring.destroy_wrapping(keys.newest)
            _log.info("older wrapping keys destroyed", keys=destroyed)
        return keys.newest.id, done, left, destroyed

    async def _erase(self, order: ErasureOrder) -> Erased:
        try:
            done = await asyncio.to_thread(self._erase_call, order, self._now_ms())
        finally:
            # Even where an archive couldn't be read, some of it may be gone.
            self._unscrubbed = True
        _log.info(
            "call erased", call_id=order.call_id.hex(), by=order.by, reason=str(order.reason),
            entries=done.entries, again=done.again,
        )  # fmt: skip
        return done

    def _due(self) -> list[Telling]:
        return self._store.due(self._now_ms(), limit=TELL_BATCH)

    async def _tell(self, telling: Telling) -> None:
        notice = ErasureNotice(telling.call_id, telling.erased_at_ms, telling.reason)
        try:
            nothing_kept = parse_answer(await self._tell_peer(telling, make_notice(notice)))
        except SimpulError as error:
            wait_ms = min(FIRST_RETRY_MS << min(telling.tries, 20), MAX_RETRY_MS)
            next_ms = self._now_ms() + wait_ms
            _log.info("erasure not told yet", peer=telling.peer, code=error.code, next_ms=next_ms)
            await asyncio.to_thread(self._store.postpone, telling.id, error.code.value, next_ms)
        else:
            now_ms = self._now_ms()
            code = NOTHING_KEPT if nothing_kept else ""
            await asyncio.to_thread(self._store.told, telling.id, now_ms=now_ms, code=code)
