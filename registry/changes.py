"""Applies a change that a node asks for: the steps of `rules`, in order, in one transaction.

Either all of it is stored, its number included, or nothing. Publishing comes after: the caller does
it, and a start of the registry does, should the process end in between.
"""

from dataclasses import dataclass
from hashlib import sha256

from sqlmodel import Session

from registry import requests, rules
from registry.authority import Issued
from registry.certifying import certify
from registry.contracts import publishing, workflow
from registry.contracts.model import Submission
from registry.directory import content
from registry.membership import Act
from registry.model import Member, Node, Service, Subsystem, Touched
from registry.registrar import Registrar
from registry.requests import (
    MAX_CHANGE_BYTES,
    MAX_QUERY_BYTES,
    Change,
    parse_change,
    parse_query,
)
from registry.rules import step
from registry.statements import judge_listing, put_listing, put_statement
from registry.store import (
    activities,
    changes,
    members,
    nodes,
    services,
    subsystems,
    tokens,
    waiting,
)
from registry.store.waiting import WaitingChange, WaitingState
from security.activity import activity_message, check_next, read_register
from security.contract import check_contract
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from security.token import secret_hash
from simpul.v1 import directory_pb2


@dataclass(frozen=True, slots=True)
class Applied:
    """What a change did: who asked, what must be published, the certificate of a renewal."""

    node: NodeId
    kind: str
    touched: Touched
    issued: Issued | None = None
    # Nothing is changed yet: an operator must decide.
    waits: bool = False
    # Of a change about a contract.
    submission: Submission | None = None


def apply(registrar: Registrar, data: bytes, signature: bytes, now_ms: int) -> Applied:
    """Grants or refuses a Change.

    Args:
        registrar: What to go by.
        data: The Change, as it was signed.
        signature: By the node's key.
        now_ms: The time.

    Raises:
        SimpulError: of the step that refused, its number in the detail `step`.
    """
    with step(1):
        rules.check_size(data, MAX_CHANGE_BYTES)
    with step(2):
        change = parse_change(data)
    with step(3):
        rules.check_federation(change.federation, registrar.federation, Code.CHANGE_INVALID)
    with registrar.store.transaction() as session:
        with step(4):
            node = nodes.get(session, change.node)
            rules.check_node_active(node)
        with step(5):
            rules.verify_change_signature(node, data, signature)
        with step(6):
            rules.check_made_now(change.made_at_ms, now_ms)
        with step(7):
            rules.check_number(node, change.number)
            nodes.take_number(session, node.id, change.number)
        sent = _Sent(change, data, signature)
        work = _Work(session, registrar, node, now_ms)
        # What is about contracts waits in a thread of its own.
        automatic = change.kind_name not in registrar.decided_by_operators
        if automatic or change.kind_name in workflow.KINDS:
            return _apply_and_record(work, sent)
        # What would be refused is refused now, and not when an operator looks at it.
        with session.begin_nested() as tried:
            _apply_and_record(work, sent)
            tried.rollback()
        waiting.add(session, _waiting(work, sent))
    return Applied(node.id, change.kind_name, Touched(), waits=True)


def list_waiting(registrar: Registrar, *, decided: bool) -> tuple[WaitingChange, ...]:
    """The changes that wait for an operator; with `decided` those that did, too."""
    with registrar.store.transaction() as session:
        return waiting.every(session, decided=decided)


def approve(registrar: Registrar, change_id: int, act: Act) -> tuple[WaitingChange, Touched]:
    """Applies a change that waits.

    Raises:
        SimpulError: NOT_FOUND; CONFLICT, when it is decided or withdrawn; of the step that refuses
            it by now: then it goes on waiting.
    """
    with registrar.store.transaction() as session:
        found = waiting.get(session, change_id)
        _decide(session, found, WaitingState.APPROVED, act)
        with step(4):
            node = nodes.get(session, found.node)
            rules.check_node_active(node)
        work = _Work(session, registrar, node, act.now_ms)
        sent = _Sent(parse_change(found.change), found.change, found.signature)
        applied = _apply_and_record(work, sent)
        return waiting.get(session, change_id), applied.touched


