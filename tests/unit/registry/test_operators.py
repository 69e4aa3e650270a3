"""Roles, certificates and two persons, on a running registry over mutual TLS."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import grpc
import pytest
from sqlmodel import col, update

from registry import audit
from registry.authorization import TABLE, Listener
from registry.authorization import Role as OperatorRole
from registry.directory import proposals, signers
from registry.directory.layout import Role
from registry.home import RegistryHome
from registry.store.audit import AuditEntryRow
from runtime import clock
from runtime.grpc_options import channel_options
from runtime.ports import free_addresses
from security import certificate
from security.errors import Code, SimpulError
from simpul.registry.v1 import admin_pb2 as pb
from simpul.registry.v1 import admin_pb2_grpc
from simpul.v1 import directory_pb2
from tests.unit.registry.conftest import open_store
from tests.unit.registry.running import DNS_NAME, Running, refusal, run

MEMBER = "ID/DAERAH/53.15"


@dataclass(frozen=True)
class Person:
    """An operator's key and grant."""

    key_pem: bytes
    request: bytes
    name: str

    def credentials(self, grant: dict[str, str]) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            grant["registry_certificate"].encode(), self.key_pem, grant["certificate"].encode()
        )


def person(name: str) -> Person:
    key = certificate.make_key()
    return Person(key, certificate.make_operator_request(key, "ID", name), name)


def add_request(who: Person, role: str) -> pb.AddOperatorRequest:
    return pb.AddOperatorRequest(operator=who.name, role=role, certificate_request=who.request)


@asynccontextmanager
async def channel(
    grant: dict[str, str], who: Person
) -> "AsyncIterator[admin_pb2_grpc.RegistryAdminAsyncStub]":
    options = channel_options(target_name=DNS_NAME)
    async with grpc.aio.secure_channel(
        grant["registry"], who.credentials(grant), options
    ) as opened:
        yield admin_pb2_grpc.RegistryAdminStub(opened)


async def enrol(registry: Running, who: Person, role: str) -> dict[str, str]:
    """By the machine's administrator, alone."""
    answer = await registry.admin.AddOperator(add_request(who, role))
    found: dict[str, str] = json.loads(answer.operator.grant)
    return found


@pytest.fixture
def home(own_home: Path) -> Path:
    (address,) = free_addresses(1)
    settings = own_home / "registry.toml"
    settings.write_text(settings.read_text() + f'\n[admin]\nlisten = "{address}"\n')
    return own_home


def test_auditors_only_read() -> None:
    for method, row in TABLE.items():
        if row.listener is Listener.ADMIN:
            name = method.rpartition("/")[2]
            reads = name.startswith(("List", "Show", "Verify", "Status"))
            assert (OperatorRole.AUDITOR in row.roles) == reads, name
            assert OperatorRole.ADMINISTRATOR in row.roles


async def test_an_auditor_reads_and_does_not_write(home: Path) -> None:
    async with run(home) as registry:
        anna = person("anna")
        grant = await enrol(registry, anna, "auditor")
        async with channel(grant, anna) as stub:
            assert (await stub.Status(pb.StatusRequest())).federation == "ID"
            request = pb.AddMemberRequest(member=MEMBER, legal_name="Mabar")
            error, status = await refusal(stub.AddMember(request))
            assert (error.code, status) == (
                Code.OPERATOR_REFUSED,
                grpc.StatusCode.PERMISSION_DENIED,
            )
            listed = await stub.ListAudit(pb.ListAuditRequest())
            tried = [
                (e.actor, e.subject, e.code) for e in listed.entries if e.method == "AddMember"
            ]
            assert tried == [("anna", MEMBER, ""), ("anna", MEMBER, "OPERATOR_REFUSED")]
            assert (await stub.VerifyAudit(pb.VerifyAuditRequest())).size > 0
            # Revocation: the very next call, on the open connection.
            await registry.admin.RemoveOperator(pb.RemoveOperatorRequest(operator="anna"))
            error, _ = await refusal(stub.Status(pb.StatusRequest()))
            assert error.code is Code.OPERATOR_REFUSED


