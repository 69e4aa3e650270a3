"""Whether who calls the admin socket may: one look for each call, before the call is served.

The table says what a method needs and whose it is about (`authorization`); here the request is
asked for the members, and the caller for his roles, which are looked up each time: a removal holds
from the next call on. What no row opens to operators is the administrator's alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import grpc
import structlog
from google.protobuf.message import Message

from node.agreements import show, show_delegations
from node.agreements.model import PartyDesk
from node.agreements.wire import MAX_REQUEST_BYTES
from node.authorization import About, Need, Row, Socket, authorize
from node.caller import ADMINISTRATOR, CALLER, Caller, refused
from node.operations.purposes import own_member
from node.operator_socket import uid_of
from node.store.apps import list_apps
from node.store.operators import list_operators
from runtime.authorization import MethodHandler
from runtime.grpc_handlers import wrapped
from security import strict
from security.agreement import AgreementTerms, parse_agreement
from security.delegation import parse_delegation
from security.errors import Code, SimpulError
from security.identifiers import MemberId, ServiceId, SubsystemId
from simpul.v1 import agreement_pb2

_log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


def find_caller(desk: PartyDesk, peer: str) -> Caller:
    """Who called, by what gRPC says of the peer.

    Raises:
        SimpulError: OPERATOR_REFUSED, where nobody is known by it.
    """
    try:
        uid = uid_of(peer)
    except ValueError:
        raise refused(Caller("an unknown caller", {}), "is nobody here") from None
    if uid is None:
        return ADMINISTRATOR
    for operator in list_operators(desk.store):
        if operator.uid == uid:
            return Caller(operator.name, operator.roles)
    raise refused(Caller(f"user {uid}", {}), "is no operator of this node")


def check(desk: PartyDesk, row: Row, request: Any, caller: Caller) -> None:  # noqa: ANN401
    """Pass where a caller may make this request.

    Raises:
        SimpulError: OPERATOR_REFUSED; what a request is refused with that names nobody.
    """
    if caller.roles is None:
        return
    if row.need is Need.ADMINISTRATOR:
        raise refused(caller, "may not do that, which is the administrator's")
    if row.about is About.OWN:
        return
    members = about(desk, row.about, request)
    may = caller.acts_for if row.need is Need.OPERATOR else caller.sees
    # Of an agreement one side's operator is enough; which side acts is decided where it is done.
    enough = any if row.about in {About.AGREEMENT, About.DOCUMENT} else all
    if not members or not enough(map(may, members)):
        verb = "act for" if row.need is Need.OPERATOR else "look at what is of"
        whose = " or ".join(sorted(map(str, members))) or "nobody"
        raise refused(caller, f"may not {verb} {whose}")


def about(desk: PartyDesk, what: About, request: Any) -> frozenset[MemberId]:  # noqa: ANN401
    """The members that a request is about, hosted here or not; none for what names none."""
    find = _ABOUT.get(what)
    return frozenset() if find is None else frozenset(find(desk, request))


def _member(desk: PartyDesk, request: Any) -> Iterable[MemberId]:  # noqa: ANN401
    return (own_member(desk, request.member),)


def _delegator(desk: PartyDesk, request: Any) -> Iterable[MemberId]:  # noqa: ANN401
    return (own_member(desk, request.delegator),)


def _delegation(desk: PartyDesk, request: Any) -> Iterable[MemberId]:  # noqa: ANN401
    given = show_delegations.find(desk, request.delegation)
    return (parse_delegation(given.signed.delegation).delegator.member,)


def _subsystem(_desk: PartyDesk, request: Any) -> Iterable[MemberId]:  # noqa: ANN401
    return (SubsystemId.parse(request.subsystem).member,)


def _subsystems(_desk: PartyDesk, request: Any) -> Iterable[MemberId]:  # noqa: ANN401
    return [SubsystemId.parse(text).member for text in request.subsystems]


def _app(desk: PartyDesk, request: Any) -> Iterable[MemberId]:  # noqa: ANN401
    named = (app for app in list_apps(desk.store) if app.name == request.name)
    return [item.member for app in named for item in app.subsystems]


def _provider(_desk: PartyDesk, request: Any) -> Iterable[MemberId]:  # noqa: ANN401
    return (ServiceId.parse(request.terms.service_id).subsystem.member,)


def _consumer(_desk: PartyDesk, request: Any) -> Iterable[MemberId]:  # noqa: ANN401
    return (SubsystemId.parse(request.terms.consumer).member,)


def _proposer(desk: PartyDesk, request: Any) -> Iterable[MemberId]:  # noqa: ANN401
    return _provider(desk, request) if request.allow else _consumer(desk, request)


def _agreement(desk: PartyDesk, request: Any) -> Iterable[MemberId]:  # noqa: ANN401
    found = show.find(desk, request.agreement)
    return _hosted(desk, parse_agreement(found.agreement))


def _document(desk: PartyDesk, request: Any) -> Iterable[MemberId]:  # noqa: ANN401
    document = strict.parse(
        agreement_pb2.SignedAgreement, request.document, MAX_REQUEST_BYTES,
        code=Code.AGREEMENT_INVALID,
    )  # fmt: skip
    return _hosted(desk, parse_agreement(document.agreement))


_ABOUT: Final[Mapping[About, Callable[[PartyDesk, Any], Iterable[MemberId]]]] = MappingProxyType(
    {
        About.MEMBER: _member,
        About.SUBSYSTEM: _subsystem,
        About.SUBSYSTEMS: _subsystems,
        About.APP: _app,
        About.PROVIDER: _provider,
        About.CONSUMER: _consumer,
        About.PROPOSER: _proposer,
        About.DELEGATOR: _delegator,
        About.DELEGATION: _delegation,
        About.AGREEMENT: _agreement,
        About.DOCUMENT: _document,
    }
)


def _hosted(desk: PartyDesk, terms: AgreementTerms) -> frozenset[MemberId]:
    return frozenset({terms.provider.member, terms.consumer.member}) & frozenset(desk.members)


class OperatorInterceptor(grpc.aio.ServerInterceptor):
    """Between the errors' interceptor and the table's."""

    def __init__(self, desk: PartyDesk) -> None:
        self._desk = desk

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[MethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> MethodHandler:
        """The method's handler, for who may call it."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        return wrapped(handler, partial(self._unary, method), partial(self._stream, method))

    def _unary(self, method: str, serve: Any) -> Any:  # noqa: ANN401  (grpc's handlers)
        async def served(request: object, context: Context) -> object:
            await self._let_in(method, request, context)
            return await serve(request, context)

        return served

    def _stream(self, method: str, serve: Any) -> Any:  # noqa: ANN401  (grpc's handlers)
        async def served(request: object, context: Context) -> AsyncIterator[object]:
            await self._let_in(method, request, context)
            async for answer in serve(request, context):
                yield answer

        return served

    async def _let_in(self, method: str, request: object, context: Context) -> None:
        caller = await asyncio.to_thread(find_caller, self._desk, context.peer())
        CALLER.set(caller)
        if caller.roles is None:
            return
        name = method.rpartition("/")[2]
        try:
            # A method that isn't there has no type for its request, and no row either.
            row = authorize(method, Socket.ADMIN)
            if not isinstance(request, Message):
                raise refused(caller, "may not do that")
            await asyncio.to_thread(check, self._desk, row, request, caller)
        except SimpulError as error:
            _log.warning("operator refused", method=name, operator=caller.name, code=error.code)
            raise
        _log.info("operator's call", method=name, operator=caller.name)
