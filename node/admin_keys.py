"""What operators ask about keys and the node's place in the federation: thin, like `admin`."""
# ruff: noqa: N802 - the methods bear the names of the service's methods

from __future__ import annotations

import asyncio

from google.protobuf.message import Message
from grpc import aio

from node.operations import address, keys
from node.operations.desk import Desk
from runtime.key_stores.uri import TokenUri
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from security.keys import Algorithm
from simpul.node.v1 import admin_pb2, admin_pb2_grpc
from simpul.v1 import keys_pb2

Context = aio.ServicerContext[Message, Message]


class KeyAdmin(admin_pb2_grpc.NodeAdminServicer):
    """The part of simpul.node.v1.NodeAdmin that is about keys."""

    _desk: Desk

    async def ListKeys(
        self, request: admin_pb2.ListKeysRequest, context: Context
    ) -> admin_pb2.ListKeysResponse:
        """The hosted members' keys."""
        del request, context
        found = await asyncio.to_thread(keys.show, self._desk)
        return admin_pb2.ListKeysResponse(members=map(_member, found))

    async def ApproveNode(
        self, request: admin_pb2.ApproveNodeRequest, context: Context
    ) -> admin_pb2.ApproveNodeResponse:
        """List another node's seal key."""
        del context
        version = await keys.approve_node(
            self._desk,
            MemberId.parse(request.member),
            NodeId.parse(request.node),
            request.fingerprint,
        )
        return admin_pb2.ApproveNodeResponse(directory_version=version)

    async def DropNode(
        self, request: admin_pb2.DropNodeRequest, context: Context
    ) -> admin_pb2.DropNodeResponse:
        """List a node's seal keys no more."""
        del context
        member, node = MemberId.parse(request.member), NodeId.parse(request.node)
        version = await keys.drop_node(self._desk, member, node)
        return admin_pb2.DropNodeResponse(directory_version=version)

    async def RotateKey(
        self, request: admin_pb2.RotateKeyRequest, context: Context
    ) -> admin_pb2.RotateKeyResponse:
        """Replace a key."""
        del context
        match request.kind:
            case admin_pb2.KEY_KIND_NODE if not request.key_uri:
                done = await keys.rotate_node(self._desk)
            case admin_pb2.KEY_KIND_SEAL:
                member = MemberId.parse(request.member)
                done = await keys.rotate_seal(self._desk, member, _place(request))
            case admin_pb2.KEY_KIND_IDENTITY:
                member = MemberId.parse(request.member)
                done = await keys.rotate_identity(self._desk, member, _place(request))
            case _:
                raise SimpulError(
                    Code.REQUEST_MALFORMED,
                    "no kind of key: name node, seal or identity; a node's own is never in a token",
                )
        return admin_pb2.RotateKeyResponse(
            key_id=done.key.key_id,
            directory_version=done.version,
            valid_from_ms=done.valid_from_ms,
            asked=done.asked,
        )

    async def SetLinkAddress(
        self, request: admin_pb2.SetLinkAddressRequest, context: Context
    ) -> admin_pb2.SetLinkAddressResponse:
        """Where other nodes reach this one."""
        del context
        version = await address.set_link_address(self._desk, request.address)
        return admin_pb2.SetLinkAddressResponse(directory_version=version)

    async def WithdrawChange(
        self, request: admin_pb2.WithdrawChangeRequest, context: Context
    ) -> admin_pb2.WithdrawChangeResponse:
        """Take back a change that waits at the registry."""
        del context
        await self._desk.changes.withdraw_change(request.number, self._desk.now_ms())
        return admin_pb2.WithdrawChangeResponse()


def _place(request: admin_pb2.RotateKeyRequest) -> keys.Place:
    uri = TokenUri.parse(request.key_uri) if request.key_uri else None
    if request.algorithm == keys_pb2.KEY_ALGORITHM_UNSPECIFIED:
        return keys.Place(uri)
    return keys.Place(uri, Algorithm(request.algorithm))


def _member(shown: keys.ShownMember) -> admin_pb2.MemberKeys:
    return admin_pb2.MemberKeys(
        member=str(shown.member),
        statement=shown.number,
        identity_key_id=shown.identity_key_id,
        identity_here=shown.identity_here,
        seal_keys=map(_key, shown.seal_keys),
        requests=map(_key, shown.requests),
    )


def _key(shown: keys.ShownKey) -> admin_pb2.SealKey:
    return admin_pb2.SealKey(
        key_id=shown.key.key_id,
        node=str(shown.node),
        valid_from_ms=shown.valid_from_ms,
        valid_until_ms=shown.valid_until_ms,
        fingerprint=shown.fingerprint,
    )
