"""Brings agreements to the other nodes of the members that are party to them.

An agreement is made on the node that holds the identity key; calls of it come to every node of the
member. So each node sends what it has to its siblings: at once, again when one has joined, and once
more after a start; whoever has it already loses nothing. A sibling that can't be reached is tried
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import structlog

from node.operations.desk import Desk
from node.store.agreements import StoredAgreement, list_agreements
from security.agreement import parse_agreement
from security.errors import SimpulError
from security.identifiers import NodeId, SubsystemId
from simpul.v1 import agreement_pb2

_log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 1.0
RETRY_S: Final = 10.0

_Sent = tuple[bytes, NodeId, SubsystemId]


class Siblings:
    """What each sibling has been sent since this node started."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._sent: set[_Sent] = set()

    async def run(self) -> None:
        """Send what is new, until cancelled."""
        while True:
            failed = False
            for stored, node, subsystem in await asyncio.to_thread(self._missing):
                failed |= not await self._send(stored, node, subsystem)
            await asyncio.sleep(RETRY_S if failed else LOOK_EVERY_S)

    def _missing(self) -> list[tuple[StoredAgreement, NodeId, SubsystemId]]:
        if self._desk.watch.replica.view is None:
            return []
        return [
            (stored, node, subsystem)
            for stored in list_agreements(self._desk.store)
            if stored.is_signed_by_both
            for node, subsystem in self._siblings(stored)
            if (stored.hash, node, subsystem) not in self._sent
        ]

    def _siblings(self, stored: StoredAgreement) -> Iterator[tuple[NodeId, SubsystemId]]:
        terms, desk = parse_agreement(stored.agreement), self._desk
        for subsystem in (terms.provider_subsystem, terms.consumer_subsystems[0]):
            if subsystem.member not in desk.members:
                continue
            try:
                nodes = desk.directory.nodes_of(subsystem.member, desk.now_ms())
            except SimpulError:
                continue
            for node in nodes:
                if node.id != desk.config.node_id:
                    yield node.id, subsystem

    async def _send(self, stored: StoredAgreement, node: NodeId, subsystem: SubsystemId) -> bool:
        signed = agreement_pb2.SignedAgreement(
            agreement=stored.agreement,
            provider_signature=stored.provider_signature,
            consumer_signature=stored.consumer_signature,
        )
        try:
            await self._desk.workers.share(signed, node, subsystem)
        except SimpulError as error:
            _log.info("agreement not shared yet", peer=str(node), code=error.code)
            return False
        self._sent.add((stored.hash, node, subsystem))
        return True
