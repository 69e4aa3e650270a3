"""Tells another node that a call was erased here, and takes what another tells.

A notice goes to the node that had the call, or, where that one is no more, to another that acts for
the same member.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from node.exchange.asking import ask
from node.exchange.consuming import Peers
from node.exchange.providing import BuiltIn
from security.directory import DirectoryView
from security.erasure import NOTIFY, SERVICE, parse_notice
from security.errors import Code, SimpulError
from security.identifiers import MemberId, SubsystemId
from simpul.node.v1 import control_pb2
from simpul.v1 import erasure_pb2

METHOD: Final = (SERVICE, NOTIFY)
# Hands a notice, whole, to the supervisor, with the member that sealed it.
Hear = Callable[[bytes, str], Awaitable[None]]


async def tell(
    peers: Peers,
    directory: DirectoryView,
    telling: control_pb2.ErasureTelling,
    call_id: bytes,
    now_ms: int,
) -> None:
    """Tell a node, and wait for its word that it has recorded it.

    Raises:
        SimpulError: NODE_UNKNOWN, PEER_UNREACHABLE, or what it refused with.
    """
    receiver = SubsystemId.parse(telling.receiver)
    nodes = directory.nodes_of(receiver.member, now_ms)
    if not nodes:
        raise SimpulError(
            Code.NODE_UNKNOWN, f"{receiver.member} has no active node; ask its operators to run one"
        )
    node = next((each for each in nodes if str(each.id) == telling.node), nodes[0])
    await ask(
        peers,
        (node,),
        call_id=call_id,
        consumer=SubsystemId.parse(telling.sender),
        provider=receiver,
        service=SERVICE,
        method=NOTIFY,
        data=telling.notice,
    )


def noticed(hear: Hear) -> BuiltIn:
    """`Erasures.Notify`: has the supervisor record what a member says that it erased.

    What is returned raises SimpulError: REQUEST_MALFORMED; NOT_FOUND, where no call of that
    member's is here.
    """

    async def answer(data: bytes, sender: MemberId) -> bytes:
        parse_notice(data)
        await hear(data, str(sender))
        return erasure_pb2.NotifyResponse().SerializeToString()

    return answer
