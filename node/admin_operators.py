"""What the administrator asks about operators: thin, like `admin`."""
# ruff: noqa: N802 - the methods bear the names of the service's methods

from __future__ import annotations

import asyncio

from google.protobuf.message import Message
from grpc import aio

from node.operations import operators
from node.operations.desk import Desk
from node.store.operators import Operator, list_operators
from security.identifiers import MemberId
from simpul.node.v1 import admin_pb2, admin_pb2_grpc

Context = aio.ServicerContext[Message, Message]


class OperatorAdmin(admin_pb2_grpc.NodeAdminServicer):
    """The part of simpul.node.v1.NodeAdmin that is about operators."""

    _desk: Desk

    async def AddOperator(
        self, request: admin_pb2.AddOperatorRequest, context: Context
    ) -> admin_pb2.AddOperatorResponse:
        """Give a user a role for members."""
        del context
        members = [MemberId.parse(member) for member in request.members]
        made = await asyncio.to_thread(
            operators.add, self._desk, request.user, members, request.role
        )
        return admin_pb2.AddOperatorResponse(operator=_operator(made))

    async def ListOperators(
        self, request: admin_pb2.ListOperatorsRequest, context: Context
    ) -> admin_pb2.ListOperatorsResponse:
        """All of them."""
        del request, context
        found = await asyncio.to_thread(list_operators, self._desk.store)
        return admin_pb2.ListOperatorsResponse(operators=map(_operator, found))

    async def RemoveOperator(
        self, request: admin_pb2.RemoveOperatorRequest, context: Context
    ) -> admin_pb2.RemoveOperatorResponse:
        """Take a role away, or all."""
        del context
        member = MemberId.parse(request.member) if request.member else None
        await asyncio.to_thread(operators.remove, self._desk, request.user, member)
        return admin_pb2.RemoveOperatorResponse()


def _operator(operator: Operator) -> admin_pb2.NodeOperator:
    return admin_pb2.NodeOperator(
        user=operator.name,
        uid=operator.uid,
        roles=[
            admin_pb2.MemberRole(member=str(member), role=role)
            for member, role in operator.roles.items()
        ],
    )
