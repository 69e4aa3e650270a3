"""Issues certificates, each for a key that is nobody else's. In the caller's transaction."""

from sqlmodel import Session

from registry.authority import Authority, Issued
from registry.store import tls_keys
from registry.store.operators import Operator
from security.certificate import key_sha256
from security.identifiers import NodeId


def certify(
    session: Session, authority: Authority, request_der: bytes, node: NodeId, now_ms: int
) -> Issued:
    """A certificate for a node; raises CHANGE_INVALID as `Authority.issue`, or for a reused key."""
    issued = authority.issue(request_der, node, now_ms)
    tls_keys.take(session, key_sha256(issued.chain[0]), str(node), now_ms)
    return issued


def take_operator_key(session: Session, operator: Operator, now_ms: int) -> None:
    """Notes an operator's key; raises CHANGE_INVALID for a reused one."""
    holder = f"operator:{operator.name}"
    tls_keys.take(session, key_sha256(operator.certificate_der), holder, now_ms)
