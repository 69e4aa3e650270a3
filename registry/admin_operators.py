"""What operators ask about operators, and about acts that wait for a second person."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from registry.admin_members import Context, MemberAdmin
from registry.authorization import Role
from registry.certifying import take_operator_key
from registry.directory import proposals
from registry.operators import CALLER, Caller, check_role, check_second
from registry.store import operators, pending
from registry.store.operators import Operator
from registry.store.pending import PendingAct, PendingState
from security import certificate
from security.errors import Code, SimpulError
from simpul.registry.v1 import admin_pb2

# The methods that may wait, with their requests' types.
_REQUESTS: Final[dict[str, Callable[[], Message]]] = {
    "SetMemberState": admin_pb2.SetMemberStateRequest,
    "RevokeNode": admin_pb2.RevokeNodeRequest,
    "RevokeKey": admin_pb2.RevokeKeyRequest,
    "AddOperator": admin_pb2.AddOperatorRequest,
    "SetOperatorRole": admin_pb2.SetOperatorRoleRequest,
    "RemoveOperator": admin_pb2.RemoveOperatorRequest,
    "ChangeGroup": admin_pb2.ChangeGroupRequest,
    "ChangeTrust": admin_pb2.ChangeTrustRequest,
}


@dataclass(frozen=True, slots=True)
class OperatorsPort:
    """Where operators call, and the certificate that they pin, in PEM."""

    address: str
    certificate_pem: str


class OperatorAdmin(MemberAdmin):
    """The part of simpul.registry.v1.RegistryAdmin that is about operators."""

    _port: OperatorsPort

    async def AddOperator(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.AddOperatorRequest, _context: Context
    ) -> admin_pb2.AddOperatorResponse:
        """Issues a certificate to an operator."""
        if not self._port.address:
            raise SimpulError(
                Code.CONFIG_INVALID,
                "the registry has no port for operators: set admin.listen in registry.toml",
            )
        registrar, role = self._registrar, _role(request.role)

        def work() -> Operator:
            # Here, because a key in a token signs as slowly as its device.
            issued = registrar.authority.issue_operator(
                request.certificate_request,
                registrar.federation,
                request.operator,
                self._clock_ms(),
            )
            digest = sha256(issued.chain[0]).hexdigest()
            operator = Operator(
                request.operator, role, digest, issued.expires_at_ms, issued.chain[0]
            )
            with registrar.store.transaction() as session:
                take_operator_key(session, operator, self._clock_ms())
                operators.add(session, operator)
            return operator

        operator = await self._desk.read(work)
        return admin_pb2.AddOperatorResponse(operator=self._operator(operator))

    async def ListOperators(  # noqa: N802  (the proto's name)
        self, _request: admin_pb2.ListOperatorsRequest, _context: Context
    ) -> admin_pb2.ListOperatorsResponse:
        """All operators."""

        def work() -> tuple[Operator, ...]:
            with self._registrar.store.transaction() as session:
                return operators.every(session)

        return admin_pb2.ListOperatorsResponse(
            operators=map(self._operator, await self._desk.read(work))
        )

    async def SetOperatorRole(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.SetOperatorRoleRequest, _context: Context
    ) -> admin_pb2.SetOperatorRoleResponse:
        """Gives an operator another role."""
        role = _role(request.role)

        def work() -> Operator:
            with self._registrar.store.transaction() as session:
                operators.set_role(session, request.operator, role)
                return operators.get(session, request.operator)

        operator = await self._desk.read(work)
        return admin_pb2.SetOperatorRoleResponse(operator=self._operator(operator))

    async def RemoveOperator(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.RemoveOperatorRequest, _context: Context
    ) -> admin_pb2.RemoveOperatorResponse:
        """Takes an operator off."""

        def work() -> None:
            with self._registrar.store.transaction() as session:
                operators.remove(session, request.operator)

        await self._desk.read(work)
        return admin_pb2.RemoveOperatorResponse()

    async def ListPending(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.ListPendingRequest, _context: Context
    ) -> admin_pb2.ListPendingResponse:
        """What waits for a second person."""

        def work() -> tuple[PendingAct, ...]:
            with self._registrar.store.transaction() as session:
                return pending.every(session, decided=request.all)

        return admin_pb2.ListPendingResponse(acts=map(_pending, await self._desk.read(work)))

    async def DecidePending(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.DecidePendingRequest, context: Context
    ) -> admin_pb2.DecidePendingResponse:
        """Declines what another person asked for, or approves and does it."""
        caller, state = CALLER.get(), PendingState.APPROVED
        if not request.approve:
            state = PendingState.DECLINED
            if not request.reason.strip():
                raise SimpulError(Code.CHANGE_INVALID, "an act is declined for a reason: give one")
        act = await self._desk.read(lambda: self._find(request.id))
        if request.approve:
            await self._desk.read(lambda: check_second(self._registrar.store, act, caller))
        elif act.proposed_by != caller.name:
            check_role(act.method, caller)

        def decide() -> None:
            with self._registrar.store.transaction() as session:
                pending.decide(
                    session,
                    act,
                    state,
                    actor=caller.name,
                    now_ms=self._clock_ms(),
                    reason=request.reason,
                )

        await self._desk.read(decide)
        if request.approve:
            await self._execute(act, caller, context)
        done = await self._desk.read(lambda: self._find(request.id))
        return admin_pb2.DecidePendingResponse(act=_pending(done))

    async def _execute(self, act: PendingAct, caller: Caller, context: Context) -> None:
        both = Caller(f"{act.proposed_by}, approved by {caller.name}", caller.role)
        token = CALLER.set(both)
        try:
            await getattr(self, _name(act))(_request(act), context)
        except SimpulError as error:
            reason = f"{error.code}: {error.message}"
            await self._desk.read(lambda: self._fail(act.id, reason))
            raise
        finally:
            CALLER.reset(token)

    def _operator(self, operator: Operator) -> admin_pb2.Operator:
        grant = {
            "name": operator.name,
            "registry": self._port.address,
            "federation": self._registrar.federation,
            "registry_certificate": self._port.certificate_pem,
            "certificate": certificate.to_pem(operator.certificate_der).decode(),
        }
        return admin_pb2.Operator(
            name=operator.name,
            role=operator.role,
            certificate_sha256=operator.certificate_sha256,
            certificate_expires_at_ms=operator.expires_at_ms,
            grant=json.dumps(grant),
        )

    def _find(self, act_id: int) -> PendingAct:
        with self._registrar.store.transaction() as session:
            return pending.get(session, act_id)

    def _fail(self, act_id: int, reason: str) -> None:
        with self._registrar.store.transaction() as session:
            pending.fail(session, act_id, reason)


def _role(text: str) -> Role:
    known = [role for role in Role if role is not Role.ADMINISTRATOR]
    for role in known:
        if role == text:
            return role
    raise SimpulError(
        Code.CHANGE_INVALID, f"{text[:100]!a} is no role: give one of {', '.join(known)}"
    )


def _name(act: PendingAct) -> str:
    return act.method.rpartition("/")[2]


def _request(act: PendingAct) -> Message:
    made = _REQUESTS[_name(act)]()
    made.MergeFromString(act.request)
    return made


def _pending(act: PendingAct) -> admin_pb2.PendingAct:
    request = _request(act)
    if isinstance(request, admin_pb2.ChangeTrustRequest):
        # Bytes in base64 tell an approver nothing.
        shown = proposals.described(proposals.parse(request.proposal))
    else:
        shown = MessageToJson(request, indent=None, preserving_proto_field_name=True)
    return admin_pb2.PendingAct(
        id=act.id,
        method=_name(act),
        subject=act.subject,
        request=shown,
        proposed_by=act.proposed_by,
        proposed_at_ms=act.proposed_at_ms,
        state=act.state,
        decided_by=act.decided_by,
        decided_at_ms=act.decided_at_ms or 0,
        reason=act.reason,
    )
