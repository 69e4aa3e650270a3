"""What operators ask about consents: thin, like `admin`."""
# ruff: noqa: N802 - the methods bear the names of the service's methods

from __future__ import annotations

from google.protobuf.message import Message
from grpc import aio

from node.consent.model import Consent
from node.operations.consents import Asked, Consents, Given
from security.identifiers import ServiceId, SubsystemId
from simpul.node.v1 import admin_pb2, admin_pb2_grpc

Context = aio.ServicerContext[Message, Message]


class ConsentAdmin(admin_pb2_grpc.NodeAdminServicer):
    """The part of simpul.node.v1.NodeAdmin that is about consents."""

    _consents: Consents

    async def RecordConsent(
        self, request: admin_pb2.RecordConsentRequest, context: Context
    ) -> admin_pb2.RecordConsentResponse:
        """Keep a citizen's consent."""
        del context
        made = await self._consents.record(
            Given(
                subject=request.subject,
                consumer=SubsystemId.parse(request.consumer),
                service=ServiceId.parse(request.service_id),
                purpose=request.purpose,
                valid_until_ms=request.valid_until_ms,
            )
        )
        return admin_pb2.RecordConsentResponse(consent=self._consent(made))

    async def WithdrawConsent(
        self, request: admin_pb2.WithdrawConsentRequest, context: Context
    ) -> admin_pb2.WithdrawConsentResponse:
        """End one at once."""
        del context
        consent, again = await self._consents.withdraw(request.reference)
        return admin_pb2.WithdrawConsentResponse(consent=self._consent(consent), again=again)

    async def ListConsents(
        self, request: admin_pb2.ListConsentsRequest, context: Context
    ) -> admin_pb2.ListConsentsResponse:
        """The newest that match."""
        del context
        found, more = await self._consents.listed(
            Asked(
                request.reference, request.subject, request.consumer, request.purpose, request.state
            )
        )
        return admin_pb2.ListConsentsResponse(
            consents=[self._consent(each) for each in found], more=more
        )

    def _consent(self, consent: Consent) -> admin_pb2.Consent:
        return admin_pb2.Consent(
            reference=consent.reference,
            consumer=str(consent.consumer),
            service_id=str(consent.service),
            purpose=consent.purpose,
            recorded_at_ms=consent.recorded_at_ms,
            valid_until_ms=consent.valid_until_ms,
            withdrawn_at_ms=consent.withdrawn_at_ms or 0,
            state=self._consents.state(consent).value,
        )
