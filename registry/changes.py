"""Applies a change that a node asks for: the steps of `rules`, in order, in one transaction.

Either all of it is stored, its number included, or nothing. Publishing comes after: the caller does
it, and a start of the registry does, should the process end in between.
"""

from dataclasses import dataclass
from hashlib import sha256

from sqlmodel import Session

from registry import requests, rules
from registry.authority import Issued
from registry.directory import content
from registry.directory.records import contract_file
from registry.model import Contract, Member, Node, Service, Subsystem, Touched
from registry.registrar import Registrar
from registry.requests import MAX_CHANGE_BYTES, Change, parse_change
from registry.rules import step
from registry.store import changes, contracts, members, nodes, services, subsystems
from security.contract import check_contract
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId


@dataclass(frozen=True, slots=True)
class Applied:
    """What a change did: who asked, what must be published, the certificate of a renewal."""

    node: NodeId
    kind: str
    touched: Touched
    issued: Issued | None = None


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
        applied = _apply(_Work(session, registrar, node, now_ms), change)
        evidence = (sha256(data).digest(), signature)
        times_ms = (change.made_at_ms, now_ms)
        changes.add(session, node.id, change.number, change.kind_name, evidence, times_ms)
        with step(11):
            content.read(session, registrar.policy, applied.touched)
    return applied


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


def _publish_service(work: _Work, kind: requests.PublishService) -> Touched:
    subsystem = kind.service.subsystem
    with step(8):
        member = work.active_member(subsystem.member)
    with step(9):
        rules.check_lists_node(rules.statement_in_force(member), work.node.id, work.now_ms)
    with step(10):
        check_contract(kind.descriptor_set, kind.service.service)
    contract = Contract(
        service=kind.service.service,
        descriptor_sha256=sha256(kind.descriptor_set).digest(),
        descriptor_set=kind.descriptor_set,
        publisher=member.id,
    )
    _, file = contract_file(contract)
    subsystems.ensure(work.session, Subsystem(subsystem, subsystem.name))
    kept = contracts.ensure(work.session, contract, sha256(file).digest(), work.now_ms)
    services.put(work.session, Service(kind.service, kept))
    key = (contract.service, contract.descriptor_sha256)
    return work.touch(member.id) | Touched(contracts=frozenset({key}))


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
        rules.verify_next_statement(kind.statement, member)
    members.set_statement(work.session, member, kind.statement.SerializeToString())
    return Touched(frozenset({member.id}))


def _renew_certificate(work: _Work, kind: requests.RenewCertificate) -> Issued:
    with step(10):
        issued = work.registrar.authority.issue(kind.certificate_request, work.node.id, work.now_ms)
    nodes.set_certificate_expiry(work.session, work.node.id, issued.expires_at_ms)
    return issued
