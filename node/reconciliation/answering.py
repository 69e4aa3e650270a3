"""`simpul.v1.Reconciliation` at the node that is asked.

Who may ask what: a node, about the parcels between itself and this one. Who asks is who is at the
other end of the link, by its certificate and its greeting; the questions name nobody, so there is
nothing else to ask about. Every member that is hosted there may, in whose name the question is
sealed: what is told are hashes of headers that its node sealed or took itself.

A node gets one answer at a time. What was sealed within the last minute is left out: it may still
be under way.
"""

from collections.abc import Awaitable, Callable
from types import MappingProxyType
from typing import Final

from node.journal.compared import Span
from node.reconciliation import wire
from node.reconciliation.sets import JournalSets
from security.errors import Code, SimpulError
from security.identifiers import NodeId
from security.reconcile import HOUR_MS, hours_digest, look
from simpul.v1 import reconciliation_pb2 as pb

# A parcel is recorded on both sides within moments of being sealed, or its link is cut.
SETTLED_AFTER_MS: Final = 60_000
# Nodes that are answered or wait for it.
MAX_ASKERS: Final = 16


class Answering:
    """Answers other nodes from this node's journal."""

    def __init__(self, node: NodeId, sets: JournalSets, now_ms: Callable[[], int]) -> None:
        self._node = node
        self._sets = sets
        self._now_ms = now_ms
        self._askers: set[NodeId] = set()
        self._methods = MappingProxyType(
            {
                wire.COMPARE_HOURS: self._compare_hours,
                wire.COMPARE_PARCELS: self._compare_parcels,
                wire.DESCRIBE_PARCELS: self._describe,
            }
        )

    async def answer(self, asker: NodeId, method: str, data: bytes) -> bytes:
        """Answers one question of the node that is at the other end of the link.

        Raises:
            SimpulError: METHOD_UNKNOWN, REQUEST_MALFORMED; OVERLOADED, while this node answers the
                same one or too many others; or what reading the journal says.
        """
        found: Callable[[str, bytes], Awaitable[bytes]] | None = self._methods.get(method)
        if found is None or asker == self._node:
            raise SimpulError(Code.METHOD_UNKNOWN, "nodes compare their records, each with another")
        if asker in self._askers or len(self._askers) >= MAX_ASKERS:
            raise SimpulError(
                Code.OVERLOADED, f"{self._node} compares its record already; try again in a minute"
            )
        self._askers.add(asker)
        try:
            return await found(str(asker), data)
        finally:
            self._askers.discard(asker)

    async def _compare_hours(self, peer: str, data: bytes) -> bytes:
        request = wire.parse_compare_hours(data)
        settled_ms = self._now_ms() - SETTLED_AFTER_MS
        span = Span(peer, request.from_ms, max(request.from_ms, min(request.until_ms, settled_ms)))
        hours = [
            (await self._sets.hour(span, hour)).digest() for hour in await self._sets.counts(span)
        ]
        digest = hours_digest(hours)
        is_same = digest == request.digest
        held_from_ms = 0 if is_same else await self._sets.held_from_ms()
        return wire.make_hours(span.until_ms, digest, () if is_same else hours, held_from_ms)

    async def _compare_parcels(self, peer: str, data: bytes) -> bytes:
        request = wire.parse_compare_parcels(data)
        sets = await self._sets.hour(_span(peer, request), request.hour)
        return wire.make_said(
            look(sets.of(acknowledged=part.acknowledged), part.prefix) for part in request.parts
        )

    async def _describe(self, peer: str, data: bytes) -> bytes:
        request = wire.parse_describe(data)
        span = _span(peer, request)
        return wire.make_places(
            await self._sets.describe(span, request.hour, request.header_hashes)
        )


def _span(peer: str, request: pb.CompareParcelsRequest | pb.DescribeParcelsRequest) -> Span:
    return Span(peer, request.hour * HOUR_MS, request.until_ms)
