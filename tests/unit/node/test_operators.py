"""Operators act for the members whose role they hold, on a node that hosts several."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from node.agreements import own
from node.agreements.drafts import Draft
from node.agreements.model import signed
from node.agreements.telling import Teller
from node.authorization import TABLE, About, Need, Row, Socket, authorize
from node.caller import ADMINISTRATOR, CALLER, Caller, Role
from node.operations import operators as operations
from node.operator_socket import operators_socket, peer_uid, uid_of
from node.operators import OperatorInterceptor, check, find_caller
from node.policy.apps import AppCredential
from node.sockets import listen, make_server
from node.store.agreement_lives import get_standing, list_untold
from node.store.agreements import StoredAgreement
from node.store.apps import add_app
from node.store.operators import Operator, drop_roles, list_operators, put_roles
from runtime.grpc_errors import from_rpc_error
from security.agreement_life import Life, Party
from security.errors import Code, SimpulError
from security.identifiers import MemberId, ServiceId
from simpul.node.v1 import admin_pb2, admin_pb2_grpc
from tests.conformance import fixed
from tests.unit.node.agreements.desks import Desk, desks

A, B = fixed.REGENCY, fixed.MINISTRY
# Of neither: a third member on the node.
C: Final = MemberId.parse("ID/DAERAH/63.02")
SERVICE: Final = ServiceId(fixed.TOURISM, fixed.SERVICE)
DRAFT: Final = Draft(fixed.SUPER_APP, SERVICE, methods=("Get",))
NODE_ADMIN: Final = "/simpul.node.v1.NodeAdmin/"

CALLERS: Final = {
    "administrator": ADMINISTRATOR,
    "operator of A": Caller("ayu", {A: Role.OPERATOR}),
    "operator of B": Caller("budi", {B: Role.OPERATOR}),
    "operator of both": Caller("citra", {A: Role.OPERATOR, B: Role.OPERATOR}),
    "auditor of A": Caller("dewi", {A: Role.AUDITOR}),
    "auditor of A, operator of B": Caller("eka", {A: Role.AUDITOR, B: Role.OPERATOR}),
    "operator of C": Caller("fajar", {C: Role.OPERATOR}),
    "nobody": Caller("gita", {}),
}
EVERYBODY: Final = frozenset(CALLERS)
OPERATORS_OF_A: Final = frozenset({"administrator", "operator of A", "operator of both"})
OPERATORS_OF_B: Final = frozenset(
    {"administrator", "operator of B", "operator of both", "auditor of A, operator of B"}
)
SEE_A_OR_B: Final = EVERYBODY - {"operator of C", "nobody"}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Desk]:
    """A node that hosts A, B and C."""
    with desks(tmp_path) as (desk, _):
        desk.members = (A, B, C)
        desk.desks.clear()
        yield desk


async def agreed(desk: Desk) -> StoredAgreement:
    return await own.propose(desk, DRAFT, Party.CONSUMER)


def requests(agreement: StoredAgreement) -> dict[About, tuple[Any, frozenset[str]]]:
    """A request that is about A, or where it must be about B, and who may act by it."""
    pb = admin_pb2
    terms = pb.AccessTerms(consumer=str(fixed.SUPER_APP), service_id=str(SERVICE))
    document = admin_pb2.ImportAgreementRequest(document=signed(agreement).SerializeToString())
    return {
        About.MEMBER: (pb.PutPurposeRequest(member=str(A)), OPERATORS_OF_A),
        About.SUBSYSTEM: (pb.PublishServiceRequest(subsystem=str(fixed.TOURISM)), OPERATORS_OF_A),
        About.SUBSYSTEMS: (
            pb.AddAppRequest(subsystems=[str(fixed.TOURISM), str(fixed.SUPER_APP)]),
            frozenset({"administrator", "operator of both"}),
        ),
        About.APP: (pb.RemoveAppRequest(name="peta"), OPERATORS_OF_A),
        About.PROVIDER: (pb.AllowAccessRequest(terms=terms), OPERATORS_OF_A),
        About.CONSUMER: (pb.RequestAccessRequest(terms=terms), OPERATORS_OF_B),
        About.PROPOSER: (pb.DraftAgreementRequest(terms=terms), OPERATORS_OF_B),
        About.DELEGATOR: (pb.DelegateAccessRequest(delegator=str(A)), OPERATORS_OF_A),
        About.AGREEMENT: (
            pb.DecideAgreementRequest(agreement=agreement.hash.hex()),
            OPERATORS_OF_A | OPERATORS_OF_B,
        ),
        About.DOCUMENT: (document, OPERATORS_OF_A | OPERATORS_OF_B),
    }


def may(desk: Desk, row: Row, request: object) -> frozenset[str]:
    found = set()
    for name, caller in CALLERS.items():
        try:
            check(desk, row, request, caller)
        except SimpulError as error:
            assert error.code is Code.OPERATOR_REFUSED, (name, error)  # noqa: PT017  (of two)
        else:
            found.add(name)
    return frozenset(found)


async def test_every_method_for_every_caller(node: Desk) -> None:
    agreement = await agreed(node)
    add_app(node.store, AppCredential("peta", (fixed.TOURISM,), b"t" * 32, None, None), 1)
    known = requests(agreement)
    tried = set()
    for method, row in TABLE.items():
        if row.socket is not Socket.ADMIN:
            continue
        if row.need is Need.ADMINISTRATOR:
            assert may(node, row, admin_pb2.StatusRequest()) == {"administrator"}, method
        elif row.about is About.OWN:
            assert row.need is Need.LOOK, method
            assert may(node, row, admin_pb2.StatusRequest()) == EVERYBODY, method
        elif row.about is About.DELEGATION:
            # Of a delegation that isn't there nothing is said.
            with pytest.raises(SimpulError):
                check(node, row, admin_pb2.EndDelegationRequest(), CALLERS["operator of A"])
        else:
            request, act = known[row.about]
            expected = act if row.need is Need.OPERATOR else SEE_A_OR_B
            assert may(node, row, request) == expected, method
            tried.add(row.about)
    assert tried == set(known)


async def test_what_names_nobody_is_the_administrator_s(node: Desk) -> None:
    await agreed(node)
    for name, request in (
        ("AddApp", admin_pb2.AddAppRequest()),
        ("RemoveApp", admin_pb2.RemoveAppRequest(name="unknown")),
    ):
        row = authorize(NODE_ADMIN + name, Socket.ADMIN)
        assert may(node, row, request) == {"administrator"}
    # Several members, and none is said.
    row = authorize(NODE_ADMIN + "PutPurpose", Socket.ADMIN)
    with pytest.raises(SimpulError) as caught:
        check(node, row, admin_pb2.PutPurposeRequest(), CALLERS["operator of A"])
    assert caught.value.code is Code.REQUEST_MALFORMED


async def by(name: str, act: Callable[[], Any]) -> Any:
    token = CALLER.set(CALLERS[name])
    try:
        return await act()
    finally:
        CALLER.reset(token)


def life(desk: Desk, agreement: StoredAgreement) -> Life:
    return get_standing(desk.store, agreement.hash).life


async def test_whoever_asks_for_one_member_doesn_t_sign_for_the_other(node: Desk) -> None:
    made = await by("operator of B", lambda: own.propose(node, DRAFT, Party.CONSUMER))
    assert life(node, made) is Life.REQUESTED
    # It is here already: nobody is to be told.
    assert await Teller(node).tell() is None
    assert list_untold(node.store) == ()
    with pytest.raises(SimpulError) as caught:
        await by("operator of B", lambda: own.accept(node, made.hash))
    assert caught.value.code is Code.OPERATOR_REFUSED
    with pytest.raises(SimpulError):
        await by("auditor of A", lambda: own.accept(node, made.hash))
    await by("operator of A", lambda: own.accept(node, made.hash))
    assert life(node, made) is Life.AGREED
    both = await by("operator of both", lambda: own.propose(node, DRAFT, Party.CONSUMER))
    assert life(node, both) is Life.AGREED


async def test_each_side_revokes_in_its_own_name(node: Desk) -> None:
    made = await agreed(node)
    await by("operator of B", lambda: own.revoke(node, made.hash, "no need"))
    assert life(node, made) is Life.REVOKED
    # The administrator, as ever, as the provider.
    with node.store.transaction() as session:
        (row,) = session.connection().exec_driver_sql("SELECT member FROM revocation").all()
    assert row[0] == str(B)


def test_roles_are_given_and_taken(node: Desk) -> None:
    put_roles(node.store, Operator("ayu", 2001, {A: Role.OPERATOR}))
    put_roles(node.store, Operator("ayu", 2001, {B: Role.AUDITOR}))
    (found,) = list_operators(node.store)
    assert found.roles == {A: Role.OPERATOR, B: Role.AUDITOR}
    for other in (Operator("ayu", 2002, {A: Role.AUDITOR}), Operator("x", 2001, {A: Role.AUDITOR})):
        with pytest.raises(SimpulError) as caught:
            put_roles(node.store, other)
        assert caught.value.code is Code.CONFLICT
    drop_roles(node.store, "ayu", A)
    assert list_operators(node.store)[0].roles == {B: Role.AUDITOR}
    drop_roles(node.store, "ayu", None)
    assert list_operators(node.store) == ()
    with pytest.raises(SimpulError):
        drop_roles(node.store, "ayu", None)


@pytest.mark.parametrize(
    ("user", "members", "role", "code"),
    [
        ("root", [A], "operator", Code.REQUEST_MALFORMED),
        ("no-such-user", [A], "operator", Code.NOT_FOUND),
        ("nobody", [A], "owner", Code.REQUEST_MALFORMED),
        ("nobody", [], "operator", Code.REQUEST_MALFORMED),
        ("nobody", [MemberId.parse("ID/DAERAH/63.09")], "operator", Code.MEMBER_UNKNOWN),
    ],
)
def test_who_can_be_no_operator(
    node: Desk, user: str, members: list[MemberId], role: str, code: Code
) -> None:
    with pytest.raises(SimpulError) as caught:
        operations.add(node, user, members, role)
    assert caught.value.code is code


def test_a_user_of_the_machine_becomes_one(node: Desk) -> None:
    made = operations.add(node, "nobody", [A], "auditor")
    assert (made.name, made.uid > 0, made.roles) == ("nobody", True, {A: Role.AUDITOR})
    operations.remove(node, "nobody", A)
    assert list_operators(node.store) == ()


@pytest.mark.parametrize(
    ("peer", "uid"),
    [("unix:", None), ("unix:/h/run/operator-2001-7", 2001), ("unix:/h/run/operator-0-1", 0)],
)
def test_who_a_peer_is(peer: str, uid: int | None) -> None:
    assert uid_of(peer) == uid


@pytest.mark.parametrize(
    "peer",
    ["", "ipv4:127.0.0.1:5", "unix-abstract:operator-1-1", "unix:/run/other", "unix:operator--1",
     "unix:/run/operator-1-1x", "unix:/run/operator-1-1/x"],
)  # fmt: skip
def test_who_is_nobody(node: Desk, peer: str) -> None:
    with pytest.raises(ValueError, match="is nobody"):
        uid_of(peer)
    with pytest.raises(SimpulError) as caught:
        find_caller(node, peer)
    assert caught.value.code is Code.OPERATOR_REFUSED


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    one, two = socket.socketpair(socket.AF_UNIX)
    with one, two:
        assert peer_uid(one) == os.getuid()


class Servicer(admin_pb2_grpc.NodeAdminServicer):
    """Says who called."""

    async def Status(self, request: object, context: object) -> admin_pb2.StatusResponse:  # noqa: N802
        del request, context
        return admin_pb2.StatusResponse(node=CALLER.get().name)

    async def PutPurpose(  # noqa: N802
        self, request: object, context: object
    ) -> admin_pb2.PutPurposeResponse:
        del request, context
        return admin_pb2.PutPurposeResponse(member=CALLER.get().name)


@asynccontextmanager
async def stub(path: Path) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        yield admin_pb2_grpc.NodeAdminStub(channel)


async def refusal(call: Any) -> SimpulError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value, what="the node", unreachable=Code.NOT_RUNNING)


async def test_calls_by_the_operators_socket(node: Desk, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir(0o700)
    users = {"uid": 2001}
    put_roles(node.store, Operator("ayu", 2001, {A: Role.OPERATOR}))
    server = make_server(Socket.ADMIN, OperatorInterceptor(node))
    admin_pb2_grpc.add_NodeAdminServicer_to_server(Servicer(), server)  # type: ignore[abstract]
    await listen(server, run / "admin.sock")
    of_a, of_b = (admin_pb2.PutPurposeRequest(member=str(member)) for member in (A, B))
    async with operators_socket(tmp_path / "o.sock", run / "admin.sock", lambda _: users["uid"]):
        assert (tmp_path / "o.sock").stat().st_mode & 0o777 == 0o666
        async with stub(tmp_path / "o.sock") as ayu:
            assert (await ayu.Status(admin_pb2.StatusRequest())).node == "ayu"
            assert (await ayu.PutPurpose(of_a)).member == "ayu"
            told = await refusal(ayu.PutPurpose(of_b))
            assert (told.code, str(B) in told.message) == (Code.OPERATOR_REFUSED, True)
            told = await refusal(ayu.SettleAgreements(admin_pb2.SettleAgreementsRequest()))
            assert told.code is Code.OPERATOR_REFUSED
            # Taken away: from the next call on, on the same connection.
            drop_roles(node.store, "ayu", None)
            told = await refusal(ayu.PutPurpose(of_a))
            assert (told.code, "user 2001" in told.message) == (Code.OPERATOR_REFUSED, True)
        users["uid"] = 2002
        async with stub(tmp_path / "o.sock") as stranger:
            assert (await refusal(stranger.Status(admin_pb2.StatusRequest()))).code is (
                Code.OPERATOR_REFUSED
            )
        async with stub(run / "admin.sock") as administrator:
            assert (await administrator.PutPurpose(of_b)).member == "local administrator"
    assert not (tmp_path / "o.sock").exists()
    assert [item.name for item in run.iterdir()] == ["admin.sock"]
    await server.stop(None)
