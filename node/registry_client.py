"""What a node asks of the registry: enrolment, signed changes, the watch.

The connection trusts one certificate, the one that the enrolment pinned, under the registry's own
name. Rules: every call has a deadline but the watch, which keepalive guards; a change bears a
number that was never used before, and is stored as used before it is sent, so that a repeated
answer applies nothing twice; every failure is a SimpulError.

A registry may be reached at several addresses. One is used until it doesn't answer, then the next:
a request is repeated there, with the same bytes, and a watch that ended begins again there.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import grpc

from node.store.changes import next_change_number
from node.store.engine import Store
from runtime.grpc_errors import from_rpc_error
from runtime.grpc_options import channel_options
from security.certificate import registry_dns_name
from security.errors import Code, SimpulError
from security.hashing import (
    CHANGE_SIGNATURE,
    ENROLMENT_SIGNATURE,
    NODE_KEY_SIGNATURE,
    QUERY_SIGNATURE,
    SIMILAR_QUERY_SIGNATURE,
)
from security.identifiers import MemberId, NodeId, ServiceId
from security.keys import PrivateKey
from simpul.v1 import directory_pb2, registry_pb2, registry_pb2_grpc, statement_pb2

TIMEOUT_S = 30.0
FORMAT_VERSION = 1
# The largest contract, and room for what is around it.
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
_WHAT = "the registry"

T = TypeVar("T")


def addresses(text: str) -> tuple[str, ...]:
    """The addresses, or URLs, that a setting names with commas between."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


class RegistryClient:
    """A connection to the registry. Use it in the event loop that made it, and close it."""

    def __init__(self, address: str, certificate_pem: bytes, federation: str) -> None:
        """Connects at the first call.

        Args:
            address: `HOST:PORT`, or several with commas between.
            certificate_pem: The only certificate that is trusted.
            federation: Whose registry it is: the name in the certificate.
        """
        options = channel_options(
            max_message_bytes=MAX_MESSAGE_BYTES, target_name=registry_dns_name(federation)
        )
        credentials = grpc.ssl_channel_credentials(root_certificates=certificate_pem)
        self._channels = [
            grpc.aio.secure_channel(each, credentials, options=options)
            for each in addresses(address)
        ]
        self._stubs = [registry_pb2_grpc.RegistryStub(channel) for channel in self._channels]
        self._at = 0

    async def enrol(
        self, enrolment: registry_pb2.Enrolment, node_key: PrivateKey
    ) -> registry_pb2.EnrolResponse:
        """Signs an enrolment and sends it.

        Raises:
            SimpulError: TOKEN_*, what else the registry refuses it for, REGISTRY_UNREACHABLE.
        """
        data = enrolment.SerializeToString(deterministic=True)
        signature = node_key.sign(ENROLMENT_SIGNATURE, data)
        request = registry_pb2.EnrolRequest(enrolment=data, signature=signature)
        return await self._ask(lambda stub: stub.Enrol(request, timeout=TIMEOUT_S))

    async def change(
        self, change: registry_pb2.Change, node_key: PrivateKey
    ) -> registry_pb2.ChangeResponse:
        """Signs a change and sends it.

        Raises:
            SimpulError: what the registry refuses it for, REGISTRY_UNREACHABLE.
        """
        data = change.SerializeToString(deterministic=True)
        signature = node_key.sign(CHANGE_SIGNATURE, data)
        request = registry_pb2.ChangeRequest(change=data, signature=signature)
        return await self._ask(lambda stub: stub.Change(request, timeout=TIMEOUT_S))

    async def submissions(
        self, query: registry_pb2.SubmissionQuery, node_key: PrivateKey
    ) -> tuple[registry_pb2.Submission, ...]:
        """Signs a query about contracts and sends it.

        Raises:
            SimpulError: what the registry refuses it for, REGISTRY_UNREACHABLE.
        """
        data = query.SerializeToString(deterministic=True)
        signature = node_key.sign(QUERY_SIGNATURE, data)
        request = registry_pb2.ListSubmissionsRequest(query=data, signature=signature)
        answer = await self._ask(lambda stub: stub.ListSubmissions(request, timeout=TIMEOUT_S))
        return tuple(answer.submissions)

    async def find_similar(
        self, query: registry_pb2.SimilarQuery, node_key: PrivateKey
    ) -> tuple[registry_pb2.SimilarContract, ...]:
        """Signs a query for the contracts that are like one, and sends it.

        Raises:
            SimpulError: what the registry refuses it for, REGISTRY_UNREACHABLE.
        """
        data = query.SerializeToString(deterministic=True)
        signature = node_key.sign(SIMILAR_QUERY_SIGNATURE, data)
        request = registry_pb2.FindSimilarRequest(query=data, signature=signature)
        answer = await self._ask(lambda stub: stub.FindSimilar(request, timeout=TIMEOUT_S))
        return tuple(answer.similar)

    async def watch(self, version: int) -> AsyncGenerator[registry_pb2.WatchResponse, None]:
        """Each new version of the directory, until the stream ends.

        Args:
            version: The one that the node has; 0: none.

        Raises:
            SimpulError: REGISTRY_UNREACHABLE, when the stream breaks or the registry ends it.
        """
        at = self._at
        call = self._stubs[at].Watch(registry_pb2.WatchRequest(directory_version=version))
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise _failed(error) from error
        finally:
            call.cancel()
            self._leave(at)
        raise SimpulError(
            Code.REGISTRY_UNREACHABLE, "the registry ended the watch: it is tried again"
        )

    async def close(self) -> None:
        """Closes the connections, and what is under way on them."""
        for channel in self._channels:
            await channel.close()

    async def _ask(self, ask: "Callable[[registry_pb2_grpc.RegistryAsyncStub], Awaitable[T]]") -> T:
        """Asks at one address after the other, until one answers."""
        left = len(self._stubs)
        while True:
            at = self._at
            try:
                return await ask(self._stubs[at])
            except grpc.aio.AioRpcError as error:
                failed = _failed(error)
                left -= 1
                if failed.code is not Code.REGISTRY_UNREACHABLE or left == 0:
                    raise failed from error
                self._leave(at)

    def _leave(self, at: int) -> None:
        """Goes on at the next address, unless another request has done so already."""
        if self._at == at:
            self._at = (at + 1) % len(self._stubs)


