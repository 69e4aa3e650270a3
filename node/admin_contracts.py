"""What operators ask of a node about contracts: thin, like `admin`."""
# ruff: noqa: N802 - the methods bear the names of the service's methods

from __future__ import annotations

import asyncio

from google.protobuf.message import Message
from grpc import aio

from node.catalogue.cards import card_message
from node.operations import conforming, contracts
from node.operations.conforming import CheckedService
from node.operations.contracts import Entry, NewRevision, Settings
from node.operations.desk import Desk
from security.identifiers import MemberId
from security.regions import Choice, RegionRules
from simpul.node.v1 import admin_pb2, admin_pb2_grpc
from simpul.v1 import directory_pb2

Context = aio.ServicerContext[Message, Message]


class ContractAdmin(admin_pb2_grpc.NodeAdminServicer):
    """The part of simpul.node.v1.NodeAdmin that is about contracts."""

    _desk: Desk

    async def PublishContract(
        self, request: admin_pb2.PublishContractRequest, context: Context
    ) -> admin_pb2.PublishContractResponse:
        """Submit a revision."""
        del context
        new = NewRevision(
            member=MemberId.parse(request.member),
            descriptor_set=request.descriptor_set,
            package=request.package,
            settings=_settings(request.settings),
            why_not=request.why_not,
            follows=request.follows if request.HasField("follows") else None,
        )
        done = await contracts.publish(self._desk, new)
        return admin_pb2.PublishContractResponse(
            submission=done.submission, directory_version=done.directory_version
        )

    async def SetContract(
        self, request: admin_pb2.SetContractRequest, context: Context
    ) -> admin_pb2.SetContractResponse:
        """Submit other terms."""
        del context
        done = await contracts.set_terms(self._desk, request.package, _settings(request.settings))
        return admin_pb2.SetContractResponse(
            submission=done.submission, directory_version=done.directory_version
        )

    async def ListContracts(
        self, request: admin_pb2.ListContractsRequest, context: Context
    ) -> admin_pb2.ListContractsResponse:
        """The directory's contracts."""
        del request, context
        found = await asyncio.to_thread(contracts.entries, self._desk)
        return admin_pb2.ListContractsResponse(contracts=map(entry_message, found))

    async def ShowContract(
        self, request: admin_pb2.ShowContractRequest, context: Context
    ) -> admin_pb2.ShowContractResponse:
        """One revision."""
        del context
        found = await asyncio.to_thread(contracts.show, self._desk, request.name, request.revision)
        return admin_pb2.ShowContractResponse(
            contract=entry_message(found.entry),
            revision=found.revision.number,
            descriptor_set=found.descriptor_set,
            documentation=directory_pb2.ContractDocumentation(
                package=found.entry.card.package,
                revision=found.revision.number,
                comments=[
                    directory_pb2.ElementComment(
                        element=item.element, leading=item.leading, trailing=item.trailing
                    )
                    for item in found.comments
                ],
            ),
        )

    async def CheckContract(
        self, request: admin_pb2.CheckContractRequest, context: Context
    ) -> admin_pb2.CheckContractResponse:
        """Whether a service matches."""
        del context
        found = await conforming.check(
            self._desk, request.package, request.revision, request.target, request.descriptor_set
        )
        return admin_pb2.CheckContractResponse(
            revision=found.revision, services=map(_checked, found.services)
        )

    async def FindSimilar(
        self, request: admin_pb2.FindSimilarRequest, context: Context
    ) -> admin_pb2.FindSimilarResponse:
        """What is like a contract."""
        del context
        member = MemberId.parse(request.member) if request.member else None
        package, found = await contracts.similar(
            self._desk, request.package, request.descriptor_set, member
        )
        return admin_pb2.FindSimilarResponse(package=package, similar=found)

    async def ListSubmissions(
        self, request: admin_pb2.ListSubmissionsRequest, context: Context
    ) -> admin_pb2.ListSubmissionsResponse:
        """What the registry was asked for."""
        del context
        found = await self._desk.changes.submissions(
            request.id, self._desk.now_ms(), decided=request.all
        )
        return admin_pb2.ListSubmissionsResponse(submissions=found)

    async def CommentSubmission(
        self, request: admin_pb2.CommentSubmissionRequest, context: Context
    ) -> admin_pb2.CommentSubmissionResponse:
        """A word in a thread."""
        del context
        found = await self._desk.changes.comment_submission(
            request.id, request.text, self._desk.now_ms()
        )
        return admin_pb2.CommentSubmissionResponse(submission=found)


def entry_message(entry: Entry) -> admin_pb2.ContractEntry:
    """A contract as the admin API shows it."""
    return admin_pb2.ContractEntry(
        card=card_message(entry.card),
        users=[
            admin_pb2.ContractUser(service_id=str(service), revision=revision)
            for service, revision in entry.users
        ],
    )


def _checked(service: CheckedService) -> admin_pb2.CheckedService:
    return admin_pb2.CheckedService(
        service=service.name,
        offered=service.offered,
        differences=[
            admin_pb2.ContractDifference(element=each.element, what=each.what)
            for each in service.differences
        ],
        beside=service.beside,
    )


def _settings(said: admin_pb2.ContractSettings) -> Settings:
    return Settings(
        title=said.title if said.HasField("title") else None,
        steward=said.steward if said.HasField("steward") else None,
        maturity=said.maturity if said.HasField("maturity") else None,
        regions=said.regions if said.HasField("regions") else None,
        licence=said.licence if said.HasField("licence") else None,
        successor=said.successor if said.HasField("successor") else None,
        rules={
            item.service: RegionRules(
                item.regions.enclosing, Choice(max(item.regions.choice, Choice.ONE))
            )
            for item in said.rules
        },
    )
