"""A method's handler with something around it, for servers that take no streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable


def wrapped(
    handler: grpc.RpcMethodHandler[Any, Any],
    unary: Callable[[Any], Any],
    stream: Callable[[Any], Any],
) -> grpc.RpcMethodHandler[Any, Any]:
    """The same handler, whose behaviour `unary` or `stream` puts something around."""
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(
            stream(handler.unary_stream), handler.request_deserializer, handler.response_serializer
        )
    return grpc.unary_unary_rpc_method_handler(
        unary(handler.unary_unary), handler.request_deserializer, handler.response_serializer
    )
