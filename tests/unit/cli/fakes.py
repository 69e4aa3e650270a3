"""A node, its gateway and a registry that implement the real services and hold all in memory."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from examples.gen.wisata.v1 import wisata_pb2 as wisata
from runtime.grpc_options import server_options
from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2 as node_pb
from simpul.registry.v1 import admin_pb2 as registry_pb
from tests.architecture.project import PROJECT
from tests.unit.cli.fakes_catalogue import FakeCatalogue
from tests.unit.cli.fakes_consents import FakeConsents
from tests.unit.cli.fakes_contracts import FakeContracts, FakeSubmissions
from tests.unit.cli.fakes_delegations import FakeDelegations
from tests.unit.cli.fakes_groups import FakeGroups, FakeNodeOperators, FakeTemplates
from tests.unit.cli.fakes_journal import FakeJournal
from tests.unit.cli.fakes_life import FakeKeys, FakeLife
from tests.unit.cli.fakes_purposes import FakePurposes
from tests.unit.cli.heard import Heard, refuse

PROTOSET = PROJECT / "examples/protos/wisata.protoset"
PROVIDER = "ID/DAERAH/53.15/pariwisata"
SERVICE = f"{PROVIDER}/wisata.v1.Wisata"
CONSUMER = "ID/KEMENTERIAN/KOMDIGI/superapp"
CALL_ID = "0198f3c2a5b47d3e8f10c2d4e6a8b0c1"
HASH = "ab" * 32

Context = grpc.ServicerContext


@contextmanager
def serving(address: str, add: Callable[[grpc.Server], None]) -> Iterator[int]:
    """A real server on threads; yields its port (0 or 1 for a Unix socket)."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        server = grpc.server(pool, options=server_options())
        add(server)
        port = server.add_insecure_port(address)
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait()


