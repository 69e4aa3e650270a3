"""The audit trail: every attempt of an operator, allowed or not, as a leaf of a tree.

An attempt is written before it is acted on (`asked`), and its outcome after (`ended`): what can't
be written down is not done. The tree is that of RFC 6962, as in the journals, so that whoever kept
its size and root can tell if anything before it was changed. It keeps whom a request was about and
its SHA-256, not the request: names and secrets may be in it.

A leaf is JSON with sorted keys: at_ms, actor, code, method, request_sha256, stage, subject.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from hashlib import sha256
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from registry.operators import CALLER, Caller, Identify
from registry.store import audit
from registry.store.database import Store
from runtime.authorization import MethodHandler
from runtime.grpc_handlers import wrapped
from security.errors import Code, SimpulError
from security.merkle import Frontier, leaf_hash

Context = grpc.aio.ServicerContext[Any, Any]
Record = Callable[["Entry"], Awaitable[None]]
# Refuses, by SimpulError, what a caller may not do now: method, request, subject, caller.
Admit = Callable[[str, Message, str, Caller], Awaitable[None]]

MAX_LISTED: Final = 1000
# Of a request's fields, those that say whom it is about; the first that is set.
_SUBJECTS: Final = ("subsystem", "member", "node", "operator", "package", "group", "id")
_MAX_SUBJECT_CHARS: Final = 200


class Stage(StrEnum):
    """Before the act, and after it."""

    ASKED = "asked"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Entry:
    """One leaf. `code` is OK or the refusal's, and empty before the end."""

    at_ms: int
    actor: str
    method: str
    subject: str
    request_sha256: str
    stage: Stage
    code: str = ""


@dataclass(frozen=True, slots=True)
class Trail:
    """A part of the trail, and the tree's size and root."""

    entries: tuple[tuple[int, Entry], ...]
    size: int
    root: bytes


def to_leaf(entry: Entry) -> bytes:
    """The bytes that are hashed."""
    return json.dumps(asdict(entry), sort_keys=True, ensure_ascii=False).encode()


def from_leaf(leaf: bytes) -> Entry:
    """Reads a leaf; raises SimpulError DATABASE_CORRUPT for what `to_leaf` wouldn't write."""
    try:
        found = json.loads(leaf)
        entry = Entry(**{**found, "stage": Stage(found["stage"])})
    except (ValueError, KeyError, TypeError) as error:
        raise _changed("an entry is no entry") from error
    if to_leaf(entry) != leaf:
        raise _changed("an entry is written in another way")
    return entry


def append(store: Store, entry: Entry) -> None:
    """Writes an entry, durably."""
    with store.transaction() as session:
        audit.append(session, to_leaf(entry))


def read(store: Store, start: int | None, count: int) -> Trail:
    """Up to `count` entries from number `start` on; None: the newest."""
    count = min(count, MAX_LISTED)
    with store.transaction() as session:
        head = audit.head(session)
        begin = max(0, head.size - count) if start is None else start
        found = audit.leaves(session, begin, count)
    return Trail(tuple((n, from_leaf(leaf)) for n, leaf in found), head.size, head.root())


def verify(store: Store) -> Frontier:
    """Checks the whole trail against its tree.

    1. Entries are numbered from 0 without gaps.
    2. Each is one that this program writes.
    3. Size and root are those of the tree over them.

    Raises:
        SimpulError: DATABASE_CORRUPT.
    """
    tree = Frontier()
    with store.transaction() as session:
        while True:
            found = audit.leaves(session, tree.size, MAX_LISTED)
            for number, leaf in found:
                # 1. Numbers.
                if number != tree.size:
                    raise _changed(f"entry {tree.size} is missing")
                # 2. Form.
                from_leaf(leaf)
                tree = tree.append(leaf_hash(leaf))
            if not found:
                break
        head = audit.head(session)
    # 3. Tree.
    if (head.size, head.root()) != (tree.size, tree.root()):
        raise _changed("its entries are not those of its tree")
    return tree


class AuditInterceptor(grpc.aio.ServerInterceptor):
    """Writes every call of a server down, and lets in who may call.

    Between the errors' interceptor and the table's.
    """

    def __init__(
        self, record: Record, identify: Identify, admit: Admit, clock_ms: Callable[[], int]
    ) -> None:
        self._record = record
        self._identify = identify
        self._admit = admit
        self._clock_ms = clock_ms

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[MethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> MethodHandler:
        """The method's handler, with what is written around it."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        return wrapped(handler, partial(self._unary, method), partial(self._stream, method))

    def _unary(self, method: str, serve: Any) -> Any:  # noqa: ANN401  (grpc's handlers)
        async def served(request: object, context: Context) -> object:
            asked = await self._ask(method, request, context)
            code = Code.INTERNAL.value
            try:
                await self._let_in(method, request)
                answer = await serve(request, context)
                code = "OK"
            except SimpulError as error:
                code = error.code.value
                raise
            finally:
                await self._end(asked, code)
            return answer

        return served

    def _stream(self, method: str, serve: Any) -> Any:  # noqa: ANN401  (grpc's handlers)
        async def served(request: object, context: Context) -> AsyncIterator[object]:
            asked = await self._ask(method, request, context)
            code = Code.INTERNAL.value
            try:
                await self._let_in(method, request)
                async for answer in serve(request, context):
                    yield answer
                code = "OK"
            except SimpulError as error:
                code = error.code.value
                raise
            finally:
                await self._end(asked, code)

        return served

    async def _ask(self, method: str, request: object, context: Context) -> Entry:
        CALLER.set(await self._identify(context))
        # A method that isn't there has no type for its request.
        data = b""
        if isinstance(request, Message):
            data = request.SerializeToString(deterministic=True)
        entry = Entry(
            at_ms=self._clock_ms(),
            actor=CALLER.get().name,
            method=method.rpartition("/")[2][:_MAX_SUBJECT_CHARS],
            subject=_subject(request),
            request_sha256=sha256(data).hexdigest(),
            stage=Stage.ASKED,
        )
        await self._record(entry)
        return entry

    async def _let_in(self, method: str, request: object) -> None:
        # Without a type the table refuses it.
        if isinstance(request, Message):
            await self._admit(method, request, _subject(request), CALLER.get())

    async def _end(self, asked: Entry, code: str) -> None:
        ended = {**asdict(asked), "at_ms": self._clock_ms(), "stage": Stage.ENDED, "code": code}
        await self._record(Entry(**ended))


def _subject(request: object) -> str:
    found = (getattr(request, name, "") for name in _SUBJECTS)
    return next((str(value) for value in found if value), "")[:_MAX_SUBJECT_CHARS]


def _changed(what: str) -> SimpulError:
    return SimpulError(
        Code.DATABASE_CORRUPT,
        f"the audit trail was changed: {what}; keep the database as evidence, and restore a backup",
    )
