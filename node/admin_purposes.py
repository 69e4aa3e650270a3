"""What operators ask about registers of purposes: thin, like `admin`."""
# ruff: noqa: N802 - the methods bear the names of the service's methods

from __future__ import annotations

import asyncio

from google.protobuf.message import Message
from grpc import aio

from node.operations import purposes
from node.operations.desk import Desk
from security.activity import activity_message
from simpul.node.v1 import admin_pb2, admin_pb2_grpc

Context = aio.ServicerContext[Message, Message]


class PurposeAdmin(admin_pb2_grpc.NodeAdminServicer):
    """The part of simpul.node.v1.NodeAdmin that is about purposes."""

    _desk: Desk

    async def PutPurpose(
        self, request: admin_pb2.PutPurposeRequest, context: Context
    ) -> admin_pb2.PutPurposeResponse:
        """Publish the first or next version of one."""
        del context
        member, made = await purposes.put(
            self._desk, request.member, request.step, request.activity
        )
        return admin_pb2.PutPurposeResponse(member=str(member), activity=activity_message(made))

    async def ListPurposes(
        self, request: admin_pb2.ListPurposesRequest, context: Context
    ) -> admin_pb2.ListPurposesResponse:
        """Every version in a register."""
        del context
        found = await asyncio.to_thread(purposes.registered, self._desk, request.member, request.id)
        return admin_pb2.ListPurposesResponse(
            purposes=[
                admin_pb2.MemberPurpose(member=str(member), activity=activity_message(view))
                for member, view in found
            ]
        )
