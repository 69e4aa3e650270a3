"""Comparing this node's record with another node's, when an operator of either says so."""

from collections.abc import AsyncIterator

from node.operations.desk import Desk
from node.reconciliation import wire
from node.reconciliation.asking import Event, Reconciling
from security.errors import Code, SimpulError
from security.identifiers import NodeId


def reconcile(desk: Desk, peer: NodeId, from_ms: int, until_ms: int | None) -> AsyncIterator[Event]:
    """Compare the parcels between this node and `peer` that were sealed in that time.

    Raises:
        SimpulError: NODE_UNKNOWN or NODE_REVOKED; and, as the events are taken, what
            node.reconciliation.asking says.
    """
    if peer == desk.config.node_id:
        raise SimpulError(
            Code.REQUEST_MALFORMED, f"{peer} is this node: name the other one of the two"
        )
    desk.directory.require_active_node(peer)

    async def ask(method: str, question: bytes) -> bytes:
        called = (wire.SERVICE, method)
        return await desk.ask_service(peer, called, question, timeout_ms=wire.TIMEOUT_MS)

    now_ms = desk.now_ms()
    work = Reconciling(desk.sets, ask, str(peer))
    return work.run(from_ms, now_ms if until_ms is None else until_ms, now_ms)
