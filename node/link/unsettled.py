"""Links that ended without their last receipts, and what became of the calls on them.

Neither end knows then how much of what it said arrived. The next greeting of the two nodes settles
it: each names the links that broke, with how many parcels it sealed and up to which the other's are
durable at its end (docs/spec, "Links: settling"). Of a call whose open is past that, it is proven
that it never started; of an answer, that it was never heard.

What is kept in memory is bounded, and gone with the process. So of a link that another worker had,
or one that was killed, the journal is asked (`learn`, `resume`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import structlog

from node.journal.model import LinkEnd, SettledNote, Settlement
from security.greeting import MAX_UNSETTLED
from security.greeting import Unsettled as Named
from security.identifiers import NodeId
from security.parcel import Received
from security.sender import Sender

_log = structlog.get_logger(__name__)

# Broken links of one peer of which the oldest are forgotten: one connection's streaming calls.
MAX_BROKEN: Final = 1024
# In so many greetings a link is named that only the journal knew: the peer may know nothing of it.
TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class Broken:
    """A link that broke, as this end knows it."""

    peer: NodeId
    link_id: bytes
    end: LinkEnd
    # How many parcels were sealed here, and the last of the peer's that is durable here.
    sealed: int
    received: Received | None
    # Our header's hash by its number, of those that were not acknowledged.
    sent_hash: Callable[[int], bytes | None]
    # Calls asked here whose outcome is unknown, and the number of our parcel that holds the open.
    asked: Mapping[bytes, int]
    # Calls answered here, and the number of our parcel that holds the close.
    answered: Mapping[bytes, int]
    # The last of our parcels that the peer gave a receipt for; -1: none.
    heard: int = -1

    @classmethod
    def of(cls, sender: Sender, end: LinkEnd, asked: Mapping[bytes, int]) -> Self:
        """A link whose sending half this is."""
        context = sender.context
        return cls(
            context.peer_node, context.link_id, end, sender.number, sender.received,
            sender.sent_hash, asked, sender.calls.unheard(),
            -1 if sender.acknowledged is None else sender.acknowledged.number,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settled:
    """What is known of a broken link's calls now that both ends have spoken."""

    peer: NodeId
    link_id: bytes
    end: LinkEnd
    calls: Mapping[Settlement, tuple[bytes, ...]]

    def note(self) -> SettledNote:
        """What the journal is told of it."""
        told = tuple((call_id, what) for what, calls in self.calls.items() for call_id in calls)
        return SettledNote(self.link_id, self.end, told)


def settle(broken: Broken, named: Named) -> Settled | None:
    """Judge a broken link by what the peer says of it; None where that can't be true."""
    through = -1
    if named.received is not None:
        through = named.received.number
        if broken.sent_hash(through) != named.received.header_hash:
            return None
    if through < broken.heard:
        # It takes back what it signed: restored from a backup, or no friend.
        return None

    def part(calls: Mapping[bytes, int], *, durable: bool) -> tuple[bytes, ...]:
        return tuple(call_id for call_id, made in calls.items() if (made <= through) is durable)

    return Settled(
        broken.peer,
        broken.link_id,
        broken.end,
        {
            Settlement.NOT_STARTED: part(broken.asked, durable=False),
            Settlement.ARRIVED: part(broken.asked, durable=True),
            Settlement.HEARD: part(broken.answered, durable=True),
            Settlement.UNHEARD: part(broken.answered, durable=False),
        },
    )


# What the journal tells of these links with a peer, those that were this worker's or another's.
Recall = Callable[[NodeId, Sequence[bytes]], Awaitable[Sequence[Broken]]]


async def _no_journal(_peer: NodeId, _links: Sequence[bytes]) -> Sequence[Broken]:
    return ()


class Unsettled:
    """The broken links of one worker. `tell` hears of each that is settled."""

    def __init__(self, tell: Callable[[Settled], None], recall: Recall = _no_journal) -> None:
        self._tell = tell
        self._recall = recall
        # Of links that only the journal knew: how often they are still named unasked.
        self._tries: dict[bytes, int] = {}
        self._broken: dict[NodeId, dict[bytes, Broken]] = {}
        # Settled already; kept for a peer whose greeting, or its answer, was lost on the way.
        self._done: dict[NodeId, set[bytes]] = {}

    def add(self, broken: Broken) -> None:
        """A link broke."""
        of_peer = self._broken.setdefault(broken.peer, {})
        of_peer[broken.link_id] = broken
        # Known better now than by the journal, where a greeting was ahead of the link's end.
        self._done.get(broken.peer, set()).discard(broken.link_id)
        self._tries.pop(broken.link_id, None)
        if len(of_peer) > MAX_BROKEN:
            oldest = next(iter(of_peer))
            del of_peer[oldest]
            self._done.get(broken.peer, set()).discard(oldest)
            self._tries.pop(oldest, None)

    def resume(self, links: Iterable[Broken]) -> None:
        """Name these too, that an earlier process left."""
        for broken in links:
            if broken.link_id not in self._broken.get(broken.peer, {}):
                self.add(broken)
                self._tries[broken.link_id] = TRIES

    async def learn(self, peer: NodeId, named: Sequence[Named]) -> None:
        """Look for links that a greeting names and nobody here remembers. Before `hear`."""
        of_peer = self._broken.get(peer, {})
        unknown = [each.link_id for each in named if each.link_id not in of_peer]
        if unknown:
            self.resume(await self._recall(peer, unknown))

    def name(self, peer: NodeId, asked: Sequence[Named] = ()) -> tuple[Named, ...]:
        """What a greeting to this peer says: what it named itself, then the newest of the rest."""
        of_peer, done = self._broken.get(peer, {}), self._done.get(peer, set())
        wanted = {each.link_id: None for each in asked if each.link_id in of_peer}
        # One from the journal is named after it is settled here too: the peer may wait for that.
        rest = [
            each
            for each in reversed(of_peer)
            if each not in wanted and self._tries.get(each, each not in done)
        ]
        said = (*wanted, *rest)[:MAX_UNSETTLED]
        for link_id in said:
            if link_id in self._tries:
                self._tries[link_id] = max(0, self._tries[link_id] - 1)
        return tuple(
            Named(link_id, of_peer[link_id].sealed, of_peer[link_id].received) for link_id in said
        )

    def hear(self, peer: NodeId, named: Sequence[Named]) -> None:
        """The peer's greeting names these links; what both ends know of is settled, once."""
        of_peer, done = self._broken.get(peer, {}), self._done.setdefault(peer, set())
        for each in named:
            broken = of_peer.get(each.link_id)
            if broken is None or each.link_id in done:
                continue
            done.add(each.link_id)
            settled = settle(broken, each)
            if settled is None:
                _log.warning(
                    "a peer names a parcel of a broken link that was never sent",
                    peer=str(peer), link=each.link_id.hex(),
                )  # fmt: skip
            else:
                self._tell(settled)