class NodeChanges:
    """The changes that one node asks for, each with a number of its own.

    Every method raises SimpulError: what the registry refuses it for, REGISTRY_UNREACHABLE, or
    APPROVAL_PENDING where its operator must decide.
    """

    def __init__(
        self,
        client: RegistryClient,
        node: NodeId,
        node_key: Callable[[], PrivateKey],
        store: Store,
    ) -> None:
        """`node_key` gives the key that the directory lists now; `store` keeps the numbers."""
        self._client = client
        self._node = node
        self._key = node_key
        self._store = store

    async def publish_service(self, service: ServiceId, descriptor_set: bytes, now_ms: int) -> int:
        """Lists a service, and its subsystem where it is new; gives the directory that holds it."""
        change = self._new(now_ms)
        change.publish_service.subsystem = str(service.subsystem)
        change.publish_service.service = service.service
        change.publish_service.descriptor_set = descriptor_set
        return (await self._send(change)).directory_version

    async def withdraw_service(self, service: ServiceId, now_ms: int) -> int:
        """Lists a service no more; gives the directory that says so."""
        change = self._new(now_ms)
        change.withdraw_service.subsystem = str(service.subsystem)
        change.withdraw_service.service = service.service
        return (await self._send(change)).directory_version

    async def put_activity(
        self, member: MemberId, activity: directory_pb2.Activity, now_ms: int
    ) -> int:
        """A version of a member's processing activity; gives the directory that lists it."""
        change = self._new(now_ms)
        change.put_activity.member = str(member)
        change.put_activity.activity.CopyFrom(activity)
        return (await self._send(change)).directory_version

    async def renew_certificate(self, certificate_request: bytes, now_ms: int) -> tuple[bytes, ...]:
        """A new TLS certificate: the chain in DER, the node's own first."""
        change = self._new(now_ms)
        change.renew_certificate.certificate_request = certificate_request
        return tuple((await self._send(change)).certificate_chain)

    async def set_link_address(self, link_address: str, now_ms: int) -> int:
        """Where other nodes reach this one; gives the directory that says so."""
        change = self._new(now_ms)
        change.set_link_address.link_address = link_address
        return (await self._send(change)).directory_version

    async def replace_statement(self, statement: statement_pb2.SignedStatement, now_ms: int) -> int:
        """A member's next statement; gives the directory that holds it."""
        change = self._new(now_ms)
        change.replace_statement.statement.CopyFrom(statement)
        return (await self._send(change)).directory_version

    async def host_member(
        self,
        secret: bytes,
        member: MemberId,
        listing: statement_pb2.SignedStatement | statement_pb2.SignedSealKeyRequest,
        now_ms: int,
    ) -> int:
        """A further member that this node seals for; gives the directory that says so."""
        change = self._new(now_ms)
        change.host_member.secret = secret
        change.host_member.member = str(member)
        if isinstance(listing, statement_pb2.SignedStatement):
            change.host_member.statement.CopyFrom(listing)
        else:
            change.host_member.seal_key_request.CopyFrom(listing)
        return (await self._send(change)).directory_version

    async def request_seal_key(
        self, request: statement_pb2.SignedSealKeyRequest, now_ms: int
    ) -> int:
        """Has the registry publish a request; gives the directory that holds it."""
        change = self._new(now_ms)
        change.request_seal_key.seal_key_request.CopyFrom(request)
        return (await self._send(change)).directory_version

    async def replace_node_key(self, new: PrivateKey, now_ms: int) -> int:
        """Replaces the node's key; gives the directory that lists the new one."""
        change = self._new(now_ms)
        change.replace_node_key.node_key.CopyFrom(new.public.to_proto())
        proof = new.sign(NODE_KEY_SIGNATURE, self._key().public.key_id)
        change.replace_node_key.proof = proof
        return (await self._send(change)).directory_version

    async def publish_contract(
        self, message: registry_pb2.PublishContract, now_ms: int
    ) -> registry_pb2.ChangeResponse:
        """Submits a contract's revision; one that waits is no refusal: the answer says so."""
        change = self._new(now_ms)
        change.publish_contract.CopyFrom(message)
        return await self._exchange(change)

    async def set_contract(
        self, message: registry_pb2.SetContract, now_ms: int
    ) -> registry_pb2.ChangeResponse:
        """Submits a contract's other terms; one that waits is no refusal: the answer says so."""
        change = self._new(now_ms)
        change.set_contract.CopyFrom(message)
        return await self._exchange(change)

    async def comment_submission(
        self, submission: int, text: str, now_ms: int
    ) -> registry_pb2.Submission:
        """Says something about a submission; gives it with its thread."""
        change = self._new(now_ms)
        change.comment_submission.submission = submission
        change.comment_submission.text = text
        return (await self._exchange(change)).submission

    async def submissions(
        self, submission: int, now_ms: int, *, decided: bool
    ) -> tuple[registry_pb2.Submission, ...]:
        """What this node's members asked for about contracts; 0: all of it."""
        query = registry_pb2.SubmissionQuery(
            version=FORMAT_VERSION,
            federation=self._node.federation,
            node=str(self._node),
            made_at_ms=now_ms,
            submission=submission,
            decided=decided,
        )
        return await self._client.submissions(query, self._key())

    async def find_similar(
        self, package: str, descriptor_set: bytes, member: MemberId | None, now_ms: int
    ) -> tuple[registry_pb2.SimilarContract, ...]:
        """The contracts that are most like one, as if `member` published it; None: this node's."""
        query = registry_pb2.SimilarQuery(
            version=FORMAT_VERSION,
            federation=self._node.federation,
            node=str(self._node),
            made_at_ms=now_ms,
            package=package,
            descriptor_set=descriptor_set,
            member="" if member is None else str(member),
        )
        return await self._client.find_similar(query, self._key())

    async def withdraw_change(self, number: int, now_ms: int) -> None:
        """Takes back a change that waits for approval."""
        change = self._new(now_ms)
        change.withdraw_change.number = number
        await self._send(change)

    def _new(self, now_ms: int) -> registry_pb2.Change:
        return registry_pb2.Change(
            version=FORMAT_VERSION,
            federation=self._node.federation,
            node=str(self._node),
            number=0,
            made_at_ms=now_ms,
        )

    async def _exchange(self, change: registry_pb2.Change) -> registry_pb2.ChangeResponse:
        number = await asyncio.to_thread(next_change_number, self._store, change.made_at_ms)
        change.number = number
        return await self._client.change(change, self._key())

    async def _send(self, change: registry_pb2.Change) -> registry_pb2.ChangeResponse:
        response = await self._exchange(change)
        number = change.number
        if response.waits:
            raise SimpulError(
                Code.APPROVAL_PENDING,
                f"change {number} of {self._node} waits until the registry's operator approves it: "
                "ask him; it need not be sent again",
                number=str(number),
            )
        return response


def _failed(error: grpc.aio.AioRpcError) -> SimpulError:
    return from_rpc_error(error, what=_WHAT, unreachable=Code.REGISTRY_UNREACHABLE)
