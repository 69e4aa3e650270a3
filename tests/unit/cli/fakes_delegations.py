"""The part of a node's admin API that is about delegations, in memory."""

import grpc

from simpul.node.v1 import admin_pb2, admin_pb2_grpc
from tests.unit.cli.heard import Heard

Context = grpc.ServicerContext
DELEGATION_HASH = "7c" * 32


class FakeDelegations(admin_pb2_grpc.NodeAdminServicer):
    """Has one member, and keeps every delegation under the same hash."""

    heard: Heard
    delegations: list[admin_pb2.Delegation]
    # To be signed elsewhere.
    delegation_document: bytes

    def DelegateAccess(  # noqa: N802
        self, request: admin_pb2.DelegateAccessRequest, context: Context
    ) -> admin_pb2.DelegateAccessResponse:
        """Give one; the delegate's node is down."""
        self.heard.take("DelegateAccess", request, context)
        made = admin_pb2.Delegation(
            delegation=DELEGATION_HASH,
            delegator=request.delegator or "ID/DAERAH/61.01",
            delegate=request.delegate,
            services=request.services,
            purposes=request.purposes,
            valid_until_ms=1_800_000_000_000,
            state="active",
            side="delegator",
        )
        self.delegations.append(made)
        untold = admin_pb2.Untold(code="PEER_UNREACHABLE", message="it is down")
        return admin_pb2.DelegateAccessResponse(delegation=made, untold=untold)

    def DraftDelegation(  # noqa: N802
        self, request: admin_pb2.DraftDelegationRequest, context: Context
    ) -> admin_pb2.DraftDelegationResponse:
        """The same document, whatever was said."""
        self.heard.take("DraftDelegation", request, context)
        return admin_pb2.DraftDelegationResponse(document=self.delegation_document)

    def ImportDelegation(  # noqa: N802
        self, request: admin_pb2.ImportDelegationRequest, context: Context
    ) -> admin_pb2.ImportDelegationResponse:
        """Take whatever comes."""
        self.heard.take("ImportDelegation", request, context)
        made = admin_pb2.Delegation(
            delegation=DELEGATION_HASH,
            delegate="ID/DAERAH/61",
            services=[admin_pb2.DelegatedAccess(service_id="s")],
            purposes=["p"],
        )
        return admin_pb2.ImportDelegationResponse(delegation=made)

    def EndDelegation(  # noqa: N802
        self, request: admin_pb2.EndDelegationRequest, context: Context
    ) -> admin_pb2.EndDelegationResponse:
        """End the last one."""
        self.heard.take("EndDelegation", request, context)
        over = self.delegations[-1]
        over.state, over.reason = "revoked", request.reason
        return admin_pb2.EndDelegationResponse(delegation=over)

    def ListDelegations(  # noqa: N802
        self, request: admin_pb2.ListDelegationsRequest, context: Context
    ) -> admin_pb2.ListDelegationsResponse:
        """All that were given."""
        self.heard.take("ListDelegations", request, context)
        return admin_pb2.ListDelegationsResponse(delegations=self.delegations)
