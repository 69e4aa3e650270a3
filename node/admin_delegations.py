"""What operators ask about delegations: thin, like `admin`."""
# ruff: noqa: N802 - the methods bear the names of the service's methods

from __future__ import annotations

import asyncio

from google.protobuf.message import Message
from grpc import aio

from node.agreements.delegations import DelegationDraft
from node.agreements.show_delegations import ShownDelegation
from node.caller import CALLER
from node.operations.access import Access, Told
from node.operations.desk import Desk
from security.errors import Code, SimpulError
from security.identifiers import MemberId, ServiceId
from simpul.node.v1 import admin_pb2, admin_pb2_grpc

Context = aio.ServicerContext[Message, Message]


class DelegationAdmin(admin_pb2_grpc.NodeAdminServicer):
    """The part of simpul.node.v1.NodeAdmin that is about delegations."""

    _desk: Desk
    _access: Access

    async def DelegateAccess(
        self, request: admin_pb2.DelegateAccessRequest, context: Context
    ) -> admin_pb2.DelegateAccessResponse:
        """Let a member act for one that is hosted here."""
        del context
        told = await self._access.delegate(self._draft(request))
        shown = await self._one(told)
        return admin_pb2.DelegateAccessResponse(delegation=shown, untold=_untold(told))

    async def DraftDelegation(
        self, request: admin_pb2.DraftDelegationRequest, context: Context
    ) -> admin_pb2.DraftDelegationResponse:
        """The same, to be signed elsewhere."""
        del context
        document = await self._access.draft_delegation(self._draft(request.terms))
        return admin_pb2.DraftDelegationResponse(document=document)

    async def ImportDelegation(
        self, request: admin_pb2.ImportDelegationRequest, context: Context
    ) -> admin_pb2.ImportDelegationResponse:
        """Take what was signed elsewhere."""
        del context
        told = await self._access.take_in_delegation(request.document)
        shown = await self._one(told)
        return admin_pb2.ImportDelegationResponse(delegation=shown, untold=_untold(told))

    async def EndDelegation(
        self, request: admin_pb2.EndDelegationRequest, context: Context
    ) -> admin_pb2.EndDelegationResponse:
        """End that, at once and for good."""
        del context
        told = await self._access.end_delegation(request.delegation, request.reason)
        shown = await self._one(told)
        return admin_pb2.EndDelegationResponse(delegation=shown, untold=_untold(told))

    async def ListDelegations(
        self, request: admin_pb2.ListDelegationsRequest, context: Context
    ) -> admin_pb2.ListDelegationsResponse:
        """All that this node knows."""
        del request, context
        found = await asyncio.to_thread(self._access.delegations)
        sees = CALLER.get().sees_any
        return admin_pb2.ListDelegationsResponse(
            delegations=[
                _shown(each)
                for each in found
                if sees((each.terms.delegator.member, each.terms.delegate.member))
            ]
        )

    def _draft(self, request: admin_pb2.DelegateAccessRequest) -> DelegationDraft:
        return DelegationDraft(
            delegator=self._delegator(request.delegator),
            delegate=MemberId.parse(request.delegate),
            services=tuple(
                (ServiceId.parse(item.service_id), tuple(item.methods)) for item in request.services
            ),
            purposes=tuple(request.purposes),
            valid_from_ms=request.valid_from_ms or None,
            valid_days=request.valid_days or None,
        )

    def _delegator(self, text: str) -> MemberId:
        members = self._desk.members
        if text:
            return MemberId.parse(text)
        if len(members) != 1:
            raise SimpulError(
                Code.REQUEST_MALFORMED,
                f"this node hosts {len(members)} members: say for whom is acted (--member)",
            )
        return members[0]

    async def _one(self, told: Told) -> admin_pb2.Delegation:
        found = await asyncio.to_thread(self._access.delegations)
        return next(_shown(each) for each in found if each.stored.hash == told.delegation)


def _shown(shown: ShownDelegation) -> admin_pb2.Delegation:
    terms = shown.terms
    return admin_pb2.Delegation(
        delegation=shown.stored.hash.hex(),
        delegator=str(terms.delegator.member),
        delegate=str(terms.delegate.member),
        services=[
            admin_pb2.DelegatedAccess(
                service_id=f"{item.provider}/{item.service}", methods=item.methods
            )
            for item in terms.services
        ],
        purposes=terms.purposes,
        valid_from_ms=terms.valid_from_ms,
        valid_until_ms=terms.valid_until_ms,
        state=shown.state,
        side=shown.side,
        reason=shown.reason,
        agreements=[hash_.hex() for hash_ in shown.agreements],
    )


def _untold(told: Told) -> admin_pb2.Untold | None:
    error = told.untold
    return None if error is None else admin_pb2.Untold(code=error.code, message=error.message)
