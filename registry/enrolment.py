"""Joins a node: the steps of `rules`, in order, in one transaction.

Either all of it is stored (token used, node listed, statement in force) or nothing. The certificate
is issued inside, so that none leaves for a node that isn't listed. Publishing comes after: the
caller does it, and a start of the registry does, should the process end in between. A node whose
answer was lost sends the same bytes again, and is answered again, while its token lives.
"""

from dataclasses import dataclass
from hashlib import sha256

from sqlmodel import Session

from registry import rules
from registry.authority import Issued
from registry.certifying import certify
from registry.directory import content
from registry.model import Node, Touched
from registry.registrar import Registrar
from registry.requests import MAX_ENROLMENT_BYTES, Enrolment, parse_enrolment
from registry.rules import step
from registry.statements import judge_listing, put_listing
from registry.store import members, nodes, tokens
from security.errors import Code
from security.identifiers import NodeId
from security.token import secret_hash


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The node that joined, its certificate, and what must be published."""

    node: NodeId
    issued: Issued
    touched: Touched


def enrol(registrar: Registrar, data: bytes, signature: bytes, now_ms: int) -> Enrolled:
    """Grants or refuses an Enrolment.

    Args:
        registrar: What to go by.
        data: The Enrolment, as it was signed.
        signature: By the new node key.
        now_ms: The time.

    Raises:
        SimpulError: of the step that refused, its number in the detail `step`.
    """
    with step(1):
        rules.check_size(data, MAX_ENROLMENT_BYTES)
    with step(2):
        request = parse_enrolment(data)
    with step(3):
        rules.check_federation(
            request.federation, registrar.federation, Code.TOKEN_OTHER_FEDERATION
        )
    hashed_request = sha256(data).digest()
    with registrar.store.transaction() as session:
        hashed = secret_hash(request.secret)
        with step(4):
            token = rules.check_token_known(tokens.find(session, hashed), hashed)
        with step(5):
            rules.check_token_unused(token, hashed_request)
        with step(6):
            rules.check_token_unexpired(token, now_ms)
        with step(7):
            rules.check_token_names(token, request.member, request.node, hosts=False)
        with step(8):
            rules.verify_enrolment_signature(request, data, signature)
        with step(9):
            member = members.get(session, request.member)
            rules.check_active(member)
        if token.used_at_ms is not None:
            return _answer_again(session, registrar, request, now_ms)
        with step(10):
            by_name = nodes.find(session, request.node)
            by_key = nodes.find_by_key(session, request.node_key)
            rules.check_node_new(by_name, by_key, request)
        with step(11):
            rules.check_reachable(request.link_address, request.slots)
        # 12 and 13 bear their numbers there.
        judged = judge_listing(request.listing, member, request.node, request.node_key, now_ms)
        with step(14):
            issued = certify(
                session, registrar.authority, request.certificate_request, request.node, now_ms
            )
        tokens.use(session, token, hashed_request, now_ms)
        node = Node(
            id=request.node,
            owner=request.member,
            key=request.node_key,
            link_address=request.link_address,
            slots=request.slots,
            certificate_expires_at_ms=issued.expires_at_ms,
        )
        nodes.add(session, node, now_ms)
        put_listing(session, member, request.listing, judged)
        touched = Touched(frozenset({request.member}))
        with step(15):
            content.read(session, registrar.policy, touched)
    return Enrolled(request.node, issued, touched)


def _answer_again(
    session: Session, registrar: Registrar, request: Enrolment, now_ms: int
) -> Enrolled:
    """The same request once more: the node is listed, and needs its certificate."""
    with step(10):
        rules.check_node_active(nodes.get(session, request.node))
    with step(14):
        issued = certify(
            session, registrar.authority, request.certificate_request, request.node, now_ms
        )
    nodes.set_certificate_expiry(session, request.node, issued.expires_at_ms)
    return Enrolled(request.node, issued, Touched(frozenset({request.member})))
