"""What a worker records in and what it knows from before: its slot of the journal, recent calls."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from node.config import NodeConfig, journal_place
from node.exchange.elsewhere import Elsewhere
from node.exchange.recent import MAX_CALLS, MAX_SKEW_MS, Known, RecentCalls
from node.gather.gather import ReadGather
from node.home import NodeHome
from node.journal.broken import BrokenLinks, RecordedLink
from node.journal.journal import LEASE_MS, Journal
from node.journal.kept.keys import Keys
from node.journal.model import GatheredCall
from node.journal.place import PostgresPlace
from node.journal.reader import JournalReader
from node.link.unsettled import Broken, Recall
from node.secret_ring import SecretRing
from runtime.clock import now_ms
from security.errors import Code, SimpulError
from security.identifiers import NodeId, SubsystemId
from security.limits import Limits

_log = structlog.get_logger(__name__)

# A lease, and time for clocks to differ a little.
LEASE_WAIT_S: Final = LEASE_MS / 1000 + 2.0
RETRY_S: Final = 0.5
# Of how long ago a lost call is still asked about after a start, and on how many links.
SETTLED_WITHIN_MS: Final = 7 * 24 * 3600 * 1000
MAX_LEFT: Final = 256


async def open_journal(home: NodeHome, config: NodeConfig, worker: int) -> Journal:
    """Open the journal, and take the worker's slot.

    In PostgreSQL only its lease tells that a slot's holder is dead: it's waited for, so that a node
    that was killed may be started again at once.

    Raises:
        SimpulError: The slot is taken (JOURNAL_LOCKED), or as `Journal.open` says.
    """
    place = journal_place(config, home)

    async def take() -> Journal:
        return await Journal.open(
            place,
            slot=worker,
            holder=f"{config.node_id} worker {worker}, process {os.getpid()}",
            clock=now_ms,
            keys=_kept_keys(home, config),
        )

    return await when_free(take, LEASE_WAIT_S if isinstance(place, PostgresPlace) else 0.0)


async def when_free(take: Callable[[], Awaitable[Journal]], wait_s: float) -> Journal:
    """Take a slot, or wait up to so long for its lease to end.

    Raises:
        SimpulError: It's still held then (JOURNAL_LOCKED), or as `take` says.
    """
    loop = asyncio.get_running_loop()
    end_s, told = loop.time() + wait_s, False
    while True:
        try:
            return await take()
        except SimpulError as error:
            if error.code is not Code.JOURNAL_LOCKED or loop.time() >= end_s:
                raise
            if not told:
                _log.warning("waiting for the journal's slot", why=error.message)
                told = True
        await asyncio.sleep(RETRY_S)


async def recent_calls(home: NodeHome, config: NodeConfig) -> RecentCalls:
    """The calls that this node handed to services before, of whichever worker.

    Raises:
        SimpulError: The journal can't be read.
    """
    max_call_ms = Limits().max_call_ms

    def read() -> list[Known]:
        since_ms = now_ms() - max_call_ms - MAX_SKEW_MS
        with JournalReader(journal_place(config, home)) as reader:
            found = reader.answered(since_ms=since_ms, limit=MAX_CALLS)
        return [(SubsystemId.parse(text).member, call_id, at_ms) for text, call_id, at_ms in found]

    return RecentCalls(await asyncio.to_thread(read), max_call_ms=max_call_ms)


def calls_elsewhere(home: NodeHome, config: NodeConfig) -> Elsewhere | None:
    """What tells of calls that came to other workers; None where there are no others."""
    place = journal_place(config, home)
    if config.node.workers == 1 and not isinstance(place, PostgresPlace):
        return None
    return Elsewhere(lambda: JournalReader(place))


def recalled_links(home: NodeHome, config: NodeConfig) -> Recall:
    """Reads from the journal what is recorded of links that broke, whichever worker had them."""

    def read(peer: NodeId, links: Sequence[bytes]) -> list[Broken]:
        with BrokenLinks(journal_place(config, home)) as reader:
            return [_broken(each) for link in links for each in reader.find(str(peer), link)]

    async def recall(peer: NodeId, links: Sequence[bytes]) -> Sequence[Broken]:
        try:
            return await asyncio.to_thread(read, peer, links)
        except SimpulError as error:
            # What became of a call may be heard later; the link that begins can do without it.
            _log.warning("broken links not looked up", code=error.code, why=error.message)
            return ()

    return recall


async def left_links(home: NodeHome, config: NodeConfig) -> list[Broken]:
    """The links with calls that are lost and not settled, as earlier processes left them."""

    def read() -> list[Broken]:
        since_ms = now_ms() - SETTLED_WITHIN_MS
        with BrokenLinks(journal_place(config, home)) as reader:
            left = reader.with_lost_calls(since_ms=since_ms, limit=MAX_LEFT)
            # The newest last, as they would have been added.
            return [_broken(each) for link in reversed(left) for each in reader.find(*link)]

    try:
        return await asyncio.to_thread(read)
    except SimpulError as error:
        # As above: no reason not to start.
        _log.warning("broken links not looked up", code=error.code, why=error.message)
        return []


def _broken(link: RecordedLink) -> Broken:
    return Broken(
        NodeId.parse(link.peer), link.link_id, link.end, link.sealed, link.received,
        link.sent.get, link.asked, link.answered, link.heard,
    )  # fmt: skip


def gathered_calls(home: NodeHome, config: NodeConfig) -> ReadGather:
    """Reads the calls of a gather from the journal, whichever worker made it."""

    def read(gather_id: bytes) -> list[GatheredCall]:
        with JournalReader(journal_place(config, home)) as reader:
            return reader.gathered(gather_id)

    async def found(gather_id: bytes) -> list[GatheredCall]:
        return await asyncio.to_thread(read, gather_id)

    return found


def _kept_keys(home: NodeHome, config: NodeConfig) -> Keys:
    """The keys of what the journal keeps; read in the writer's thread, so by a ring of its own."""
    ring = SecretRing(home)
    return lambda: ring.kept_keys(config.journal.secret_metadata)