async def test_a_strangers_certificate_is_refused(home: Path) -> None:
    async with run(home) as registry:
        grant = await enrol(registry, person("anna"), "operator")
        stranger = person("anna")
        # Of our authority, and of nobody who is enrolled; it bears an operator's name, too.
        authority = RegistryHome(home).authority()
        issued = authority.issue_operator(stranger.request, "ID", "anna", clock.now_ms())
        shown = {**grant, "certificate": certificate.to_pem(*issued.chain).decode()}
        async with channel(shown, stranger) as stub:
            error, _ = await refusal(stub.Status(pb.StatusRequest()))
            assert error.code is Code.OPERATOR_REFUSED
        trail = await registry.admin.ListAudit(pb.ListAuditRequest())
        digest = sha256(issued.chain[0]).hexdigest()[:16]
        assert f"unknown certificate {digest}" in {entry.actor for entry in trail.entries}
        # Of another authority: TLS refuses.
        key, made = certificate.make_server_certificate("ID", clock.now_ms(), 1, 7)
        foreign = Person(key, b"", "anna")
        shown = {**grant, "certificate": certificate.to_pem(made).decode()}
        async with channel(shown, foreign) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Status(pb.StatusRequest())
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_removal_needs_a_second_person(home: Path) -> None:
    remove = pb.SetMemberStateRequest(member=MEMBER, state="removed", reason="merged")
    async with run(home) as registry:
        await registry.admin.AddMember(pb.AddMemberRequest(member=MEMBER, legal_name="Mabar"))
        anna = person("anna")
        grant = await enrol(registry, anna, "operator")
        async with channel(grant, anna) as stub:
            error, _ = await refusal(stub.SetMemberState(remove))
            assert error.code is Code.APPROVAL_PENDING
            (act,) = (await stub.ListPending(pb.ListPendingRequest())).acts
            assert (act.proposed_by, act.subject, act.state) == ("anna", MEMBER, "pending")
            approve = pb.DecidePendingRequest(id=act.id, approve=True)
            error, _ = await refusal(stub.DecidePending(approve))
            assert (error.code, "somebody else" in error.message) == (Code.OPERATOR_REFUSED, True)
            shown = await stub.ShowMember(pb.ShowMemberRequest(member=MEMBER))
            assert shown.member.state == "active"

            done = await registry.admin.DecidePending(approve)
            assert (done.act.state, done.act.decided_by) == ("approved", "local administrator")
            shown = await stub.ShowMember(pb.ShowMemberRequest(member=MEMBER))
            assert shown.member.state == "removed"
            assert shown.history[-1].actor == "anna, approved by local administrator"
            error, _ = await refusal(registry.admin.DecidePending(approve))
            assert (error.code, "act 1 is approved" in error.message) == (Code.CONFLICT, True)
            (act,) = (await stub.ListPending(pb.ListPendingRequest(all=True))).acts
            assert act.state == "approved"
        assert (await registry.admin.VerifyAudit(pb.VerifyAuditRequest())).size > 0
    _a_changed_row_is_found(home)


def _a_changed_row_is_found(home: Path) -> None:
    store = open_store(home)
    with store.transaction() as session:
        leaf = audit.to_leaf(audit.Entry(1, "nobody", "Status", "", "", audit.Stage.ENDED, "OK"))
        session.exec(update(AuditEntryRow).where(col(AuditEntryRow.number) == 2).values(leaf=leaf))
    with pytest.raises(SimpulError) as caught:
        audit.verify(store)
    store.close()
    assert caught.value.code is Code.DATABASE_CORRUPT


async def test_a_policy_needs_a_second_person_who_reads_what_it_is_about(home: Path) -> None:
    async with run(home) as registry:
        shown = await registry.admin.ShowTrust(pb.ShowTrustRequest())
        policy = directory_pb2.FederationPolicy.FromString(shown.policy)
        policy.stale_after_ms = 120_000
        data = policy.SerializeToString(deterministic=True)
        proposal = proposals.sign(
            proposals.propose_policy(shown.root, shown.targets, data, clock.now_ms()),
            signers.load(home / "keys")[Role.TARGETS],
        )
        anna, budi = person("anna"), person("budi")
        grant = await enrol(registry, anna, "security officer")
        change = pb.ChangeTrustRequest(proposal=proposal.to_bytes())
        error, _ = await refusal(registry.admin.ChangeTrust(change))
        assert error.code is Code.APPROVAL_PENDING
        async with channel(grant, anna) as stub:
            (act,) = (await stub.ListPending(pb.ListPendingRequest())).acts
            assert act.request.startswith(f"policy 2: SHA-256 {sha256(data).hexdigest()}")
            await stub.DecidePending(pb.DecidePendingRequest(id=act.id, approve=True))
            shown = await stub.ShowTrust(pb.ShowTrustRequest())
        assert shown.policy == data
        # An operator may not so much as ask.
        approve = pb.DecidePendingRequest(id=2, approve=True)
        await refusal(registry.admin.AddOperator(add_request(budi, "operator")))
        async with channel(grant, anna) as stub:
            await stub.DecidePending(approve)
            listed = (await stub.ListOperators(pb.ListOperatorsRequest())).operators
        granted = next(json.loads(item.grant) for item in listed if item.name == "budi")
        async with channel(granted, budi) as stub:
            error, _ = await refusal(stub.ChangeTrust(change))
            assert error.code is Code.OPERATOR_REFUSED


