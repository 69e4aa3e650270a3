"""A member's next statement: which keys it lists. Pure.

Rules: a key that ends is listed until it has ended, because parcels that were sealed with it are
under way; a key that replaces another becomes valid one stale age after it is published, when every
node that isn't cut off has heard of it, and the other one serves for one stale age more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from security.directory import MemberView
from security.errors import Code, SimpulError
from security.identifiers import NodeId
from security.keys import PrivateKey, PublicKey
from security.statement import (
    MemberStatementView,
    SealKeyView,
    VerifiedStatement,
    make_statement,
)
from simpul.v1 import statement_pb2

SEAL_KEY_DAYS = 365
MS_PER_DAY = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Times:
    """The time, and the federation's stale age, in ms."""

    now_ms: int
    stale_after_ms: int


def statement_of(member: MemberView) -> VerifiedStatement:
    """The statement in force; raises SimpulError KEY_UNKNOWN where there is none."""
    if member.statement is None:
        raise SimpulError(
            Code.KEY_UNKNOWN, f"{member.id} has no statement yet; it must enrol a node first"
        )
    return member.statement


def with_key(
    listed: Sequence[SealKeyView], key: PublicKey, node: NodeId, times: Times
) -> tuple[SealKeyView, ...]:
    """The keys with a new one for `node`: valid at once where that node has none that is."""
    kept = [item for item in listed if times.now_ms < item.valid_until_ms]
    has_one = any(item.node == node for item in kept)
    begins_ms = times.now_ms + (times.stale_after_ms if has_one else 0)
    ends_ms = begins_ms + times.stale_after_ms
    new = SealKeyView(key, node, begins_ms, begins_ms + SEAL_KEY_DAYS * MS_PER_DAY)
    return (
        *(
            replace(item, valid_until_ms=min(item.valid_until_ms, ends_ms))
            if item.node == node
            else item
            for item in kept
            # One that would begin only after it must end is left out.
            if item.node != node or item.valid_from_ms < ends_ms
        ),
        new,
    )


def without_node(
    listed: Sequence[SealKeyView], node: NodeId, now_ms: int
) -> tuple[SealKeyView, ...]:
    """The keys of the other nodes.

    Raises:
        SimpulError: NODE_UNKNOWN, when `node` has none; CHANGE_INVALID, when no other node has one.
    """
    kept = tuple(item for item in listed if item.node != node and now_ms < item.valid_until_ms)
    if all(item.node != node for item in listed):
        raise SimpulError(Code.NODE_UNKNOWN, f"the statement lists no key of {node}: look at it")
    if not kept:
        raise SimpulError(
            Code.CHANGE_INVALID,
            f"{node} is the only node that seals for the member: list another one first",
        )
    return kept


def next_statement(
    previous: VerifiedStatement,
    seal_keys: tuple[SealKeyView, ...],
    identity: PrivateKey,
    now_ms: int,
    successor: PrivateKey | None = None,
) -> statement_pb2.SignedStatement:
    """The statement after `previous`, signed.

    Args:
        previous: The one in force.
        seal_keys: What it lists.
        identity: The identity key in force.
        now_ms: The time.
        successor: A new identity key, where it changes.
    """
    signer = identity if successor is None else successor
    view = MemberStatementView(
        member=previous.member,
        number=previous.number + 1,
        identity_key=signer.public,
        seal_keys=seal_keys,
        issued_at_ms=now_ms,
        previous=previous.hash,
    )
    return make_statement(view, signer, None if successor is None else identity)
