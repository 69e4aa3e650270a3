"""The operators' service on the Unix socket of a node's home: parses, calls an operation, converts.

Whoever may open the socket may do everything here: it lies in a folder of mode 0700. Operators, who
come by another one, are asked for their roles before (`operators`); what is listed is their own.
"""
# ruff: noqa: N802 - the methods bear the names of the service's methods

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from google.protobuf.message import Message
from grpc import aio

from node.admin_access import AccessAdmin
from node.admin_calls import CallAdmin
from node.admin_catalogue import CatalogueAdmin
from node.admin_consents import ConsentAdmin
from node.admin_contracts import ContractAdmin
from node.admin_delegations import DelegationAdmin
from node.admin_erasure import ErasureAdmin
from node.admin_journal import JournalAdmin
from node.admin_operators import OperatorAdmin
from node.admin_purposes import PurposeAdmin
from node.admin_templates import TemplateAdmin
from node.caller import CALLER
from node.catalogue.service import Catalogue
from node.operations import apps, services
from node.operations.access import Access
from node.operations.consents import Consents
from node.operations.desk import Desk
from node.operations.erasure import Erasures
from security.identifiers import SubsystemId
from simpul.node.v1 import admin_pb2

Context = aio.ServicerContext[Message, Message]


class NodeAdmin(
    AccessAdmin,
    CallAdmin,
    CatalogueAdmin,
    ConsentAdmin,
    ContractAdmin,
    DelegationAdmin,
    ErasureAdmin,
    JournalAdmin,
    OperatorAdmin,
    PurposeAdmin,
    TemplateAdmin,
):
    """Thin: every method is a line or two of `operations`."""

    def __init__(
        self,
        desk: Desk,
        access: Access,
        erasures: Erasures,
        catalogue: Catalogue,
        consents: Consents,
        status: Callable[[], Awaitable[admin_pb2.StatusResponse]],
    ) -> None:
        self._desk = desk
        self._access = access
        self._erasures = erasures
        self._catalogue = catalogue
        self._consents = consents
        self._status = status

    async def Status(
        self, request: admin_pb2.StatusRequest, context: Context
    ) -> admin_pb2.StatusResponse:
        """How the node is."""
        del request, context
        return await self._status()

    async def PublishService(
        self, request: admin_pb2.PublishServiceRequest, context: Context
    ) -> admin_pb2.PublishServiceResponse:
        """Publish services of a subsystem."""
        del context
        done = await services.publish(
            self._desk,
            SubsystemId.parse(request.subsystem),
            request.target,
            request.descriptor_set,
            request.services,
        )
        return admin_pb2.PublishServiceResponse(
            service_ids=[str(service) for service in done.services],
            directory_version=done.version,
            target_fault=done.fault or "",
            revisions=[
                admin_pb2.ContractUser(service_id=str(service), revision=revision)
                for service, revision in zip(done.services, done.revisions, strict=True)
            ],
            not_compared=done.not_compared,
        )

    async def ListServices(
        self, request: admin_pb2.ListServicesRequest, context: Context
    ) -> admin_pb2.ListServicesResponse:
        """The services of this node."""
        del request, context
        found = await asyncio.to_thread(services.published, self._desk)
        sees = CALLER.get().sees
        return admin_pb2.ListServicesResponse(
            services=[_service(each) for each in found if sees(each.id.subsystem.member)]
        )

    async def AddApp(
        self, request: admin_pb2.AddAppRequest, context: Context
    ) -> admin_pb2.AddAppResponse:
        """Let an app call."""
        del context
        subsystems = [SubsystemId.parse(text) for text in request.subsystems]
        token = await apps.add(
            self._desk, request.name, subsystems, request.certificate_pem, request.ttl_s
        )
        return admin_pb2.AddAppResponse(name=request.name, token=token)

    async def ListApps(
        self, request: admin_pb2.ListAppsRequest, context: Context
    ) -> admin_pb2.ListAppsResponse:
        """The apps that may call."""
        del request, context
        found, caller = await asyncio.to_thread(apps.apps, self._desk), CALLER.get()
        return admin_pb2.ListAppsResponse(
            apps=[
                admin_pb2.App(
                    name=app.name,
                    subsystems=[str(subsystem) for subsystem in app.subsystems],
                    credential="certificate" if app.token_sha256 is None else "token",
                    expires_at_ms=app.expires_at_ms or 0,
                )
                for app in found
                if caller.sees_any(subsystem.member for subsystem in app.subsystems)
            ]
        )

    async def RemoveApp(
        self, request: admin_pb2.RemoveAppRequest, context: Context
    ) -> admin_pb2.RemoveAppResponse:
        """Let an app call no more."""
        del context
        await apps.remove(self._desk, request.name)
        return admin_pb2.RemoveAppResponse()

    async def GetContract(
        self, request: admin_pb2.GetContractRequest, context: Context
    ) -> admin_pb2.GetContractResponse:
        """The contract of any service in the directory."""
        del context
        found = services.contract(self._desk, request.service_id)
        return admin_pb2.GetContractResponse(descriptor_set=found)


def _service(service: services.Published) -> admin_pb2.PublishedService:
    return admin_pb2.PublishedService(
        id=str(service.id),
        target=service.target,
        methods=[
            admin_pb2.Method(
                name=name,
                client_streaming=kind.client_streaming,
                server_streaming=kind.server_streaming,
            )
            for name, kind in service.methods.items()
        ],
    )