async def test_what_is_no_proposal_does_not_wait_for_anybody(home: Path) -> None:
    async with run(home) as registry:
        await enrol(registry, person("anna"), "security officer")
        error, _ = await refusal(registry.admin.ChangeTrust(pb.ChangeTrustRequest(proposal=b"{}")))
        assert error.code is Code.CHANGE_INVALID
        assert not (await registry.admin.ListPending(pb.ListPendingRequest())).acts


async def test_what_a_removed_operator_asked_for_is_not_done(home: Path) -> None:
    remove = pb.SetMemberStateRequest(member=MEMBER, state="removed", reason="merged")
    async with run(home) as registry:
        await registry.admin.AddMember(pb.AddMemberRequest(member=MEMBER, legal_name="Mabar"))
        anna = person("anna")
        grant = await enrol(registry, anna, "operator")
        async with channel(grant, anna) as stub:
            await refusal(stub.SetMemberState(remove))
        await registry.admin.RemoveOperator(pb.RemoveOperatorRequest(operator="anna"))
        error, _ = await refusal(
            registry.admin.DecidePending(pb.DecidePendingRequest(id=1, approve=True))
        )
        assert error.code is Code.OPERATOR_REFUSED
        decline = pb.DecidePendingRequest(id=1, reason="she left")
        assert (await registry.admin.DecidePending(decline)).act.state == "declined"


async def test_operators_change_in_twos_once_there_are_two(home: Path) -> None:
    async with run(home) as registry:
        anna, budi = person("anna"), person("budi")
        grant = await enrol(registry, anna, "security officer")
        error, _ = await refusal(registry.admin.AddOperator(add_request(budi, "operator")))
        assert error.code is Code.APPROVAL_PENDING
        async with channel(grant, anna) as stub:
            approve = pb.DecidePendingRequest(id=1, approve=True)
            both = await asyncio.gather(
                stub.DecidePending(approve), stub.DecidePending(approve), return_exceptions=True
            )
            assert sum(isinstance(item, grpc.aio.AioRpcError) for item in both) == 1
            names = [
                o.name for o in (await stub.ListOperators(pb.ListOperatorsRequest())).operators
            ]
            assert names == ["anna", "budi"]


async def test_who_may_not_do_an_act_does_not_decline_it_either(home: Path) -> None:
    async with run(home) as registry:
        budi, anna = person("budi"), person("anna")
        grant = await enrol(registry, budi, "operator")
        await enrol(registry, anna, "security officer")
        await refusal(registry.admin.RemoveOperator(pb.RemoveOperatorRequest(operator="budi")))
        async with channel(grant, budi) as stub:
            decline = pb.DecidePendingRequest(id=1, reason="I stay")
            error, _ = await refusal(stub.DecidePending(decline))
            assert error.code is Code.OPERATOR_REFUSED
            (act,) = (await stub.ListPending(pb.ListPendingRequest())).acts
            assert act.state == "pending"


async def test_an_approved_act_that_the_rules_refuse_says_so(home: Path) -> None:
    remove = pb.SetMemberStateRequest(member="ID/DAERAH/99", state="removed", reason="merged")
    async with run(home) as registry:
        anna = person("anna")
        grant = await enrol(registry, anna, "operator")
        async with channel(grant, anna) as stub:
            await refusal(registry.admin.SetMemberState(remove))
            error, _ = await refusal(
                stub.DecidePending(pb.DecidePendingRequest(id=1, approve=True))
            )
            assert error.code is Code.MEMBER_UNKNOWN
            (act,) = (await stub.ListPending(pb.ListPendingRequest(all=True))).acts
            assert (act.state, "MEMBER_UNKNOWN" in act.reason) == ("failed", True)


async def test_a_registry_without_the_port_or_with_one_operator_works_alone(own_home: Path) -> None:
    async with run(own_home) as registry:
        await registry.admin.AddMember(pb.AddMemberRequest(member=MEMBER, legal_name="Mabar"))
        remove = pb.SetMemberStateRequest(member=MEMBER, state="removed", reason="merged")
        assert (await registry.admin.SetMemberState(remove)).member.state == "removed"
        error, _ = await refusal(
            registry.admin.AddOperator(add_request(person("anna"), "operator"))
        )
        assert error.code is Code.CONFIG_INVALID
