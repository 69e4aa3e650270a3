"""The parts of the fake node and registry that are about contracts."""
# ruff: noqa: N802  (the protos' names)

import grpc

from simpul.node.v1 import admin_pb2 as node_pb
from simpul.node.v1 import admin_pb2_grpc as node_grpc
from simpul.registry.v1 import admin_pb2 as registry_pb
from simpul.registry.v1 import admin_pb2_grpc as registry_grpc
from simpul.v1 import directory_pb2, registry_pb2
from tests.unit.cli.heard import Heard

Context = grpc.ServicerContext

MEMBER = "ID/DAERAH/53.15"
AT_MS = 1_700_000_000_000


def card() -> directory_pb2.ContractCard:
    """A draft with one revision."""
    return directory_pb2.ContractCard(
        version=1,
        federation="ID",
        package="wisata.v1",
        number=3,
        owner=MEMBER,
        terms=directory_pb2.ContractTerms(
            title="Islands", maturity=directory_pb2.CONTRACT_MATURITY_TRIAL, licence="CC-BY-4.0"
        ),
        revisions=[
            directory_pb2.CardRevision(
                number=1,
                publisher=MEMBER,
                published_at_ms=AT_MS,
                services=[
                    directory_pb2.CardService(service="wisata.v1.Wisata", contract=b"c" * 32)
                ],
            )
        ],
    )


def submission(
    state: registry_pb2.SubmissionState.ValueType = registry_pb2.SUBMISSION_STATE_IN_DISCUSSION,
) -> registry_pb2.Submission:
    """One with a thread of two words."""
    return registry_pb2.Submission(
        id=7,
        package="wisata.v1",
        member=MEMBER,
        node="ID/~labuan-bajo-1",
        change_number=4,
        kind="publish_contract",
        revision=1,
        state=state,
        submitted_at_ms=AT_MS,
        waits_because="it is much like pariwisata.v1",
        why_not="ours has harbours",
        advice=["wisata.v1.Island: say in a comment what it is"],
        similar=[
            registry_pb2.SimilarContract(
                package="pariwisata.v1", revision=2, likeness=0.91, close=True,
                shared=["Island.name"], users=[MEMBER], owner="ID/DAERAH/74.07",
            )
        ],
        events=[
            registry_pb2.SubmissionEvent(
                at_ms=AT_MS, author="ID/~labuan-bajo-1",
                state=registry_pb2.SUBMISSION_STATE_SUBMITTED, text="ours has harbours",
            ),
            registry_pb2.SubmissionEvent(
                at_ms=AT_MS, author="anna", by_registry=True,
                state=registry_pb2.SUBMISSION_STATE_IN_DISCUSSION, text="could you adopt it?",
            ),
        ],
    )  # fmt: skip


