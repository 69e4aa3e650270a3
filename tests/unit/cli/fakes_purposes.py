"""The part of a node's admin API that is about purposes, in memory."""

import grpc

from simpul.node.v1 import admin_pb2, admin_pb2_grpc
from tests.unit.cli.heard import Heard

Context = grpc.ServicerContext


class FakePurposes(admin_pb2_grpc.NodeAdminServicer):
    """Keeps every version."""

    heard: Heard
    purposes: list[admin_pb2.MemberPurpose]

    def PutPurpose(  # noqa: N802
        self, request: admin_pb2.PutPurposeRequest, context: Context
    ) -> admin_pb2.PutPurposeResponse:
        """Number a version."""
        self.heard.take("PutPurpose", request, context)
        made = admin_pb2.MemberPurpose(member="ID/KEMENTERIAN/KOMDIGI", activity=request.activity)
        made.activity.version = 1 + sum(
            item.activity.id == request.activity.id for item in self.purposes
        )
        made.activity.retired = request.step == "retire"
        self.purposes.append(made)
        return admin_pb2.PutPurposeResponse(member=made.member, activity=made.activity)

    def ListPurposes(  # noqa: N802
        self, request: admin_pb2.ListPurposesRequest, context: Context
    ) -> admin_pb2.ListPurposesResponse:
        """All that were put."""
        self.heard.take("ListPurposes", request, context)
        found = [item for item in self.purposes if request.id in {"", item.activity.id}]
        return admin_pb2.ListPurposesResponse(purposes=found)