def decline(registrar: Registrar, change_id: int, act: Act) -> WaitingChange:
    """Refuses a change that waits.

    Raises:
        SimpulError: NOT_FOUND; CONFLICT, when it is decided or withdrawn; CHANGE_INVALID without a
            reason.
    """
    if not act.reason.strip():
        raise SimpulError(Code.CHANGE_INVALID, "a change is declined for a reason: give one")
    with registrar.store.transaction() as session:
        _decide(session, waiting.get(session, change_id), WaitingState.DECLINED, act)
        return waiting.get(session, change_id)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A change, and how it came."""

    change: Change
    data: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class _Work:
    """One change under way."""

    session: Session
    registrar: Registrar
    node: Node
    now_ms: int

    def active_member(self, member: MemberId) -> Member:
        found = members.get(self.session, member)
        rules.check_active(found)
        return found

    def touch(self, member: MemberId) -> Touched:
        members.changed(self.session, member)
        return Touched(frozenset({member}))


def _apply(work: _Work, change: Change) -> Applied:
    match change.kind:
        case requests.PublishService() as kind:
            return Applied(work.node.id, change.kind_name, _publish_service(work, kind))
        case requests.WithdrawService() as kind:
            return Applied(work.node.id, change.kind_name, _withdraw_service(work, kind))
        case requests.SetLinkAddress() as kind:
            return Applied(work.node.id, change.kind_name, _set_link_address(work, kind))
        case requests.ReplaceStatement() as kind:
            return Applied(work.node.id, change.kind_name, _replace_statement(work, kind))
        case requests.RenewCertificate() as kind:
            return Applied(
                work.node.id, change.kind_name, Touched(), _renew_certificate(work, kind)
            )
        case requests.HostMember() as kind:
            return Applied(work.node.id, change.kind_name, _host_member(work, kind))
        case requests.ReplaceNodeKey() as kind:
            return Applied(work.node.id, change.kind_name, _replace_node_key(work, kind))
        case requests.WithdrawChange() as kind:
            return Applied(work.node.id, change.kind_name, _withdraw_change(work, kind))
        case requests.RequestSealKey() as kind:
            return Applied(work.node.id, change.kind_name, _request_seal_key(work, kind))
        case _:
            return _apply_to_register(work, change)


def _apply_to_register(work: _Work, change: Change) -> Applied:
    if isinstance(change.kind, requests.PutActivity):
        return Applied(work.node.id, change.kind_name, _put_activity(work, change.kind))
    raise SimpulError(Code.INTERNAL, f"nothing applies a {change.kind_name}")


def _apply_to_contract(work: _Work, sent: _Sent) -> Applied:
    change, node = sent.change, work.node
    if isinstance(change.kind, requests.CommentSubmission):
        said = workflow.comment_by_node(
            work.session, node, change.kind.submission, change.kind.text, work.now_ms
        )
        return Applied(node.id, change.kind_name, Touched(), submission=said)
    given = workflow.Sent(change, sent.data, sent.signature, node)
    done = workflow.submit(work.session, work.registrar, given, work.now_ms)
    return Applied(
        node.id, change.kind_name, done.touched, waits=done.waits, submission=done.submission
    )


def _apply_and_record(work: "_Work", sent: _Sent) -> Applied:
    change = sent.change
    if change.kind_name in workflow.KINDS:
        applied = _apply_to_contract(work, sent)
    else:
        applied = _apply(work, change)
    evidence = (sha256(sent.data).digest(), sent.signature)
    times_ms = (change.made_at_ms, work.now_ms)
    changes.add(work.session, work.node.id, change.number, change.kind_name, evidence, times_ms)
    with step(11):
        content.read(work.session, work.registrar.policy, applied.touched)
    return applied


def _waiting(work: "_Work", sent: _Sent) -> WaitingChange:
    return WaitingChange(
        id=0,
        node=work.node.id,
        number=sent.change.number,
        kind=sent.change.kind_name,
        change=sent.data,
        signature=sent.signature,
        received_at_ms=work.now_ms,
    )


def _decide(session: Session, found: WaitingChange, state: WaitingState, act: Act) -> None:
    waiting.decide(session, found, state, reason=act.reason, actor=act.actor, now_ms=act.now_ms)


def list_submissions(
    registrar: Registrar, data: bytes, signature: bytes, now_ms: int
) -> tuple[Submission, ...]:
    """What a node may see of what was asked for about contracts: the steps of a change, to 9.

    Raises:
        SimpulError: of the step that refused.
    """
    with step(1):
        rules.check_size(data, MAX_QUERY_BYTES)
    with step(2):
        query = parse_query(data)
    with step(3):
        rules.check_federation(query.federation, registrar.federation, Code.CHANGE_INVALID)
    with registrar.store.transaction() as session:
        with step(4):
            node = nodes.get(session, query.node)
            rules.check_node_active(node)
        with step(5):
            rules.verify_query_signature(node, data, signature)
        with step(6):
            rules.check_made_now(query.made_at_ms, now_ms)
        with step(8):
            return workflow.of_node(session, node, query.submission, now_ms, decided=query.decided)


def _publish_service(work: _Work, kind: requests.PublishService) -> Touched:
    subsystem = kind.service.subsystem
    with step(8):
        member = work.active_member(subsystem.member)
    with step(9):
        rules.check_lists_node(rules.statement_in_force(member), work.node.id, work.now_ms)
    with step(10):
        check_contract(kind.descriptor_set, kind.service.service)
    listed = subsystems.ensure(work.session, Subsystem(subsystem, subsystem.name))
    with step(8):
        rules.check_subsystem_active(listed)
    with step(10):
        workflow.check_is_new(work.session, work.registrar, kind.service, kind.descriptor_set)
        found = publishing.implement(
            work.session,
            kind.service,
            kind.descriptor_set,
            work.now_ms,
            listed=services.find(work.session, kind.service) is not None,
        )
    services.put(work.session, Service(kind.service, found.file_sha256))
    return work.touch(member.id) | found.touched


def _withdraw_service(work: _Work, kind: requests.WithdrawService) -> Touched:
    with step(8):
        member = work.active_member(kind.service.subsystem.member)
    with step(9):
        rules.check_lists_node(rules.statement_in_force(member), work.node.id, work.now_ms)
    with step(10):
        if services.find(work.session, kind.service) is None:
            raise SimpulError(
                Code.SERVICE_UNKNOWN,
                f"{kind.service} is not listed: look at what is (simpul service list)",
                service=str(kind.service),
            )
    services.remove(work.session, kind.service)
    return work.touch(member.id)


def _put_activity(work: _Work, kind: requests.PutActivity) -> Touched:
    with step(8):
        member = work.active_member(kind.member)
    with step(9):
        rules.check_lists_node(rules.statement_in_force(member), work.node.id, work.now_ms)
    view = kind.activity
    kept = activities.of_member(work.session, member.id)
    before = read_register(map(directory_pb2.Activity.FromString, kept)).get(view.id, ())
    if before and before[-1] == view:
        # The very same once more: its answer was lost.
        return Touched(frozenset({member.id}))
    with step(10):
        check_next(before, view)
    data = activity_message(view).SerializeToString(deterministic=True)
    activities.add(work.session, member.id, view.id, view.version, data)
    return work.touch(member.id)


def _set_link_address(work: _Work, kind: requests.SetLinkAddress) -> Touched:
    with step(8):
        rules.check_reachable(kind.link_address, work.node.slots)
    nodes.set_link_address(work.session, work.node.id, kind.link_address)
    return work.touch(work.node.owner)


def _replace_statement(work: _Work, kind: requests.ReplaceStatement) -> Touched:
    with step(8):
        member = work.active_member(kind.member)
    with step(9):
        in_force = rules.statement_in_force(member)
        rules.check_speaks_for(work.node, member.id, in_force, work.now_ms)
    with step(10):
        verified = rules.verify_next_statement(kind.statement, member)
    put_statement(work.session, member, kind.statement.SerializeToString(), verified)
    return Touched(frozenset({member.id}))


def _host_member(work: _Work, kind: requests.HostMember) -> Touched:
    asked = sha256(kind.listing.SerializeToString(deterministic=True)).digest()
    with step(8):
        hashed = secret_hash(kind.secret)
        token = rules.check_token_known(tokens.find(work.session, hashed), hashed)
        rules.check_token_unused(token, asked)
        rules.check_token_unexpired(token, work.now_ms)
        rules.check_token_names(token, kind.member, work.node.id, hosts=True)
        member = work.active_member(kind.member)
    if token.used_at_ms is not None:
        # The very same once more: its answer was lost.
        return Touched(frozenset({member.id}))
    judged = judge_listing(kind.listing, member, work.node.id, work.node.key, work.now_ms)
    tokens.use(work.session, token, asked, work.now_ms)
    put_listing(work.session, member, kind.listing, judged)
    return Touched(frozenset({member.id}))


def _request_seal_key(work: _Work, kind: requests.RequestSealKey) -> Touched:
    with step(8):
        member = work.active_member(kind.member)
    with step(9):
        # Its own member's node, or one that the member's statement lists: nobody else may ask.
        rules.check_speaks_for(work.node, member.id, rules.statement_in_force(member), work.now_ms)
    with step(10):
        judged = rules.verify_seal_key_request(kind.request, member, work.node.id, work.node.key)
    put_listing(work.session, member, kind.request, judged)
    return Touched(frozenset({member.id}))


def _replace_node_key(work: _Work, kind: requests.ReplaceNodeKey) -> Touched:
    with step(10):
        rules.check_new_key(kind, work.node, nodes.find_by_key(work.session, kind.node_key))
    nodes.set_key(work.session, work.node, kind.node_key)
    return work.touch(work.node.owner)


def _withdraw_change(work: _Work, kind: requests.WithdrawChange) -> Touched:
    with step(8):
        found = waiting.find(work.session, work.node.id, kind.number)
        if found is None and workflow.withdraw(
            work.session, work.node.id, kind.number, work.now_ms
        ):
            return Touched()
        if found is None:
            raise SimpulError(
                Code.NOT_FOUND, f"change {kind.number} of {work.node.id} never waited: look again"
            )
    act = Act(str(work.node.id), work.now_ms)
    with step(10):
        _decide(work.session, found, WaitingState.WITHDRAWN, act)
    return Touched()


def _renew_certificate(work: _Work, kind: requests.RenewCertificate) -> Issued:
    with step(10):
        issued = certify(
            work.session,
            work.registrar.authority,
            kind.certificate_request,
            work.node.id,
            work.now_ms,
        )
    nodes.set_certificate_expiry(work.session, work.node.id, issued.expires_at_ms)
    return issued
