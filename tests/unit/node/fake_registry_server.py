"""A registry on loopback for one node: its gRPC port, and the directory over HTTP.

It speaks the real protocol over real TLS, and can be told to refuse, or to answer with what is not
the node's.
"""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc

from runtime.clock import now_ms
from runtime.grpc_errors import ErrorInterceptor
from runtime.grpc_options import server_options
from security import certificate
from security.errors import Code, SimpulError
from security.hashing import (
    CHANGE_SIGNATURE,
    ENROLMENT_SIGNATURE,
    QUERY_SIGNATURE,
    SIMILAR_QUERY_SIGNATURE,
    sha256,
)
from security.identifiers import MemberId, NodeId
from security.keys import PublicKey
from security.statement import verify_statement
from security.token import EnrolmentToken, format_token
from simpul.v1 import registry_pb2, registry_pb2_grpc
from tests.unit.node.directory.fake_registry import MEMBER, FakeRegistry, member_path, record

NODE = NodeId.parse("ID/~labuan-bajo-1")
SECRET = b"\x07" * 32
Context = grpc.aio.ServicerContext[object, object]


@dataclass
class FakeServer(registry_pb2_grpc.RegistryServicer):
    """`refusal` is raised instead of an answer; certificates are for `answer_for`."""

    directory: FakeRegistry
    directory_url: str
    refusal: SimpulError | None = None
    answer_for: NodeId = NODE
    enrolments: list[registry_pb2.Enrolment] = field(default_factory=list)
    changes: list[registry_pb2.Change] = field(default_factory=list)
    node_key: PublicKey | None = None
    pushes: int = 1
    address: str = ""
    certificate: bytes = b""

    def token(self, **change: object) -> str:
        values: dict[str, object] = {
            "secret": SECRET,
            "member": MEMBER,
            "node": NODE,
            "root_sha256": sha256(self.directory.first_root),
            "registry_certificate_sha256": sha256(self.certificate),
        }
        return format_token(EnrolmentToken(**{**values, **change}))  # type: ignore[arg-type]

    async def Enrol(  # noqa: N802
        self, request: registry_pb2.EnrolRequest, _context: Context
    ) -> registry_pb2.EnrolResponse:
        if self.refusal is not None:
            raise self.refusal
        enrolment = registry_pb2.Enrolment.FromString(request.enrolment)
        key = PublicKey.from_proto(enrolment.node_key)
        key.verify(ENROLMENT_SIGNATURE, request.enrolment, request.signature)
        if enrolment.secret != SECRET or self.enrolments:
            raise SimpulError(Code.TOKEN_USED, "used")
        member = MemberId.parse(enrolment.member)
        verify_statement(
            enrolment.statement,
            federation=enrolment.federation,
            member=member,
            previous=None,
            pinned_identity_key_id=None,
        )
        self.enrolments.append(enrolment)
        self.node_key = key
        authority_key, authority = certificate.make_authority("authority", now_ms(), 1)
        request_der = enrolment.certificate_request
        if self.answer_for != NODE:
            request_der = certificate.make_request(certificate.make_key(), self.answer_for)
        leaf = certificate.issue(
            authority_key, authority, request_der, self.answer_for, now_ms(), 30, 2
        )
        return registry_pb2.EnrolResponse(
            certificate_chain=[leaf, authority], directory_url=self.directory_url
        )

    async def Change(  # noqa: N802
        self, request: registry_pb2.ChangeRequest, _context: Context
    ) -> registry_pb2.ChangeResponse:
        if self.refusal is not None:
            raise self.refusal
        if self.node_key is not None:
            self.node_key.verify(CHANGE_SIGNATURE, request.change, request.signature)
        self.changes.append(registry_pb2.Change.FromString(request.change))
        return registry_pb2.ChangeResponse(directory_version=7, certificate_chain=[b"der"])

    async def ListSubmissions(  # noqa: N802
        self, request: registry_pb2.ListSubmissionsRequest, _context: Context
    ) -> registry_pb2.ListSubmissionsResponse:
        query = registry_pb2.SubmissionQuery.FromString(request.query)
        if self.node_key is not None:
            self.node_key.verify(QUERY_SIGNATURE, request.query, request.signature)
        return registry_pb2.ListSubmissionsResponse(
            submissions=[registry_pb2.Submission(id=query.submission, node=query.node)]
        )

    async def FindSimilar(  # noqa: N802
        self, request: registry_pb2.FindSimilarRequest, _context: Context
    ) -> registry_pb2.FindSimilarResponse:
        query = registry_pb2.SimilarQuery.FromString(request.query)
        if self.node_key is not None:
            self.node_key.verify(SIMILAR_QUERY_SIGNATURE, request.query, request.signature)
        return registry_pb2.FindSimilarResponse(
            similar=[registry_pb2.SimilarContract(package=query.package, owner=query.member)]
        )

    async def Watch(  # noqa: N802
        self, request: registry_pb2.WatchRequest, _context: Context
    ) -> AsyncIterator[registry_pb2.WatchResponse]:
        for number in range(self.pushes):
            yield registry_pb2.WatchResponse(
                directory_version=request.directory_version + 1 + number
            )


@asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    """A running registry."""
    directory = FakeRegistry()
    directory.put(member_path(MEMBER), record(MEMBER))
    directory.publish()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(directory))
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    fake = FakeServer(directory, f"http://127.0.0.1:{http.server_port}/d/")
    key, fake.certificate = certificate.make_server_certificate("ID", now_ms(), 30, 1)
    server = grpc.aio.server(options=server_options(), interceptors=[ErrorInterceptor()])
    registry_pb2_grpc.add_RegistryServicer_to_server(fake, server)
    credentials = grpc.ssl_server_credentials([(key, certificate.to_pem(fake.certificate))])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    fake.address = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield fake
    finally:
        await server.stop(None)
        http.shutdown()
        thread.join()
        http.server_close()


def _handler(directory: FakeRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data = directory.files.get(self.path.removeprefix("/d/"))
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_: object) -> None:
            return

    return Handler
