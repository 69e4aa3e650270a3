"""Asks a table who may call what, before any handler is found.

It decides nothing itself: each program has its table, with every method in it, and a missing row
refuses (`registry.authorization`, `node.authorization`).
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from security.errors import SimpulError

# A string, because grpc's class takes no parameters at run time.
MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class TableInterceptor(grpc.aio.ServerInterceptor):
    """Second in a server's list, after the errors'."""

    def __init__(self, authorize: Callable[[str], object]) -> None:
        """`authorize` raises SimpulError for a method that isn't answered here."""
        self._authorize = authorize

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[MethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> MethodHandler:
        """The method's handler, or one that refuses."""
        try:
            self._authorize(handler_call_details.method)
        except SimpulError as error:
            return _refusal(error)
        return await continuation(handler_call_details)


def _refusal(error: SimpulError) -> MethodHandler:
    async def refuse(_request: object, _context: object) -> object:
        raise error

    made: MethodHandler = grpc.unary_unary_rpc_method_handler(refuse)
    return made
