"""What Envoy answers by itself: to what is no gRPC request, before Python hears of it.

A client that errs is told by whom, what is wrong and how to mend it, in the form that it
understands: gRPC's where it spoke gRPC, a line of text over HTTP otherwise. Each answer bears
`simpul-error`, as every no of the node does.

Source: Envoy, config.core.v3 and extensions.filters.network.http_connection_manager.v3
(LocalReplyConfig); gRPC over HTTP/2, "Responses".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from node.gateway.framing import print_metadata
from node.gateway.refusal import refusal
from security.errors import Code, SimpulError

Json = dict[str, Any]

GRPC_TYPE: Final = r"application/grpc([+;].*)?"
GRPC_PATH: Final = r"/[A-Za-z0-9_.]+/[A-Za-z0-9_]+"

# For whoever looks with a browser or curl, or has mistaken the port.
HELP: Final = (
    "This port of a Simpul node speaks gRPC and nothing else: call it with a gRPC client, over "
    "HTTP/2, with the provider's subsystem in the metadata key simpul-to. "
    "To look around: simpul node status, simpul service list, simpul call.\n"
)

_NO_PATH: Final = SimpulError(
    Code.METHOD_UNKNOWN, "the path is not of the form /package.Service/Method; call a method"
)
_NO_REQUEST: Final = SimpulError(
    Code.REQUEST_MALFORMED,
    "a gRPC request is a POST with te: trailers, and this one is not; call with a gRPC client",
)
_NO_GRPC: Final = SimpulError(Code.REQUEST_MALFORMED, HELP)

_TOO_FAST: Final = SimpulError(
    Code.OVERLOADED, "more calls came at once than this node takes; try again in a moment"
)

_DENIED, _BAD_REQUEST, _TOO_MANY, _RAISED = 403, 400, 429, 500
_UPGRADE_REQUIRED: Final = 426
_UNSUPPORTED_MEDIA_TYPE: Final = 415
# Envoy turns it into UNIMPLEMENTED for who speaks gRPC; the header says the status all the same.
_NOT_FOUND: Final = 404


def only_grpc() -> list[Json]:
    """What a request has to be, as matchers of headers: a POST with trailers and a plain path."""
    return [
        header(":path", safe_regex={"regex": GRPC_PATH}),
        header(":method", exact="POST"),
        header("content-type", safe_regex={"regex": GRPC_TYPE}),
        header("te", exact="trailers"),
    ]


def header(name: str, **match: str | Json) -> Json:
    """A matcher of one header, for a filter's rules and for an answer's."""
    return {"header": {"name": name, "string_match": match}}


def mappers() -> list[Json]:
    """How Envoy's own answers look, the first that fits.

    The last: an application that raised is INTERNAL, where pyvoy alone would say OK.
    """
    no_grpc = _without("content-type", GRPC_TYPE)
    no_path = _without(":path", GRPC_PATH)
    internal = _set("grpc-status", "13")
    return [
        *(_answer(status, no_grpc, _UNSUPPORTED_MEDIA_TYPE, _NO_GRPC) for status in _REFUSED),
        *(_answer(status, no_path, _NOT_FOUND, _NO_PATH) for status in _REFUSED),
        *(_answer(status, None, _BAD_REQUEST, _NO_REQUEST) for status in _REFUSED),
        _answer(_TOO_MANY, None, _TOO_MANY, _TOO_FAST),
        {"filter": _when(_RAISED, "raised"), "headers_to_add": [internal]},
    ]


def plain_http() -> Json:
    """Routes for who speaks HTTP/1: a line of help, whatever was asked."""
    direct = {"status": _UPGRADE_REQUIRED, "body": {"inline_string": HELP}}
    return {
        "virtual_hosts": [
            {
                "name": "help",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "direct_response": direct}],
                "response_headers_to_add": [_set("simpul-error", _NO_GRPC.code.value)],
            }
        ]
    }


# By the filter; and by Envoy itself, as it refuses a path with a fragment.
_REFUSED: Final = (_DENIED, _BAD_REQUEST)


def _answer(status: int, missing: Json | None, http_status: int, error: SimpulError) -> Json:
    """Answer `error` where Envoy said `status` for a request that has not what it must have."""
    found: Json = _when(status, f"refused_{status}")
    if missing is not None:
        found = {"and_filter": {"filters": [found, {"header_filter": missing}]}}
    headers: Sequence[tuple[str, str]] = [("simpul-error", error.code.value)]
    if error is not _NO_GRPC:
        trailers = refusal(error)
        said = [(key.decode(), value.decode()) for key, value in print_metadata(trailers.metadata)]
        headers = [("grpc-status", str(trailers.status)), *said]
    return {
        "filter": found,
        "status_code": http_status,
        "body": {"inline_string": error.message},
        "headers_to_add": [_set(key, value) for key, value in headers],
    }


def _without(name: str, regex: str) -> Json:
    missing = header(name, safe_regex={"regex": regex})
    missing["header"] |= {"invert_match": True, "treat_missing_header_as_empty": True}
    return missing


def _set(key: str, value: str) -> Json:
    return {
        "header": {"key": key, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _when(status: int, name: str) -> Json:
    value = {"default_value": status, "runtime_key": f"gateway.{name}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}
