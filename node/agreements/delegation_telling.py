"""Brings each delegation, and its end, to the nodes that must know of it, until all have it.

    given   to every node of the delegate, and the delegator's own others
    ended   to these, and to every node of each provider that it names: nobody need trust the
            delegate to pass it on

A node that can't be reached is asked again; one that refuses is not, and its refusal is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from node.agreements.delegations import providers_of
from node.agreements.model import PartyDesk
from node.agreements.telling import AGAIN
from node.agreements.wire import DELEGATIONS, END, GIVE
from node.model import speaker_of
from node.store.delegations import StoredDelegation, list_untold, mark_ended, mark_given
from security.delegation import DelegationTerms, parse_delegation
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, SubsystemId
from simpul.v1 import agreement_pb2

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Word:
    """What is to be told of one delegation."""

    delegation: bytes
    method: str
    data: bytes


class DelegationTeller:
    """What has been told to whom since this node started."""

    def __init__(self, desk: PartyDesk) -> None:
        self._desk = desk
        self._told: set[tuple[bytes, str, NodeId]] = set()

    async def tell(self) -> SimpulError | None:
        """Tell every word that somebody lacks; returns why one is still untold, if any is."""
        untold = None
        for known in await asyncio.to_thread(list_untold, self._desk.store):
            word = _word(known)
            if word is not None:
                untold = await self._tell(word, known) or untold
        return untold

    async def _tell(self, word: _Word, known: StoredDelegation) -> SimpulError | None:
        desk, untold = self._desk, None
        terms = parse_delegation(known.signed.delegation)
        for member, named in _hearers(terms, word.method):
            nodes = _nodes(desk, member)
            if not nodes:
                # It may be suspended, or have joined with none yet: asked for again.
                untold = SimpulError(Code.NODE_UNKNOWN, f"{member} has no active node to be told")
            for node in nodes:
                if node == desk.node or (word.delegation, word.method, node) in self._told:
                    continue
                error = await self._send(word, node, terms, named or member)
                if error is None or error.code not in AGAIN:
                    self._told.add((word.delegation, word.method, node))
                untold = error or untold
        if untold is None or untold.code not in AGAIN:
            mark = mark_given if word.method == GIVE else mark_ended
            await asyncio.to_thread(mark, desk.store, word.delegation, desk.time_ms())
        return untold

    async def _send(
        self, word: _Word, node: NodeId, terms: DelegationTerms, receiver: SubsystemId | MemberId
    ) -> SimpulError | None:
        desk = self._desk
        try:
            await desk.ask_service(
                node,
                (DELEGATIONS, word.method),
                word.data,
                sender=speaker_of(desk.directory, terms.delegator.member),
                receiver=receiver
                if isinstance(receiver, SubsystemId)
                else speaker_of(desk.directory, receiver),
            )
        except SimpulError as error:
            _log.info(
                "delegation not told", delegation=word.delegation.hex()[:16], method=word.method,
                peer=str(node), code=error.code, why=error.message,
            )  # fmt: skip
            return error
        return None


def _word(known: StoredDelegation) -> _Word | None:
    end = known.end
    if end is not None:
        request = agreement_pb2.EndRequest(delegation=known.signed, revocation=end.revocation)
        told = end.told or not end.own
        return None if told else _Word(known.hash, END, request.SerializeToString())
    if known.told or not known.own:
        return None
    given = agreement_pb2.GiveRequest(delegation=known.signed)
    return _Word(known.hash, GIVE, given.SerializeToString())


def _hearers(terms: DelegationTerms, method: str) -> Iterator[tuple[MemberId, SubsystemId | None]]:
    """Whose nodes are told, each member once; and the subsystem that is named, where one is."""
    yield terms.delegate.member, None
    yield terms.delegator.member, None
    if method != END:
        return
    named = {item.provider.member: item.provider for item in terms.services}
    for member in providers_of(terms):
        yield member, named[member]


def _nodes(desk: PartyDesk, member: MemberId) -> list[NodeId]:
    """Its active nodes; none of one that is suspended or gone."""
    try:
        return [node.id for node in desk.directory.nodes_of(member, desk.time_ms())]
    except SimpulError as error:
        if error.code not in {Code.MEMBER_UNKNOWN, Code.MEMBER_SUSPENDED}:
            raise
        return []