class FakeNode(
    FakeKeys,
    FakeJournal,
    FakeCatalogue,
    FakeConsents,
    FakeContracts,
    FakeDelegations,
    FakePurposes,
    FakeTemplates,
    FakeNodeOperators,
):
    """A node's admin API."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.gateway = "127.0.0.1:1"
        self.contract = PROTOSET.read_bytes()
        self.agreements = [agreement()]
        # To be signed elsewhere.
        self.document = b""
        self.settle_faults: list[node_pb.Untold] = []
        self.apps: dict[str, node_pb.App] = {}
        self.tokens: dict[str, str] = {}
        self.erased: dict[bytes, node_pb.ErasedCall] = {}
        self.open_notices = 1
        self.to_rewrap = 1500
        self.purposes = []
        self.delegations = []
        self.delegation_document = b""
        self.consents = {}

    def ListCalls(  # noqa: N802
        self, request: node_pb.ListCallsRequest, context: Context
    ) -> node_pb.ListCallsResponse:
        """No command asks: they read the journal themselves."""
        self.heard.take("ListCalls", request, context)
        return node_pb.ListCallsResponse()

    def ShowCall(  # noqa: N802
        self, request: node_pb.ShowCallRequest, context: Context
    ) -> node_pb.ShowCallResponse:
        """Nor for this."""
        self.heard.take("ShowCall", request, context)
        return node_pb.ShowCallResponse()

    def Status(self, request: node_pb.StatusRequest, context: Context) -> node_pb.StatusResponse:  # noqa: N802
        self.heard.take("Status", request, context)
        return node_pb.StatusResponse(
            node="ID/~jakarta-1",
            members=["ID/KEMENTERIAN/KOMDIGI"],
            gateway=self.gateway,
            link="127.0.0.1:8442",
            metrics="127.0.0.1:8443",
            directory_version=7,
            directory_hash=b"\xcd" * 32,
            directory_issued_at_ms=1_700_000_000_000,
            workers_ready=1,
            links=[
                node_pb.LinkStatus(
                    peer="ID/~labuan-bajo-1",
                    dialled=True,
                    link_id=b"\xef" * 32,
                    parcels_sent=3,
                    parcels_received=4,
                )
            ],
        )

    def PublishService(  # noqa: N802
        self, request: node_pb.PublishServiceRequest, context: Context
    ) -> node_pb.PublishServiceResponse:
        self.heard.take("PublishService", request, context)
        return node_pb.PublishServiceResponse(
            service_ids=[SERVICE],
            directory_version=8,
            revisions=[node_pb.ContractUser(service_id=SERVICE, revision=3)],
        )

    def ListServices(  # noqa: N802
        self, request: node_pb.ListServicesRequest, context: Context
    ) -> node_pb.ListServicesResponse:
        self.heard.take("ListServices", request, context)
        methods = [
            node_pb.Method(name="Get"),
            node_pb.Method(name="Chat", client_streaming=True, server_streaming=True),
        ]
        published = node_pb.PublishedService(id=SERVICE, target="127.0.0.1:50051", methods=methods)
        return node_pb.ListServicesResponse(services=[published])

    def AllowAccess(  # noqa: N802
        self, request: node_pb.AllowAccessRequest, context: Context
    ) -> node_pb.AllowAccessResponse:
        self.heard.take("AllowAccess", request, context)
        return node_pb.AllowAccessResponse(agreement=agreement())

    def EraseCalls(  # noqa: N802
        self, request: node_pb.EraseCallsRequest, context: Context
    ) -> node_pb.EraseCallsResponse:
        self.heard.take("EraseCalls", request, context)
        calls = [
            self.erased.get(call_id)
            or node_pb.ErasedCall(
                call_id=call_id, entries=2, erased_at_ms=7, tells=["ID/~labuan-bajo-1"]
            )
            for call_id in request.call_ids
        ]
        return node_pb.EraseCallsResponse(calls=calls, scrubbed=True)

    def DeclineErasure(  # noqa: N802
        self, request: node_pb.DeclineErasureRequest, context: Context
    ) -> node_pb.DeclineErasureResponse:
        self.heard.take("DeclineErasure", request, context)
        return node_pb.DeclineErasureResponse(notices=self.open_notices)

    def RewrapJournal(  # noqa: N802
        self, request: node_pb.RewrapJournalRequest, context: Context
    ) -> node_pb.RewrapJournalResponse:
        self.heard.take("RewrapJournal", request, context)
        done = min(self.to_rewrap, 1000)
        self.to_rewrap -= done
        return node_pb.RewrapJournalResponse(
            key_id=b"\xab" * 8, done=done, left=self.to_rewrap, destroyed=0 if done else 1
        )

    def RequestAccess(  # noqa: N802
        self, request: node_pb.RequestAccessRequest, context: Context
    ) -> node_pb.RequestAccessResponse:
        self.heard.take("RequestAccess", request, context)
        untold = node_pb.Untold(code="PEER_UNREACHABLE", message="it is down")
        return node_pb.RequestAccessResponse(
            agreement=agreement(), untold=untold, hints=["Cocok would do"]
        )

    def ListUsage(  # noqa: N802
        self, request: node_pb.ListUsageRequest, context: Context
    ) -> node_pb.ListUsageResponse:
        self.heard.take("ListUsage", request, context)
        used = node_pb.AgreementUsage(
            agreement=HASH, side="provider", state="active", calls=41, refused=3,
            request_bytes=512, response_bytes=2_500_000, given_today=4900, calls_per_day=5000,
            on_behalf_of="ID/DAERAH/61.01",
        )  # fmt: skip
        idle = node_pb.AgreementUsage(agreement="cd" * 32, side="consumer", unused=True)
        return node_pb.ListUsageResponse(usage=[used, idle])

    def DraftAgreement(  # noqa: N802
        self, request: node_pb.DraftAgreementRequest, context: Context
    ) -> node_pb.DraftAgreementResponse:
        self.heard.take("DraftAgreement", request, context)
        return node_pb.DraftAgreementResponse(document=self.document)

    def ExportAgreement(  # noqa: N802
        self, request: node_pb.ExportAgreementRequest, context: Context
    ) -> node_pb.ExportAgreementResponse:
        self.heard.take("ExportAgreement", request, context)
        return node_pb.ExportAgreementResponse(document=self.document)

    def ImportAgreement(  # noqa: N802
        self, request: node_pb.ImportAgreementRequest, context: Context
    ) -> node_pb.ImportAgreementResponse:
        self.heard.take("ImportAgreement", request, context)
        return node_pb.ImportAgreementResponse(agreement=agreement())

    def DecideAgreement(  # noqa: N802
        self, request: node_pb.DecideAgreementRequest, context: Context
    ) -> node_pb.DecideAgreementResponse:
        self.heard.take("DecideAgreement", request, context)
        return node_pb.DecideAgreementResponse(agreement=agreement())

    def ShowAgreement(  # noqa: N802
        self, request: node_pb.ShowAgreementRequest, context: Context
    ) -> node_pb.ShowAgreementResponse:
        self.heard.take("ShowAgreement", request, context)
        return node_pb.ShowAgreementResponse(
            agreement=agreement(),
            terms=[node_pb.TermInWords(term="rate", says="10 a second, 10 at once")],
            steps=[
                node_pb.StepInWords(
                    step="propose", party="consumer", at_ms=1_700_000_000_000, own=True
                )
            ],
            changes=[
                node_pb.ChangeInWords(
                    term="rate", before="no limit", after="10 a second", direction="narrower"
                )
            ],
        )

    def SettleAgreements(  # noqa: N802
        self, request: node_pb.SettleAgreementsRequest, context: Context
    ) -> node_pb.SettleAgreementsResponse:
        self.heard.take("SettleAgreements", request, context)
        return node_pb.SettleAgreementsResponse(faults=self.settle_faults)

    def ListAgreements(  # noqa: N802
        self, request: node_pb.ListAgreementsRequest, context: Context
    ) -> node_pb.ListAgreementsResponse:
        self.heard.take("ListAgreements", request, context)
        return node_pb.ListAgreementsResponse(agreements=self.agreements)

    def AddApp(self, request: node_pb.AddAppRequest, context: Context) -> node_pb.AddAppResponse:  # noqa: N802
        self.heard.take("AddApp", request, context)
        kind = "certificate" if request.certificate_pem else "token"
        self.apps[request.name] = node_pb.App(
            name=request.name, subsystems=request.subsystems, credential=kind
        )
        if kind == "certificate":
            return node_pb.AddAppResponse(name=request.name)
        token = f"simpul_app_{len(self.tokens)}"
        self.tokens[token] = request.name
        return node_pb.AddAppResponse(name=request.name, token=token)

    def ListApps(  # noqa: N802
        self, request: node_pb.ListAppsRequest, context: Context
    ) -> node_pb.ListAppsResponse:
        self.heard.take("ListApps", request, context)
        return node_pb.ListAppsResponse(apps=self.apps.values())

    def RemoveApp(  # noqa: N802
        self, request: node_pb.RemoveAppRequest, context: Context
    ) -> node_pb.RemoveAppResponse:
        self.heard.take("RemoveApp", request, context)
        if self.apps.pop(request.name, None) is None:
            refuse(context, SimpulError(Code.NOT_FOUND, f"there is no app {request.name}"))
        return node_pb.RemoveAppResponse()

    def GetContract(  # noqa: N802
        self, request: node_pb.GetContractRequest, context: Context
    ) -> node_pb.GetContractResponse:
        self.heard.take("GetContract", request, context)
        return node_pb.GetContractResponse(descriptor_set=self.contract)


def agreement(**changes: Any) -> node_pb.Agreement:
    values: dict[str, Any] = {
        "agreement": HASH,
        "provider": PROVIDER,
        "consumers": [CONSUMER],
        "service": "wisata.v1.Wisata",
        "methods": ["Get", "List"],
        "purposes": ["layanan-wisata"],
        "valid_from_ms": 1_700_000_000_000,
        "valid_until_ms": 1_800_000_000_000,
        "state": "active",
        "side": "consumer",
    }
    return node_pb.Agreement(**{**values, **changes})


class FakeGateway(grpc.GenericRpcHandler):
    """The gateway of a node, with wisata.v1.Wisata behind it, as raw bytes."""

    def __init__(self, node: FakeNode) -> None:
        self._node = node
        self.metadata: list[tuple[str, str | bytes]] = []
        self.refusal: SimpulError | None = None
        self.cancelled = threading.Event()
        # What a service does that breaks its contract.
        self.answers_twice = False
        self.answers_garbage = False

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        method = details.method.rpartition("/")[2]
        return grpc.stream_stream_rpc_method_handler(
            lambda requests, context: self._serve(method, requests, context)
        )

    def _serve(self, method: str, requests: Iterator[bytes], context: Context) -> Iterator[bytes]:
        self.metadata = [(key, value) for key, value in context.invocation_metadata()]
        context.add_callback(self.cancelled.set)
        ended = (("simpul-call-id", CALL_ID),)
        if dict(self.metadata).get("simpul-token") not in {*self._node.tokens, "given-token"}:
            refuse(context, SimpulError(Code.APP_CREDENTIAL_WRONG, "unknown token"), *ended)
        if self.refusal is not None:
            refuse(context, self.refusal, *ended)
        context.send_initial_metadata((("x-served-by", "fake"),))
        context.set_trailing_metadata((*ended, ("x-raw-bin", b"\x01\x02")))
        if self.answers_garbage:
            yield b"\xff"
            return
        yield from getattr(self, f"_{method.lower()}")(requests, context)
        if self.answers_twice:
            yield b""

    def _get(self, requests: Iterator[bytes], context: Context) -> Iterator[bytes]:
        (request,) = map(wisata.GetRequest.FromString, requests)
        if request.code == "hang":
            context.add_callback(self.cancelled.set)
            self.cancelled.wait(10)
        if request.code != "53.15.40084":
            context.abort(grpc.StatusCode.NOT_FOUND, f"no island {request.code}")
        island = wisata.Island(code=request.code, name="Pulau Komodo")
        yield wisata.GetResponse(island=island).SerializeToString()

    def _list(self, requests: Iterator[bytes], context: Context) -> Iterator[bytes]:
        (request,) = map(wisata.ListRequest.FromString, requests)
        for number in range(request.limit):
            island = wisata.Island(code=f"53.15.{number}")
            yield wisata.ListResponse(island=island).SerializeToString()
        if request.populated_only:
            context.abort(grpc.StatusCode.DATA_LOSS, "the register is torn")

    def _import(self, requests: Iterator[bytes], _context: Context) -> Iterator[bytes]:
        received = [wisata.ImportRequest.FromString(data).island.code for data in requests]
        yield wisata.ImportResponse(received=len(received)).SerializeToString()

    def _chat(self, requests: Iterator[bytes], _context: Context) -> Iterator[bytes]:
        for number, data in enumerate(requests):
            asked = wisata.ChatRequest.FromString(data)
            match = wisata.Match(island=wisata.Island(name=asked.name))
            yield wisata.ChatResponse(question=number, matches=[match]).SerializeToString()


class FakeRegistry(FakeLife, FakeSubmissions, FakeGroups):
    """A registry's admin API."""

    def __init__(self) -> None:
        self.heard = Heard()

    def Status(  # noqa: N802
        self, request: registry_pb.StatusRequest, context: Context
    ) -> registry_pb.StatusResponse:
        self.heard.take("Status", request, context)
        return registry_pb.StatusResponse(
            federation="ID",
            grpc="127.0.0.1:8450",
            directory_url="http://127.0.0.1:8451",
            root_file="/srv/r/root.json",
            directory_version=7,
            members=2,
            nodes=1,
            services=1,
        )

    def AddMember(  # noqa: N802
        self, request: registry_pb.AddMemberRequest, context: Context
    ) -> registry_pb.AddMemberResponse:
        self.heard.take("AddMember", request, context)
        return registry_pb.AddMemberResponse(member=_member(request.member))

    def ListMembers(  # noqa: N802
        self, request: registry_pb.ListMembersRequest, context: Context
    ) -> registry_pb.ListMembersResponse:
        self.heard.take("ListMembers", request, context)
        return registry_pb.ListMembersResponse(members=[_member("ID/DAERAH/53.15")])

    def SetMemberState(  # noqa: N802
        self, request: registry_pb.SetMemberStateRequest, context: Context
    ) -> registry_pb.SetMemberStateResponse:
        self.heard.take("SetMemberState", request, context)
        member = _member(request.member, state=request.state)
        return registry_pb.SetMemberStateResponse(member=member, directory_version=9)

    def CreateEnrolment(  # noqa: N802
        self, request: registry_pb.CreateEnrolmentRequest, context: Context
    ) -> registry_pb.CreateEnrolmentResponse:
        self.heard.take("CreateEnrolment", request, context)
        return registry_pb.CreateEnrolmentResponse(
            token="simpul1_abc",
            member=request.member,
            node=f"ID/~{request.node_name}",
            expires_at_ms=1_700_000_000_000,
        )

    def ListNodes(  # noqa: N802
        self, request: registry_pb.ListNodesRequest, context: Context
    ) -> registry_pb.ListNodesResponse:
        self.heard.take("ListNodes", request, context)
        node = registry_pb.Node(
            id="ID/~labuan-bajo-1",
            member="ID/DAERAH/53.15",
            link_address="127.0.0.1:8442",
            state="active",
            certificate_expires_at_ms=1_700_000_000_000,
            fingerprint="ABCD-EFGH",
        )
        return registry_pb.ListNodesResponse(nodes=[node])

    def RevokeNode(  # noqa: N802
        self, request: registry_pb.RevokeNodeRequest, context: Context
    ) -> registry_pb.RevokeNodeResponse:
        self.heard.take("RevokeNode", request, context)
        return registry_pb.RevokeNodeResponse(directory_version=10)


def _member(name: str, state: str = "active") -> registry_pb.Member:
    return registry_pb.Member(
        id=name,
        legal_name="Kabupaten Manggarai Barat",
        state=state,
        region_codes=["53.15"],
        nodes=["ID/~labuan-bajo-1"],
        services=[SERVICE],
    )
