"""What operators ask about contracts: thin, like `service`."""

from registry.admin_log import LogAdmin
from registry.admin_members import Context
from registry.contracts import workflow
from registry.contracts.model import Card, Submission
from registry.contracts.wire import submission_message
from registry.contracts.workflow import Done
from registry.directory.content import revision_files
from registry.directory.contract_records import card_message
from registry.membership import Act
from registry.model import Touched
from registry.operators import actor_of
from registry.store import cards, submissions
from security.contract_card import read_terms
from security.identifiers import MemberId
from simpul.registry.v1 import admin_pb2
from simpul.v1 import directory_pb2


class ContractAdmin(LogAdmin):
    """The part of simpul.registry.v1.RegistryAdmin that is about contracts."""

    async def ListContracts(  # noqa: N802  (the proto's name)
        self, _request: admin_pb2.ListContractsRequest, _context: Context
    ) -> admin_pb2.ListContractsResponse:
        """Every card."""

        def work() -> list[directory_pb2.ContractCard]:
            with self._registrar.store.transaction() as session:
                return [
                    card_message(card, revision_files(session, card.package), {})
                    for card in cards.every(session)
                ]

        return admin_pb2.ListContractsResponse(cards=await self._desk.read(work))

    async def SetContract(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.SetContractRequest, _context: Context
    ) -> admin_pb2.SetContractResponse:
        """Terms or owner; answers when it is published."""
        terms = read_terms(request.terms, request.package) if request.HasField("terms") else None
        owner = MemberId.parse(request.owner) if request.owner else None

        def work() -> tuple[Card, directory_pb2.ContractCard, Touched]:
            with self._registrar.store.transaction() as session:
                card, touched = workflow.set_by_registry(session, request.package, owner, terms)
                shown = card_message(card, revision_files(session, card.package), {})
                return card, shown, touched

        (_, shown, _), version = await self._desk.change(work, lambda done: done[2])
        return admin_pb2.SetContractResponse(card=shown, directory_version=version)

    async def ListSubmissions(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.ListSubmissionsRequest, _context: Context
    ) -> admin_pb2.ListSubmissionsResponse:
        """What members asked for."""

        def work() -> tuple[Submission, ...]:
            with self._registrar.store.transaction() as session:
                if request.id:
                    return (submissions.get(session, request.id),)
                return submissions.every(session, decided=request.all)

        found = await self._desk.read(work)
        return admin_pb2.ListSubmissionsResponse(submissions=map(submission_message, found))

    async def CommentSubmission(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.CommentSubmissionRequest, context: Context
    ) -> admin_pb2.CommentSubmissionResponse:
        """A word in a thread."""
        act = Act(actor_of(context), self._clock_ms(), request.text)

        def work() -> Submission:
            with self._registrar.store.transaction() as session:
                return workflow.comment(session, request.id, act)

        found, _ = await self._desk.change(work, lambda _: Touched())
        return admin_pb2.CommentSubmissionResponse(submission=submission_message(found))

    async def DecideSubmission(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.DecideSubmissionRequest, context: Context
    ) -> admin_pb2.DecideSubmissionResponse:
        """Approves or declines; answers when it is published."""
        act = Act(actor_of(context), self._clock_ms(), request.reason)

        def work() -> Done:
            with self._registrar.store.transaction() as session:
                return workflow.decide(
                    session, self._registrar, request.id, act, approve=request.approve
                )

        done, version = await self._desk.change(work, lambda done: done.touched)
        return admin_pb2.DecideSubmissionResponse(
            submission=submission_message(done.submission),
            directory_version=version if done.touched else 0,
        )