class FakeContracts(node_grpc.NodeAdminServicer):
    """A node that knows one contract, and has one submission."""

    heard: Heard
    contract: bytes
    # Nobody needs to decide.
    published = True
    # What a service does otherwise is nothing.
    matches = False
    # The contract's successor; empty: it is not retired.
    retired_for = ""

    def PublishContract(
        self, request: node_pb.PublishContractRequest, context: Context
    ) -> node_pb.PublishContractResponse:
        self.heard.take("PublishContract", request, context)
        if self.published:
            done = submission(registry_pb2.SUBMISSION_STATE_PUBLISHED)
            return node_pb.PublishContractResponse(submission=done, directory_version=9)
        return node_pb.PublishContractResponse(submission=submission())

    def SetContract(
        self, request: node_pb.SetContractRequest, context: Context
    ) -> node_pb.SetContractResponse:
        self.heard.take("SetContract", request, context)
        done = submission(registry_pb2.SUBMISSION_STATE_PUBLISHED)
        return node_pb.SetContractResponse(submission=done, directory_version=9)

    def ListContracts(
        self, request: node_pb.ListContractsRequest, context: Context
    ) -> node_pb.ListContractsResponse:
        self.heard.take("ListContracts", request, context)
        return node_pb.ListContractsResponse(contracts=[self._entry()])

    def ShowContract(
        self, request: node_pb.ShowContractRequest, context: Context
    ) -> node_pb.ShowContractResponse:
        self.heard.take("ShowContract", request, context)
        comment = directory_pb2.ElementComment(element="wisata.v1.Wisata", leading="Islands.")
        return node_pb.ShowContractResponse(
            contract=self._entry(),
            revision=1,
            descriptor_set=self.contract,
            documentation=directory_pb2.ContractDocumentation(
                package="wisata.v1", revision=1, comments=[comment]
            ),
        )

    def CheckContract(
        self, request: node_pb.CheckContractRequest, context: Context
    ) -> node_pb.CheckContractResponse:
        self.heard.take("CheckContract", request, context)
        difference = node_pb.ContractDifference(
            element="wisata.v1.Island.name", what="holds bytes, and by the contract string"
        )
        service = node_pb.CheckedService(
            service="wisata.v1.Wisata",
            offered=True,
            differences=[] if self.matches else [difference],
            beside=["Drop"],
        )
        return node_pb.CheckContractResponse(revision=1, services=[service])

    def FindSimilar(
        self, request: node_pb.FindSimilarRequest, context: Context
    ) -> node_pb.FindSimilarResponse:
        self.heard.take("FindSimilar", request, context)
        return node_pb.FindSimilarResponse(package="wisata.v1", similar=submission().similar)

    def ListSubmissions(
        self, request: node_pb.ListSubmissionsRequest, context: Context
    ) -> node_pb.ListSubmissionsResponse:
        self.heard.take("ListSubmissions", request, context)
        return node_pb.ListSubmissionsResponse(submissions=[submission()])

    def CommentSubmission(
        self, request: node_pb.CommentSubmissionRequest, context: Context
    ) -> node_pb.CommentSubmissionResponse:
        self.heard.take("CommentSubmission", request, context)
        return node_pb.CommentSubmissionResponse(submission=submission())

    def _entry(self) -> node_pb.ContractEntry:
        user = node_pb.ContractUser(service_id=f"{MEMBER}/pariwisata/wisata.v1.Wisata", revision=1)
        entry = node_pb.ContractEntry(card=card(), users=[user])
        if self.retired_for:
            entry.card.terms.maturity = directory_pb2.CONTRACT_MATURITY_RETIRED
            entry.card.terms.successor = self.retired_for
        return entry


class FakeSubmissions(registry_grpc.RegistryAdminServicer):
    """A registry with one contract and one submission about it."""

    heard: Heard

    def ListContracts(
        self, request: registry_pb.ListContractsRequest, context: Context
    ) -> registry_pb.ListContractsResponse:
        self.heard.take("ListContracts", request, context)
        return registry_pb.ListContractsResponse(cards=[card()])

    def SetContract(
        self, request: registry_pb.SetContractRequest, context: Context
    ) -> registry_pb.SetContractResponse:
        self.heard.take("SetContract", request, context)
        return registry_pb.SetContractResponse(card=card(), directory_version=9)

    def ListSubmissions(
        self, request: registry_pb.ListSubmissionsRequest, context: Context
    ) -> registry_pb.ListSubmissionsResponse:
        self.heard.take("ListSubmissions", request, context)
        return registry_pb.ListSubmissionsResponse(submissions=[submission()])

    def CommentSubmission(
        self, request: registry_pb.CommentSubmissionRequest, context: Context
    ) -> registry_pb.CommentSubmissionResponse:
        self.heard.take("CommentSubmission", request, context)
        return registry_pb.CommentSubmissionResponse(submission=submission())

    def DecideSubmission(
        self, request: registry_pb.DecideSubmissionRequest, context: Context
    ) -> registry_pb.DecideSubmissionResponse:
        self.heard.take("DecideSubmission", request, context)
        if request.approve:
            done = submission(registry_pb2.SUBMISSION_STATE_PUBLISHED)
            return registry_pb.DecideSubmissionResponse(submission=done, directory_version=9)
        done = submission(registry_pb2.SUBMISSION_STATE_DECLINED)
        return registry_pb.DecideSubmissionResponse(submission=done)
