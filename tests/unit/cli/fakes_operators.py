"""The part of the fake registry that is about operators and what waits for a second person."""
# ruff: noqa: N802  (the protos' names)

import json

import grpc

from simpul.registry.v1 import admin_pb2 as pb
from simpul.registry.v1 import admin_pb2_grpc
from tests.unit.cli.heard import Heard

Context = grpc.ServicerContext

GRANT = {
    "name": "anna",
    "registry": "127.0.0.1:1",
    "federation": "ID",
    "registry_certificate": "R",
    "certificate": "C",
}
ANNA = pb.Operator(name="anna", role="auditor", certificate_sha256="ab", grant=json.dumps(GRANT))


class FakeOperators(admin_pb2_grpc.RegistryAdminServicer):
    """One operator, and one act that waits."""

    heard: Heard

    def AddOperator(
        self, request: pb.AddOperatorRequest, context: Context
    ) -> pb.AddOperatorResponse:
        self.heard.take("AddOperator", request, context)
        return pb.AddOperatorResponse(operator=ANNA)

    def ListOperators(
        self, request: pb.ListOperatorsRequest, context: Context
    ) -> pb.ListOperatorsResponse:
        self.heard.take("ListOperators", request, context)
        return pb.ListOperatorsResponse(operators=[ANNA])

    def SetOperatorRole(
        self, request: pb.SetOperatorRoleRequest, context: Context
    ) -> pb.SetOperatorRoleResponse:
        self.heard.take("SetOperatorRole", request, context)
        return pb.SetOperatorRoleResponse(operator=pb.Operator(name="anna", role=request.role))

    def RemoveOperator(
        self, request: pb.RemoveOperatorRequest, context: Context
    ) -> pb.RemoveOperatorResponse:
        self.heard.take("RemoveOperator", request, context)
        return pb.RemoveOperatorResponse()

    def ListPending(
        self, request: pb.ListPendingRequest, context: Context
    ) -> pb.ListPendingResponse:
        self.heard.take("ListPending", request, context)
        return pb.ListPendingResponse(acts=[_act("pending")])

    def DecidePending(
        self, request: pb.DecidePendingRequest, context: Context
    ) -> pb.DecidePendingResponse:
        self.heard.take("DecidePending", request, context)
        return pb.DecidePendingResponse(act=_act("approved" if request.approve else "declined"))


def _act(state: str) -> pb.PendingAct:
    return pb.PendingAct(
        id=3, method="RevokeNode", subject="ID/~a", request="{}", proposed_by="budi", state=state
    )
