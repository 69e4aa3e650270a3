"""What is written of an erasure: that it was done, and whom to tell of it."""

from sqlalchemy import Connection, insert

from node.journal.kept.model import ErasureOrder
from node.journal.kept.tables import ERASURES, TELLINGS
from security.errors import Code, SimpulError


def record_erasure(connection: Connection, order: ErasureOrder, entries: int, now_ms: int) -> int:
    """Records it; returns the record's key."""
    values = {
        "call_id": order.call_id,
        "at_ms": now_ms,
        "by": order.by,
        "reason": str(order.reason),
        "entries": entries,
    }
    key = connection.execute(insert(ERASURES), values).inserted_primary_key
    if key is None:
        raise SimpulError(Code.INTERNAL, "the database gave no key for an erasure")
    return int(key[0])


def record_telling(
    connection: Connection, erasure: int, peer: str, sender: str, receiver: str, now_ms: int
) -> None:
    """Records that a node is to be told, from now on."""
    telling = {
        "erasure": erasure,
        "peer": peer,
        "sender": sender,
        "receiver": receiver,
        "tries": 0,
        "code": "",
        "next_at_ms": now_ms,
        "told_at_ms": None,
    }
    connection.execute(insert(TELLINGS), telling)
