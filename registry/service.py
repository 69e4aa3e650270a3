"""What nodes ask, over TLS: thin. Each method parses, calls one function, converts."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import structlog

from registry import changes, enrolment
from registry.changes import Applied
from registry.contracts import similar
from registry.contracts.wire import submission_message
from registry.desk import Desk
from registry.directory.watchers import Watchers, bundle, notice
from registry.enrolment import Enrolled
from registry.metrics import Metrics
from registry.model import Touched
from registry.registrar import Registrar
from registry.store.submissions import similar_message
from security.errors import SimpulError
from simpul.v1 import registry_pb2, registry_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.stdlib.get_logger(__name__)


class RegistryService(registry_pb2_grpc.RegistryServicer):
    """simpul.v1.Registry."""

    def __init__(
        self,
        registrar: Registrar,
        desk: Desk,
        watchers: Watchers,
        metrics: Metrics,
        directory_url: str,
        clock_ms: Callable[[], int],
    ) -> None:
        self._registrar = registrar
        self._desk = desk
        self._watchers = watchers
        self._metrics = metrics
        self._directory_url = directory_url
        self._clock_ms = clock_ms

    async def Enrol(  # noqa: N802  (the proto's name)
        self, request: registry_pb2.EnrolRequest, context: Context
    ) -> registry_pb2.EnrolResponse:
        """Joins a node; answers when the directory that lists it is published."""
        with self._judged("Enrol", context):
            enrolled, version = await self._desk.change(
                lambda: enrolment.enrol(
                    self._registrar, request.enrolment, request.signature, self._clock_ms()
                ),
                _touched,
            )
        _log.info("node enrolled", node=str(enrolled.node), version=version)
        return registry_pb2.EnrolResponse(
            certificate_chain=enrolled.issued.chain, directory_url=self._directory_url
        )

    async def Change(  # noqa: N802  (the proto's name)
        self, request: registry_pb2.ChangeRequest, context: Context
    ) -> registry_pb2.ChangeResponse:
        """Applies a change; answers when it is published."""
        with self._judged("Change", context):
            applied, version = await self._desk.change(
                lambda: changes.apply(
                    self._registrar, request.change, request.signature, self._clock_ms()
                ),
                _touched,
            )
        _log.info("change applied", node=str(applied.node), kind=applied.kind, version=version)
        return registry_pb2.ChangeResponse(
            directory_version=0 if applied.waits else version,
            certificate_chain=() if applied.issued is None else applied.issued.chain,
            waits=applied.waits,
            submission=(
                None if applied.submission is None else submission_message(applied.submission)
            ),
        )

    async def ListSubmissions(  # noqa: N802  (the proto's name)
        self, request: registry_pb2.ListSubmissionsRequest, context: Context
    ) -> registry_pb2.ListSubmissionsResponse:
        """What a node's members asked for about contracts."""
        with self._judged("ListSubmissions", context):
            found = await self._desk.read(
                lambda: changes.list_submissions(
                    self._registrar, request.query, request.signature, self._clock_ms()
                )
            )
        return registry_pb2.ListSubmissionsResponse(submissions=map(submission_message, found))

    async def FindSimilar(  # noqa: N802  (the proto's name)
        self, request: registry_pb2.FindSimilarRequest, context: Context
    ) -> registry_pb2.FindSimilarResponse:
        """The contracts that are most like one."""
        with self._judged("FindSimilar", context):
            found = await self._desk.read(
                lambda: similar.find_similar(
                    self._registrar, request.query, request.signature, self._clock_ms()
                )
            )
        return registry_pb2.FindSimilarResponse(similar=map(similar_message, found))

    async def Watch(  # noqa: N802  (the proto's name)
        self, request: registry_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[registry_pb2.WatchResponse]:
        """Tells where the directory stands, and then each publication."""
        with self._judged("Watch", context), self._watchers.subscribe() as watcher:
            current = self._desk.schedule.current
            if request.directory_version == current.version:
                yield bundle(current)
            else:
                yield notice(current.version)
            async for answer in watcher:
                yield answer

    @contextmanager
    def _judged(self, method: str, context: Context) -> Iterator[None]:
        """Counts what came of a request, and says who was refused what."""
        try:
            yield
        except SimpulError as error:
            self._metrics.requests.labels(method, error.code).inc()
            _log.warning(
                "request refused",
                method=method,
                peer=context.peer(),
                code=error.code,
                step=error.details.get("step"),
                reason=error.message,
            )
            raise
        self._metrics.requests.labels(method, "OK").inc()


def _touched(done: Enrolled | Applied) -> Touched:
    return done.touched
