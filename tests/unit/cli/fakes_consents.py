"""The part of a node's admin API that is about consents, in memory."""

import grpc

from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2, admin_pb2_grpc
from tests.unit.cli.heard import Heard, refuse

Context = grpc.ServicerContext
NOW_MS = 1_700_000_000_000


class FakeConsents(admin_pb2_grpc.NodeAdminServicer):
    """Keeps them by reference."""

    heard: Heard
    consents: dict[str, admin_pb2.Consent]

    def RecordConsent(  # noqa: N802
        self, request: admin_pb2.RecordConsentRequest, context: Context
    ) -> admin_pb2.RecordConsentResponse:
        """Number a consent."""
        self.heard.take("RecordConsent", request, context)
        made = admin_pb2.Consent(
            reference=f"cns-{len(self.consents)}",
            consumer=request.consumer,
            service_id=request.service_id,
            purpose=request.purpose,
            recorded_at_ms=NOW_MS,
            valid_until_ms=request.valid_until_ms,
            state="given",
        )
        self.consents[made.reference] = made
        return admin_pb2.RecordConsentResponse(consent=made)

    def WithdrawConsent(  # noqa: N802
        self, request: admin_pb2.WithdrawConsentRequest, context: Context
    ) -> admin_pb2.WithdrawConsentResponse:
        """End one."""
        self.heard.take("WithdrawConsent", request, context)
        found = self._found(request.reference, context)
        again = found.withdrawn_at_ms != 0
        found.withdrawn_at_ms, found.state = NOW_MS + 1, "withdrawn"
        return admin_pb2.WithdrawConsentResponse(consent=found, again=again)

    def ListConsents(  # noqa: N802
        self, request: admin_pb2.ListConsentsRequest, context: Context
    ) -> admin_pb2.ListConsentsResponse:
        """All, or one."""
        self.heard.take("ListConsents", request, context)
        found = list(self.consents.values())
        if request.reference:
            found = [self._found(request.reference, context)]
        return admin_pb2.ListConsentsResponse(
            consents=[each for each in found if request.state in {"", each.state}]
        )

    def _found(self, reference: str, context: Context) -> admin_pb2.Consent:
        if reference not in self.consents:
            refuse(context, SimpulError(Code.NOT_FOUND, f"there is no consent {reference}"))
        return self.consents[reference]
